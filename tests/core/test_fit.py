from __future__ import annotations

import pytest

from slmtui.core.fit import fit

GIB = 1024**3


@pytest.mark.parametrize(
    ("needed", "verdict", "words"),
    [
        (1 * GIB, "yes", "yes"),
        (8 * GIB, "yes", "yes"),
        (9 * GIB, "tight", "tight: leaves 1 GiB"),
        (10 * GIB, "tight", "tight: leaves 0 B"),
        (12 * GIB, "no", "no: 2 GiB short"),
    ],
)
def test_the_verdict_follows_from_need_and_room(needed: int, verdict: str, words: str) -> None:
    found = fit(needed, 10 * GIB)
    assert found is not None
    assert (found.verdict, found.words) == (verdict, words)


def test_what_is_missing_is_never_negative() -> None:
    found = fit(1, 2)
    assert found is not None
    assert found.short_bytes == 0


@pytest.mark.parametrize(("needed", "available"), [(None, 1), (1, None), (None, None)])
def test_nothing_is_said_about_what_is_not_known(needed: int | None, available: int | None) -> None:
    assert fit(needed, available) is None
