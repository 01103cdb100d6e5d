"""What is known about the highlighted model, in a few lines."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from slmtui.core.events import MemoryPart, ModelFacts, total_bytes
from slmtui.core.text import count, memory, one_line, rate
from slmtui.ui.widgets.model_table import ModelRow

DEMO = "Demo model: shows how slmtui works; it is not good for real work."
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
        min-height: 8;
        padding: 1 2 0 2;
        background: $surface;
        border-top: solid $border-blurred;
    }
    """

    row: reactive[ModelRow | None] = reactive(None)
    """The highlighted model; None when there is none."""

    def on_resize(self, event: events.Resize) -> None:
        """Draw the bar to the new width."""
        self.watch_row()

    def watch_row(self) -> None:
        """Say it anew."""
        lines = detail_lines(self.row, self.size.width - 4) if self.row else []
        self.update(Content("\n").join(lines))


def detail_lines(row: ModelRow, width: int) -> list[Content]:
    """The lines of the detail pane, for `width` cells."""
    lines = [_headline(row)]
    if row.failed is not None:
        lines += [Content.styled(f"✗ {one_line(row.failed.message)}", "$error")]
    elif row.pending:
        lines += [Content.styled("Reading the file's header and planning its memory …", "$text-muted")]
    else:
        lines += [Content(architecture(row.facts))]
        lines += memory_lines(row, width)
    if row.model.demo:
        lines += [Content.styled(f"▲ {DEMO}", "$warning")]
    return lines


def _headline(row: ModelRow) -> Content:
    card = row.model.card
    about = (card.developer, card.released) if card else (row.facts.architecture,)
    words = [one_line(str(word)) for word in (*about, row.licence) if word]
    return Content.assemble(
        (row.name, "bold"),
        (f"  {one_line(row.variant)}" if row.variant else "", "bold $primary"),
        ("  " + " · ".join(words), "$text-muted"),
    )


def architecture(facts: ModelFacts) -> str:
    """What the header says about the shape of the model, in one line."""
    known = [
        one_line(facts.architecture) if facts.architecture else None,
        f"{facts.layers} layers" if facts.layers else None,
        f"hidden {facts.hidden_size:,}" if facts.hidden_size else None,
        _heads(facts),
        f"vocabulary {facts.vocabulary:,}" if facts.vocabulary else None,
        f"trained for {facts.trained_context:,} tokens of context" if facts.trained_context else None,
    ]
    return (
        " · ".join(word for word in known if word) or "The file's header says nothing about its architecture."
    )


def _heads(facts: ModelFacts) -> str | None:
    if not facts.heads:
        return None
    if not facts.kv_heads or facts.kv_heads == facts.heads:
        return f"{facts.heads} heads"
    return f"{facts.heads} heads, {facts.kv_heads} KV ({'MQA' if facts.kv_heads == 1 else 'GQA'})"


def memory_lines(row: ModelRow, width: int) -> list[Content]:
    """The planned memory as a bar and in words."""
    planned = row.inspected.planned if row.inspected else ()
    if not planned:
        return []
    context = row.facts.context
    fit = row.fit
    head = Content.assemble(
        ("memory ", "$text-muted"),
        (memory(total_bytes(planned)), "bold"),
        (f" at {count(context)} tokens of context" if context else "", "$text-muted"),
        (f" · {memory(fit.available_bytes)} free: {fit.words}" if fit else "", "$text-muted"),
    )
    return [head, memory_bar(planned, min(width, 72)), memory_legend(planned)]


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


def memory_legend(planned: tuple[MemoryPart, ...]) -> Content:
    """Sign, name and size of each part."""
    spans: list[Content] = []
    for kind, glyph, style in _PARTS:
        if part := _of(planned, kind):
            spans.append(Content.assemble((f"{glyph} ", style), (f"{kind} ", "$text-muted"), memory(part)))
    return Content("   ").join(spans)


def speed_words(row: ModelRow) -> str:
    """The measured speeds, or what to press to get them."""
    if row.prefill_tps is None and row.decode_tps is None:
        return "not measured on this machine yet: b measures it"
    return f"prefill {rate(row.prefill_tps)} tok/s · decode {rate(row.decode_tps)} tok/s, measured here"


def _of(planned: tuple[MemoryPart, ...], kind: str) -> int:
    return sum(part.bytes for part in planned if part.kind == kind)
