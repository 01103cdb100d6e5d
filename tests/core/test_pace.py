"""How long a plan will take: from its own runs, else from earlier speeds, else not known."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Timing
from slmtui.core.pace import Pace, Todo
from slmtui.core.plan import Cell, Setup, Shape


def cell(key: str, model: str = "a", depth: int = 0, generated_tokens: int = 10) -> Cell:
    path = Path(f"/{model}.gguf")
    return Cell(
        key=key,
        model=LocalModel(id=model, name=model, path=path, size_bytes=1),
        setup=Setup(),
        shape=Shape(prompt_tokens=100, generated_tokens=generated_tokens, depth=depth),
    )


def timing(prefill_tps: float, decode_tps: float) -> Timing:
    return Timing(prompt_tokens=100, prefill_s=100 / prefill_tps, decode_steps=10, decode_s=10 / decode_tps)


def test_without_any_figure_the_time_is_not_known() -> None:
    pace = Pace({"other": (100.0, 10.0), "half": (100.0, None)})
    assert pace.run_s(cell("1")) is None
    assert pace.left_s([Todo(cell("1"), 5, 0)], 0.0) is None
    assert pace.run_s(cell("1", "half")) is None
    assert pace.run_s(cell("1", "half", generated_tokens=0)) == 1.0
    assert pace.left_s([Todo(cell("1", "other"), 5, 0), Todo(cell("2"), 1, None)], 0.0) is None


def test_earlier_speeds_count_depth_prompt_and_answer_and_two_warm_ups() -> None:
    pace = Pace({"a": (100.0, 10.0)})
    assert pace.run_s(cell("1", depth=300)) == pytest.approx(4.0 + 1.0)
    assert pace.left_s([Todo(cell("1"), 3, 0)], 0.0) == pytest.approx((2 + 3) * 2.0)
    assert pace.left_s([Todo(cell("1"), 3, None)], 10.0) == pytest.approx(3 * (2.0 + 10.0))


def test_finished_runs_take_the_place_of_earlier_speeds() -> None:
    pace = Pace({"a": (100.0, 10.0)})
    for seconds in (7.0, 8.0, 30.0):
        pace.note(cell("1"), timing(200.0, 20.0), seconds)
    assert pace.run_s(cell("1")) == 8.0, "the median of its own runs"
    assert pace.run_s(cell("2", depth=200)) == pytest.approx(300 / 200 + 10 / 20), "the speeds of the same model"
    assert pace.run_s(cell("3", "b")) is None


def test_warm_ups_to_come_are_as_many_as_others_took() -> None:
    pace = Pace({"a": (100.0, 10.0)})
    pace.note_warmups(4)
    pace.note_warmups(6)
    assert pace.left_s([Todo(cell("1"), 1, 0)], 0.0) == pytest.approx((5 + 1) * 2.0)
    assert pace.left_s([Todo(cell("1"), 1, 3)], 0.0) == pytest.approx((2 + 1) * 2.0)
    assert pace.left_s([Todo(cell("1"), 1, 7)], 0.0) == pytest.approx((1 + 1) * 2.0), "at least the running one"


def test_nothing_left_takes_no_time() -> None:
    assert Pace({}).left_s([], 10.0) == 0.0
    assert Pace({}).left_s([Todo(cell("1"), 0, None)], 10.0) == 0.0
