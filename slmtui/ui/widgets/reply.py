"""One answer of a model while it is written, and after."""

from __future__ import annotations

import re
from typing import ClassVar

from markdown_it import MarkdownIt
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Markdown, Static

from slmtui.core.events import Tokens
from slmtui.core.text import clean, duration
from slmtui.core.thinking import ThinkingSplitter

FLUSH_HZ = 15
"""How often new text is painted; a paint per token would take half a core and slow the models down."""

_UNFINISHED_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]{0,200})?$")


class Reply(Vertical):
    """Streaming Markdown, with the model's thoughts folded above it and a remark below it.

    `feed` it token events as they come, then `finish` it once.
    """

    DEFAULT_CSS = """
    Reply {
        height: auto;
        & Markdown { padding: 0; }
        & > .remark { color: $text-muted; }
        & MarkdownBlock:last-child { margin-bottom: 0; }
    }
    """

    def __init__(self, *, inside_thought: bool = False) -> None:
        """With `inside_thought` the prompt ended in the middle of a thought."""
        super().__init__()
        self._splitter = ThinkingSplitter(inside=inside_thought)
        self._answer: list[str] = []
        self._pending = ""
        self._started = False
        self._flusher: Timer | None = None

    def compose(self) -> ComposeResult:
        """Thoughts, answer, remark; the first and the last only once there is something to show."""
        yield Thought()
        yield Markdown(parser_factory=_parser, open_links=False)
        yield Static(markup=False, classes="remark")

    def on_mount(self) -> None:
        """Wait for text."""
        self.query_one(".remark").display = False
        self._flusher = self.set_interval(1 / FLUSH_HZ, self._flush_soon, pause=True)

    @property
    def answer(self) -> str:
        """The answer without its thoughts, made harmless."""
        return clean("".join(self._answer)).strip("\n")

    def feed(self, tokens: Tokens) -> None:
        """Take new tokens; the first are painted at once, later ones at `FLUSH_HZ`."""
        was_thinking = self._splitter.thinking
        self._take(*self._splitter.feed(tokens.text))
        if was_thinking or self._splitter.thinking:
            self.query_one(Thought).note(tokens)
        if not self._started and (self._pending or self._splitter.thinking):
            self._started = True
            self.call_next(self.flush)
            if self._flusher is not None:
                self._flusher.resume()

    def _flush_soon(self) -> None:
        # A timer's own task may be cancelled in the middle of a mount, which would cancel the mounted blocks too.
        if self._pending:
            self.call_next(self.flush)

    async def flush(self) -> None:
        """Paint what has come since the last time."""
        held = _UNFINISHED_ESCAPE.search(self._pending)
        ready = self._pending[: held.start()] if held else self._pending
        self._pending = self._pending[len(ready) :]
        if piece := clean(ready):
            await self.query_one(Markdown).append(piece)

    async def finish(self, remark: str = "") -> None:
        """Paint the whole answer anew, which mends what streaming may have misread, with a remark under it."""
        if self._flusher is not None:
            self._flusher.stop()
        self._take(*self._splitter.close())
        self._pending = ""
        self.query_one(Thought).over = True
        await self.query_one(Markdown).update(self.answer)
        self.show_remark(remark)

    def show_remark(self, remark: str) -> None:
        """Show a remark under the answer; none hides the line."""
        line = self.query_one(".remark", Static)
        line.update(remark)
        line.display = bool(remark)

    def _take(self, thought: str, answer: str) -> None:
        if thought:
            self.query_one(Thought).add(thought)
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
    tokens: reactive[int] = reactive(0)
    unfolded: reactive[bool] = reactive(False, layout=True)

    def __init__(self) -> None:
        super().__init__()
        self._text: list[str] = []
        self._first_at_s: float | None = None
        self._last_at_s = 0.0

    def add(self, text: str) -> None:
        """Take more of the thought."""
        self._text.append(text)
        if text.strip():
            self.add_class("-thought")
        if self.unfolded:
            self.refresh(layout=True)

    def note(self, tokens: Tokens) -> None:
        """Count tokens that belong to the thought, and its time by the worker's clock."""
        if tokens.at_s:
            self._first_at_s = tokens.at_s[0] if self._first_at_s is None else self._first_at_s
            self._last_at_s = tokens.at_s[-1]
        self.tokens += tokens.count

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
