"""Chat: one question goes to one to four models, side by side."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import ClassVar, cast

import msgspec
from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from slmtui.core.chat import Message
from slmtui.core.events import Done, Failed, FailureKind
from slmtui.core.text import one_line
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.talk import Order, Seat, ask_all
from slmtui.lab.transcripts import Format, SaveError, save_chat
from slmtui.sources.store import StoreError
from slmtui.ui.base import LabScreen
from slmtui.ui.budget import Budget
from slmtui.ui.commands import Place, bindings, commands_of
from slmtui.ui.painter import Painter
from slmtui.ui.screens.sheet import ChatSettings, SettingsSheet, summary
from slmtui.ui.widgets.brief import SettingsSummary
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.column import Column
from slmtui.ui.widgets.columns import Columns, why_not
from slmtui.ui.widgets.empty import NothingMarked, offer_from
from slmtui.ui.widgets.key_bar import KeyBar
from slmtui.ui.widgets.prompt import Prompt
from slmtui.ui.widgets.strip import Strip

_ORDERS: tuple[tuple[Order, str], ...] = (
    ("in turn", "one after another (fair)"),
    ("together", "together (contended)"),
)


class ChatScreen(LabScreen):
    """Columns of transcripts over one prompt."""

    PLACE: ClassVar[Place] = "chat"
    CSS_PATH = "chat.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("chat")
    AUTO_FOCUS = "Prompt, Button"

    def __init__(self) -> None:
        super().__init__()
        self.settings = ChatSettings()
        self._empty: bool | None = None
        self._reasons: list[str | None] = []
        self._asking = False
        self._loading = False
        self._held = ""
        """A question that goes out when all columns have loaded."""
        self._passed_over: set[Seat] = set()
        self._painter = Painter(self.set_timer)

    def compose(self) -> ComposeResult:
        """Strip, columns, prompt with its switches, footer."""
        yield Strip()
        yield NothingMarked("chat with", offer_from(self.services.models()))
        yield Columns(can_focus=False)
        with Vertical(id="ask"):
            yield Prompt("Ask")
            with Horizontal(id="switches"):
                yield Choice(_ORDERS)
                yield SettingsSummary()
        yield KeyBar()

    def on_mount(self) -> None:
        """Follow the marks."""
        self._show_settings()
        self.watch(self.lab_app, "marked", self._follow_marks, init=False)

    async def on_screen_resume(self) -> None:
        """Load what was marked meanwhile, and show what was said."""
        for column in self.columns:
            self._painter.want(column)
        await self._follow_marks()

    @property
    def columns(self) -> list[Column]:
        """The columns from left to right."""
        return [column for columns in self.query_children(Columns) for column in columns.columns if not column.closing]

    @property
    def order(self) -> Order:
        """Whether models answer one after another or together."""
        return cast("Order", self.query_one(Choice).value)

    @property
    def busy(self) -> bool:
        """Whether models are answering or one is being loaded."""
        return self._asking or self._loading

    # Columns follow the marks.

    async def _follow_marks(self) -> None:
        wanted = {model.id: model for model in self.marked}
        for column in self.columns:
            if column.seat.loaded.model.id not in wanted:
                self._close(column)
        present = {column.seat.loaded.model.id for column in self.columns}
        new = [model for model in wanted.values() if model.id not in present] if self.is_current else []
        loaded = [LoadedModel(self.services, model, behind=True) for model in new]
        seats = [Seat(each, self.settings.system or None) for each in loaded]
        await self.query_one(Columns).mount_all([Column(seat, self._painter) for seat in seats])
        self._arrange()
        if seats and not self._loading:
            self._load()

    def _close(self, column: Column) -> None:
        column.closing = True
        self._passed_over.add(column.seat)
        self.run_worker(column.seat.loaded.close(), group="close", exit_on_error=True)
        column.remove()

    def _arrange(self) -> None:
        count = len(self.marked)
        empty = not count
        self.query_one(NothingMarked).display = empty
        self.query_one(Columns).display = self.query_one("#ask").display = not empty
        self.query_one(Choice).display = count > 1
        self.query_one(Prompt).placeholder = (
            "Ask" if count < 2 else f"Ask {'both' if count == 2 else f'all {count}'} models"
        )
        if empty is not self._empty:
            self._empty = empty
            first = next(iter(self.query("NothingMarked Button" if empty else "Prompt")), None)
            self.call_after_refresh(self.set_focus, first)
        self.query_one(Columns).share_width()
        self.update_keys()

    @on(NothingMarked.Accepted)
    def accept_offer(self, message: NothingMarked.Accepted) -> None:
        """Mark the offered models, which brings their columns."""
        self.lab_app.marked = message.models

    @work(group="load")
    async def _load(self) -> None:
        """Load queued columns one by one, so that each is checked against the memory that is left."""
        self._loading = True
        try:
            while (column := next((each for each in self.columns if each.phase == "queued"), None)) is not None:
                column.enter("loading")
                await self._load_one(column)
        finally:
            self._loading = False
            self.update_keys()
        self.call_later(self._ask_held)

    async def _ask_held(self) -> None:
        """Send the question that was asked while models were being loaded, once all columns know how that ended."""
        if self._held and not self._loading and not any(each.phase in {"queued", "loading"} for each in self.columns):
            question, self._held = self._held, ""
            if any(column.ready for column in self.columns):
                await self._put(question)

    async def _load_one(self, column: Column) -> None:
        loaded, cancelled = column.seat.loaded, False
        try:
            async with aclosing(loaded.load()) as stream:
                async for event in stream:
                    column.hear(event)
                    if column.seat in self._passed_over and not cancelled:
                        cancelled = True
                        await loaded.cancel()
        except OSError as error:
            column.hear(_failed(f"No worker could be started: {error}. Close other programs."))
        if column.closing:
            await loaded.close()

    # Questions and answers.

    @on(Prompt.Sent)
    async def send(self, message: Prompt.Sent) -> None:
        """Put the question to every model that is ready."""
        if self._asking:
            self.say("The models are still answering; esc stops them.", "warning")
        elif self.services.benchmarks:
            self.say(
                "A benchmark runs, and an answer would spoil its figures. Wait for it, or stop it in Compare.",
                "warning",
            )
        elif self._loading:
            self._held = message.text
            self.query_one(Prompt).accept(message.text)
            self.say("The models are loading; your question goes out as soon as they are ready.")
        elif not any(column.ready for column in self.columns):
            self.say("No model is loaded; ctrl+r loads them again.", "warning")
        else:
            self.query_one(Prompt).accept(message.text)
            await self._put(message.text)

    async def _put(self, question: str) -> None:
        """Show the question in every column that is ready, all in one paint, and ask."""
        columns = {column.seat: column for column in self.columns if column.ready}
        contended = self.order == "together" and len(columns) > 1
        self._asking = True
        self._passed_over.clear()
        with self.app.batch_update():
            for column in columns.values():
                await column.begin(question, contended=contended)
        self._ask(question, columns)

    @work(exclusive=True, group="ask")
    async def _ask(self, question: str, columns: dict[Seat, Column]) -> None:
        order = self.order
        unended = dict.fromkeys(columns)
        self.services.talks += 1
        try:
            with self._sparing():
                await self._pass_on(columns, unended, question, order)
        except StoreError as error:
            for seat in [seat for seat in unended if columns[seat].phase != "waiting"]:
                columns[seat].hear(_failed(f"The answer could not be recorded: {error}."))
                del unended[seat]
        finally:
            self._asking = False
            self.services.talks -= 1
            for seat in unended:
                columns[seat].call_next(columns[seat].skip)
            self.update_keys()

    @contextmanager
    def _sparing(self) -> Iterator[None]:
        """Leave the processor to the models: a budget for painting, and a cursor that does not blink."""
        prompt, cpu = self.query_one(Prompt), self.lab_app.machine.cpu
        prompt.cursor_blink = False
        try:
            with self._painter.sparing(Budget(cpu.usable_cores or os.cpu_count() or 1)):
                yield
        finally:
            prompt.cursor_blink = True

    async def _pass_on(
        self, columns: dict[Seat, Column], unended: dict[Seat, None], question: str, order: Order
    ) -> None:
        """Pass every event to its column, and take from `unended` whose answer ended."""
        sampling = self.settings.sampling
        if sampling.seed is None:  # all models draw with the same one
            sampling = msgspec.structs.replace(sampling, seed=random.getrandbits(32))
        cancelled: set[Seat] = set()
        for group in [tuple(columns)] if order == "together" else [(seat,) for seat in columns]:
            asked = [seat for seat in group if seat not in self._passed_over]
            async with aclosing(ask_all(asked, question, sampling, order)) as stream:
                async for seat, event in stream:
                    columns[seat].hear(event)
                    if isinstance(event, Done | Failed):
                        del unended[seat]
                    elif seat in self._passed_over and seat not in cancelled:
                        cancelled.add(seat)
                        await seat.loaded.cancel()

    # What a person can ask for.

    async def action_stop(self) -> None:
        """Stop everything that runs; what was answered stays."""
        self._held = ""
        for column in self.columns:
            await self._stop_one(column)

    async def action_stop_column(self) -> None:
        """Stop the model whose column has the focus."""
        if (column := self._focused_column) is not None:
            await self._stop_one(column)

    @on(Column.StopWanted)
    async def stop_clicked(self, message: Column.StopWanted) -> None:
        """Stop the model whose sign was clicked."""
        await self._stop_one(message.column)

    async def _stop_one(self, column: Column) -> None:
        self._passed_over.add(column.seat)
        if column.phase == "waiting":
            column.enter("waiting", "will be passed over")
        elif column.phase == "queued":
            column.enter("stopped", "not loaded; ctrl+r loads it")
        await column.seat.loaded.cancel()

    def action_order(self) -> None:
        """Change between one after another and together."""
        self.query_one(Choice).action_move(1)

    async def action_again(self) -> None:
        """Put the last question once more, to those that answered it."""
        last = next((column.exchanges[-1].question for column in self.columns if column.exchanges), None)
        if last is None:
            return
        for column in self.columns:
            if column.ready and column.exchanges and column.exchanges[-1].question == last:
                await column.take_back()
        await self._put(last)

    def action_copy(self) -> None:
        """Copy the last answer of the column that has the focus, or of the first that has one."""
        focused = self._focused_column
        columns = [focused] if focused is not None else self.columns
        for column in columns:
            if answer := column.last_answer:
                self.app.copy_to_clipboard(answer)
                self.say(f"Copied the last answer of {one_line(column.seat.loaded.model.name)}.")
                return

    def action_exact(self) -> None:
        """Show the exact text that each model read."""
        from slmtui.ui.screens.exact import ExactPrompts

        self.app.push_screen(ExactPrompts([column.seat for column in self.columns]))

    @on(events.Click, "SettingsSummary")
    def action_settings(self) -> None:
        """Open the side sheet."""
        self.app.push_screen(SettingsSheet(self.settings), self._use_settings)

    def _show_settings(self) -> None:
        self.query_one(SettingsSummary).variants = (summary(self.settings), "f8 settings")

    def _use_settings(self, settings: ChatSettings | None) -> None:
        if settings is None:
            return
        self.settings = settings
        self._show_settings()
        for column in self.columns:
            spoken = [turn for turn in column.seat.messages if turn.role != "system"]
            column.seat.messages = [Message("system", settings.system)] * bool(settings.system) + spoken

    async def action_clear(self) -> None:
        """Begin a new conversation in every column."""
        for column in self.columns:
            await column.clear()
        self.update_keys()

    @work(exclusive=True, group="save")
    async def action_save(self) -> None:
        """Save the conversation."""
        from slmtui.ui.screens.save import SaveChat

        wanted: Format | None = await self.app.push_screen_wait(SaveChat(one_line(str(self.services.paths.exports))))
        if wanted is None:
            return
        seats = [column.seat for column in self.columns]
        try:
            path = await save_chat(seats, self.settings.sampling, wanted, self.services.paths.exports)
        except SaveError as error:
            self.say(str(error), "error")
        else:
            self.say(f"Saved to {path}")

    def action_reload(self) -> None:
        """Load again what is not loaded."""
        for column in self.columns:
            if not column.seat.loaded.ready and not column.active:
                self._passed_over.discard(column.seat)
                column.enter("queued", "waiting for the model before it")
        if not self._loading:
            self._load()

    # Which keys work now.

    @on(Column.PhaseChanged)
    async def phase_changed(self) -> None:
        """Other keys can act now, and perhaps a question can go out."""
        self.update_keys()
        await self._ask_held()

    def update_keys(self) -> None:
        """Grey and ungrey keys where something changed."""
        reasons = [self.reason(command.action) for command in commands_of("chat")]
        if reasons != self._reasons:
            self._reasons = reasons
            self.refresh_bindings()

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        if not self.is_mounted:
            return None
        return why_not(action, self.columns, asking=self._asking)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Show the key that reloads only while there is something to reload."""
        allowed = super().check_action(action, parameters)
        return False if action == "reload" and not allowed else allowed

    @property
    def _focused_column(self) -> Column | None:
        return next((column for column in self.columns if column.has_focus_within), None)


def _failed(message: str) -> Failed:
    return Failed(kind=FailureKind.INTERNAL, message=message)
