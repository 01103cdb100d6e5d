"""The card of a model: all of its variants, and every fact with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from slmtui.core.catalog import ModelCard
from slmtui.core.text import NOT_MEASURED, count, memory, one_line, rate, shorten
from slmtui.ui.widgets.fit_table import FitTable
from slmtui.ui.widgets.model_detail import DEMO, fitting
from slmtui.ui.widgets.model_memory import expected, memory_bar, memory_legend, planned
from slmtui.ui.widgets.model_row import ModelRow
from slmtui.ui.widgets.model_speed import error_words, range_words
from slmtui.ui.widgets.variant_table import VariantTable

_LABEL = 20
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


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for on the card."""

    action: Literal["download", "delete"]
    row: ModelRow
    """The variant."""


class CardScreen(ModalScreen[Wish | None]):
    """Everything known about one model; closes with esc or enter, or with a wish about one of its variants."""

    DEFAULT_CSS = """
    CardScreen {
        align: center middle;
        & > .sheet { width: 104; max-height: 94%; padding: 1 1 0 2; }
        & VerticalScroll { height: auto; scrollbar-size-vertical: 1; padding-right: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss(None)", "Close"),
        Binding("d", "wish('download')", "Download"),
        Binding("delete", "wish('delete')", "Delete"),
    ]

    def __init__(self, row: ModelRow, variants: tuple[ModelRow, ...]) -> None:
        """`variants` are rows of all of the model's variants, `row` the one that the card is opened for."""
        super().__init__()
        self._row = row
        """What is told about now."""
        self._rows = {each.variant or each.key: each for each in variants}

    def compose(self) -> ComposeResult:
        """Variants, then what is known about the highlighted one."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = one_line(self._row.name)
            yield VariantTable()
            with VerticalScroll():
                yield Static(markup=False, id="facts")

    def on_mount(self) -> None:
        """Fill it; the variant that the card was opened for is highlighted."""
        table = self.query_one(VariantTable)
        label = self._row.variant or self._row.key
        if any(row.offer.variant or row.model for row in self._rows.values()):
            table.show(self._rows.values())
            if label in table:
                table.highlight(label)
        table.display = bool(len(table))
        (table if len(table) else self.query_one(VerticalScroll)).focus()
        self._tell(self._row)

    def on_resize(self) -> None:
        """Say as much as the width has room for."""
        keys = "d downloads · del deletes · tab, then ↑ ↓ scrolls · esc closes"
        wide = self.app.size.width >= _WIDTH
        self.query_one(".sheet").border_subtitle = f"↑ ↓ variants · {keys}" if wide else keys
        self._tell(self._row)

    @on(FitTable.Highlighted)
    def _chosen(self, event: FitTable.Highlighted) -> None:
        if event.row is not None:
            self._tell(self._rows[event.row])

    def _tell(self, row: ModelRow) -> None:
        self._row = row
        parts = card_parts(row, min(_WIDTH, self.app.size.width) - 8)
        self.query_one("#facts", Static).update(Content("\n\n").join(parts))

    def action_wish(self, action: Literal["download", "delete"]) -> None:
        """Close, and ask for something about the highlighted variant where that is possible."""
        row = self._rows.get(self.query_one(VariantTable).highlighted or "")
        if row is None or not (row.offer.variant or row.model):
            self.notify("No file of it is known that an engine here can open.", markup=False)
        elif action == "download" and row.model is not None:
            self.notify("This variant is here already.", markup=False)
        elif action == "delete" and row.model is None:
            self.notify("This variant is not on this machine.", markup=False)
        else:
            self.dismiss(Wish(action, row))


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
    if memory_part := _memory(row, width):
        yield memory_part
    for heading, facts in (
        ("Speed", speed_facts(row)),
        ("Model", _model_facts(row)),
        ("Architecture", _architecture_facts(row)),
        ("Training", _training_facts(card)),
        ("File", _file_facts(row)),
        ("Engine", _engine_facts(row)),
        ("On the hub", _hub_facts(card)),
    ):
        if facts:
            yield Content("\n").join([_heading(heading), *(_fact(fact, width) for fact in facts)])
    if row.outlook is not None:
        basis = [Content.styled(f"· {one_line(sentence)}", "$text-muted") for sentence in row.outlook.basis]
        yield Content("\n").join([_heading("What the estimates rest on"), *basis])


def _memory(row: ModelRow, width: int) -> Content | None:
    """Bar and legend of the memory, and the figures behind them."""
    exact = row.inspected.planned if row.inspected else ()
    if not exact and row.outlook is None:
        return None
    kinds = planned(exact) if exact else expected(row.outlook) if row.outlook else {}
    outlook, fit = row.outlook, row.fit
    context = row.facts.context if exact else outlook.setup.context if outlook else None
    facts: list[Fact] = [
        ("must be free", memory(row.needed_bytes), "dry run" if exact else "estimate"),
        ("with a context of", f"{context:,} tokens" if context else None, "dry run" if exact else "estimate"),
        ("fits", f"{fit.words}; {memory(fit.available_bytes)} are free" if fit else None, "now"),
        ("the system charges", memory(outlook.process_bytes) if outlook else None, "estimate"),
        ("largest context", _context(outlook.largest_context) if outlook else None, "estimate"),
    ]
    legend = fitting(memory_legend(kinds), "   ", width)
    lines = [_heading("Memory"), memory_bar(kinds, min(72, width)), legend, *(_fact(fact, width) for fact in facts)]
    return Content("\n").join(lines)


def speed_facts(row: ModelRow) -> list[Fact]:
    """What was measured here, what is expected, and how far the two are apart."""
    outlook = row.outlook
    facts: list[Fact] = []
    for name, measured, guess in (
        ("prefill", row.prefill_tps, outlook.prefill_tps if outlook else None),
        ("decode", row.decode_tps, outlook.decode_tps if outlook else None),
    ):
        words = f"{rate(guess.likely)} tok/s, most likely {range_words(guess)}" if guess else None
        if measured is None:
            facts.append((name, words, "estimate"))
            continue
        facts.append((name, f"{rate(measured)} tok/s", "measured here"))
        error = f", measured {error_words(measured, guess.likely)}" if guess else ""
        facts.append(("", f"{words or NOT_MEASURED}{error}", "estimate"))
    return facts


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


def _context(tokens: int | None) -> str | None:
    return None if tokens is None else f"{tokens:,} tokens" if tokens else "none fits"


def _bits(row: ModelRow) -> str | None:
    facts = row.facts
    if not facts.weights_bytes or not facts.parameters:
        return None
    return f"{facts.weights_bytes * 8 / facts.parameters:.2f}"
