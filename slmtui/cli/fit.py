"""`slmtui fit`: memory, verdict and speed of models before they are loaded, or even here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from slmtui.cli import DONE, FAILED
from slmtui.cli.terminal import (
    MEASURING_CEILING,
    CommandError,
    UsageError,
    print_json,
    print_table,
    progress,
    say,
    with_services,
)
from slmtui.core import text
from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.estimate import Range
from slmtui.core.fit_figures import FiguresError, place_of
from slmtui.core.gguf import CACHE_TYPES
from slmtui.core.outlook import Outlook, Place
from slmtui.core.quantization import matching
from slmtui.core.ranges import CONTEXT
from slmtui.lab import ceiling
from slmtui.lab import fit as lab
from slmtui.lab.services import Services
from slmtui.sources.gguf import GgufError


class Row(NamedTuple):
    """A variant and what to expect of it."""

    id: str
    outlook: Outlook | None
    measured: lab.Measured | None
    suggestion: str | None


class _Offered(NamedTuple):
    """A variant of the catalog that is not here."""

    card: ModelCard
    variant: Variant


def fit(options: argparse.Namespace) -> int:
    """Print what to expect of each model; 1 when one of them is not known at all."""

    async def run(services: Services) -> int:
        elsewhere = _described(options)
        wanted: list[LocalModel | _Offered] = []
        failed = False
        for spec in options.models:
            try:
                wanted += _meant(services, spec)
            except GgufError as error:
                say(f"slmtui fit: {error}")
                failed = True
        if not wanted:
            return FAILED
        place = elsewhere or await _here(services)
        known = {} if elsewhere else await lab.measured(services)
        rows = [_row(each, place, known, options) for each in wanted]
        if options.json:
            print_json([_document(row) for row in rows])
        else:
            print_table([_table_row(row, _empty_columns(rows)) for row in rows])
            _say_basis(rows)
        return FAILED if failed else DONE

    return with_services(run)


def _described(options: argparse.Namespace) -> Place | None:
    """The machine that the figures describe; None for this one.

    Raises:
        UsageError: a value can't be used.
    """
    if (wrong := CONTEXT.problem("--context", () if options.context is None else (options.context,))) is not None:
        raise UsageError(wrong)
    if options.kv not in CACHE_TYPES:
        raise UsageError(f"--kv is {text.one_line(options.kv)!r}; it must be one of {', '.join(CACHE_TYPES)}")
    try:
        return None if options.on is None else place_of(options.on)
    except FiguresError as error:
        raise UsageError(f"--on: {error}") from None


async def _here(services: Services) -> Place:
    """This machine, its ceiling measured if need be."""
    await services.machine()
    if ceiling.due(services):
        progress(MEASURING_CEILING)
    place = await lab.here(services, measure=True)
    progress("")
    return place


def _meant(services: Services, spec: str) -> list[LocalModel | _Offered]:
    """Each variant that is meant; all of a model that is named without one.

    Raises:
        CommandError: the catalog has no such variant.
        UnknownModelError: there is no such model.
        GgufError: a file cannot be read.
    """
    name, _, label = spec.strip().partition(":")
    card = next((card for card in services.catalog if card.id == name.lower()), None)
    if card is None:
        return [_readable(services.find_any(spec))]
    local = {one.variant.quantization: one for one in services.library() if one.card == card and one.variant}
    variants = [variant for variant in card.variants if variant.format == "GGUF"]
    if label:
        wanted = matching(label, [variant.quantization for variant in variants])
        variants = [variant for variant in variants if variant.quantization == wanted]
    if not variants:
        there = ", ".join(f"{card.id}:{variant.quantization}" for variant in card.variants) or "none"
        raise CommandError(
            f"{card.id} has no GGUF variant{f' {text.one_line(label)}' if label else ''}; it has {there}"
        )
    here = ((variant, local.get(variant.quantization)) for variant in variants)
    return [_Offered(card, variant) if model is None else _readable(model) for variant, model in here]


def _readable(model: LocalModel) -> LocalModel:
    """The same, once its file was read: nothing is measured for one that is damaged."""
    if model.format == "GGUF":
        lab.anatomy_of_file(model.path)
    return model


def _row(
    each: LocalModel | _Offered, place: Place, known: Mapping[str, lab.Measured], options: argparse.Namespace
) -> Row:
    if isinstance(each, LocalModel):
        return _of_model(each, place, known, options)
    return _of_card(each.card, each.variant, place, options)


def _of_model(model: LocalModel, place: Place, known: Mapping[str, lab.Measured], options: argparse.Namespace) -> Row:
    found = lab.of_model(model, place, options.context, options.kv)
    return Row(model.id, found, known.get(model.id), None)


def _of_card(card: ModelCard, variant: Variant, place: Place, options: argparse.Namespace) -> Row:
    found = lab.of_card(card, variant, place, options.context, options.kv)
    better = lab.suggestion(card, variant, place, options.context)
    return Row(f"{card.id}:{variant.quantization}", found, None, better)


def _empty_columns(rows: list[Row]) -> set[str]:
    """Names of columns that would say nothing, or the same in each row as the sentences below."""
    setups = [row.outlook.setup for row in rows if row.outlook]
    empty = set() if any(row.measured for row in rows) else {"measured"}
    empty |= set() if any(setup.gpu_layers for setup in setups) else {"GPU layers"}
    return empty | (set() if len({setup.context for setup in setups}) > 1 else {"context"})


def _table_row(row: Row, left_out: set[str]) -> dict[str, str]:
    found, seen = row.outlook, row.measured
    cells = {
        "model": text.one_line(row.id),
        "context": f"{found.setup.context:,}" if found else text.NOT_MEASURED,
        "memory": text.memory(found.process_bytes if found else None),
        "measured": _beside(seen.process_bytes if seen else None, found.process_bytes if found else None, memory=True),
        "GPU layers": f"{min(found.setup.gpu_layers, found.layers + 1)} of {found.layers + 1}" if found else "",
        "fits": found.fit.words if found and found.fit else text.NOT_MEASURED,
        "largest context": f"{found.largest_context:,}" if found and found.largest_context else text.NOT_MEASURED,
        "decode tok/s": _range(found.decode_tps if found else None),
        " measured": _beside(seen.decode_tps if seen else None, _likely(found.decode_tps if found else None)),
        "prefill tok/s": _range(found.prefill_tps if found else None),
        "  measured": _beside(seen.prefill_tps if seen else None, _likely(found.prefill_tps if found else None)),
    }
    return {name: value for name, value in cells.items() if name.strip() not in left_out}


def _range(found: Range | None) -> str:
    if found is None:
        return text.NOT_MEASURED
    return f"{text.rate(found.likely)} ({text.rate(found.low)} to {text.rate(found.high)})"


def _likely(found: Range | None) -> float | None:
    return found.likely if found else None


def _beside(measured: float | None, estimate: float | None, *, memory: bool = False) -> str:
    """What was measured, and how far the estimate is from it."""
    if measured is None:
        return text.NOT_MEASURED
    shown = text.memory(round(measured)) if memory else text.rate(measured)
    return shown if not estimate else f"{shown} ({estimate / measured - 1:+.0%})"


def _say_basis(rows: list[Row]) -> None:
    """What the figures rest on, each sentence once, and what would fit instead."""
    said: dict[str, None] = {}
    for row in rows:
        for sentence in row.outlook.basis if row.outlook else ():
            said.setdefault(sentence)
    for sentence in said:
        say(text.one_line(sentence))
    if any(row.measured for row in rows):
        say("In brackets beside what was measured: how far the estimate is from it.")
    for row in rows:
        if row.outlook is None:
            say(f"{text.one_line(row.id)}: the catalog does not know enough of its architecture.")
        if row.suggestion:
            say(f"{text.one_line(row.id)} does not fit; {row.suggestion}.")
    for sentence in _longer_than_trained(rows):
        say(sentence)


def _longer_than_trained(rows: list[Row]) -> Iterator[str]:
    """A sentence for the models of one trained context that is less than what they would be loaded with."""
    names: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        if row.outlook and (trained := row.outlook.trained_context) and trained < row.outlook.setup.context:
            names.setdefault((trained, row.outlook.setup.context), []).append(text.one_line(row.id))
    for (trained, context), ids in names.items():
        yield f"{', '.join(ids)}: trained for {trained:,} tokens; a context of {context:,} is longer."


def _document(row: Row) -> dict[str, Any]:
    found = row.outlook
    document: dict[str, Any] = {"id": row.id, "estimate": msgspec.to_builtins(found) if found else None}
    if found is not None:
        document["estimate"] |= {
            "needed_bytes": found.needed_bytes,
            "gpu_bytes": found.gpu_bytes,
            "verdict": found.fit.verdict if found.fit else None,
        }
    return {**document, "measured": msgspec.to_builtins(row.measured), "suggestion": row.suggestion}
