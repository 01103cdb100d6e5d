"""One answer of a model while it is written, and after."""

from __future__ import annotations

import asyncio
import re
from typing import ClassVar

from markdown_it import MarkdownIt
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Markdown

from slmtui.core.events import Tokens
from slmtui.core.text import clean, duration
from slmtui.core.thinking import ThinkingSplitter
from slmtui.ui.widgets.draft import Draft
from slmtui.ui.widgets.laid_out import laid_out
from slmtui.ui.widgets.transcript import Said

PIECE_LINES = 8
"""Lines of an answer that are typeset in one go; more would keep a pressed key waiting."""

_UNFINISHED_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,200})?$")


class Reply(Vertical):
    """Text as it is written, with the model's thoughts folded above it and a remark below it; in the end, Markdown.

    `feed` it token events as they come and `paint` now and then; `finish` it once, then `typeset` it piece by piece.
    """

    DEFAULT_CSS = """
    Reply {
        height: auto;
        & Markdown { padding: 0; }
        & > .remark { color: $text-muted; }
        & MarkdownBlock:last-child { margin-bottom: 0; }
    }
    """

    BLANK = True  # has nothing of its own to draw
    virtual_size = laid_out()

    def __init__(self) -> None:
        super().__init__()
        self._splitter = ThinkingSplitter()
        self._thought = Thought()
        self._draft = Draft()
        self._remark = Said(classes="remark")
        self._markdown = Markdown(parser_factory=_parser, open_links=False)
        self._answer: list[str] = []
        self._pending = ""
        self._pieces: list[str] | None = None
        """The parts of the answer that are not typeset yet, the last first."""

    def compose(self) -> ComposeResult:
        """Thoughts, answer, remark; the first and the last only once there is something to show."""
        yield self._thought
        yield self._draft
        yield self._remark

    def on_mount(self) -> None:
        """Wait for text."""
        self._remark.display = self._markdown.display = False

    @property
    def answer(self) -> str:
        """The answer without its thoughts, made harmless."""
        return clean("".join(self._answer)).strip("\n")

    @property
    def shown(self) -> str:
        """The text that is on the screen: what was painted so far, then the Markdown."""
        return self._markdown.source if self.typeset_wholly else self._draft.text

    @property
    def typeset_wholly(self) -> bool:
        """Whether the answer is shown as Markdown."""
        return self._markdown.display

    def begin(self, *, inside_thought: bool) -> None:
        """The model has read its prompt, which may have ended in the middle of a thought."""
        self._splitter = ThinkingSplitter(inside=inside_thought)

    def feed(self, tokens: Tokens) -> None:
        """Take new tokens."""
        was_thinking = self._splitter.thinking
        self._take(*self._splitter.feed(tokens.text))
        if was_thinking or self._splitter.thinking:
            self._thought.note(tokens)

    def paint(self) -> None:
        """Show what has come since the last time."""
        self._thought.show()
        held = _UNFINISHED_ESCAPE.search(self._pending)
        ready = self._pending[: held.start()] if held else self._pending
        self._pending = self._pending[len(ready) :]
        if piece := clean(ready):
            self._draft.add(piece)

    def finish(self, remark: str = "") -> None:
        """Show the rest; `typeset` adds the remark."""
        self._take(*self._splitter.close())
        self._thought.over = True
        self.paint()
        self._remark.update(remark)

    async def typeset(self) -> bool:
        """Do a part of what makes a draft an answer; whether there is more to do.

        First it gets its remark, then each piece is set in Markdown, which in the end takes the place of the draft.
        """
        if not self._draft.settled:
            self._draft.settle()
            self._remark.display = bool(self._remark.content)
        elif self._pieces is None:
            self._pieces = (await asyncio.to_thread(_pieces, self.answer))[::-1]
            await self.mount(self._markdown, after=self._draft)
        elif self._pieces:
            await self._markdown.append(self._pieces.pop())
        elif self._draft.is_attached:
            with self.app.batch_update():
                self._markdown.display = True
                await self._draft.remove()
        return self._draft.is_attached

    def _take(self, thought: str, answer: str) -> None:
        if thought:
            self._thought.add(thought)
        if not self._answer:
            answer = answer.lstrip("\n")
        if answer:
            self._answer.append(answer)
            self._pending += answer


class Thought(Widget, can_focus=True):
    """What a model thought before it answered: one line that unfolds."""

    DEFAULT_CSS = """
    Thought {
        height: auto; color: $text-muted; pointer: pointer; display: none;
        &.-thought { display: block; }
        &:focus { background: $boost; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "unfold", "Unfold", show=False)]

    over: reactive[bool] = reactive(False)
    unfolded: reactive[bool] = reactive(False, layout=True)

    def __init__(self) -> None:
        super().__init__()
        self.tokens = 0
        self._text: list[str] = []
        self._stale = self._says_something = False
        self._first_at_s: float | None = None
        self._last_at_s = 0.0

    def add(self, text: str) -> None:
        """Take more of the thought."""
        self._text.append(text)
        self._stale = True
        self._says_something = self._says_something or not text.isspace()

    def note(self, tokens: Tokens) -> None:
        """Count tokens that belong to the thought, and its time by the worker's clock."""
        if tokens.at_s:
            self._first_at_s = tokens.at_s[0] if self._first_at_s is None else self._first_at_s
            self._last_at_s = tokens.at_s[-1]
        self.tokens += tokens.count
        self._stale = True

    def show(self) -> None:
        """Paint what has come since the last time."""
        if self._stale:
            self._stale = False
            self.set_class(self._says_something, "-thought")
            self.refresh(layout=self.unfolded)

    def render(self) -> Content:
        """The summary line, and the thought itself while unfolded; never markup."""
        seconds = None if self._first_at_s is None else self._last_at_s - self._first_at_s
        verb = "thought for" if self.over else "thinking"
        summary = f"{'▾' if self.unfolded else '▸'} {verb} {self.tokens:,} tokens, {duration(seconds)}"
        if not self.unfolded:
            return Content(summary)
        return Content(f"{summary}\n{clean(''.join(self._text)).strip()}")

    def action_unfold(self) -> None:
        """Unfold or fold."""
        self.unfolded = not self.unfolded

    def on_click(self, event: events.Click) -> None:
        """Unfold or fold."""
        event.stop()
        self.action_unfold()


def _parser() -> MarkdownIt:
    """GitHub's Markdown, but HTML stays visible as text: a model that writes tags shall not lose them."""
    return MarkdownIt("gfm-like", {"html": False})


def _pieces(text: str) -> list[str]:
    """The text in parts of about `PIECE_LINES` that begin where a block of Markdown begins; joined they are the text.

    Links that are defined apart from their use bind all of a text together.
    """
    links: dict[str, object] = {}
    starts = [token.map[0] for token in _parser().parse(text, links) if token.map is not None and not token.level]
    lines = text.splitlines(keepends=True)
    if links.get("references") or len(lines) != text.count("\n") + 1:  # Textual knows more line breaks than Markdown
        return [text]
    cuts = [0]
    for start in starts:
        if start - cuts[-1] >= PIECE_LINES:
            cuts.append(start)
    return ["".join(lines[cut:end]) for cut, end in zip(cuts, [*cuts[1:], None], strict=True)]
