"""What a probe found, in sentences that claim no more than its questions can show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slmtui.core.paired import needed
from slmtui.core.probe_results import Compared, Level, compared, find
from slmtui.core.text import counted

_LOOKED_FOR = 0.05
"""The gain that is looked for where the one that was seen is nothing."""


def points(share: float) -> str:
    """A difference of shares in percentage points: +14, −3, 0."""
    rounded = round(100 * share)
    return f"{rounded:+d}".replace("-", "−") if rounded else "0"


def interval(low: float, high: float) -> str:
    """Its interval: 6 to 22."""
    return f"{points(low).lstrip('+')} to {points(high).lstrip('+')}"


def learning(pair: Compared) -> str:
    """Whether a model learns from examples on a task, in one sentence without the names of either."""
    one, shown = pair.gain, _with_interval(pair)
    if pair.shown and one.value > 0:
        return f"learns from examples on this task ({shown})"
    if pair.shown:
        return f"gets worse with examples on this task ({shown})"
    if pair.before.accuracy.value >= 0.97 and one.value >= -0.03:
        return f"knows this task without examples ({round(100 * pair.before.accuracy.value)} % right)"
    return f"no gain can be shown with {counted(one.n, 'question')} ({shown}); {_would_need(pair)}"


def difference(pair: Compared) -> str:
    """Which of two models answers more questions right, with as many examples."""
    first, second, shown = pair.before.name, pair.after.name, _with_interval(pair)
    if not pair.shown:
        return (
            f"no difference between {first} and {second} can be shown with "
            f"{counted(pair.gain.n, 'question')} ({shown}); {_would_need(pair)}"
        )
    if pair.gain.value > 0:
        return f"{second} answers more questions right than {first} ({shown})"
    return f"{first} answers more questions right than {second} ({_with_interval(pair, turned=True)})"


def chance(level: Level) -> str | None:
    """How the accuracy stands to choosing blindly; None where answers are open."""
    if level.chance_frac is None:
        return None
    at, accuracy = f"{round(100 * level.chance_frac)} %", level.accuracy
    if level.at_chance:
        return f"may be choosing blindly ({at})"
    return f"better than choosing blindly ({at})" if accuracy.low > level.chance_frac else f"below chance ({at})"


def control(found: Sequence[Level], level: Level) -> str | None:
    """What a control says beside the true labels with as many shots; None without both."""
    true = find(found, level.model, level.task, level.shots)
    if true is None or level.labels == "true" or not level.shots:
        return None
    paired = compared([(level, true)])
    if not paired:
        return None
    with_true, here = (f"{round(100 * one.accuracy.value)} %" for one in (true, level))
    shown = f"with {level.labels} labels {here} in place of {with_true}"
    if level.labels == "unrelated":
        return shown
    verb = "uses" if level.labels == "shuffled" else "follows"
    if paired[0].shown and paired[0].gain.value > 0:
        return f"{shown}: it {verb} the examples' answers"
    return f"{shown}: nothing shows that it {verb} the examples' answers"


def best(gains: Iterable[Compared]) -> tuple[Compared, ...]:
    """Of each model, task and kind of labels the gain with the most shots: the one that a sentence is said about."""
    chosen: dict[tuple[str, str, str], Compared] = {}
    for one in gains:
        key = (one.after.model, one.after.task, one.after.labels)
        if key not in chosen or one.after.shots > chosen[key].after.shots:
            chosen[key] = one
    return tuple(chosen.values())


def _with_interval(pair: Compared, *, turned: bool = False) -> str:
    one = pair.gain
    value, low, high = (-one.value, -one.high, -one.low) if turned else (one.value, one.low, one.high)
    unit = "point" if abs(round(100 * value)) == 1 else "points"
    return f"{points(value)} {unit}, 95 % interval {interval(low, high)}"


def _would_need(pair: Compared) -> str:
    one = pair.gain
    if one.needed is not None and one.needed > one.n:
        return f"about {_about(one.needed)} would be needed"
    if one.needed is not None:
        return "it is lost among the gains that are compared at the same time"
    before, after = pair.before.means(), pair.after.means()
    differences = [after[place] - before[place] for place in before.keys() & after.keys()]
    number = needed(differences, _LOOKED_FOR)
    return f"one of {round(100 * _LOOKED_FOR)} points would need about {_about(number or one.n)}"


def _about(number: int) -> str:
    """Two digits say as much as is known: 37, 940, 1,200."""
    digits = max(0, len(str(number)) - 2)
    return f"{round(number, -digits):,}"
