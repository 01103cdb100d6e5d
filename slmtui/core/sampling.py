"""How the next token is drawn: one table of defaults for every engine."""

from __future__ import annotations

import msgspec


class SamplingError(ValueError):
    """A sampling value is out of its range; the message names it and says what is allowed."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name} {what}")
        self.name, self.what = name, what


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Sampling fields with llama.cpp's defaults, shared by all engines so that runs can be compared.

    The order of application is top-k, repeat penalty, top-p, min-p, temperature: penalties after top-k cost
    a fifth of penalties before it on large vocabularies.
    """

    temperature: float = 0.8
    """0 takes the most likely token every time (greedy), whatever top-k, top-p, min-p and seed are."""
    top_k: int = 40
    """Keep the k most likely tokens; 0 keeps all."""
    top_p: float = 0.95
    """Keep the smallest set of tokens with this probability mass; 1 keeps all."""
    min_p: float = 0.05
    """Drop tokens less likely than this fraction of the most likely one; 0 keeps all."""
    repeat_penalty: float = 1.0
    """Divide the logits of recent tokens by this; 1 is off."""
    repeat_last_n: int = 64
    """How many recent tokens the repeat penalty looks at."""
    seed: int | None = None
    """Same seed, same prompt and same engine give the same text; None draws a fresh seed."""
    max_tokens: int = 512
    """Generate at most this many tokens."""


_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 5.0),
    "top_k": (0, 1_000_000),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (0.1, 10.0),
    "repeat_last_n": (0, 100_000),
    "max_tokens": (1, 1_000_000),
}


def checked(sampling: Sampling) -> Sampling:
    """Return `sampling` itself when every field is in range.

    Raises:
        SamplingError: a field is out of range (NaN included).
    """
    for name, (low, high) in _RANGES.items():
        value = getattr(sampling, name)
        if not low <= value <= high:
            raise SamplingError(name, f"is {value}; it must be from {_plain(low)} to {_plain(high)}")
    if sampling.seed is not None and not 0 <= sampling.seed < 2**32:
        raise SamplingError("seed", f"is {sampling.seed}; it must be from 0 to {2**32 - 1}")
    return sampling


def _plain(bound: float) -> str:
    return f"{int(bound):,}" if bound == int(bound) else f"{bound:g}"
