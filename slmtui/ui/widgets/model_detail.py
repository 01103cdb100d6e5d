"""What is known about the highlighted model, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from slmtui.core.events import MemoryPart, ModelFacts, total_bytes
from slmtui.core.text import memory, one_line, rate
from slmtui.ui.widgets.model_table import ModelRow

DEMO = "Demo model: shows how slmtui works; it is not good for real work."
DEMO_SHORT = "Demo model: not for real work."
_LABEL = 8
_PARTS = (
    ("weights", "█", "$primary"),
    ("KV cache", "▓", "$accent"),
    ("recurrent state", "▓", "$accent"),
    ("compute", "▒", "$secondary"),
    ("output", "░", "$foreground"),
)


class ModelDetail(Static):
    """Architecture, memory split, speed and next step of one model."""

    DEFAULT_CSS = """
    ModelDetail {
        height: auto;
        min-height: 9;
        padding: 0 2;
        background: $surface;
        border-top: solid $border-blurred;
    }
    """

    row: reactive[ModelRow | None] = reactive(None)
    """The highlighted model; None when there is none."""
    marked: reactive[int] = reactive(0)
    """How many models are marked."""

    def on_resize(self, event: events.Resize) -> None:
        """Draw the bar to the new width."""
        self.watch_row()

    def watch_marked(self) -> None:
        """Another next step."""
        self.watch_row()

    def watch_row(self) -> None:
        """Say it anew."""
        lines = detail_lines(self.row, self.content_size.width, self.marked) if self.row else []
        self.update(Content("\n").join(lines))


def detail_lines(row: ModelRow, width: int, marked: int = 0) -> list[Content]:
    """The lines of the detail pane, for `width` cells."""
    lines = [_headline(row)]
    if row.failed is not None:
        lines += [Content.styled(f"✗ {one_line(row.failed.message)}", "$error")]
    elif row.pending:
        lines += [Content.styled("Reading the file's header and planning its memory …", "$text-muted")]
    else:
        lines += [_labelled("shape", fitting(architecture(row.facts), " · ", width - _LABEL))]
        lines += memory_lines(row, width - _LABEL)
        lines += [_labelled("speed", fitting(speed_words(row), "   ", width - _LABEL))]
    if row.failed is None:
        steps = fitting(next_steps(marked), " · ", width - _LABEL)
        lines += [_labelled("next", Content.styled(steps.plain, "$text-muted"))]
    if row.model.demo:
        lines += [Content.styled(f"▲ {DEMO if len(DEMO) + 2 <= width else DEMO_SHORT}", "$warning")]
    return lines


def next_steps(marked: int) -> list[str | Content]:
    """What to press, with so many models marked."""
    if not marked:
        return ["space marks it", "c chats with it", "b measures it"]
    if marked == 1:
        return ["c chats with the marked model", "b measures it"]
    return [f"c chats with the {marked} marked models", "b compares them"]


def architecture(facts: ModelFacts) -> list[str | Content]:
    """What the header says about the shape of the model, what matters most first."""
    known = [
        one_line(facts.architecture) if facts.architecture else None,
        f"{facts.layers} layers" if facts.layers else None,
        f"hidden {facts.hidden_size:,}" if facts.hidden_size else None,
        _heads(facts),
        f"vocabulary {facts.vocabulary:,}" if facts.vocabulary else None,
        f"trained for {facts.trained_context:,} tokens" if facts.trained_context else None,
    ]
    return [word for word in known if word] or ["the file's header says nothing about it"]


def memory_lines(row: ModelRow, width: int) -> list[Content]:
    """The planned memory in words, as a bar of up to `width` cells, and what its parts are."""
    planned = row.inspected.planned if row.inspected else ()
    if not planned:
        return [_labelled("memory", Content.styled("the engine could not plan it", "$text-muted"))]
    context, fit = row.facts.context, row.fit
    words: list[str | Content] = [Content.styled(memory(total_bytes(planned)), "bold")]
    if context:
        words.append(Content.styled(f"at {context:,} tokens of context", "$text-muted"))
    if fit:
        words.append(Content.styled(f"{memory(fit.available_bytes)} free · {fit.words}", "$text-muted"))
    return [
        _labelled("memory", fitting(words, "  ", width)),
        _labelled("", memory_bar(planned, min(width, 80))),
        _labelled("", memory_legend(planned, width)),
    ]


def memory_bar(planned: tuple[MemoryPart, ...], width: int) -> Content:
    """The parts of the planned memory as a bar of `width` cells; a part that is there gets at least one."""
    total = total_bytes(planned)
    shares = [(glyph, style, _of(planned, kind)) for kind, glyph, style in _PARTS]
    shares = [share for share in shares if share[2]]
    if not total or width < len(shares):
        return Content("")
    cells = [max(1, round(part / total * width)) for _, _, part in shares]
    cells[cells.index(max(cells))] += width - sum(cells)
    return Content.assemble(*((glyph * n, style) for (glyph, style, _), n in zip(shares, cells, strict=True)))


def memory_legend(planned: tuple[MemoryPart, ...], width: int) -> Content:
    """Sign, name and size of each part, as many as fit."""
    spans: list[str | Content] = []
    for kind, glyph, style in _PARTS:
        if part := _of(planned, kind):
            spans.append(Content.assemble((f"{glyph} ", style), (f"{kind} ", "$text-muted"), memory(part)))
    return fitting(spans, "   ", width)


def speed_words(row: ModelRow) -> list[str | Content]:
    """The measured speeds, or that there are none."""
    if row.prefill_tps is None and row.decode_tps is None:
        return [Content.styled("not measured on this machine yet", "$text-muted")]
    speeds = (("prefill", row.prefill_tps), ("decode", row.decode_tps))
    return [
        *(Content.assemble((f"{name} ", "$text-muted"), rate(tps), (" tok/s", "$text-muted")) for name, tps in speeds),
        Content.styled("measured here", "$text-muted"),
    ]


def fitting(words: Sequence[str | Content], between: str, width: int) -> Content:
    """The words joined, without those at the end for which `width` cells leave no room."""
    kept = [Content(word) if isinstance(word, str) else word for word in words]
    while len(kept) > 1 and Content(between).join(kept).cell_length > width:
        kept.pop()
    return Content(between).join(kept)


def _headline(row: ModelRow) -> Content:
    card = row.model.card
    about = (card.developer, card.released) if card else ()
    words = [one_line(str(word)) for word in (*about, row.licence) if word]
    return Content.assemble(
        (row.name, "bold"),
        (f"  {one_line(row.variant)}" if row.variant else "", "bold $primary"),
        ("  " + " · ".join(words), "$text-muted"),
    )


def _heads(facts: ModelFacts) -> str | None:
    if not facts.heads:
        return None
    if not facts.kv_heads or facts.kv_heads == facts.heads:
        return f"{facts.heads} heads"
    return f"{facts.heads} heads, {facts.kv_heads} KV ({'MQA' if facts.kv_heads == 1 else 'GQA'})"


def _labelled(label: str, content: Content) -> Content:
    return Content.assemble((label.ljust(_LABEL), "$text-muted"), content)


def _of(planned: tuple[MemoryPart, ...], kind: str) -> int:
    return sum(part.bytes for part in planned if part.kind == kind)
