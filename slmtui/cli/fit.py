"""`slmtui fit`: memory, verdict and speed of models before they are loaded, or even here."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
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
from slmtui.core.events import Failed
from slmtui.core.fit import Fit
from slmtui.core.fit_figures import FiguresError, place_of
from slmtui.core.gguf import CACHE_TYPES
from slmtui.core.outlook import Outlook, Place
from slmtui.core.quantization import matching
from slmtui.core.ranges import CONTEXT
from slmtui.lab import ceiling, loading
from slmtui.lab import fit as lab
from slmtui.lab.services import Services
from slmtui.sources.gguf import GgufError

_MLX_BASIS = "Memory in MLX: as a dry run plans it, without the worker itself; speeds are not estimated."
_MLX_CACHE = "f16"
"""What --kv says unless told otherwise: MLX's cache has no other types to choose from."""


class Row(NamedTuple):
    """A variant and what to expect of it."""

    id: str
    outlook: Outlook | None
    measured: lab.Measured | None = None
    suggestion: str | None = None
    planned: lab.Planned | None = None
    """In place of an outlook for a model whose format only its engine reads."""

    @property
    def context(self) -> int | None:
        """Tokens that the figures hold for."""
        return self.outlook.setup.context if self.outlook else self.planned.context if self.planned else None

    @property
    def trained_context(self) -> int | None:
        """Tokens that the model was trained for."""
        known = self.outlook or self.planned
        return known.trained_context if known else None

    @property
    def memory_bytes(self) -> int | None:
        """What it takes."""
        return self.outlook.process_bytes if self.outlook else self.planned.bytes if self.planned else None

    @property
    def fit(self) -> Fit | None:
        """The verdict on what it takes."""
        known = self.outlook or self.planned
        return known.fit if known else None

    @property
    def basis(self) -> tuple[str, ...]:
        """What the figures rest on, in sentences; empty where there are none."""
        return self.outlook.basis if self.outlook else (_MLX_BASIS,) if self.planned else ()


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
                wanted += _meant(services, spec, options)
            except GgufError as error:
                say(f"slmtui fit: {error}")
                failed = True
        if not wanted:
            return FAILED
        place = elsewhere or await _here(services)
        known = {} if elsewhere else await lab.measured(services)
        rows: list[Row] = []
        for each in wanted:
            try:
                rows.append(await _row(services, each, place, known, options))
            except CommandError as error:
                say(f"slmtui fit: {error}")
                failed = True
        if options.json:
            print_json([_document(row) for row in rows])
        elif rows:
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


def _meant(services: Services, spec: str, options: argparse.Namespace) -> list[LocalModel | _Offered]:
    """Each variant that is meant; of a model that is named without one, all of which something can be told.

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
    listed = [variant.quantization for variant in card.variants]
    more = [one.variant for one in local.values() if one.variant and one.variant.quantization not in listed]
    every = [*card.variants, *more]
    known = [variant for variant in every if variant.format == "GGUF" or variant.quantization in local]
    told = "MLX" in services.formats and options.on is None and options.kv == _MLX_CACHE
    variants = [variant for variant in known if variant.format == "GGUF" or told] or known
    if label:
        wanted = matching(label, [variant.quantization for variant in every])
        variants = [variant for variant in known if variant.quantization == wanted]
    if not variants:
        raise CommandError(_not_told(card, label, known))
    here = ((variant, local.get(variant.quantization)) for variant in variants)
    return [_Offered(card, variant) if model is None else _readable(model) for variant, model in here]


def _not_told(card: ModelCard, label: str, known: Sequence[Variant]) -> str:
    """Why nothing can be said of a variant, and of which ones something can."""
    there = ", ".join(f"{card.id}:{variant.quantization}" for variant in known or card.variants) or "none"
    default = card.default_variant and card.default_variant.quantization
    mlx = matching(label, [variant.quantization for variant in card.variants]) if label else default
    if mlx is None:
        return f"{card.id} has no GGUF variant{f' {text.one_line(label)}' if label else ''}; it has {there}"
    named = f"{card.id}:{mlx}"
    other = f", or name one of {there}" if known else " first"
    return f"{named} is in MLX's format, which only a dry run tells; `slmtui pull {named}`{other}"


def _readable(model: LocalModel) -> LocalModel:
    """The same, once its file was read: nothing is measured for one that is damaged."""
    if model.format == "GGUF":
        lab.anatomy_of_file(model.path)
    return model


async def _row(
    services: Services,
    each: LocalModel | _Offered,
    place: Place,
    known: Mapping[str, lab.Measured],
    options: argparse.Namespace,
) -> Row:
    if isinstance(each, _Offered):
        return _of_card(each.card, each.variant, place, options)
    if each.format == "MLX":
        return Row(each.id, None, known.get(each.id), planned=await _planned(services, each, options))
    return Row(each.id, lab.of_model(each, place, options.context, options.kv), known.get(each.id))


async def _planned(services: Services, model: LocalModel, options: argparse.Namespace) -> lab.Planned:
    """What MLX says of a model here.

    Raises:
        CommandError: it says nothing, MLX is not installed, or another machine is meant.
    """
    name = text.one_line(model.id)
    if model.format not in services.formats:
        raise CommandError(f"{name} is in MLX's format, and {loading.mlx_missing()}")
    if options.on is not None:
        raise CommandError(f"{name} is in MLX's format, which is told by a dry run on this machine; leave --on out")
    found = await lab.planned(services, model, options.context, options.kv)
    if isinstance(found, Failed):
        raise CommandError(f"{name}: {found.message}")
    return found


def _of_card(card: ModelCard, variant: Variant, place: Place, options: argparse.Namespace) -> Row:
    found = lab.of_card(card, variant, place, options.context, options.kv)
    better = lab.suggestion(card, variant, place, options.context)
    return Row(f"{card.id}:{variant.quantization}", found, suggestion=better)


def _empty_columns(rows: list[Row]) -> set[str]:
    """Names of columns that would say nothing, or the same in each row as the sentences below."""
    setups = [row.outlook.setup for row in rows if row.outlook]
    empty = set() if any(row.measured for row in rows) else {"measured"}
    empty |= set() if any(setup.gpu_layers for setup in setups) else {"GPU layers"}
    several = len({setup.context for setup in setups}) > 1
    return empty if several or any(row.planned for row in rows) else {*empty, "context"}


def _table_row(row: Row, left_out: set[str]) -> dict[str, str]:
    found, seen = row.outlook, row.measured
    cells = {
        "model": text.one_line(row.id),
        "context": f"{row.context:,}" if row.context else text.NOT_MEASURED,
        "memory": text.memory(row.memory_bytes),
        "measured": _beside(seen.process_bytes if seen else None, found.process_bytes if found else None, memory=True),
        "GPU layers": f"{min(found.setup.gpu_layers, found.layers + 1)} of {found.layers + 1}" if found else "",
        "fits": row.fit.words if row.fit else text.NOT_MEASURED,
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
        for sentence in row.basis:
            said.setdefault(sentence)
    for sentence in said:
        say(text.one_line(sentence))
    if any(row.measured and row.outlook for row in rows):
        say("In brackets beside what was measured: how far the estimate is from it.")
    for row in rows:
        if not row.basis:
            say(f"{text.one_line(row.id)}: the catalog does not know enough of its architecture.")
        if row.suggestion:
            say(f"{text.one_line(row.id)} does not fit; {row.suggestion}.")
    for sentence in _longer_than_trained(rows):
        say(sentence)


def _longer_than_trained(rows: list[Row]) -> Iterator[str]:
    """A sentence for the models of one trained context that is less than what they would be loaded with."""
    names: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        if row.trained_context and row.context and row.trained_context < row.context:
            names.setdefault((row.trained_context, row.context), []).append(text.one_line(row.id))
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
    told = {"planned": row.planned, "measured": row.measured, "suggestion": row.suggestion}
    return {**document, **{name: msgspec.to_builtins(value) for name, value in told.items()}}
