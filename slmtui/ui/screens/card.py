"""The card of a model: all of its variants, and every fact with its source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.core.catalog import ModelCard
from slmtui.core.text import NOT_MEASURED, count, memory, one_line, rate, shorten
from slmtui.ui.widgets.model_detail import DEMO, memory_bar, memory_legend
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.variant_table import VariantTable

_LABEL = 18
_SOURCE = 16
_WIDTH = 104
_HEADER = "file header"
_SOURCES = {
    "hub": "Hugging Face",
    "config": "config.json",
    "catalogs": "other catalogs",
    "family": "as its family",
}
"""What the catalog calls its sources, for a person."""
Fact = tuple[str, str | None, str]
"""Label, value (None where it is not known), source."""


class CardScreen(ModalScreen[None]):
    """Everything known about one model; closes with esc or enter."""

    DEFAULT_CSS = """
    CardScreen {
        align: center middle;
        & > .sheet { width: 104; max-height: 94%; padding: 1 1 0 2; }
        & VerticalScroll { height: auto; scrollbar-size-vertical: 1; padding-right: 1; }
        & Static { margin-bottom: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Close")]

    def __init__(self, row: ModelRow, family: tuple[ModelRow, ...]) -> None:
        """`family` are the rows of the model's variants, the one that the card is opened for among them."""
        super().__init__()
        self._row = row
        self._family = family

    def compose(self) -> ComposeResult:
        """Variants, description, facts."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = one_line(self._row.name)
            sheet.border_subtitle = "↑ ↓ variants · tab, then ↑ ↓ scrolls · esc closes"
            yield VariantTable()
            with VerticalScroll():
                for content in card_parts(self._row, min(_WIDTH, self.app.size.width) - 8):
                    yield Static(content)

    def on_mount(self) -> None:
        """Fill the table; the row that the card was opened for is highlighted."""
        table = self.query_one(VariantTable)
        table.show(self._row.offer.card, self._family)
        label = self._row.variant or self._row.key
        if label in table:
            table.highlight(label)
        table.display = bool(len(table))
        (table if len(table) else self.query_one(VerticalScroll)).focus()


def card_parts(row: ModelRow, width: int) -> Iterator[Content]:
    """What stands on the card below the variants, part by part, for `width` cells."""
    card = row.offer.card
    description = (card.description if card else None) or row.facts.description
    if description:
        yield Content(one_line(description))
    if row.offer.demo:
        yield Content.styled(f"▲ {DEMO}", "$warning")
    if card is not None and not card.variants:
        yield Content.styled(
            "No file of it is known that an engine here can open; it stands here to compare.", "$warning"
        )
    if row.failed is not None:
        yield Content.styled(f"✗ {one_line(row.failed.message)}", "$text-error")
    if row.inspected and row.inspected.planned:
        planned = row.inspected.planned
        yield Content("\n").join(
            [_heading("Memory"), memory_bar(planned, min(72, width)), memory_legend(planned, width)]
        )
    for heading, facts in (
        ("Model", _model_facts(row)),
        ("Architecture", _architecture_facts(row)),
        ("Training", _training_facts(card)),
        ("File", _file_facts(row)),
        ("Engine", _engine_facts(row)),
        ("On the hub", _hub_facts(card)),
    ):
        if facts:
            yield Content("\n").join([_heading(heading), *(_fact(fact, width) for fact in facts)])


def _model_facts(row: ModelRow) -> list[Fact]:
    card, facts = row.offer.card, row.facts
    developer, family = (card.developer, card.family) if card else (None, None)
    return [
        ("developer", developer, "catalog"),
        ("family", family, "catalog"),
        _told(card, "released", card.released if card else None),
        ("parameters", _exact(facts.parameters), _HEADER)
        if facts.parameters
        else _told(card, "parameters", _exact(row.parameters)),
        _told(card, "licence", card.licence) if card and card.licence else ("licence", facts.licence, _HEADER),
        _told(card, "gated", _yes(card.gated if card else None)),
        _told(card, "thinking", _yes(card.thinking if card else None)),
    ]


def _architecture_facts(row: ModelRow) -> list[Fact]:
    card, facts, shape = row.offer.card, row.facts, row.shape
    window = f"{shape.window:,} tokens" if shape.window else None
    if shape.window_layers_frac is not None:
        window = " ".join(filter(None, (window, f"in {shape.window_layers_frac:.0%} of the layers")))
    read = {
        "name": ("architecture", shape.name, facts.architecture),
        "attention": ("attention", _joined(shape.attention, shape.attention_detail), None),
        "layers": ("layers", _exact(shape.layers), facts.layers),
        "attention_layers": ("with a KV cache", _exact(shape.attention_layers), None),
        "hidden_size": ("hidden size", _exact(shape.hidden_size), facts.hidden_size),
        "heads": ("heads", _exact(shape.heads), facts.heads),
        "kv_heads": ("KV heads", _exact(shape.kv_heads), facts.kv_heads),
        "head_size": ("head size", _exact(shape.head_size), facts.head_size),
        "latent_size": ("latent size", _exact(shape.latent_size), None),
        "window": ("sliding window", window, None),
        "ffn": ("FFN", _joined(shape.ffn, _exact(shape.ffn_size)), None),
        "activation": ("activation", shape.activation, None),
        "norm": ("norm", shape.norm, None),
        "vocabulary": ("vocabulary", _exact(shape.vocabulary), facts.vocabulary),
        "context": ("trained context", _exact(shape.context), facts.trained_context),
        "tied_embeddings": ("tied embeddings", _yes(shape.tied_embeddings), None),
        "active_parameters": ("active parameters", _exact(shape.active_parameters), None),
    }
    rare = ("attention_layers", "latent_size", "window", "active_parameters")
    return [
        (label, value, _HEADER if header is not None else _source(card, fact))
        for fact, (label, value, header) in read.items()
        if value is not None or fact not in rare
    ]


def _training_facts(card: ModelCard | None) -> list[Fact]:
    training = card.training if card else None
    if training is None:
        return []
    return [
        _told(card, "tokens", count(training.tokens) if training.tokens else None),
        _told(card, "data", training.data),
        _told(card, "algorithm", training.algorithm),
    ]


def _file_facts(row: ModelRow) -> list[Fact]:
    facts, model = row.facts, row.model
    if model is None:
        return []
    return [
        ("path", str(model.path), "this machine"),
        ("kept by", model.place if model.place not in ("file", "bundled") else None, "this machine"),
        ("size", f"{model.size_bytes:,} bytes", "this machine"),
        ("quantization", facts.quantization or row.variant, _HEADER if facts.quantization else "catalog"),
        ("weights", f"{facts.weights_bytes:,} bytes" if facts.weights_bytes else None, _HEADER),
        ("bits per weight", _bits(row), "computed"),
        ("chat template", "yes" if facts.template_source else None, facts.template_source or _HEADER),
    ]


def _engine_facts(row: ModelRow) -> list[Fact]:
    facts = row.facts
    if row.model is None:
        return []
    return [
        ("engine", facts.engine, "engine"),
        ("device", facts.device, "engine"),
        ("threads", _exact(facts.threads), "engine"),
        ("context", count(facts.context) if facts.context else None, "dry run"),
        ("memory", memory(row.needed_bytes), "dry run"),
        ("prefill", _speed(row.prefill_tps), "measured here"),
        ("decode", _speed(row.decode_tps), "measured here"),
    ]


def _hub_facts(card: ModelCard | None) -> list[Fact]:
    if card is None or card.bundled:
        return []
    repositories = [
        (
            each.format,
            " ".join(filter(None, (each.id, f"({', '.join(each.quantizations)})" if each.quantizations else ""))),
        )
        for each in card.repositories
    ]
    return [("developer's own", card.base, "catalog"), *((form, words, "catalog") for form, words in repositories)]


def _fact(fact: Fact, width: int) -> Content:
    label, value, source = fact
    room = max(8, width - _LABEL - _SOURCE - 2)
    shown = shorten(one_line(value), room) if value else NOT_MEASURED
    return Content.assemble(
        (label.ljust(_LABEL), "$text-muted"), shown.ljust(room + 2), (source if value else "", "$text-muted")
    )


def _told(card: ModelCard | None, fact: str, value: str | None) -> Fact:
    """A fact that only the catalog has."""
    return (fact, value, _source(card, fact))


def _source(card: ModelCard | None, fact: str) -> str:
    source: str = card.source_of(fact) if card else "catalog"
    return _SOURCES.get(source, source)


def _heading(words: str) -> Content:
    return Content.styled(words, "bold $secondary")


def _exact(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _yes(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _joined(*words: str | None) -> str | None:
    return ", ".join(filter(None, words)) or None


def _speed(tps: float | None) -> str | None:
    return None if tps is None else f"{rate(tps)} tok/s"


def _bits(row: ModelRow) -> str | None:
    facts = row.facts
    if not facts.weights_bytes or not facts.parameters:
        return None
    return f"{facts.weights_bytes * 8 / facts.parameters:.2f}"
