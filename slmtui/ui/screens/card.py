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

from slmtui.core.text import NOT_MEASURED, count, memory, one_line, rate, shorten, size
from slmtui.ui.widgets.model_detail import DEMO, memory_bar, memory_legend
from slmtui.ui.widgets.model_table import ModelRow

_LABEL = 16
_SOURCE = 14
Fact = tuple[str, str | None, str]
"""Label, value (None where it is not known), source."""


class CardScreen(ModalScreen[None]):
    """Everything known about one model; closes with esc or enter."""

    DEFAULT_CSS = """
    CardScreen {
        align: center middle;
        & > .sheet { width: 100; max-height: 94%; padding: 1 1 0 2; }
        & VerticalScroll { height: auto; scrollbar-size-vertical: 1; padding-right: 1; }
        & Static { margin-bottom: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Close")]

    def __init__(self, row: ModelRow, family: tuple[ModelRow, ...]) -> None:
        """`family` are all variants of the model, the one that the card is opened for among them."""
        super().__init__()
        self._row = row
        self._family = family

    def compose(self) -> ComposeResult:
        """Description, variants, facts."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = one_line(f"{self._row.name} {self._row.variant or ''}")
            sheet.border_subtitle = "↑ ↓ scroll · esc closes"
            with VerticalScroll():
                for content in card_parts(self._row, self._family, min(100, self.app.size.width) - 8):
                    yield Static(content)


def card_parts(row: ModelRow, family: tuple[ModelRow, ...], width: int) -> Iterator[Content]:
    """What stands on the card, part by part, for `width` cells."""
    card = row.model.card
    description = (card.description if card else None) or row.facts.description
    if description:
        yield Content(one_line(description))
    if row.model.demo:
        yield Content.styled(f"▲ {DEMO}", "$warning")
    if row.failed is not None:
        yield Content.styled(f"✗ {one_line(row.failed.message)}", "$text-error")
    yield _variants(row, family)
    if row.inspected and row.inspected.planned:
        planned = row.inspected.planned
        yield Content("\n").join(
            [_heading("Memory"), memory_bar(planned, min(72, width)), memory_legend(planned, width)]
        )
    for heading, facts in (("Model", _model_facts(row)), ("File", _file_facts(row)), ("Engine", _engine_facts(row))):
        yield Content("\n").join([_heading(heading), *(_fact(fact, width) for fact in facts)])


def _variants(row: ModelRow, family: tuple[ModelRow, ...]) -> Content:
    lines = [
        _heading("Variants on this machine"),
        Content.styled(_variant_line("variant", "file", "memory", "fits", "prefill", "decode tok/s"), "$text-muted"),
    ]
    for each in family:
        verdict = each.fit.verdict if each.fit else NOT_MEASURED
        words = _variant_line(
            each.variant or NOT_MEASURED,
            size(each.model.size_bytes),
            memory(each.needed_bytes),
            verdict,
            rate(each.prefill_tps),
            rate(each.decode_tps),
        )
        here = each.model.id == row.model.id
        lines.append(Content.styled(f"{'▸' if here else ' '}{words[1:]}", "bold $primary" if here else ""))
    return Content("\n").join(lines)


def _variant_line(*cells: str) -> str:
    variant, file, needed, fits, prefill, decode = cells
    return f"  {shorten(variant, 12):<12}{file:>9}{needed:>11}  {fits:<6}{prefill:>9}{decode:>14}"


def _model_facts(row: ModelRow) -> list[Fact]:
    card, facts = row.model.card, row.facts
    header = "file header"
    return [
        ("developer", card.developer if card else None, "catalog"),
        ("released", card.released if card else None, "catalog"),
        ("family", card.family if card else None, "catalog"),
        ("licence", row.licence, "catalog" if card and card.licence else header),
        ("architecture", facts.architecture, header),
        ("parameters", _exact(row.parameters), header if facts.parameters else "catalog"),
        ("layers", _exact(facts.layers), header),
        ("hidden size", _exact(facts.hidden_size), header),
        ("heads", _exact(facts.heads), header),
        ("KV heads", _exact(facts.kv_heads), header),
        ("vocabulary", _exact(facts.vocabulary), header),
        ("trained context", _exact(facts.trained_context), header),
        ("chat template", "yes" if facts.template_source else None, facts.template_source or header),
    ]


def _file_facts(row: ModelRow) -> list[Fact]:
    facts = row.facts
    return [
        ("path", str(row.model.path), "this machine"),
        ("size", f"{row.model.size_bytes:,} bytes", "this machine"),
        ("quantization", facts.quantization or row.variant, "file header" if facts.quantization else "catalog"),
        ("weights", f"{facts.weights_bytes:,} bytes" if facts.weights_bytes else None, "file header"),
        ("bits per weight", _bits(row), "computed"),
    ]


def _engine_facts(row: ModelRow) -> list[Fact]:
    facts = row.facts
    return [
        ("engine", facts.engine, "engine"),
        ("device", facts.device, "engine"),
        ("threads", _exact(facts.threads), "engine"),
        ("context", count(facts.context) if facts.context else None, "dry run"),
        ("memory", memory(row.needed_bytes), "dry run"),
        ("prefill", f"{rate(row.prefill_tps)} tok/s", "measured here"),
        ("decode", f"{rate(row.decode_tps)} tok/s", "measured here"),
    ]


def _fact(fact: Fact, width: int) -> Content:
    label, value, source = fact
    room = max(8, width - _LABEL - _SOURCE - 2)
    shown = shorten(one_line(value), room) if value else NOT_MEASURED
    return Content.assemble(
        (label.ljust(_LABEL), "$text-muted"), shown.ljust(room + 2), (source if value else "", "$text-muted")
    )


def _heading(words: str) -> Content:
    return Content.styled(words, "bold $secondary")


def _exact(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _bits(row: ModelRow) -> str | None:
    facts = row.facts
    if not facts.weights_bytes or not facts.parameters:
        return None
    return f"{facts.weights_bytes * 8 / facts.parameters:.2f}"
