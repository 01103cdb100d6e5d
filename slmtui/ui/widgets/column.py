"""One model's side of a chat: what was said, and the live figures below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from slmtui.core import text
from slmtui.core.chat import Message as Turn
from slmtui.core.events import (
    AnyEvent,
    Done,
    Failed,
    FailureKind,
    Loaded,
    Loading,
    Prefilled,
    Prompted,
    StopReason,
    Tokens,
)
from slmtui.core.live import Live
from slmtui.lab.talk import Seat
from slmtui.ui.widgets.meter import ACTIVE, Meter, Phase, Reading, memory_words
from slmtui.ui.widgets.reply import FLUSH_HZ, Reply

_LOST = "The worker of this model is gone: somebody or the system ended it while it was idle."


@dataclass(slots=True)
class Exchange:
    """A question, its answer as far as it came, and what the conversation was before."""

    question: str
    before: list[Turn]
    widgets: list[Widget] = field(default_factory=list)
    reply: Reply | None = None


class Column(Vertical):
    """A transcript above a meter; post `Heard` to it with every event of its model."""

    DEFAULT_CSS = """
    Column {
        width: 1fr; height: 1fr;
        border: round $border-blurred;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $text-muted;
        &:focus-within { border: round $border; }
        & > VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
        & .turns { height: auto; min-height: 100%; padding: 0 1; }
        & Meter { border-top: solid $border-blurred; }
        & .question {
            margin: 1 0; padding: 0 1; background: $boost;
            border-left: outer $primary; height: auto;
        }
        & .failure {
            margin: 1 0 0 0; padding: 0 1; height: auto;
            border-left: outer $error; color: $text-error;
        }
        & Reply { margin-bottom: 0; }
        & MarkdownH1, & MarkdownH2 { content-align: left middle; margin: 0 0 1 0; }
    }
    """

    class Heard(Message):
        """Something that the model of this column reports."""

        def __init__(self, event: AnyEvent) -> None:
            super().__init__()
            self.event = event

    class Asked(Message):
        """A question was sent to this column's model."""

        def __init__(self, question: str, *, contended: bool) -> None:
            super().__init__()
            self.question = question
            self.contended = contended

    class Skipped(Message):
        """The turn of this column will not come: everything was stopped before it."""

    class StopWanted(Message):
        """The stop sign of a column was clicked."""

        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    class PhaseChanged(Message):
        """A column does something else now."""

        def __init__(self, column: Column) -> None:
            super().__init__()
            self.column = column

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self.seat = seat
        self.phase: Phase = "queued"
        self.failure: Failed | None = None
        self.closing = False
        """Whether the model is no longer wanted."""
        self.exchanges: list[Exchange] = []
        self._open: Exchange | None = None
        """The exchange whose answer has not ended."""
        self._live = Live()
        self._fraction = 0.0
        self._note = "waiting for the model before it"
        self._contended = False
        self._stale = False

    def compose(self) -> ComposeResult:
        """Transcript and meter."""
        with VerticalScroll():
            yield Vertical(classes="turns")
        yield Meter()

    def on_mount(self) -> None:
        """Name the model, follow the text, and watch the worker."""
        self._show_name()
        self.query_one(VerticalScroll).anchor()
        self.set_interval(1 / FLUSH_HZ, self._repaint)
        self.set_interval(1.0, self._watch_worker)
        self._show()

    @property
    def turns(self) -> Vertical:
        """Questions, answers and failures in order."""
        return self.query_one(".turns", Vertical)

    @property
    def active(self) -> bool:
        """Whether there is something to stop."""
        return self.phase in ACTIVE

    @property
    def ready(self) -> bool:
        """Whether a question can be put."""
        return self.seat.loaded.ready and not self.active

    @property
    def last_answer(self) -> str | None:
        """The newest answer without thoughts; None before the first."""
        replies = [exchange.reply.answer for exchange in self.exchanges if exchange.reply is not None]
        return replies[-1] if replies else None

    def enter(self, phase: Phase, note: str = "") -> None:
        """Change what the column does and show it at once."""
        changed = phase != self.phase
        self.phase, self._note = phase, note
        self._show()
        if changed:
            self.post_message(self.PhaseChanged(self))

    async def take_back(self) -> str | None:
        """Forget the last question with its answer, and return the question; None when there is none."""
        if not self.exchanges:
            return None
        exchange = self.exchanges.pop()
        self.seat.messages = list(exchange.before)
        for widget in exchange.widgets:
            await widget.remove()
        return exchange.question

    async def clear(self) -> None:
        """Begin a new conversation; the system prompt stays."""
        while await self.take_back() is not None:
            pass
        self.seat.prompted = None
        self._live = Live(memory=self._live.memory, peak_rss_bytes=self._live.peak_rss_bytes)
        if self.phase in {"done", "stopped"}:
            self.enter("ready")
        self._show()

    @on(Asked)
    async def begin(self, message: Asked) -> None:
        """Show the question and wait for the model's turn."""
        question = Static(text.clean(message.question), markup=False, classes="question")
        self._open = Exchange(message.question, list(self.seat.messages), [question])
        self.exchanges.append(self._open)
        self.failure = None
        self._contended = message.contended
        self._live = Live(memory=self._live.memory, peak_rss_bytes=self._live.peak_rss_bytes)
        await self.turns.mount(question)
        self.query_one(VerticalScroll).anchor()
        self.enter("waiting", "for its turn")

    @on(Skipped)
    def skip(self) -> None:
        """Stop before anything ran."""
        self._open = None
        self.enter("stopped", "before its turn")

    @on(Heard)
    async def take(self, message: Heard) -> None:
        """Show what the model reports."""
        event = message.event
        self._live = self._live.after(event)
        self._stale = True
        match event:
            case Loading():
                self._fraction = event.fraction
                if self.phase != "loading":
                    self.enter("loading")
            case Loaded():
                self._show_name()
                await self.turns.query(".failure.-load").remove()
                self.enter("ready", _welcome(self.seat, event))
            case Prompted():
                await self._begin_reply(event)
                self.enter("prefill")
            case Prefilled() if self.phase != "prefill":
                self.enter("prefill")
            case Tokens():
                self._write(event)
            case Done():
                await self._end(event)
            case Failed():
                await self._fail(event)
            case _:
                pass

    @on(Meter.StopClicked)
    def stop_clicked(self, message: Meter.StopClicked) -> None:
        """Tell the screen which column is meant."""
        message.stop()
        self.post_message(self.StopWanted(self))

    async def _begin_reply(self, prompted: Prompted) -> None:
        if self._open is not None:
            self._open.reply = Reply(inside_thought=prompted.text.rstrip().endswith("<think>"))
            self._open.widgets.append(self._open.reply)
            await self.turns.mount(self._open.reply)

    def _write(self, tokens: Tokens) -> None:
        if self._open is not None and self._open.reply is not None:
            self._open.reply.feed(tokens)
        if self.phase != "decoding":
            self.enter("decoding")

    async def _finish(self, words: str) -> None:
        exchange, self._open = self._open, None
        if exchange is not None and exchange.reply is not None:
            await exchange.reply.finish(words)

    async def _end(self, done: Done) -> None:
        await self._finish(remark(self._live, contended=self._contended))
        if done.reason is StopReason.CANCELLED:
            self.enter("stopped", "" if self.seat.loaded.ready else "not loaded; ctrl+r loads it")
        else:
            self.enter("done")

    async def _fail(self, failed: Failed) -> None:
        exchange = self._open
        await self._finish("not kept in the conversation" if self._live.tokens else "")
        if failed.kind is FailureKind.CANCELLED:
            self.enter("stopped", "not loaded; ctrl+r loads it")
            return
        self.failure = failed
        sentence = text.clean(failed.message)
        if not self.seat.loaded.ready:
            sentence += "\nctrl+r loads this model again."
        block = Static(sentence, markup=False, classes="failure" if exchange else "failure -load")
        if exchange is not None:
            exchange.widgets.append(block)
        await self.turns.mount(block)
        self.enter("failed", failed.kind.value.replace("_", " "))

    def _watch_worker(self) -> None:
        """Notice a worker that dies while it has nothing to do."""
        loaded = self.seat.loaded
        if self.phase in {"ready", "done", "stopped"} and loaded.load_s is not None and not loaded.ready:
            self.post_message(self.Heard(Failed(kind=FailureKind.CRASHED, message=_LOST)))

    def _repaint(self) -> None:
        if self._stale:
            self._show()

    def _show(self) -> None:
        self._stale = False
        meter = self.query_one(Meter)
        meter.reading = Reading(
            phase=self.phase,
            live=self._live,
            fraction=self._fraction,
            note=self._note,
            contended=self._contended,
        )
        meter.tooltip = Content(memory_words(self._live, self.seat.loaded.memory))

    def _show_name(self) -> None:
        model, facts = self.seat.loaded.model, self.seat.loaded.facts
        device = text.one_line(facts.device or "CPU").upper()
        self.border_title = Content(f"{text.one_line(model.name)} · {device}")
        self.border_subtitle = Content("demo") if model.demo else None


def _welcome(seat: Seat, loaded: Loaded) -> str:
    words = f"loaded in {text.duration(loaded.load_s)}"
    return words if seat.converses else f"{words}; continues text, for it has no chat template"


def remark(live: Live, *, contended: bool) -> str:
    """The line under an answer: its figures and why it ended."""
    parts = [f"{live.tokens:,} tokens"]
    if live.decode_tps is not None:
        parts.append(f"{text.rate(live.decode_tps)} tok/s")
    if live.reason is not None and live.reason is not StopReason.END:
        parts.append("stopped" if live.reason is StopReason.CANCELLED else live.reason.value)
    if contended:
        parts.append("contended")
    return " · ".join(parts)
