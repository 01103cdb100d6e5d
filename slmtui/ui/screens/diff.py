"""Two sessions side by side: every figure that both have as a ratio with its interval and a verdict."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.core import diff_words
from slmtui.core.diff import CellDiff, Finding, Unmatched
from slmtui.core.text import counted, one_line
from slmtui.lab.diff import SessionDiff, Side
from slmtui.ui.widgets.diff_table import DiffTable
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.result_table import local_time

_HEIGHTS = [(0, "-short"), (20, "-medium"), (30, "-tall")]


class DiffScreen(ModalScreen[None]):
    """What a comparison found; closes with esc."""

    DEFAULT_CSS = """
    DiffScreen {
        align: center middle;
        & > .sheet { width: 96%; max-width: 150; height: 94%; padding: 0 0 0 1; }
        & Static { height: auto; padding: 0 1; }
        & #verdict { margin-bottom: 1; }
        & #figure { border-top: solid $border-blurred; }
        & VerticalScroll { height: auto; max-height: 3; scrollbar-size-vertical: 1; }
        & VerticalScroll:focus { background: $boost; }
        &.-tall VerticalScroll { max-height: 8; }
        &.-short {
            & > .sheet { height: 100%; }
            & #sides { display: none; }
            & VerticalScroll { max-height: 1; }
            & #verdict { margin-bottom: 0; }
            & #figure { max-height: 3; }
        }
    }
    """
    VERTICAL_BREAKPOINTS = _HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "Close")]

    def __init__(self, diff: SessionDiff) -> None:
        super().__init__()
        self._diff = diff

    def compose(self) -> ComposeResult:
        """Both sides and the conclusion, the table, the highlighted figure in words, and what is unlike."""
        comparison = self._diff.comparison
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "B compared with A"
            sheet.border_subtitle = "↑ ↓ choose · tab notes · click a head to sort · esc closes"
            yield Static(_sides(self._diff), id="sides")
            yield Static(_verdict(self._diff), id="verdict")
            yield DiffTable(comparison)
            yield Static(id="figure")
            if notes := _notes(self._diff):
                with VerticalScroll():
                    yield Static(notes)

    def on_mount(self) -> None:
        """Keys go to the table."""
        self.query_one(DiffTable).focus()

    @on(FitTable.Highlighted)
    def _another(self, event: FitTable.Highlighted) -> None:
        event.stop()
        table = self.query_one(DiffTable)
        if table.chosen is not None:
            self.query_one("#figure", Static).update(_words(self._diff, *table.chosen))


def _sides(diff: SessionDiff) -> Content:
    sides = (("A", diff.a), ("B", diff.b))
    return Content("\n").join(Content.assemble((f"{letter}  ", "bold"), _side(side)) for letter, side in sides)


def _verdict(diff: SessionDiff) -> Content:
    found, limit = len(diff.comparison.regressions), diff_words.percent(diff.comparison.tolerance)
    verdict = (
        (f"▼ B is slower by more than {limit} in {counted(found, 'figure')}.", "bold $text-error")
        if found
        else (f"= Nothing in B is shown to be slower by more than {limit}.", "bold")
    )
    unlike = ("\n! More than the figures differs: see the notes.", "$text-warning") if diff.unlike else ""
    return Content.assemble(verdict, unlike)


def _side(side: Side) -> Content:
    session = side.session
    return Content.assemble(
        f"{one_line(session.name) or local_time(session.started_at)}  ",
        (" · ".join(filter(None, (session.id, one_line(side.model or "")))), "$text-muted"),
    )


def _words(diff: SessionDiff, cell: CellDiff, finding: Finding) -> Content:
    sides = " · ".join(
        f"{letter} {diff_words.figure(finding.phase, summary.median)}"
        f" ({counted(summary.n, _noun(finding))}{', noisy' if summary.noisy else ''})"
        for letter, summary in (("A", finding.a), ("B", finding.b))
    )
    sentence = diff_words.sentence(cell, finding, diff.comparison.varying)
    return Content.assemble(f"{sentence}.\n", (sides, "$text-muted"))


def _noun(finding: Finding) -> str:
    return "load" if finding.phase == "memory" else "repetition"


def _notes(diff: SessionDiff) -> Content | None:
    comparison = diff.comparison
    lines = [Content(f"! {line}") for line in diff.unlike]
    for letter, only in (("A", comparison.only_a), ("B", comparison.only_b)):
        lines += [_only(letter, each, comparison.varying) for each in only]
    return Content("\n").join(lines) if lines else None


def _only(letter: str, unmatched: Unmatched, varying: tuple[str, ...]) -> Content:
    return Content.assemble((f"only in {letter}: ", "$text-muted"), diff_words.only_words(unmatched, varying))
