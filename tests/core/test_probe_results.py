"""What answers say: cells, levels, gains between the same questions, and sentences that claim no more than that."""

from __future__ import annotations

import msgspec
import pytest

from slmtui.core import probe_words
from slmtui.core.events import Timing
from slmtui.core.pace import Speeds
from slmtui.core.probe import ProbeBatch
from slmtui.core.probe_choice import chosen, probabilities
from slmtui.core.probe_pace import ProbePace
from slmtui.core.probe_results import (
    Compared,
    Level,
    cell_scores,
    find,
    gains_between,
    gains_from_shots,
    levels,
    turned,
)
from slmtui.core.probe_sizes import Work
from tests.core.probes import MOODS, answer, batch, drawn, score


def found(*batches: ProbeBatch) -> tuple[Level, ...]:
    return levels(cell_scores(batches))


def the_gain(*batches: ProbeBatch) -> Compared:
    (one,) = gains_from_shots(found(*batches))
    return one


def test_batches_of_a_cell_are_one() -> None:
    (cell,) = cell_scores([batch({0: True, 1: False}), batch({2: True}, number=1)])
    assert (cell.accuracy.value, cell.accuracy.n) == (2 / 3, 3)
    assert cell.right == {0: True, 1: False, 2: True}
    assert (cell.prompt_tokens, cell.seconds, cell.prefill_tps) == (1024, 1.0, 2048)
    assert cell_scores([batch({})]) == ()


def test_seeds_are_a_level_with_mean_and_spread() -> None:
    cells = [batch(drawn(share, seed=seed), shots=4, seed=seed) for seed, share in ((1, 0.5), (2, 0.6), (3, 0.9))]
    (level,) = found(*cells)
    assert level.accuracy.value == pytest.approx(sum(level.by_seed.values()) / 3)
    assert level.accuracy.n == 100
    assert level.spread is not None
    assert 0.1 < level.spread < 0.3
    assert level.chance_frac == 0.5
    assert not level.at_chance
    assert found(batch(drawn(0.5)))[0].spread is None


def test_only_questions_that_every_seed_was_asked_count_while_it_runs() -> None:
    (level,) = found(batch(drawn(1.0), seed=1, shots=1), batch(drawn(0.0, n=20), seed=2, shots=1))
    assert (level.accuracy.value, level.accuracy.n) == (0.5, 20)
    assert set(level.means().values()) == {0.5}


def test_a_gain_pairs_the_same_questions() -> None:
    before, after = drawn(0.5), {**drawn(0.5), 200: False}
    for place in [place for place, right in before.items() if not right][:20]:
        after[place] = True
    one = the_gain(batch(before), batch(after, shots=4))
    assert (one.gain.n, one.gain.won, one.gain.lost) == (100, 20, 0)
    assert one.gain.value == pytest.approx(0.2)
    assert one.shown
    assert one.p_holm == one.gain.p_value
    assert len(turned(one, right=True)) == 20
    assert turned(one, right=False) == ()


def test_gains_that_are_compared_at_the_same_time_are_corrected() -> None:
    batches = [batch(drawn(0.4))] + [batch(drawn(0.7, seed=shots), shots=shots) for shots in (1, 2, 4, 8)]
    gains = gains_from_shots(found(*batches))
    assert [one.after.shots for one in gains] == [1, 2, 4, 8]
    assert all(one.p_holm >= one.gain.p_value for one in gains)
    assert min(one.p_holm for one in gains) == pytest.approx(4 * min(one.gain.p_value for one in gains))


def test_controls_are_compared_with_no_examples_at_all() -> None:
    levels_ = found(
        batch(drawn(0.5)),
        batch(drawn(0.9), shots=4),
        batch(drawn(0.5), shots=4, labels="shuffled"),
        batch(drawn(0.5, seed=9), labels="unrelated"),
        batch(drawn(0.8), shots=4, labels="unrelated"),
    )
    gains = gains_from_shots(levels_)
    assert [(one.before.labels, one.after.labels) for one in gains] == [
        ("true", "true"),
        ("true", "shuffled"),
        ("unrelated", "unrelated"),
    ]


def test_models_are_compared_where_both_were_asked() -> None:
    batches = [
        batch(drawn(0.5), model="small"),
        batch(drawn(0.9), model="large"),
        batch(drawn(0.9), model="large", shots=8),
    ]
    (one,) = gains_between(found(*batches), "small", "large")
    assert (one.before.model, one.after.model, one.after.shots) == ("small", "large", 0)
    sentence = "Large answers more questions right than Small (+31 points, 95 % interval 19 to 42)"
    assert probe_words.difference(one) == sentence
    (other,) = gains_between(found(*batches), "large", "small")
    assert probe_words.difference(other) == sentence


def test_another_scorer_judges_the_same_answers_anew() -> None:
    long = answer(0, right=True, scores=(score(-2.0, tokens=1, size=4), score(-3.0, tokens=3, size=3)))
    (by_sum,) = cell_scores([batch([long])])
    (by_token,) = cell_scores([batch([long])], "token")
    assert by_sum.accuracy.value == 1
    assert by_token.accuracy.value == 0
    written = answer(0, right=True, scores=(), options=())
    assert cell_scores([batch([written])], "token")[0].accuracy.value == 1


# -- choosing


def test_choosing_by_sum_token_and_byte() -> None:
    scores = [score(-4.0, tokens=4, size=20), score(-3.0, tokens=2, size=20), score(-2.0, tokens=1, size=1)]
    assert [chosen(scores, by) for by in ("sum", "token", "byte")] == [2, 0, 1]
    assert chosen([score(-1.0), score(-1.0)], "sum") == 0
    assert sum(probabilities(scores)) == pytest.approx(1)
    assert probabilities([score(-1e6), score(-1e6)]) == pytest.approx((0.5, 0.5))


def test_calibration_takes_off_what_is_likely_anyway() -> None:
    scores = [score(-1.0), score(-1.5)]
    assert chosen(scores, "sum") == 0
    assert chosen(scores, "sum", [[score(-1.0), score(-3.0)]]) == 1
    assert chosen(scores, "sum", [[score(-1.0), score(-3.0)], [score(-3.0), score(-1.0)]]) == 0
    assert chosen(scores, "sum", [[score(-1.0), score(-1e6)]]) == 1


# -- sentences


def test_learning_in_words() -> None:
    before = drawn(0.5)
    better = {place: right or place % 4 == 0 for place, right in before.items()}
    sentence = probe_words.learning(the_gain(batch(before), batch(better, shots=8)))
    assert sentence.startswith("learns from examples on this task (+")
    assert "points, 95 % interval " in sentence
    worse = {place: right and place % 3 > 0 for place, right in before.items()}
    sentence = probe_words.learning(the_gain(batch(before), batch(worse, shots=8)))
    assert sentence.startswith("gets worse with examples on this task (−")


def test_what_cannot_be_shown_is_said_with_what_would_be_needed() -> None:
    before = drawn(0.5)
    little = dict(before)
    for place in [place for place, right in before.items() if not right][:6]:
        little[place] = True
    for place in [place for place, right in before.items() if right][:3]:
        little[place] = False
    assert probe_words.learning(the_gain(batch(before), batch(little, shots=8))) == (
        "no gain can be shown with 100 questions (+3 points, 95 % interval −3 to 9); about 940 would be needed"
    )
    same = probe_words.learning(the_gain(batch(before), batch(before, shots=8)))
    assert same.startswith("no gain can be shown with 100 questions (0 points, 95 % interval −2 to 2); one of 5 points")


def test_a_task_that_is_known_already() -> None:
    right = drawn(1.0)
    assert probe_words.learning(the_gain(batch(right), batch(right, shots=8))) == (
        "knows this task without examples (100 % right)"
    )


def test_chance_in_words() -> None:
    words = [probe_words.chance(found(batch(drawn(share)))[0]) for share in (0.5, 0.9, 0.1)]
    assert words == ["may be choosing blindly (50 %)", "better than choosing blindly (50 %)", "below chance (50 %)"]
    open_answer = answer(0, right=True, options=(), scores=())
    assert probe_words.chance(found(batch([open_answer]))[0]) is None


def test_controls_in_words() -> None:
    levels_ = found(
        batch(drawn(0.9), shots=8),
        batch(drawn(0.5), shots=8, labels="shuffled"),
        batch(drawn(0.9), shots=8, labels="flipped"),
        batch(drawn(0.8), shots=8, labels="unrelated"),
    )
    said = {level.labels: probe_words.control(levels_, level) for level in levels_}
    assert said["true"] is None
    assert str(said["shuffled"]).endswith(": it uses the examples' answers")
    assert str(said["flipped"]).endswith(": nothing shows that it follows the examples' answers")
    assert "in place of" in str(said["unrelated"])


def test_one_sentence_a_task_is_about_the_most_shots() -> None:
    batches = [batch(drawn(0.5))] + [batch(drawn(0.6), shots=shots) for shots in (8, 1)]
    (one,) = probe_words.best(gains_from_shots(found(*batches)))
    assert one.after.shots == 8
    assert find(found(*batches), "pocket", "mood", 2) is None


# -- time


@pytest.mark.parametrize(
    ("earlier", "expected"), [({}, None), ({"m": (100.0, 10.0)}, 3.0), ({"m": (100.0, None)}, None)]
)
def test_time_from_speeds_measured_before(earlier: dict[str, Speeds], expected: float | None) -> None:
    assert ProbePace(earlier).seconds("m", Work(100, 20)) == expected


def test_time_from_the_batches_so_far() -> None:
    pace = ProbePace({})
    timing = Timing(prompt_tokens=100, prefill_s=0.5, generated_tokens=11, decode_steps=10, decode_s=1.0)
    pace.note("m", Work(100, 10), timing, seconds=3.0)
    assert pace.seconds("m", Work(200, 20)) == pytest.approx(6.0), "as long as it took, not as it was foretold"
    assert pace.seconds("other", Work(1, 0)) is None
    assert ProbePace({"m": (100.0, None)}).seconds("m", Work(50, 0)) == 0.5
    assert Work(1, 2) + Work(3, 4) == Work(4, 6)


def test_batches_keep_prompts_short_and_give_them_whole() -> None:
    one = msgspec.structs.replace(batch([answer(0, right=True, shared=3, tail="d")]), opening="abcx")
    assert one.prompt(one.answers[0]) == "abcd"
    assert MOODS[0] == one.answers[0].answer
