"""In what two compared sides are unlike besides the figures: files, engine, machine, power, prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from slmtui.core import text
from slmtui.core.diff import CellDiff, Comparison, Part
from slmtui.core.machine import Machine
from slmtui.core.measurement import Measurement, Session, Settings

_SHOWN = 12
"""Digits of a hash that are shown."""
_NOT_TOLD = "not told"


def unlike(comparison: Comparison, a: Session, b: Session, *, across_models: bool = False) -> tuple[str, ...]:
    """A sentence for everything that is not the same on both sides, so that the ratios are not of like things.

    What neither side tells is left out; what only one tells is unlike. With `across_models` the files differ anyhow.
    """
    found = [] if across_models else [*_files(comparison.cells)]
    found += _circumstances(comparison, a, b)
    found += _caches(comparison.cells) if across_models else ()
    found += _machines(a.environment.machine, b.environment.machine)
    found += _chats(comparison.cells)
    return tuple(found)


def _files(cells: Iterable[CellDiff]) -> Iterator[str]:
    hashes = {}
    for cell in cells:
        hashes[cell.a.first.name] = tuple(_told(side, lambda each: each.file_sha256) for side in (cell.a, cell.b))
    for name, (ours, theirs) in hashes.items():
        if ours != theirs:
            yield (
                f"{text.one_line(name)}: the model file is not the same (SHA-256 {_hash(ours)} in A, "
                f"{_hash(theirs)} in B)."
            )


def _sides(cells: Sequence[CellDiff]) -> tuple[Part, Part]:
    """All cells of each side as one."""
    return (
        Part(results=tuple(result for cell in cells for result in cell.a.results)),
        Part(results=tuple(result for cell in cells for result in cell.b.results)),
    )


def _circumstances(comparison: Comparison, a: Session, b: Session) -> Iterator[str]:
    sides = _sides(comparison.cells)
    yield from _sentence("Program", a.environment.program, b.environment.program)
    readers: tuple[tuple[str, Callable[[Measurement], str | None]], ...] = (
        ("Engine", lambda each: each.facts.engine),
        ("Repacked weights", lambda each: _flag(each.settings.extra_buffers)),
        ("Frequency governor", lambda each: each.governor),
    )
    for what, read in readers:
        yield from _sentence(what, *(_told(side, read) for side in sides))
    yield from _builds(*(_told(side, lambda each: each.facts.engine_build) for side in sides))
    powers = [
        _told(side, lambda each: _source(each.power)) or _source(session.environment.machine.power)
        for side, session in zip(sides, (a, b), strict=True)
    ]
    yield from _sentence("Power", *powers)


def _caches(cells: Sequence[CellDiff]) -> Iterator[str]:
    """The numbers of the KV cache: where engines choose them they keep no cells apart."""
    sides = (_told(side, lambda each: _cache(each.settings)) for side in _sides(cells))
    yield from _sentence("KV cache", *sides)


def _cache(settings: Settings) -> str:
    return " and ".join(dict.fromkeys(kind for kind in (settings.type_k, settings.type_v) if kind))


def _machines(a: Machine, b: Machine) -> Iterator[str]:
    readers: tuple[tuple[str, Callable[[Machine], str | None]], ...] = (
        ("Machine", lambda each: each.product),
        ("Processor", lambda each: each.apple_chip or each.cpu.name),
        ("Usable cores", lambda each: str(each.cpu.usable_cores) if each.cpu.usable_cores else None),
        ("Memory", lambda each: text.memory(each.memory.total_bytes) if each.memory.total_bytes else None),
        ("GPU", lambda each: ", ".join(gpu.name for gpu in each.gpus) or None),
        ("GPU driver", lambda each: ", ".join(dict.fromkeys(gpu.driver for gpu in each.gpus if gpu.driver)) or None),
        ("System", lambda each: each.system),
    )
    for what, read in readers:
        yield from _sentence(what, read(a), read(b))


def _chats(cells: Iterable[CellDiff]) -> Iterator[str]:
    for cell in cells:
        if cell.kind == "chat" and _prompts(cell.a) != _prompts(cell.b):
            yield (
                f"{text.one_line(cell.a.first.name)}: the chats had other prompts, so that prefill, first token and "
                "memory are not of the same thing."
            )


def _sentence(what: str, ours: str | None, theirs: str | None) -> Iterator[str]:
    if ours != theirs:
        yield f"{what}: {text.one_line(ours or _NOT_TOLD)} in A, {text.one_line(theirs or _NOT_TOLD)} in B."


def _builds(ours: str | None, theirs: str | None) -> Iterator[str]:
    """Only the parts in which the engine's two lines differ: they are long."""
    if ours is None or theirs is None or ours == theirs:
        yield from _sentence("Engine build", *(_known(build) for build in (ours, theirs)))
        return
    parts = [list(dict.fromkeys(part.strip() for part in build.split("|") if part.strip())) for build in (ours, theirs)]
    only = [[part for part in mine if part not in others] for mine, others in (parts, parts[::-1])]
    said = (f"{', '.join(part) or 'nothing more'} in {side}" for part, side in zip(only, "AB", strict=True))
    yield f"Engine build: {text.one_line(', '.join(said))}."


def _known(build: str | None) -> str | None:
    return None if build is None else "known"


def _told(part: Part, read: Callable[[Measurement], str | None]) -> str | None:
    """What all measurements of a side say, in the order in which they begin to say it."""
    said = dict.fromkeys(value for each in part.measurements if (value := read(each)))
    return ", ".join(said) or None


def _prompts(part: Part) -> frozenset[str | None]:
    return frozenset(each.prompt_sha256 for each in part.measurements)


def _source(power: str | None) -> str | None:
    """The first word: `battery` of `battery 83 %`."""
    return power.split(" ")[0] if power else None


def _flag(value: bool | None) -> str | None:
    return None if value is None else "yes" if value else "no"


def _hash(value: str | None) -> str:
    return ", ".join(f"{one[:_SHOWN]}…" for one in value.split(", ")) if value else _NOT_TOLD
