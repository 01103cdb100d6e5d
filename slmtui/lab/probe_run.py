"""One run of a probe: model after model, cell after cell, each batch of questions in the store before it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, FailureKind, Loading
from slmtui.core.probe import ProbeBatch, ProbeCell
from slmtui.core.probe_pace import ProbePace
from slmtui.core.probe_prompt import Prompts
from slmtui.core.probe_sizes import Work
from slmtui.lab.bench_cell import stoppable
from slmtui.lab.bench_events import Released, TimeLeft
from slmtui.lab.control import Control
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.probe_ask import GREEDY, Asker, Calibration, Reply
from slmtui.lab.probe_events import CellAnswered, CellAsking, CellGivenUp, ModelLoading, ProbeEvent
from slmtui.lab.probe_plans import HeldProbe
from slmtui.lab.probe_sizing import Sizes, sizes
from slmtui.lab.services import Circumstances, Services


class ProbeRun:
    """Asks what is missing of a plan and tells of it."""

    def __init__(
        self,
        services: Services,
        held: HeldProbe,
        control: Control,
        pace: ProbePace,
        emit: Callable[[ProbeEvent], None],
    ) -> None:
        self._services = services
        self._held = held
        self._plan = held.plan
        self._control = control
        self._pace = pace
        self._emit = emit
        self._sizes: dict[str, Sizes] = {}
        self._left: dict[str, tuple[tuple[int, ...], Work]] = {}
        """What cells still take, and the questions for which that was counted."""
        self._broken: set[str] = set()
        """Cells that cannot go on now but may when the plan is continued."""
        self._open: LoadedModel | None = None
        self._calibrations: dict[str, Calibration] = {
            batch.measurement.cell: batch.calibration for batch in held.batches if batch.calibration
        }

    async def run(self) -> None:
        """Model after model, until nothing is missing or somebody stops it.

        Raises:
            StoreError: a batch cannot be written.
        """
        for model in {cell.model.id: cell.model for cell in self._held.todo}.values():
            if self._control.stopped:
                break
            await self._size(model)
        self._tell_left()
        for model in self._plan.models:
            if self._cells(model):
                await self._ask_model(model)
        await self._note_skips()

    async def close(self) -> None:
        """End the worker."""
        if self._open is not None:
            await self._open.close()

    # -- models

    def _cells(self, model: LocalModel) -> list[ProbeCell]:
        """The model's cells that go on."""
        return [cell for cell in self._held.todo if cell.model.id == model.id and self._goes_on(cell)]

    def _goes_on(self, cell: ProbeCell) -> bool:
        return not self._control.ends(cell) and cell.key not in self._broken and bool(self._held.missing(cell))

    async def _size(self, model: LocalModel) -> None:
        found = await sizes(self._services, self._plan, model, self._held.tasks)
        if isinstance(found, Sizes):
            self._sizes[model.id] = found
            return
        for cell in self._cells(model):
            await self._give_up(cell, found)

    async def _ask_model(self, model: LocalModel) -> None:
        options = self._sizes[model.id].options(self._plan, self._cells(model))
        loaded = self._open = LoadedModel(self._services, model, options)
        try:
            await self._load(loaded)
            for cell in self._cells(model):
                await self._note_skips()
                await self._ask_cell(loaded, cell)
        finally:
            await self._release(loaded)

    async def _load(self, loaded: LoadedModel) -> None:
        """Load the model; skipping the cell for which it is loaded goes on with the next."""
        while not loaded.ready and (cells := self._cells(loaded.model)):
            self._emit(ModelLoading(loaded.model, 0.0))
            failure: Failed | None = None
            with self._control.running(cells[0]) as end:
                async with aclosing(stoppable(loaded, loaded.load(), end)) as events:
                    async for event in events:
                        match event:
                            case Loading(fraction=fraction):
                                self._emit(ModelLoading(loaded.model, fraction))
                            case Failed():
                                failure = event
                            case _:
                                pass
            if failure is not None:
                for cell in self._cells(loaded.model):
                    await self._give_up(cell, failure)

    async def _release(self, loaded: LoadedModel) -> None:
        """End the worker and tell what memory came back."""
        ready, memory = loaded.ready, loaded.process_memory
        before = (await self._services.memory_now()).available_bytes
        await loaded.close()
        self._open = None
        if ready:
            after = (await self._services.memory_now()).available_bytes
            self._emit(Released(loaded.model, memory.charged_bytes if memory else None, before, after))

    # -- cells

    async def _ask_cell(self, loaded: LoadedModel, cell: ProbeCell) -> None:
        """Batch after batch."""
        prompts = Prompts(self._held.tasks[cell.task], cell, self._plan.style)
        while self._goes_on(cell) and loaded.ready:
            questions = self._held.missing(cell)[: self._plan.batch]
            before = await self._services.circumstances()
            reply = await self._reply(loaded, cell, prompts, questions)
            if reply.failure is not None:
                await self._give_up(cell, reply.failure)
            elif not reply.answers:
                return  # it was cancelled
            else:
                await self._keep(loaded, cell, reply, before)
                work = self._sizes[loaded.model.id].work(cell, questions)
                self._pace.note(loaded.model.id, work, reply.timing, reply.wall_s)
                self._tell_left()

    async def _reply(self, loaded: LoadedModel, cell: ProbeCell, prompts: Prompts, questions: Sequence[int]) -> Reply:
        task, done, of = self._held.tasks[cell.task], self._held.answered(cell), self._plan.asked(cell)

        def tell(tokens: int, elapsed_s: float) -> None:
            self._emit(CellAsking(cell, done, of, tokens, elapsed_s))

        tell(0, 0.0)
        asked = [prompts.asked(question) for question in questions]
        with self._control.running(cell) as end:
            asker = Asker(loaded, end, tell)
            if task.kind == "open":
                return await asker.write(asked, task)
            known = self._calibrations.get(cell.key, ())
            first = self._plan.calibrated and prompts.labels and not known
            return await asker.choose(asked, self._plan.scorer, prompts.without_content() if first else (), known)

    async def _keep(self, loaded: LoadedModel, cell: ProbeCell, reply: Reply, before: Circumstances) -> None:
        """Write a batch, then tell of it."""
        plan, services = self._plan, self._services
        after = await services.circumstances()
        plain = await services.measurement(loaded, "probe", reply.timing, before, self._held.session)
        measurement = msgspec.structs.replace(
            plain,
            plan=plan.id,
            preset=plan.preset,
            cell=cell.key,
            repetition=self._held.next_number(cell),
            sampling=GREEDY if plan.task(cell.task).kind == "open" else None,
            template_sha256=None if plan.style == "raw" else loaded.facts.template_sha256,
            wall_s=reply.wall_s,
            memory_samples=reply.memory_samples,
            load_average_after=after.load_average,
            temperature_after_c=after.temperature_c,
        )
        batch = ProbeBatch(
            task=cell.task,
            task_sha256=plan.task(cell.task).sha256,
            shots=cell.shots,
            seed=cell.seed,
            labels=cell.labels,
            style=plan.style,
            scorer=plan.scorer,
            measurement=measurement,
            opening=reply.opening,
            calibration=reply.calibration,
            answers=reply.answers,
        )
        await asyncio.to_thread(services.store.probes.add, batch)
        self._held.note(batch)
        if reply.calibration:
            self._calibrations[cell.key] = reply.calibration
        self._emit(CellAnswered(cell, batch, self._held.answered(cell), plan.asked(cell)))

    async def _give_up(self, cell: ProbeCell, failure: Failed) -> None:
        """Leave the cell; what the end of the program brought about does not count against it later."""
        if failure.kind is FailureKind.CANCELLED or self._services.closing:
            self._broken.add(cell.key)
        else:
            self._held.given_up.add(cell.key)
            settle = self._services.store.probes.settle
            await asyncio.to_thread(settle, self._plan.id, cell.key, "failed", failure.message)
        self._emit(CellGivenUp(cell, failure))

    async def _note_skips(self) -> None:
        for cell in self._held.todo:
            if self._control.skips(cell):
                self._held.given_up.add(cell.key)
                await asyncio.to_thread(self._services.store.probes.settle, self._plan.id, cell.key, "skipped")
                self._emit(CellGivenUp(cell, None))

    def _tell_left(self) -> None:
        total: float | None = 0.0
        for cell in filter(self._goes_on, self._held.todo):
            seconds = self._pace.seconds(cell.model.id, self._work_left(cell))
            total = None if total is None or seconds is None else total + seconds
        self._emit(TimeLeft(total))

    def _work_left(self, cell: ProbeCell) -> Work:
        """What a cell still takes, counted anew only when one of its batches was answered: a plan has many cells."""
        questions, counted = self._held.missing(cell), self._left.get(cell.key)
        if counted is None or counted[0] is not questions:
            found = self._sizes.get(cell.model.id)
            counted = self._left[cell.key] = questions, found.work(cell, questions) if found else Work()
        return counted[1]
