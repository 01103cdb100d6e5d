"""Whether a model's planned memory goes into what the machine has free."""

from __future__ import annotations

from typing import Literal

import msgspec

from slmtui.core.text import memory

TIGHT_FRAC = 0.80
"""Over this share of the free memory a model fits, but leaves little for anything else."""


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one model, with what it rests on in bytes."""

    verdict: Literal["yes", "tight", "no"]
    needed_bytes: int
    available_bytes: int

    @property
    def short_bytes(self) -> int:
        """What is missing; 0 when nothing is."""
        return max(0, self.needed_bytes - self.available_bytes)

    @property
    def words(self) -> str:
        """The verdict in a few words: "yes", "tight: leaves 0.4 GiB", "no: 1.2 GiB short"."""
        match self.verdict:
            case "yes":
                return "yes"
            case "tight":
                return f"tight: leaves {memory(self.available_bytes - self.needed_bytes)}"
            case "no":
                return f"no: {memory(self.short_bytes)} short"


def fit(needed_bytes: int | None, available_bytes: int | None) -> Fit | None:
    """The verdict; None when either figure is not known."""
    if needed_bytes is None or available_bytes is None:
        return None
    verdict: Literal["yes", "tight", "no"] = "yes"
    if needed_bytes > available_bytes:
        verdict = "no"
    elif needed_bytes > TIGHT_FRAC * available_bytes:
        verdict = "tight"
    return Fit(verdict=verdict, needed_bytes=needed_bytes, available_bytes=available_bytes)
