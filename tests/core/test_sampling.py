from __future__ import annotations

import math
from typing import Any

import pytest

from slmtui.core.sampling import Sampling, SamplingError, checked


def test_the_defaults_are_llama_cpps() -> None:
    defaults = Sampling()
    assert (defaults.temperature, defaults.top_k, defaults.top_p, defaults.min_p) == (0.8, 40, 0.95, 0.05)
    assert (defaults.repeat_penalty, defaults.repeat_last_n, defaults.seed) == (1.0, 64, None)
    assert checked(defaults) is defaults


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.0},
        {"temperature": 5.0},
        {"top_k": 0},
        {"top_p": 0.0, "min_p": 1.0},
        {"seed": 0},
        {"seed": 2**32 - 1},
        {"max_tokens": 1},
    ],
)
def test_the_ends_of_each_range_are_allowed(fields: dict[str, Any]) -> None:
    assert checked(Sampling(**fields)) == Sampling(**fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("top_k", -1),
        ("top_p", 1.01),
        ("min_p", -0.01),
        ("repeat_penalty", 0.0),
        ("repeat_last_n", -1),
        ("max_tokens", 0),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name: str, value: float) -> None:
    fields: dict[str, Any] = {name: value}
    with pytest.raises(SamplingError, match=rf"^{name} is .*; it must be from .* to "):
        checked(Sampling(**fields))
