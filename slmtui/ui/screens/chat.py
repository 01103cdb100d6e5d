"""Chat: one question goes to one to four models, side by side."""

from __future__ import annotations

from contextlib import aclosing
from typing import ClassVar, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, HorizontalScroll, Vertical
from textual.widgets import Footer, Static

from slmtui.core.chat import Message
from slmtui.core.events import Done, Failed, FailureKind
from slmtui.core.text import one_line
from slmtui.lab.loaded import LoadedModel
from slmtui.lab.talk import Order, Seat, ask_all
from slmtui.lab.transcripts import Format, SaveError, save_chat
from slmtui.ui.base import LabScreen
from slmtui.ui.commands import Place, bindings
from slmtui.ui.screens.sheet import ChatSettings, SettingsSheet, summary
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.column import Column
from slmtui.ui.widgets.empty import NothingMarked, offer_from
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
        self._asking = False
        self._loading = False
        self._stopping = False
        self._passed_over: set[Seat] = set()

    def compose(self) -> ComposeResult:
        """Strip, columns, prompt with its switches, footer."""
        yield Strip()
        yield NothingMarked("chat with", offer_from(self.services.models()))
        yield HorizontalScroll(id="columns", can_focus=False)
        with Vertical(id="ask"):
            yield Prompt("Ask all of them at once")
            with Horizontal(id="switches"):
                yield Choice(_ORDERS)
                yield SettingsSummary(markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Follow the marks."""
        self.query_one(SettingsSummary).update(summary(self.settings))
        self.watch(self.lab_app, "marked", self._follow_marks, init=False)

    async def on_screen_resume(self) -> None:
        """Load what was marked meanwhile."""
        await self._follow_marks()

    @property
    def columns(self) -> list[Column]:
        """The columns from left to right."""
        return [column for column in self.query(Column) if not column.is_detached]

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
        seats = [Seat(LoadedModel(self.services, model), self.settings.system or None) for model in new]
        await self.query_one("#columns").mount_all([Column(seat) for seat in seats])
        self._arrange()
        if seats and not self._loading:
            self._load()

    def _close(self, column: Column) -> None:
        column.add_class("-closing")
        self._passed_over.add(column.seat)
        self.run_worker(column.seat.loaded.close(), group="close", exit_on_error=True)
        column.remove()

    def _arrange(self) -> None:
        empty = not self.marked
        if empty != self.query_one(NothingMarked).display or not self.focused:
            self.query_one(NothingMarked).display = empty
            self.query_one("#columns").display = self.query_one("#ask").display = not empty
            self.set_focus(self.query("NothingMarked Button").first() if empty and self.query("NothingMarked Button") else self.query_one(Prompt))
        many = len(self.marked) > 1
        self.query_one(Choice).display = many
        self.query_one(Prompt).placeholder = "Ask all of them at once" if many else "Ask"
        self.refresh_bindings()

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
            self.refresh_bindings()

    async def _load_one(self, column: Column) -> None:
        try:
            async with aclosing(column.seat.loaded.load()) as stream:
                async for event in stream:
                    column.post_message(Column.Heard(event))
        except OSError as error:
            message = f"No worker could be started ({error}). Close other programs and try again."
            column.post_message(Column.Heard(Failed(kind=FailureKind.INTERNAL, message=message)))

    # Questions and answers.

    @on(Prompt.Sent)
    def send(self, message: Prompt.Sent) -> None:
        """Put the question to every model that is ready."""
        if self._asking:
            self.say("The models are still answering; esc stops them.", "warning")
        elif not any(column.ready for column in self.columns):
            self.say("No model is ready yet." if self._loading else "No model is loaded; ctrl+r loads them again.", "warning")
        else:
            self.query_one(Prompt).accept()
            self._ask(message.text)

    @work(exclusive=True, group="ask")
    async def _ask(self, question: str) -> None:
        columns = {column.seat: column for column in self.columns if column.ready}
        order = self.order
        contended = order == "together" and len(columns) > 1
        self._asking, self._stopping = True, False
        self._passed_over.clear()
        for column in columns.values():
            column.post_message(Column.Asked(question, contended=contended))
        answered: set[Seat] = set()
        try:
            answered = await self._pass_on(columns, question, order)
        finally:
            self._asking = False
            for seat in columns.keys() - answered:
                columns[seat].post_message(Column.Skipped())
            self.refresh_bindings()

    async def _pass_on(self, columns: dict[Seat, Column], question: str, order: Order) -> set[Seat]:
        """Pass every event to its column; the seats whose answer ended."""
        ended: set[Seat] = set()
        cancelled: set[Seat] = set()
        async with aclosing(ask_all(tuple(columns), question, self.settings.sampling, order)) as stream:
            async for seat, event in stream:
                columns[seat].post_message(Column.Heard(event))
                if isinstance(event, Done | Failed):
                    ended.add(seat)
                    if self._stopping and order == "in turn":
                        break
                elif (self._stopping or seat in self._passed_over) and seat not in cancelled:
                    cancelled.add(seat)
                    await seat.loaded.cancel()
        return ended

    # What a person can ask for.

    async def action_stop(self) -> None:
        """Stop everything that runs; what was answered stays."""
        self._stopping = True
        for column in self.columns:
            await column.seat.loaded.cancel()

    async def action_stop_column(self) -> None:
        """Stop the model whose column has the focus."""
        if (column := self._focused_column) is not None:
            await self._stop_one(column)

    @on(Column.StopWanted)
    async def stop_clicked(self, message: Column.StopWanted) -> None:
        """Stop the model whose sign was clicked."""
        await self._stop_one(message.column)

    async def _stop_one(self, column: Column) -> None:
        if column.phase == "waiting":
            self._passed_over.add(column.seat)
            column.enter("waiting", "will be passed over")
        else:
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
        self._ask(last)

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

    def _use_settings(self, settings: ChatSettings | None) -> None:
        if settings is None:
            return
        self.settings = settings
        self.query_one(SettingsSummary).update(summary(settings))
        for column in self.columns:
            spoken = [turn for turn in column.seat.messages if turn.role != "system"]
            column.seat.messages = [Message("system", settings.system)] * bool(settings.system) + spoken

    async def action_clear(self) -> None:
        """Begin a new conversation in every column."""
        for column in self.columns:
            await column.clear()
        self.refresh_bindings()

    @work(exclusive=True, group="save")
    async def action_save(self) -> None:
        """Save the conversation."""
        from slmtui.ui.screens.save import SaveChat

        wanted: Format | None = await self.app.push_screen_wait(SaveChat())
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
                column.enter("queued", "waiting for the model before it")
        if not self._loading:
            self._load()

    # Which keys work now.

    @on(Column.PhaseChanged)
    def update_keys(self) -> None:
        """Grey and ungrey keys."""
        self.refresh_bindings()

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        if not self.is_mounted:
            return None
        columns = self.columns
        match action:
            case "stop" | "stop_column" if not any(column.active for column in columns):
                return "Nothing runs."
            case "order" if len(columns) < 2:
                return "There is only one model."
            case "again" | "clear" | "copy" | "exact" | "save" if not any(each.exchanges for each in columns):
                return "Nothing was said yet."
            case "again" | "clear" if self._asking:
                return "The models are still answering; esc stops them."
            case "reload" if not columns or all(each.seat.loaded.ready or each.active for each in columns):
                return "Every model is loaded."
            case _:
                return None

    @property
    def _focused_column(self) -> Column | None:
        return next((column for column in self.columns if column.has_focus_within), None)


class SettingsSummary(Static):
    """The settings in a few words; a click opens the sheet."""

    ALLOW_SELECT = False
