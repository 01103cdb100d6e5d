from __future__ import annotations

import msgspec
import pytest

from slmtui.core.plan import PlanError
from slmtui.core.probe_results import Level, cell_scores, levels
from slmtui.ui.pages.probe_charts import Known, costs, costs_of, curves, front
from slmtui.ui.pages.probe_figures import columns_for
from slmtui.ui.screens.probe_questions import question_texts
from slmtui.ui.screens.probe_sheet import parse, shown
from slmtui.ui.widgets.plot_chart import Plot
from tests.core.probes import answer, batch, drawn


def known(*shares: tuple[str, int, float]) -> tuple[Level, ...]:
    """Levels of models (with the labels behind a slash) at shots with about these accuracies."""
    batches = []
    for name, shots, share in shares:
        model, _, labels = name.partition("/")
        batches.append(
            batch(drawn(share, 40), model=model, shots=shots, labels="shuffled" if labels else "true"),
        )
    return levels(cell_scores(batches))


@pytest.mark.parametrize(
    ("points", "best"),
    [
        ([], []),
        ([(1.0, 1.0)], [0]),
        ([(1.0, 2.0), (2.0, 1.0), (1.0, 1.0)], [0, 1]),
        ([(1.0, 1.0), (1.0, 1.0)], [0]),
        ([(1.0, 1.0), (1.0, 2.0), (3.0, 0.5)], [1, 2]),
    ],
)
def test_the_front_are_the_points_that_no_other_beats_in_both(
    points: list[tuple[float, float]], best: list[int]
) -> None:
    assert front(points) == best


def test_curves_have_a_line_a_model_and_labels_and_one_for_chance() -> None:
    found = known(("one", 0, 0.5), ("one", 4, 0.9), ("one/shuffled", 4, 0.5), ("two", 0, 0.5), ("two", 4, 0.6))
    exhibit = curves(Known(levels=found))
    (plot,) = exhibit.charts
    assert isinstance(plot, Plot)
    assert [each.label for each in plot.series] == ["One", "One · shuffled labels", "Two", "chance"]
    assert [[point.x for point in each.points] for each in plot.series] == [[0, 4], [0, 4], [0, 4], []]
    assert {point.y for point in plot.series[-1].fitted} == {50.0}
    first = next(level for level in found if level.model == "one" and level.shots == 4)
    point = plot.series[0].points[1]
    assert (point.y, point.low, point.high) == tuple(
        100 * each for each in (first.accuracy.value, first.accuracy.low, first.accuracy.high)
    )
    assert len(exhibit.rows) == len(found)


def test_curves_are_those_of_the_task_that_is_wanted() -> None:
    other = [batch(drawn(0.5, 8), shots=shots, task="other") for shots in (0, 1)]
    other = [
        msgspec.structs.replace(each, measurement=msgspec.structs.replace(each.measurement, cell=f"other {each.shots}"))
        for each in other
    ]
    found = levels(cell_scores([*other, batch(drawn(0.5, 8)), batch(drawn(0.5, 8), shots=4)]))
    for task, shots in (("mood", [0, 4]), ("other", [0, 1]), ("gone", [0, 1])):
        exhibit = curves(Known(levels=found, task=task))
        (plot,) = exhibit.charts
        assert isinstance(plot, Plot)
        assert [point.x for point in plot.series[0].points] == shots
        assert "Another task" in exhibit.note


def test_one_number_of_shots_makes_no_curve() -> None:
    exhibit = curves(Known(levels=known(("one", 4, 0.5))))
    assert exhibit.charts == ()
    assert "All cells have 4 shots" in exhibit.missing
    assert len(exhibit.rows) == 1
    assert "Nothing was asked yet" in curves(Known()).missing
    assert "Nothing was asked yet" in costs(Known()).missing


def test_trade_offs_take_most_shots_of_the_true_labels_and_name_what_is_missing() -> None:
    found = known(("one", 0, 0.2), ("one", 4, 0.9), ("one/shuffled", 4, 0.1), ("two", 4, 0.5))
    one, two = costs_of(Known(levels=found, decode_tps={"one": 10.0, "two": None}))
    assert one.accuracy == next(x for x in found if (x.model, x.shots, x.labels) == ("one", 4, "true")).accuracy.value
    assert (one.decode_tps, two.decode_tps) == (10.0, None)
    exhibit = costs(Known(levels=found, decode_tps={"one": 10.0}))
    assert "No decode speed was measured here for Two" in exhibit.note
    assert exhibit.rows["two"]["decode"].value is None
    assert "by decode" in exhibit.rows["one"]["front"].text


def test_the_front_is_a_line_where_there_are_two_on_it() -> None:
    found = known(("one", 4, 0.9), ("two", 4, 0.5), ("three", 4, 0.3))
    exhibit = costs(Known(levels=found, decode_tps={"one": 10.0, "two": 20.0, "three": 15.0}))
    plot = exhibit.charts[0]
    assert isinstance(plot, Plot)
    line = plot.series[-1]
    assert line.label == "best trade-off"
    assert [point.x for point in line.fitted] == [10.0, 20.0]
    assert exhibit.rows["three"]["front"].text == ""


def test_a_question_is_shown_without_what_every_question_has() -> None:
    asked = [answer(0, right=True), answer(1, right=True)]
    asked.append(answer(1, right=True, tail="Story: x\nMood: good\n\nStory: story 1\nMood:"))
    assert question_texts(asked) == {0: "Story: story 0", 1: "Story: story 1"}
    assert question_texts(asked[:1]) == {0: "Story: story 0 Mood:"}
    assert question_texts([]) == {}
    same = [answer(number, right=True, tail="same") for number in range(2)]
    assert question_texts(same) == {0: "same", 1: "same"}


def test_typed_numbers_make_changes_or_a_sentence() -> None:
    found = parse({"shots": "0, 2,8,2", "questions": " 20 ", "seeds": ""})
    assert (found.shots, found.questions, found.seeds) == ((0, 2, 8), 20, None)
    assert (shown(found.shots), shown(found.seeds), shown(20)) == ("0, 2, 8", "", "20")
    with pytest.raises(PlanError, match=r"^Questions: 1, 2 is a list; give one number$"):
        parse({"questions": "1,2"})


@pytest.mark.parametrize(("width", "intervals"), [(116, True), (76, False), (0, False)])
def test_all_numbers_of_shots_have_intervals_or_none(width: int, intervals: bool) -> None:
    columns = [column for column in columns_for((0, 2, 8), width) if column.key.startswith("shots ")]
    assert [column.label for column in columns] == ["0 shots", "2 shots", "8 shots"]
    (room,) = {column.room for column in columns}
    assert (room >= len("50 % 25–75")) == intervals
