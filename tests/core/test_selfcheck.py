"""Our times beside the engine's."""

from __future__ import annotations

import pytest

from slmtui.core.results import cell_results
from slmtui.core.selfcheck import differences
from tests.samples import measurement, timing


def test_the_median_difference_of_each_phase() -> None:
    (result,) = cell_results(
        [
            measurement(0, timing=timing(1.1, 2.0, engine_prefill_s=1.0, engine_decode_s=2.0)),
            measurement(1, timing=timing(1.2, 1.8, engine_prefill_s=1.0, engine_decode_s=2.0)),
            measurement(2, timing=timing(0.9, 2.2, engine_prefill_s=1.0, engine_decode_s=2.0)),
        ]
    )
    (found,) = differences([result])
    assert found.prefill_frac == pytest.approx(0.1)
    assert found.decode_frac == pytest.approx(0.0)


def test_without_a_counter_there_is_none() -> None:
    (result,) = cell_results([measurement(0, timing=timing(1.0, None, engine_decode_s=2.0))])
    (found,) = differences([result])
    assert (found.prefill_frac, found.decode_frac) == (None, None)
