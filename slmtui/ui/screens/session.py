"""A session opened again: every measurement in it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.core.measurement import Measurement, Session
from slmtui.core.text import one_line
from slmtui.ui.widgets.result_table import MeasurementTable, local_time


class SessionSheet(ModalScreen[None]):
    """The measurements of one session, one a row."""

    DEFAULT_CSS = """
    SessionSheet {
        align: center middle;
        & > .sheet { width: 96%; max-width: 132; height: 92%; padding: 1 0 0 1; }
        & Static { height: auto; padding: 0 1 1 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "Close")]

    def __init__(self, session: Session, measurements: tuple[Measurement, ...]) -> None:
        super().__init__()
        self._session = session
        self._measurements = measurements

    def compose(self) -> ComposeResult:
        """What it was measured with, and the table."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = one_line(self._session.name) or f"Session of {local_time(self._session.started_at)}"
            sheet.border_subtitle = "↑ ↓ scroll · click a head to sort · esc closes"
            yield Static(_circumstances(self._session, self._measurements))
            yield MeasurementTable()

    def on_mount(self) -> None:
        """Fill the table."""
        table = self.query_one(MeasurementTable)
        table.show(self._measurements)
        table.focus()


def _circumstances(session: Session, measurements: tuple[Measurement, ...]) -> Content:
    environment, machine = session.environment, session.environment.machine
    engines = dict.fromkeys(each.facts.engine for each in measurements if each.facts.engine)
    threads = dict.fromkeys(str(each.settings.threads) for each in measurements if each.settings.threads)
    known = [
        ("machine", machine.cpu.name or machine.product),
        ("system", machine.system),
        ("engine", ", ".join(engines)),
        ("threads", ", ".join(threads)),
        (
            "versions",
            ", ".join(filter(None, (environment.program, environment.python and f"Python {environment.python}"))),
        ),
    ]
    lines = [Content.assemble((f"{label:<10}", "$text-muted"), one_line(value)) for label, value in known if value]
    return Content("\n").join(lines)
