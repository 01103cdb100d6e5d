"""Another machine by the figures that a person types: "16 GB, 68 GB/s, 1.5 TFLOP/s", "gpu 8 GB, 272 GB/s"."""

from __future__ import annotations

import re

from slmtui.core import text
from slmtui.core.estimate_speed import Rates
from slmtui.core.outlook import Gpu, Place

EXAMPLE = '"16 GB, 68 GB/s, 1.5 TFLOP/s" (memory, read bandwidth, matrix rate) or "16 GB, gpu 8 GB, 272 GB/s"'
_FIGURE = re.compile(
    r"(?:(?P<name>memory|ram|gpu|vram|bandwidth|matmul)\s*[=:]?\s*)?"
    r"(?P<number>\d+(?:\.\d+)?)\s*(?P<scale>[KMGT])(?P<unit>iB/s|B/s|iB|B|FLOPS?/s|FLOPS)",
    re.IGNORECASE,
)
_SCALES = {"K": 1, "M": 2, "G": 3, "T": 4}
_KINDS = {
    "memory": "memory",
    "ram": "memory",
    "gpu": "gpu",
    "vram": "gpu",
    "bandwidth": "bandwidth",
    "matmul": "matmul",
}


class FiguresError(ValueError):
    """The figures say nothing that can be understood; the message shows how they are written."""


def place_of(figures: str) -> Place:
    """The machine that the figures describe; its memory is taken to be free.

    Raises:
        FiguresError: a figure is not understood, is there twice, or memory is missing.
    """
    found: dict[str, float] = {}
    rest = _FIGURE.sub("", figures).strip(" ,;")
    if rest:
        raise FiguresError(f"{text.one_line(rest)!r} is not understood; write {EXAMPLE}")
    for figure in _FIGURE.finditer(figures):
        kind, value = _read(figure)
        if kind in found:
            raise FiguresError(f"there are two figures for {kind}; write {EXAMPLE}")
        found[kind] = value
    if "memory" not in found and "gpu" not in found:
        raise FiguresError(f"memory is missing; write {EXAMPLE}")
    memory, video = found.get("memory"), found.get("gpu")
    return Place(
        name=f"a machine with {text.one_line(figures)}, its memory free",
        available_bytes=None if memory is None else round(memory),
        gpus=() if video is None else (Gpu(name="its GPU", free_bytes=round(video)),),
        rates=Rates(
            read_bytes_per_s=found.get("bandwidth"),
            matmul={"f16": found["matmul"]} if "matmul" in found else {},
            basis="that you gave",
        ),
    )


def _read(figure: re.Match[str]) -> tuple[str, float]:
    """What a figure is of, and its value in bytes, bytes per second or operations per second."""
    unit = figure["unit"].lower()
    base = 1024 if unit.startswith("i") else 1000
    value = float(figure["number"]) * base ** _SCALES[figure["scale"].upper()]
    name = (figure["name"] or "").lower()
    said = _KINDS.get(name, name) or None
    kinds = ("matmul",) if unit.startswith("flop") else ("bandwidth",) if unit.endswith("b/s") else ("memory", "gpu")
    kind = said or kinds[0]
    if kind not in kinds or value <= 0:
        raise FiguresError(f"{text.one_line(figure[0])!r} is no figure for {kind}; write {EXAMPLE}")
    return kind, value
