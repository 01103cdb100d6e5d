"""The questions of a task: what each model read, how likely it held each option, and what examples changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.core.probe import Answer, ProbeBatch
from slmtui.core.probe_choice import probabilities
from slmtui.core.probe_results import CellScore
from slmtui.core.text import clean, counted, one_line
from slmtui.ui.pages.probe_figures import percent
from slmtui.ui.pages.probing import Row
from slmtui.ui.widgets.bars import bar
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.fit_table import Figure, FitTable, TableColumn
from slmtui.ui.widgets.page_table import PageTable

_BAR_CELLS = 20
FILTERS = (("all", "all"), ("gained", "turned right"), ("lost", "turned wrong"), ("wrong", "wrong"))


class Asked(msgspec.Struct, frozen=True):
    """One answer with what it belongs to."""

    score: CellScore
    batch: ProbeBatch
    answer: Answer

    @property
    def right(self) -> bool:
        """Whether it was right."""
        return self.score.right[self.answer.question]


class QuestionsScreen(ModalScreen[None]):
    """A table of questions above the exact prompt and the probabilities of one answer; closes with esc."""

    DEFAULT_CSS = """
    QuestionsScreen {
        align: center middle;
        & > .sheet { width: 98%; height: 98%; padding: 0 1; }
        & Choice { margin-bottom: 1; }
        & PageTable { height: 1fr; }
        & VerticalScroll { height: 1fr; border-top: solid $border-blurred; scrollbar-size-vertical: 1; }
        & VerticalScroll:focus { background: $boost; }
        & VerticalScroll > Static { height: auto; padding: 0 1; }
        & #prompt { background: $panel; margin-top: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("right,l", "cell(1)", "Next answer"),
        Binding("left,h", "cell(-1)", "Previous answer"),
        Binding("f", "filter", "Filter"),
    ]

    def __init__(self, row: Row, scores: Sequence[CellScore]) -> None:
        """`scores` are all cells of the row's task and labels, of every model; the row's own model is shown first."""
        super().__init__()
        self._row = row
        self._scores = sorted(scores, key=lambda score: (score.model != row.model, score.name, score.shots, score.seed))
        self._asked = {score.key: {each.answer.question: each for each in _asked(score)} for score in self._scores}
        self._texts = question_texts([answer for score in self._scores for answer in score.answers.values()])
        self._at = 0
        """Place of the answer that is read, among the cells."""

    def compose(self) -> ComposeResult:
        """Filter, table, and the answer that is read."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = f"{one_line(self._row.task)}: every question"
            sheet.border_subtitle = "↑ ↓ question · ← → answer · f filter · tab reads on · esc closes"
            yield Choice(FILTERS)
            yield PageTable(self._columns(), "number")
            with VerticalScroll():
                yield Static(id="verdict")
                yield Static(markup=False, id="prompt")

    def on_mount(self) -> None:
        """Show all questions."""
        self._fill()
        self.query_one(PageTable).focus()

    def _columns(self) -> tuple[TableColumn, ...]:
        levels = dict.fromkeys((score.name, score.shots) for score in self._scores)
        several = len({name for name, _ in levels}) > 1
        columns = [
            TableColumn("number", "#", 4, right=True),
            TableColumn("question", "question", 16, room=60),
            TableColumn("target", "answer", 8, rank=1, room=16),
        ]
        for name, shots in levels:
            said, rank = counted(shots, "shot"), 0 if name == self._row.name else 2
            label, unit = (one_line(name), said) if several else (said, "")
            columns.append(TableColumn(f"{name} {shots}", label, 8, rank=rank, room=len(label), unit=unit))
        return tuple(columns)

    def _fill(self) -> None:
        wanted = self.query_one(Choice).value
        places = sorted({place for found in self._asked.values() for place in found})
        rows = {str(place): self._figures(place) for place in places if self._matches(place, wanted)}
        self.query_one(PageTable).show_rows(rows)
        self._read()

    def _figures(self, place: int) -> dict[str, Figure]:
        answers = [each for found in self._asked.values() if (each := found.get(place)) is not None]
        first = answers[0].answer
        question = one_line(self._texts[place])
        figures = {
            "number": Figure(str(place + 1), place),
            "question": Figure(question, question),
            "target": Figure(one_line(first.target), one_line(first.target), "muted"),
        }
        by_level: dict[str, list[bool]] = {}
        for each in answers:
            by_level.setdefault(f"{each.score.name} {each.score.shots}", []).append(each.right)
        for key, right in by_level.items():
            share = sum(right) / len(right)
            signs = "".join("✓" if each else "✗" for each in right)
            figures[key] = Figure(signs, share, "good" if share > 0.5 else "bad")
        return figures

    def _matches(self, place: int, wanted: str) -> bool:
        if wanted == "all":
            return True
        own = [score for score in self._scores if score.model == self._row.model and place in score.right]
        if not own:
            return False
        fewest, most = min(score.shots for score in own), max(score.shots for score in own)
        before, after = _share(own, fewest, place), _share(own, most, place)
        match wanted:
            case "gained":
                return before <= 0.5 < after
            case "lost":
                return after <= 0.5 < before
            case _:
                return after <= 0.5

    @on(Choice.Changed)
    def _another_filter(self, message: Choice.Changed) -> None:
        message.stop()
        self._fill()

    @on(FitTable.Highlighted)
    def _another_question(self, message: FitTable.Highlighted) -> None:
        message.stop()
        self._read()

    def action_filter(self) -> None:
        """Show other questions."""
        self.query_one(Choice).action_move(1)

    def action_cell(self, step: int) -> None:
        """Read the answer of the next cell to the same question."""
        self._at = (self._at + step) % len(self._scores)
        self._read()

    def _read(self) -> None:
        row = self.query_one(PageTable).highlighted
        score = self._scores[self._at]
        asked = self._asked[score.key].get(int(row)) if row else None
        nothing = "No question is like that." if row is None else f"{_cell_words(score)}: not asked yet."
        self.query_one("#verdict", Static).update(_verdict(asked) if asked else Content.styled(nothing, "$text-muted"))
        prompt = self.query_one("#prompt", Static)
        prompt.display = asked is not None
        if asked is not None:
            prompt.update(clean(asked.batch.prompt(asked.answer)))


def question_texts(answers: Sequence[Answer]) -> dict[int, str]:
    """Each question without examples and without the words that end every question, by its place in the task."""
    words: dict[int, list[str]] = {}
    for answer in answers:
        tail = answer.tail.split()
        if answer.question not in words or len(tail) < len(words[answer.question]):
            words[answer.question] = tail
    while len({tuple(each[-1:]) for each in words.values()}) == 1 < min(len(words), *map(len, words.values())):
        for each in words.values():
            each.pop()
    return {place: " ".join(each) for place, each in words.items()}


def _asked(score: CellScore) -> list[Asked]:
    return [Asked(score, batch, answer) for batch in score.batches for answer in batch.answers]


def _share(scores: Sequence[CellScore], shots: int, place: int) -> float:
    right = [score.right[place] for score in scores if score.shots == shots]
    return sum(right) / len(right)


def _cell_words(score: CellScore) -> str:
    seed = f" · seed {score.seed}" if score.shots else ""
    return f"{one_line(score.name)} · {counted(score.shots, 'shot')}{seed}"


def _verdict(asked: Asked) -> Content:
    """Whose answer it is, whether it is right, and how likely each option was."""
    answer = asked.answer
    sign, style = ("✓ right", "$text-success") if asked.right else ("✗ wrong", "$text-error")
    head = Content.assemble((_cell_words(asked.score), "bold"), "  ", (sign, style))
    if not answer.scores:
        return Content("\n").join(
            [head, Content(f"written  {one_line(answer.answer)}"), Content(f"right    {one_line(answer.target)}")]
        )
    cells = max(len(one_line(option)) for option in answer.options)
    lines = [
        Content.assemble(
            "● " if option == answer.answer else "  ",
            (one_line(option).ljust(cells), "bold" if option == answer.target else ""),
            "  ",
            bar(share, _BAR_CELLS),
            f" {percent(share):>5}",
            (f"  {score.logprob:8.3f} nats, {counted(score.tokens, 'token')}", "$text-muted"),
            ("  right" if option == answer.target else "", "$text-success"),
        )
        for option, share, score in zip(
            answer.options, probabilities(answer.scores, asked.batch.scorer), answer.scores, strict=True
        )
    ]
    return Content("\n").join([head, *lines])
