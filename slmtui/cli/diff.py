"""`slmtui sessions diff`: two sessions, or two models of one, compared; its exit code is a regression gate."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from slmtui.cli import DONE, SLOWER
from slmtui.cli.terminal import CommandError, UsageError, print_json, print_table, show, with_services
from slmtui.core import diff_words, text
from slmtui.core.diff import TOLERANCE_FRAC, CellDiff, DiffError, Finding, Unmatched
from slmtui.lab.diff import SessionDiff, Side, diff, find_session
from slmtui.lab.services import Services


def diff_sessions(options: argparse.Namespace) -> int:
    """Compare B with A; 3 when B is shown to be slower by more than the tolerance."""

    async def run(services: Services) -> int:
        tolerance = _tolerance(options.tolerance)
        try:
            found = await diff(services, *await _sides(services, options), tolerance)
        except DiffError as error:
            raise CommandError(str(error)) from error
        if options.json:
            print_json(_document(found))
        else:
            _print(found)
        return SLOWER if found.comparison.regressions else DONE

    return with_services(run)


async def _sides(services: Services, options: argparse.Namespace) -> tuple[Side, Side]:
    models, devices = options.models or (None, None), options.devices or (None, None)
    if options.b is None and options.models is None and options.devices is None:
        raise UsageError(
            "sessions diff needs two sessions, or --models M1 M2 or --devices D1 D2 to compare two of one session"
        )
    first = await find_session(services, options.a)
    second = first if options.b is None else await find_session(services, options.b)
    return (
        Side(session=first, model=models[0], device=devices[0]),
        Side(session=second, model=models[1], device=devices[1]),
    )


def _tolerance(given: str | None) -> float:
    """A share from `5%` or `0.05`."""
    if given is None:
        return TOLERANCE_FRAC
    number, sign, rest = given.strip().partition("%")
    try:
        value = float(number) / (100 if sign else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value < 1:
        raise UsageError(f"--tolerance is {given!r}; write it as 5% or 0.05, at least 0 and under 100%")
    return value


def _print(found: SessionDiff) -> None:
    comparison = found.comparison
    for letter, side in (("A", found.a), ("B", found.b)):
        show(f"{letter}  {_side_words(side)}")
    show("")
    print_table([_row(found, cell, finding) for cell, finding in comparison.findings])
    for title, lines in (
        ("Not the same on both sides, besides the figures:", found.unlike),
        ("Only in A:", [diff_words.only_words(each, comparison.varying) for each in comparison.only_a]),
        ("Only in B:", [diff_words.only_words(each, comparison.varying) for each in comparison.only_b]),
    ):
        if lines:
            show("\n".join(["", title, *(f"  {line}" for line in lines)]))
    show("\n".join(["", *diff_words.summary(comparison)]))


def _side_words(side: Side) -> str:
    session = side.session
    words = (
        session.id,
        text.one_line(session.name),
        f"{session.started_at[:16].replace('T', ' ')} UTC",
        text.one_line(side.model or ""),
        text.one_line(side.device or ""),
    )
    return " · ".join(filter(None, words))


def _row(found: SessionDiff, cell: CellDiff, finding: Finding) -> dict[str, str]:
    comparison = found.comparison
    model = {} if found.a.model else {"model": diff_words.models(cell)}
    return {
        **model,
        "test": diff_words.shape(cell.a, comparison.varying),
        "figure": finding.phase,
        "A": diff_words.figure(finding.phase, finding.a.median),
        "B": diff_words.figure(finding.phase, finding.b.median),
        "n": f"{finding.a.n}, {finding.b.n}",
        "B/A": text.ratio(finding.ratio.value),
        "95 % interval": diff_words.interval(finding),
        "verdict": diff_words.verdict(finding, comparison.tolerance),
    }


def _document(found: SessionDiff) -> dict[str, Any]:
    comparison = found.comparison
    return {
        **{letter: _side_document(side) for letter, side in (("a", found.a), ("b", found.b))},
        "tolerance": comparison.tolerance,
        "regressions": len(comparison.regressions),
        "unlike": list(found.unlike),
        "cells": [_cell_document(cell) for cell in comparison.cells],
        "only_a": [_only_document(each) for each in comparison.only_a],
        "only_b": [_only_document(each) for each in comparison.only_b],
        "words": diff_words.summary(comparison),
    }


def _side_document(side: Side) -> dict[str, Any]:
    session = side.session
    return {
        "session": session.id,
        "name": session.name,
        "started_at": session.started_at,
        "model": side.model,
        "device": side.device,
    }


def _cell_document(cell: CellDiff) -> dict[str, Any]:
    return {
        "model_a": cell.a.first.model,
        "model_b": cell.b.first.model,
        "kind": cell.kind,
        "shape": cell.a.first.shape,
        "together": cell.a.first.together,
        "settings_a": msgspec.to_builtins(cell.a.settings),
        "settings_b": msgspec.to_builtins(cell.b.settings),
        "findings": [_finding_document(cell, finding) for finding in cell.findings],
    }


def _finding_document(cell: CellDiff, finding: Finding) -> dict[str, Any]:
    return {
        "phase": finding.phase,
        "a": msgspec.to_builtins(finding.a),
        "b": msgspec.to_builtins(finding.b),
        "ratio": finding.ratio.value,
        "low": finding.ratio.low,
        "high": finding.ratio.high,
        "verdict": finding.verdict.value,
        "beyond_tolerance": finding.beyond,
        "within_tolerance": finding.within,
        "regression": finding in cell.regressions,
    }


def _only_document(each: Unmatched) -> dict[str, Any]:
    first = each.part.first
    return {
        "model": first.model,
        "kind": first.kind,
        "shape": first.shape,
        "together": first.together,
        "settings": msgspec.to_builtins(each.part.settings),
        "differs": list(each.differs),
    }
