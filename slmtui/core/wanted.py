"""What a person looks for among the models, and whether one has it."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from slmtui.core.catalog import Format

Verdict: TypeAlias = Literal["yes", "tight", "no"]
Terms: TypeAlias = Literal["open", "own", "unknown"]
"""A licence that everybody knows and that allows nearly everything; terms of the developer's own; not known."""

_OPEN = re.compile(r"(apache-2\.0|mit(-0)?|bsd-[23]-clause|isc|cc0-1\.0|cc-by-4\.0|unlicense)", re.IGNORECASE)
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmbt]?)", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is looked for by."""

    text: str
    """All words that it can be found by, in lower case."""
    parameters: int | None = None
    licence: str | None = None
    thinking: bool | None = None
    here: bool = False
    """Whether it is on this machine."""
    formats: tuple[Format, ...] = ()
    fits: Verdict | None = None
    """Whether it goes into the free memory; None while that is not known."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for; None is anything. What is not known about a model is never what is looked for."""

    words: str = ""
    """Each of them must be somewhere in the model's text."""
    here: bool | None = None
    fits: bool | None = None
    """True: goes into the free memory, be it tightly. False: does not."""
    most_parameters: int | None = None
    terms: Terms | None = None
    thinking: bool | None = None
    format: Format | None = None

    @property
    def anything(self) -> bool:
        """Whether nothing in particular is looked for."""
        return self == Wanted()

    def admits(self, traits: Traits) -> bool:
        """Whether a model has all that is looked for."""
        return (
            (self.here is None or traits.here == self.here)
            and (self.format is None or self.format in traits.formats)
            and (self.thinking is None or traits.thinking == self.thinking)
            and (self.terms is None or terms(traits.licence) == self.terms)
            and (self.fits is None or (traits.fits is not None and (traits.fits != "no") == self.fits))
            and _is_at_most(traits.parameters, self.most_parameters)
            and all(word in traits.text for word in self.words.casefold().split())
        )


def terms(licence: str | None) -> Terms:
    """What kind of licence that is."""
    if not licence:
        return "unknown"
    return "open" if _OPEN.fullmatch(licence.strip()) else "own"


def parse_count(text: str) -> int:
    """A number of parameters as people write it: 135M, 1.5B, 500000000.

    Raises:
        ValueError: it is no such number.
    """
    found = _COUNT.fullmatch(text.strip().removeprefix("<="))
    if found is None:
        raise ValueError(f"{text!r} is no number of parameters; write 500M or 1.5B")
    return round(float(found[1]) * _UNITS[found[2].lower()])


def _is_at_most(value: int | None, limit: int | None) -> bool:
    return limit is None or (value is not None and value <= limit)
