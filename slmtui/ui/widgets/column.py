"""One model's side of a chat: what was said, and the live figures below it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from slmtui.core import text
from slmtui.core.chat import Message as Turn
from slmtui.core.events import (
    AnyEvent,
    Done,
    Failed,
    FailureKind,
    Loaded,
    Loading,
    MemorySampled,
    Prefilled,
    Prompted,
    StopReason,
    Tokens,
)
from slmtui.core.live import Live
from slmtui.core.offload import partly
from slmtui.lab.talk import Seat
from slmtui.ui.painter import Painter
from slmtui.ui.widgets.meter import ACTIVE, Meter, Phase, Reading, memory_words
from slmtui.ui.widgets.reply import Reply
from slmtui.ui.widgets.transcript import Said, Transcript, Turns

METER_EVERY_S = 0.5
"""How often the figures of an answer that is being written are painted at most."""
_LOST = "The worker of this model is gone: somebody or the system ended it while it was idle."


@dataclass(slots=True)
class Exchange:
    """A question, its answer as far as it came, and what the conversation was before."""

    question: str
    before: list[Turn]
    widgets: list[Widget] = field(default_factory=list)
    reply: Reply | None = None


class Column(Vertical):
    """A transcript above a meter; let it `hear` every event of its model."""

    DEFAULT_CSS = """
    Column {
        width: 1fr; height: 1fr;
        border: round $border-blurred;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $text-muted;
        &:focus-within { border: round $border; }
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

    class Heard(Message, bubble=False):
        """There is something in the inbox that is not only painted."""

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

    def __init__(self, seat: Seat, painter: Painter) -> None:
        super().__init__()
        self.seat = seat
        self._painter = painter
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
        self._inbox: deque[AnyEvent] = deque()
        """Events that nobody looked at, the oldest first."""
        self._reading = False
        self._stale = False
        """Whether the text or the meter shows less than is known."""
        self._metered_s = 0.0
        self._plain: deque[Reply] = deque()
        """Answers that have ended and are not typeset yet."""

    def compose(self) -> ComposeResult:
        """Transcript and meter."""
        with Transcript():
            yield Turns()
        yield Meter()

    def on_mount(self) -> None:
        """Name the model, follow the text, and watch the worker."""
        self._show_name()
        self.query_one(Transcript).anchor()
        self.set_interval(1.0, self._watch_worker)
        self._show()

    def on_unmount(self) -> None:
        """There is nothing to paint any more."""
        self._painter.forget(self)

    @property
    def turns(self) -> Turns:
        """Questions, answers and failures in order."""
        return self.query_one(Turns)

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
        answers = (exchange.reply.answer for exchange in reversed(self.exchanges) if exchange.reply is not None)
        return next(filter(None, answers), None)

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

    async def begin(self, question: str, *, contended: bool) -> None:
        """Show the question and wait for the model's turn."""
        shown = Said(text.clean(question), classes="question")
        reply = Reply()
        self._open = Exchange(question, list(self.seat.messages), [shown, reply], reply)
        self.exchanges.append(self._open)
        self.failure = None
        self._contended = contended
        self._live = Live(memory=self._live.memory, peak_rss_bytes=self._live.peak_rss_bytes)
        await self.turns.mount(shown, reply)
        self.query_one(Transcript).anchor()
        self.enter("waiting", "for its turn")

    async def skip(self) -> None:
        """Stop before anything ran: the turn of this column will not come."""
        if (exchange := self._open) is not None:
            self._open = None
            await self._drop_reply(exchange)
        self.enter("stopped", "before its turn")

    def hear(self, event: AnyEvent) -> None:
        """Take what the model reports; figures and text wait for the painter, everything else is shown at once."""
        self._inbox.append(event)
        if self._only_painted(event):
            self._painter.want(self)
        else:
            self.post_message(self.Heard())

    def _only_painted(self, event: AnyEvent) -> bool:
        match event:
            case Tokens():
                return self.phase == "decoding"
            case Prefilled():
                return self.phase == "prefill"
            case Loading():
                return self.phase == "loading"
            case _:
                return isinstance(event, MemorySampled)

    def paint(self) -> None:
        """Show what has come; with nothing new, typeset a piece of an answer that has ended."""
        if self._reading:  # whoever reads the inbox asks for a painter afterwards
            return
        while self._inbox and self._only_painted(self._inbox[0]):
            self._keep(self._inbox.popleft())
        if not self.screen.is_current:
            return
        if self._stale:
            self._paint_text()
            if self.phase != "decoding" or time.monotonic() - self._metered_s >= METER_EVERY_S:
                self._show()
            if self._plain:
                self._painter.want(self)
        elif self._plain:
            self.call_next(self._typeset)

    def _paint_text(self) -> None:
        self._stale = False
        if self._open is not None and self._open.reply is not None:
            self._open.reply.paint()

    async def _typeset(self) -> None:
        """One piece only: keys and the other columns come between two."""
        if self._plain:
            reply = self._plain[0]
            if not reply.is_attached or not await reply.typeset():
                self._plain.popleft()
        if self._plain:
            self._painter.want(self)

    def _keep(self, event: AnyEvent) -> None:
        """Keep what an event says, for the painter."""
        self._live = self._live.after(event)
        self._stale = True
        if isinstance(event, Loading):
            self._fraction = event.fraction
        elif isinstance(event, Tokens) and self._open is not None and self._open.reply is not None:
            self._open.reply.feed(event)

    @on(Heard)
    async def read(self) -> None:
        """Show at once what is in the inbox."""
        self._reading = True
        try:
            while self._inbox:
                event = self._inbox.popleft()
                self._keep(event)
                await self._take(event)
        finally:
            self._reading = False
        if self._stale or self._plain:
            self._painter.want(self)

    async def _take(self, event: AnyEvent) -> None:
        match event:
            case Loading() if self.phase != "loading":
                self.enter("loading")
            case Loaded():
                self._show_name()
                await self.turns.query(".failure.-load").remove()
                self.enter("ready", _welcome(self.seat, event))
            case Prompted():
                if self._open is not None and self._open.reply is not None:
                    self._open.reply.begin(inside_thought=event.text.rstrip().endswith("<think>"))
                self.enter("prefill")
            case Prefilled() if self.phase != "prefill":
                self.enter("prefill")
            case Tokens() if self.phase != "decoding":
                self._paint_text()
                self.enter("decoding")
            case Done():
                self._end(event)
            case Failed():
                await self._fail(event)
            case _:
                pass

    @on(Meter.StopClicked)
    def stop_clicked(self, message: Meter.StopClicked) -> None:
        """Tell the screen which column is meant."""
        message.stop()
        self.post_message(self.StopWanted(self))

    def _finish(self, words: str) -> None:
        exchange, self._open = self._open, None
        if exchange is not None and exchange.reply is not None:
            exchange.reply.finish(words)
            self._plain.append(exchange.reply)

    async def _drop_reply(self, exchange: Exchange) -> None:
        """Take away the place for an answer that did not come."""
        reply, exchange.reply = exchange.reply, None
        if reply is not None:
            exchange.widgets.remove(reply)
            await reply.remove()

    def _end(self, done: Done) -> None:
        self._finish(remark(self._live, contended=self._contended))
        if done.reason is StopReason.CANCELLED:
            self.enter("stopped", "" if self.seat.loaded.ready else "not loaded; ctrl+r loads it")
        else:
            self.enter("done")

    async def _fail(self, failed: Failed) -> None:
        exchange = self._open
        if exchange is not None and not self._live.tokens:
            await self._drop_reply(exchange)
        self._finish("not kept in the conversation")
        if failed.kind is FailureKind.CANCELLED:
            self.enter("stopped", "not loaded; ctrl+r loads it")
            return
        self.failure = failed
        sentence = text.clean(failed.message)
        if not self.seat.loaded.ready:
            sentence += "\nctrl+r loads this model again."
        block = Said(sentence, classes="failure" if exchange else "failure -load")
        if exchange is not None:
            exchange.widgets.append(block)
        await self.turns.mount(block)
        self.enter("failed", failed.kind.value.replace("_", " "))

    def _watch_worker(self) -> None:
        """Notice a worker that dies while it has nothing to do."""
        loaded = self.seat.loaded
        if self.phase in {"ready", "done", "stopped"} and loaded.load_s is not None and not loaded.ready:
            self.hear(Failed(kind=FailureKind.CRASHED, message=_LOST))

    def _show(self) -> None:
        self._metered_s = time.monotonic()
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
        device = text.one_line(facts.device or "CPU").upper() + partly(facts.gpu_layers, facts.layers)
        engine = "MLX " if model.format == "MLX" else ""
        self.border_title = Content(f"{text.one_line(model.name)} · {engine}{device}")
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
