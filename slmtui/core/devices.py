"""Cells of the same file on several devices, beside those on the first: the ratio in each phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from slmtui.core.diff import CellDiff, DiffError, Finding, compare
from slmtui.core.offload import ALL, layers_words
from slmtui.core.results import CellResult
from slmtui.core.text import one_line, ratio

CPU = "cpu"


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of one place beside those of another."""

    a: str
    """The place that the other is compared with, in words: the processor where it was measured."""
    b: str
    cells: tuple[CellDiff, ...]

    @property
    def findings(self) -> tuple[tuple[CellDiff, Finding], ...]:
        """Each phase's speeds, with their cell."""
        return tuple(
            (cell, each) for cell in self.cells for each in cell.findings if each.phase in ("prefill", "decode")
        )


def place(result: CellResult) -> str | None:
    """Where a cell ran: "cpu", "CUDA0", "CUDA0, 12 layers"; None where nobody says."""
    first = result.measurements[0]
    device, wanted = first.facts.device or first.settings.device, first.settings.gpu_layers
    if device is None:
        return None
    if device.casefold() == CPU:
        return CPU
    return one_line(device if wanted in (None, ALL) else f"{device}, {layers_words(wanted)}")


def of_device(results: Iterable[CellResult], wanted: str) -> tuple[CellResult, ...]:
    """The cells that ran in this place: "cpu", "cuda:0", "CUDA0, 12 layers"; "gpu" for the one that is not the CPU.

    Raises:
        DiffError: no place or more than one is meant; the message names those that there are.
    """
    results = tuple(results)
    places = list(dict.fromkeys(where for result in results if (where := place(result)) is not None))
    name = wanted.strip().casefold()
    for meant in (
        [each for each in places if each.casefold() == name],
        [each for each in places if each.partition(",")[0].casefold() == name.replace(":", "")],
        [each for each in places if name == "gpu" and each != CPU],
    ):
        if len(meant) == 1:
            return tuple(result for result in results if place(result) == meant[0])
        if meant:
            raise DiffError(f"{wanted} can be {' or '.join(meant)}; say which")
    known = f"it ran on {', '.join(places)}" if places else "nobody says where it ran"
    raise DiffError(f"nothing was measured on {wanted} in that session; {known}")


def beside(results: Sequence[CellResult]) -> tuple[Beside, ...]:
    """Every other place beside the processor, or beside the first one where nothing ran on the processor.

    Empty where all cells ran in one place; places that have no cell in common are left out.
    """
    places: dict[str, list[CellResult]] = {}
    for result in results:
        if (where := place(result)) is not None and result.kind == "bench":
            places.setdefault(where, []).append(result)
    if len(places) < 2:
        return ()
    first = CPU if CPU in places else next(iter(places))
    found = (
        Beside(a=first, b=other, cells=compare(places[first], cells, across_devices=True).cells)
        for other, cells in places.items()
        if other != first
    )
    return tuple(each for each in found if each.findings)


def sentence(each: Beside) -> str:
    """The ratios in words: "CUDA0 has 41.2 times the speed of cpu in prefill, 8.31 times in decode"."""
    said: list[str] = []
    for phase in ("prefill", "decode"):
        ratios = sorted(finding.ratio.value for _, finding in each.findings if finding.phase == phase)
        if ratios:
            span = " to ".join(dict.fromkeys((ratio(ratios[0]), ratio(ratios[-1]))))
            said.append(f"{span} times{'' if said else f' the speed of {each.a}'} in {phase}")
    return f"{each.b} has {', '.join(said)}"
