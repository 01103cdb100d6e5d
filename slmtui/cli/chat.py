"""`slmtui chat`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from slmtui.cli import DONE, FAILED, USAGE
from slmtui.cli.terminal import CommandError, UsageError, print_json, progress, say, show, with_services
from slmtui.core import ranges, text
from slmtui.core.catalog import LocalModel
from slmtui.core.events import AnyEvent, Done, Failed, Loading, Prefilled, Tokens
from slmtui.core.granted import refusal
from slmtui.core.machine import ENGINES
from slmtui.core.places import memory_words
from slmtui.core.plan import Grid
from slmtui.core.sampling import Sampling, SamplingError, checked
from slmtui.lab.loaded import LoadedModel, LoadOptions
from slmtui.lab.services import Services
from slmtui.lab.talk import Order, Seat, ask_all

_LARGEST_BYTES = 32 << 20
"""Of standard input: twice what the largest context holds of English."""
_FLAGS = {"max_tokens": "--limit", "temperature": "--temp"}
"""How a person says what is called otherwise inside."""


def chat(options: argparse.Namespace) -> int:
    """Send the prompt to every model and print the answers as they come."""
    prompt = options.prompt
    if prompt is None:
        if sys.stdin.isatty():
            say("slmtui chat: give a prompt with -p, or on standard input")
            return USAGE
        prompt = sys.stdin.buffer.read(_LARGEST_BYTES).decode(sys.stdin.encoding, "replace").removesuffix("\n")
    problem = _problem(options, prompt)
    if problem:
        say(f"slmtui chat: {problem}")
        return USAGE

    async def run(services: Services) -> int:
        return await _Conversation(services, options, prompt).run()

    return with_services(run)


def _problem(options: argparse.Namespace, prompt: str) -> str | None:
    if not prompt:
        return "the prompt is empty; write something"
    if len(prompt) >= _LARGEST_BYTES:
        return f"the prompt on standard input has more than {_LARGEST_BYTES >> 20} MiB; no context holds so much"
    for name, among in (("threads", ranges.THREADS), ("context", ranges.CONTEXT), ("n_gpu_layers", ranges.LAYERS)):
        value = getattr(options, name)
        if value is not None and (wrong := among.problem(f"--{name.replace('_', '-')}", [value])) is not None:
            return wrong
    if options.n_gpu_layers and options.device == "cpu":
        return "--n-gpu-layers asks for layers on a GPU, and --device says cpu; leave one of them out"
    return None


def _not_had(options: argparse.Namespace, models: Sequence[LocalModel]) -> str | None:
    """Why the models' engine does not have what was asked for."""
    threads, layers = (None if value is None else (value,) for value in (options.threads, options.n_gpu_layers))
    return refusal(Grid(threads=threads, gpu_layers=layers), {model.format for model in models})


class _Conversation:
    """One prompt, one answer from each model."""

    def __init__(self, services: Services, options: argparse.Namespace, prompt: str) -> None:
        self._services = services
        self._options = options
        self._prompt = prompt
        self._answers: dict[int, list[str]] = {}
        self._endings: dict[int, Done | Failed] = {}
        self._live = not options.json and (len(options.models) == 1 or not options.together)
        """Whether text can be printed while it comes; answers that come together are printed whole."""

    async def run(self) -> int:
        """Load, ask, print; returns the exit code."""
        sampling = self._sampling()
        models = [self._services.find(spec) for spec in self._options.models]
        if (wrong := _not_had(self._options, models)) is not None:
            raise CommandError(wrong)
        if self._options.n_gpu_layers and self._options.device is None:
            await self._check_gpu(models)
        options = LoadOptions(
            context=self._options.context,
            threads=self._options.threads,
            device=self._options.device,
            gpu_layers=self._options.n_gpu_layers,
        )
        seats = [await self._seat(LoadedModel(self._services, model, options)) for model in models]
        order: Order = "together" if self._options.together else "in turn"
        shown: Seat | None = None
        async with aclosing(ask_all(seats, self._prompt, sampling, order, raw=self._options.raw)) as events:
            async for seat, event in events:
                if self._live and seat is not shown and len(seats) > 1:
                    self._head(seat)
                    shown = seat
                self._take(seat, event)
        return self._finish(seats)

    async def _check_gpu(self, models: Sequence[LocalModel]) -> None:
        """Refuse layers on a GPU that no engine of these models can use.

        Raises:
            CommandError: there is none.
        """
        machine = await self._services.machine()
        engines = {ENGINES[model.format]: machine.engine_for(model.format) for model in models}
        if not any(engine is not None and engine.offloads for engine in engines.values()):
            raise CommandError(
                f"{' and '.join(engines)} can use no GPU here (`slmtui hardware` says why); leave out --n-gpu-layers"
            )

    def _sampling(self) -> Sampling:
        names = ("max_tokens", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed")
        given = {name: getattr(self._options, name) for name in names if getattr(self._options, name) is not None}
        try:
            return checked(msgspec.structs.replace(self._services.config.sampling, **given))
        except SamplingError as error:
            raise UsageError(f"{_FLAGS.get(error.name) or '--' + error.name.replace('_', '-')} {error.what}") from None

    async def _seat(self, loaded: LoadedModel) -> Seat:
        async with aclosing(loaded.load()) as events:
            async for event in events:
                if isinstance(event, Loading):
                    progress(f"{loaded.model.name}: loading {text.share(event.fraction)}")
                elif isinstance(event, Failed):
                    raise CommandError(f"{loaded.model.name}: {event.message}")
        progress("")
        return Seat(loaded, self._options.system)

    def _take(self, seat: Seat, event: AnyEvent) -> None:
        match event:
            case Prefilled(done=done, total=total) if total > 512:
                progress(f"{seat.loaded.model.name}: reading {done:,} of {total:,} tokens")
            case Tokens(text=piece):
                if self._live:
                    if id(seat) not in self._answers:
                        progress("")  # later it would remove the line of the answer that is being written
                    show(piece, end="")
                self._answers.setdefault(id(seat), []).append(piece)
            case Done() | Failed():
                self._endings[id(seat)] = event
                if self._live:
                    show("")
                self._tell(seat, event)
            case _:
                pass

    def _tell(self, seat: Seat, ending: Done | Failed) -> None:
        """The figures of one answer, or what went wrong, on standard error."""
        name = seat.loaded.model.name
        if isinstance(ending, Failed):
            say(f"slmtui: {name}: {ending.message}")
            return
        timing = ending.timing
        if timing is None:
            return
        say(
            f"{name}: prefill {text.rate(timing.prefill_tps)} tok/s ({timing.prompt_tokens} tokens) · "
            f"first token {text.duration(timing.ttft_s)} · decode {text.rate(timing.decode_tps)} tok/s "
            f"({timing.generated_tokens} tokens, {ending.reason.value}) · "
            f"memory {memory_words(seat.loaded.process_memory, seat.loaded.memory)}"
        )

    def _finish(self, seats: list[Seat]) -> int:
        if self._options.json:
            print_json([self._document(seat) for seat in seats])
        elif not self._live:
            for seat in seats:
                self._head(seat)
                show("".join(self._answers.get(id(seat), [])))
        failed = any(isinstance(self._endings.get(id(seat)), Failed | None) for seat in seats)
        return FAILED if failed else DONE

    def _head(self, seat: Seat) -> None:
        show(f"── {text.one_line(seat.loaded.model.name)}{' (demo)' if seat.loaded.model.demo else ''}")

    def _document(self, seat: Seat) -> dict[str, Any]:
        ending = self._endings.get(id(seat))
        document: dict[str, Any] = {
            "model": seat.loaded.model.id,
            "name": seat.loaded.model.name,
            "demo": seat.loaded.model.demo,
            "text": "".join(self._answers.get(id(seat), [])),
            "prompt": msgspec.to_builtins(seat.prompted) if seat.prompted else None,
        }
        if isinstance(ending, Failed):
            return {**document, "error": ending.message, "failure": ending.kind.value}
        timing = ending.timing if ending else None
        memory = seat.loaded.process_memory
        return {
            **document,
            "reason": ending.reason.value if ending else None,
            "timing": msgspec.to_builtins(timing),
            "prefill_tps": timing.prefill_tps if timing else None,
            "decode_tps": timing.decode_tps if timing else None,
            "process_memory": msgspec.to_builtins(memory),
            "engine_memory": msgspec.to_builtins(seat.loaded.memory),
        }
