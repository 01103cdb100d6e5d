"""Everything measured so far: look again, compare, name, export, delete."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from slmtui.core.diff import DiffError
from slmtui.core.machine import strip_words
from slmtui.core.measurement import Measurement, Session
from slmtui.core.results import cell_results
from slmtui.core.text import NOT_MEASURED, counted, one_line
from slmtui.lab.diff import SessionDiff, Side, diff
from slmtui.lab.importing import ImportOutcome
from slmtui.sources.store import StoreError
from slmtui.ui.base import LabScreen
from slmtui.ui.commands import Place, bindings
from slmtui.ui.messages import Problem
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn
from slmtui.ui.widgets.key_bar import KeyBar
from slmtui.ui.widgets.result_table import CellTable, local_time, model_words
from slmtui.ui.widgets.strip import Strip

_COLUMNS = (
    TableColumn("mark", "", 1, sortable=False),
    TableColumn("started", "started", 16),
    TableColumn("name", "name", 12, room=28),
    TableColumn("measurements", "measured", 8, right=True),
    TableColumn("answers", "answers", 7, rank=2, right=True),
    TableColumn("models", "models", 16, rank=1, room=90),
)
NOTHING = Content.assemble(
    ("Nothing measured yet\n\n", "bold $foreground"),
    "Every answer in Chat and every repetition in Compare\nis kept here, ready to export.\n\n",
    ("F2", "bold $primary"),
    " lists the models: ",
    ("space", "bold $primary"),
    " marks, ",
    ("c", "bold $primary"),
    " chats, ",
    ("b", "bold $primary"),
    " measures.\n",
    ("i", "bold $primary"),
    " imports what llama-bench has measured.",
)


class SessionsRead(Message):
    """All sessions of the store, newest first."""

    def __init__(self, sessions: tuple[Session, ...]) -> None:
        super().__init__()
        self.sessions = sessions


class MeasurementsRead(Message):
    """What one session holds."""

    def __init__(self, session: str, measurements: tuple[Measurement, ...]) -> None:
        super().__init__()
        self.session = session
        self.measurements = measurements


class Compared(Message):
    """Two sessions were compared."""

    def __init__(self, diff: SessionDiff) -> None:
        super().__init__()
        self.diff = diff


class SessionsScreen(LabScreen):
    """A list of sessions over the results of the highlighted one."""

    PLACE: ClassVar[Place] = "sessions"
    CSS_PATH = "sessions.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Session] = {}
        self.measurements: tuple[Measurement, ...] = ()
        self._to_show: str | None = None
        """Id of the session to go to once it is listed."""
        self.marks: tuple[str, ...] = ()
        """Ids of the marked sessions: A, then B."""

    def compose(self) -> ComposeResult:
        """List above, results below."""
        yield Strip()
        with Vertical(id="sessions"):
            with Horizontal(classes="heading"):
                yield Static("Sessions", classes="title")
                yield Static(markup=False, id="count")
            yield FitTable(*_COLUMNS, sort="started", descending=True)
            yield Static(NOTHING, id="nothing")
        with Vertical(id="results"):
            yield Static(markup=False, id="session")
            yield CellTable()
            yield Static(markup=False, id="only-answers")
        yield KeyBar()

    def on_mount(self) -> None:
        """The list has the focus; nothing is known before the store was read."""
        self.add_class("-unread")
        self._list.focus()

    def on_screen_resume(self) -> None:
        """Something may have been measured in the meantime."""
        self.read_sessions()

    @property
    def _list(self) -> FitTable:
        return self.query_one("#sessions > FitTable", FitTable)

    @property
    def highlighted(self) -> Session | None:
        """The session in the highlighted row."""
        key = self._list.highlighted if self.is_mounted else None
        return self.sessions.get(key) if key else None

    # -- what workers find out

    @work(exclusive=True, group="sessions")
    async def read_sessions(self) -> None:
        """Ask the store for all sessions."""
        try:
            self.post_message(SessionsRead(await self.services.sessions()))
        except StoreError as error:
            self.post_message(Problem(str(error)))

    @work(exclusive=True, group="measurements")
    async def read_measurements(self, session: str) -> None:
        """Ask the store for what one session holds."""
        try:
            self.post_message(MeasurementsRead(session, await self.services.measurements(session)))
        except StoreError as error:
            self.post_message(Problem(str(error)))

    @on(SessionsRead)
    def _take_sessions(self, message: SessionsRead) -> None:
        self.sessions = {session.id: session for session in message.sessions}
        self.marks = tuple(marked for marked in self.marks if marked in self.sessions)
        self._list.use_columns(columns_of(message.sessions))
        self._list.show_only({session.id: self._figures(session) for session in message.sessions})
        if self._to_show in self.sessions:
            self._list.highlight(self._to_show)
        self._to_show = None
        self.remove_class("-unread")
        self.set_class(not message.sessions, "-empty")
        words = count_words(message.sessions) if message.sessions else ""
        self.query_one("#count", Static).update(words)
        self._show_session()

    @on(MeasurementsRead)
    def _take_measurements(self, message: MeasurementsRead) -> None:
        if self.highlighted is not None and self.highlighted.id == message.session:
            self.measurements = message.measurements
            self.query_one(CellTable).show(cell_results(message.measurements))

    @on(FitTable.Highlighted)
    def _another(self, event: FitTable.Highlighted) -> None:
        if event.table is self._list:
            self._show_session()

    @on(FitTable.Pressed)
    def _pressed(self, event: FitTable.Pressed) -> None:
        if event.table is self._list and event.column == "mark":
            self.action_mark()
        elif event.table is self._list and event.twice:
            self.action_open()

    # -- what is shown

    def _figures(self, session: Session) -> dict[str, Figure]:
        running = self.services.session is not None and self.services.session.id == session.id
        models = ", ".join(model_words(model, demo=False) for model in session.models)
        mark = "AB"[self.marks.index(session.id)] if session.id in self.marks else "▸" if running else ""
        return {
            "mark": Figure(mark or "·", tone="accent" if mark else "muted"),
            "started": Figure(local_time(session.started_at), session.started_at),
            "name": Figure(
                one_line(session.name) or NOT_MEASURED, session.name or None, "" if session.name else "muted"
            ),
            "measurements": Figure(f"{session.measurements:,}" if session.measurements else "", session.measurements),
            "answers": Figure(f"{session.answers:,}" if session.answers else "", session.answers),
            "models": Figure(models, models, "muted"),
        }

    def _show_session(self) -> None:
        session = self.highlighted
        self.refresh_keys()
        if session is None:
            self.query_one(CellTable).show(())
            return
        self.query_one("#session", Static).update(describe(session))
        only = bool(session.answers and not session.measurements)
        self.query_one(CellTable).display = not only
        note = self.query_one("#only-answers", Static)
        note.display = only
        note.update(f"It holds {counted(session.answers, 'answer')} of probes and no measurement; e exports them.")
        self.read_measurements(session.id)

    # -- what can be asked for

    def reason(self, action: str) -> str | None:
        """Why an action can't act now."""
        if action in ("open", "mark", "export", "rename", "delete") and self.highlighted is None:
            return "Nothing has been measured yet."
        if action == "diff" and self._to_compare is None:
            return "Mark two sessions with space, or one and go to the other."
        return None

    @property
    def _to_compare(self) -> tuple[Session, Session] | None:
        """A and B: the marked ones, or the marked and the highlighted one."""
        at = [self.highlighted.id] if self.highlighted else []
        both = list(dict.fromkeys([*self.marks, *at]))[:2]
        return (self.sessions[both[0]], self.sessions[both[1]]) if self.marks and len(both) == 2 else None

    def action_mark(self) -> None:
        """Mark or unmark the highlighted session."""
        if (session := self.highlighted) is None:
            return
        if session.id in self.marks:
            self.marks = tuple(marked for marked in self.marks if marked != session.id)
        elif len(self.marks) == 2:
            self.say("A and B are marked: take the mark from one of them first.", "warning")
        else:
            self.marks = (*self.marks, session.id)
        for each in self.sessions.values():
            self._list.put(each.id, self._figures(each))
        self.refresh_keys()

    def action_diff(self) -> None:
        """Compare the marked sessions."""
        if (both := self._to_compare) is not None:
            self.compare(*both)

    @work(exclusive=True, group="diff")
    async def compare(self, a: Session, b: Session) -> None:
        """Compare B with A and show it."""
        try:
            self.post_message(Compared(await diff(self.services, Side(session=a), Side(session=b))))
        except (DiffError, StoreError) as error:
            self.post_message(Problem(str(error)))

    @on(Compared)
    def _show_diff(self, message: Compared) -> None:
        from slmtui.ui.screens.diff import DiffScreen

        self.app.push_screen(DiffScreen(message.diff))

    def action_open(self) -> None:
        """Show every measurement of the session."""
        from slmtui.ui.screens.session import SessionSheet

        if (session := self.highlighted) is not None:
            self.app.push_screen(SessionSheet(session, self.measurements))

    def action_import(self) -> None:
        """Ask for a file of measurements and list it."""
        from slmtui.ui.widgets.pick import ImportSheet

        self.app.push_screen(ImportSheet(self.services), self._imported)

    def _imported(self, outcome: ImportOutcome | None) -> None:
        if outcome is not None:
            self.say(outcome.sentence)
            self._to_show = outcome.session.id
            self.read_sessions()

    def action_export(self) -> None:
        """Ask where to, and write it."""
        from slmtui.ui.widgets.pick import ExportSheet

        if (session := self.highlighted) is not None:
            self.app.push_screen(ExportSheet(self.services, session))

    def action_rename(self) -> None:
        """Ask for a name and keep it."""
        from slmtui.ui.widgets.pick import NameSheet

        if (session := self.highlighted) is not None:
            sheet = NameSheet(f"Name the session of {local_time(session.started_at)}", session.name)
            self.app.push_screen(sheet, partial(self._rename, session.id))

    def action_delete(self) -> None:
        """Ask, then delete it."""
        from slmtui.ui.widgets.pick import ConfirmSheet

        if (session := self.highlighted) is not None:
            self.app.push_screen(
                ConfirmSheet("Delete a session", _question(session), "Delete"),
                partial(self._delete, session.id),
            )

    def _rename(self, session: str, name: str | None) -> None:
        if name is not None:
            self.rename(session, name)

    def _delete(self, session: str, sure: bool | None) -> None:
        if sure:
            self.delete(session)

    @work(group="change")
    async def rename(self, session: str, name: str) -> None:
        """Give the session a name and list it anew."""
        try:
            await self.services.rename_session(session, name)
        except StoreError as error:
            self.post_message(Problem(str(error)))
        self.read_sessions()

    @work(group="change")
    async def delete(self, session: str) -> None:
        """Delete the session and list what is left."""
        try:
            await self.services.delete_session(session)
        except StoreError as error:
            self.post_message(Problem(str(error)))
        self.read_sessions()


def columns_of(sessions: Sequence[Session]) -> tuple[TableColumn, ...]:
    """The columns in which there is something to see."""
    empty = {"name": not any(each.name for each in sessions), "answers": not any(each.answers for each in sessions)}
    return tuple(column for column in _COLUMNS if not empty.get(column.key))


def count_words(sessions: Sequence[Session]) -> str:
    """How many there are, and how much they hold."""
    measured, answers = sum(each.measurements for each in sessions), sum(each.answers for each in sessions)
    words = [counted(len(sessions), "session"), counted(measured, "measurement")]
    return " · ".join([*words, counted(answers, "answer")] if answers else words)


def describe(session: Session) -> Content:
    """A session in one line: its name or start, and where it was measured."""
    machine = strip_words(session.environment.machine)
    about = " · ".join(filter(None, (machine, session.environment.program)))
    title = one_line(session.name) or local_time(session.started_at)
    return Content.assemble((title, "bold"), (f"  {one_line(about)}", "$text-muted"))


def _question(session: Session) -> str:
    number = counted(session.measurements, "measurement")
    if session.answers:
        number += f" and {counted(session.answers, 'answer')} of probes"
    name = f" “{one_line(session.name)}”" if session.name else ""
    started = local_time(session.started_at)
    return f"The session{name} of {started} holds {number}. Deleting it can't be undone."
