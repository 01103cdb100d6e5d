"""What is known about the highlighted model, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from slmtui.core.catalog import Architecture, ModelCard, Training
from slmtui.core.text import count, memory, one_line, rate, shorten
from slmtui.ui.widgets.model_memory import expected, memory_bar, memory_legend, planned
from slmtui.ui.widgets.model_row import ModelRow, size_words
from slmtui.ui.widgets.model_speed import range_words

DEMO = "Demo model: shows how slmtui works; it is not good for real work."
DEMO_SHORT = "Demo model: not for real work."
_LABEL = 9


class ModelDetail(Static):
    """Architecture, memory split, speed and next step of one model."""

    DEFAULT_CSS = """
    ModelDetail {
        height: 9;
        padding: 0 2;
        background: $surface;
        border-top: solid $border-blurred;
    }
    """

    row: reactive[ModelRow | None] = reactive(None)
    """The highlighted model; None when there is none."""
    marked: reactive[int] = reactive(0)
    """How many models are marked."""

    measuring: reactive[bool] = reactive(False)
    """Whether the machine is being measured, so that speeds can be expected."""

    def on_resize(self, event: events.Resize) -> None:
        """Draw the bar to the new width."""
        self.watch_row()

    def watch_marked(self) -> None:
        """Another next step."""
        self.watch_row()

    def watch_measuring(self) -> None:
        """Say why there is no speed yet."""
        self.watch_row()

    def watch_row(self) -> None:
        """Say it anew."""
        width = self.content_size.width
        lines = detail_lines(self.row, width, self.marked, measuring=self.measuring) if self.row else []
        self.update(Content("\n").join(lines), layout=False)


def detail_lines(row: ModelRow, width: int, marked: int = 0, *, measuring: bool = False) -> list[Content]:
    """The lines of the detail pane, for `width` cells."""
    lines, room = [_headline(row)], width - _LABEL
    if row.failed is not None:
        lines += [Content.styled(f"✗ {one_line(row.failed.message)}", "$error")]
    elif row.pending:
        lines += [Content.styled("Reading the file's header and planning its memory …", "$text-muted")]
    else:
        lines += [_labelled("shape", fitting(architecture(row.shape), " · ", room))]
        if row.download is not None:
            lines += [_labelled("download", row.download.line(room))]
        lines += memory_lines(row, room)
        lines += _about(row, room) if row.model is None and row.download is None else []
        lines += [_labelled("speed", fitting(speed_words(row, measuring=measuring), "   ", room))]
    if row.failed is None:
        steps = fitting(next_steps(row, marked), " · ", room)
        lines += [_labelled("next", Content.styled(steps.plain, "$text-muted"))]
    if row.offer.demo:
        lines += [Content.styled(f"▲ {DEMO if len(DEMO) + 2 <= width else DEMO_SHORT}", "$warning")]
    return lines


def next_steps(row: ModelRow, marked: int) -> list[str | Content]:
    """What to press on this row, with so many models marked."""
    if row.download is not None:
        again = {"running": "x pauses it", "paused": "d goes on with it", "failed": "d tries again"}[row.download.phase]
        return [again] if row.download.phase == "running" else [again, "x gives it up"]
    if row.model is None:
        card = "enter shows its card"
        return ["d downloads it", card] if row.offer.variant else [card]
    if not marked:
        return ["space marks it", "c chats with it", "b measures it"]
    if marked == 1:
        return ["c chats with the marked model", "b measures it"]
    return [f"c chats with the {marked} marked models", "b compares them"]


def architecture(shape: Architecture) -> list[str | Content]:
    """The shape of the model, what matters most first."""
    known = [
        one_line(shape.name) if shape.name else None,
        f"{shape.layers} layers" if shape.layers else None,
        f"hidden {shape.hidden_size:,}" if shape.hidden_size else None,
        _heads(shape),
        " ".join(filter(None, (shape.ffn, shape.activation))) or None,
        one_line(shape.norm) if shape.norm else None,
        f"vocabulary {shape.vocabulary:,}" if shape.vocabulary else None,
        f"trained for {shape.context:,} tokens" if shape.context else None,
    ]
    return [one_line(word) for word in known if word] or ["nothing is known about it"]


def memory_lines(row: ModelRow, width: int) -> list[Content]:
    """The planned or expected memory in words, as a bar of up to `width` cells, and what its parts are."""
    if row.inspected and row.inspected.planned:
        kinds, context = planned(row.inspected.planned), row.facts.context
    elif row.outlook is not None:
        kinds, context = expected(row.outlook), row.outlook.setup.context
    elif row.model is not None:
        return [_labelled("memory", Content.styled("the engine could not plan it", "$text-muted"))]
    else:
        return []
    about = "" if row.planned_bytes is not None else "~"
    words: list[str | Content] = [Content.styled(f"{about}{memory(row.needed_bytes)}", "bold")]
    if context:
        words.append(Content.styled(f"at {context:,} tokens of context", "$text-muted"))
    if fit := row.fit:
        words.append(Content.styled(f"{memory(fit.available_bytes)} free · {fit.words}", "$text-muted"))
    return [
        _labelled("memory", fitting(words, "  ", width)),
        _labelled("", memory_bar(kinds, min(width, 80))),
        _labelled("", fitting(memory_legend(kinds), "   ", width)),
    ]


def speed_words(row: ModelRow, *, measuring: bool = False) -> list[str | Content]:
    """Measured speeds with what was expected beside them, or what is expected, or why there is nothing."""
    outlook = row.outlook
    words: list[str | Content] = []
    for name, tps, guess in (
        ("prefill", row.prefill_tps, outlook.prefill_tps if outlook else None),
        ("decode", row.decode_tps, outlook.decode_tps if outlook else None),
    ):
        if tps is not None:
            beside = f", expected {range_words(guess)}" if guess else ""
            words.append(Content.assemble((f"{name} ", "$text-muted"), rate(tps), (f" tok/s{beside}", "$text-muted")))
        elif guess is not None:
            words.append(Content.styled(f"{name} {range_words(guess)} tok/s", "$text-muted"))
    if not words and measuring:
        return [Content.styled("this machine is being measured, about 6 s …", "$text-muted")]
    if not words:
        if outlook is None or outlook.gpu_bytes:
            return [Content.styled("not measured here yet", "$text-muted")]
        return [Content.styled(word, "$text-muted") for word in ("not known yet", "e measures this machine once")]
    measured = row.prefill_tps is not None or row.decode_tps is not None
    return [*words, Content.styled("measured here" if measured else "expected here", "$text-muted")]


def fitting(words: Sequence[str | Content], between: str, width: int) -> Content:
    """The words joined, without those at the end for which `width` cells leave no room."""
    kept = [Content(word) if isinstance(word, str) else word for word in words]
    while len(kept) > 1 and Content(between).join(kept).cell_length > width:
        kept.pop()
    return Content(between).join(kept)


def _headline(row: ModelRow) -> Content:
    card = row.offer.card
    about = (card.developer, card.released) if card else ()
    kinds = ("thinking" if card.thinking else None, "gated" if card.gated else None) if card else ()
    words = [one_line(str(word)) for word in (*about, row.licence, *kinds) if word]
    return Content.assemble(
        (row.name, "bold"),
        (f"  {one_line(row.variant)}" if row.variant else "", "bold $primary"),
        ("  " + " · ".join(words), "$text-muted"),
    )


def _about(row: ModelRow, width: int) -> list[Content]:
    """What the catalog says about a model that is not here; the less, the more is expected of it."""
    card = row.offer.card
    if card is None:
        return []
    offers = [_labelled("offers", fitting(variants(card), " · ", width))]
    if row.outlook is not None:
        return offers
    about = [_labelled("about", Content(shorten(one_line(card.description), width)))] if card.description else []
    trained = [_labelled("trained", fitting(words, " · ", width))] if (words := training(card.training)) else []
    return [*about, *trained, *offers]


def training(known: Training | None) -> list[str | Content]:
    """How it was trained, as far as that is known."""
    if known is None:
        return []
    words = [f"{count(known.tokens)} tokens" if known.tokens else None, known.data, known.algorithm]
    return [one_line(word) for word in words if word]


def variants(card: ModelCard) -> list[str | Content]:
    """The variants that can be had, with the sizes of their files."""
    if not card.variants:
        return [Content.styled("no file that an engine here can open", "$text-muted")]
    return [
        Content.assemble(
            one_line(f"{variant.format} {variant.quantization}" if variant.format != "GGUF" else variant.quantization),
            (f" {size_words(variant)}" if variant.hint_bytes else "", "$text-muted"),
        )
        for variant in card.variants
    ]


def _heads(shape: Architecture) -> str | None:
    if not shape.heads:
        return shape.attention
    kinds = {shape.heads: "MHA", 1: "MQA"}
    kind = shape.attention or (kinds.get(shape.kv_heads, "GQA") if shape.kv_heads else None)
    shared = f", {shape.kv_heads} KV" if shape.kv_heads and shape.kv_heads != shape.heads else ""
    return f"{shape.heads} heads{shared}" + (f" ({kind})" if kind else "")


def _labelled(label: str, content: Content) -> Content:
    return Content.assemble((label.ljust(_LABEL), "$text-muted"), content)
