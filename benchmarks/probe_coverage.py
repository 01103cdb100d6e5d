"""How often the 95 % intervals of probes hold the truth, by simulation.

python benchmarks/probe_coverage.py [--draws N]

Questions have a difficulty of their own, which an answer shares under every seed and number of shots (correlation 0.6
on the normal scale), so that the same question is often right, or wrong, each time. For numbers of questions and seeds
and for shares it draws answers without examples (once) and with examples (once a seed), and counts how often the
interval of the share with examples (`core.proportions.share`) and that of the gain (`core.paired.gain`) hold the true
values, and how often a gain is called shown. Exit code 1 when the mean of either over all cases is not from 93 to 97 %.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from peers import ROOT

from slmtui.core.intervals import normal_quantile
from slmtui.core.paired import gain
from slmtui.core.proportions import share

assert ROOT
QUESTIONS, SEEDS = (50, 100), (1, 3, 5)
SHARES = ((0.5, 0.0), (0.5, 0.1), (0.25, 0.05), (0.25, 0.4), (0.8, 0.1), (0.9, 0.05))
"""Share without examples, and gain from them."""
ALIKE = 0.6
LIMITS = 0.93, 0.97


Numbers = np.ndarray[Any, np.dtype[Any]]


class Rates(NamedTuple):
    """How often the intervals hold the truth, and how often a gain is called shown."""

    share: float
    gain: float
    shown: float


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000, help="of each case (1000)")
    options = parser.parse_args()
    draw = np.random.default_rng(1)
    every = []
    print(
        f"{'questions':>9} {'seeds':>5} {'share':>6} {'gain':>6}  {'of the share':>12} {'of the gain':>11} {'shown':>6}"
    )
    for questions, seeds, (before, more) in product(QUESTIONS, SEEDS, SHARES):
        rates = case(draw, questions, seeds, before, more, options.draws)
        every.append(rates)
        print(
            f"{questions:>9} {seeds:>5} {before + more:>6.2f} {more:>6.2f}  {rates.share:>12.1%} {rates.gain:>11.1%} "
            f"{rates.shown:>6.1%}",
            flush=True,
        )
    means = [statistics.fmean(values) for values in list(zip(*every, strict=True))[:2]]
    print(f"mean of all cases: share {means[0]:.1%}, gain {means[1]:.1%}")
    sys.exit(0 if all(LIMITS[0] <= mean <= LIMITS[1] for mean in means) else 1)


def case(draw: np.random.Generator, questions: int, seeds: int, before: float, more: float, draws: int) -> Rates:
    """One case, drawn so often."""
    held = [0, 0, 0]
    for _ in range(draws):
        difficulty = draw.normal(size=questions)
        first, second = asked(draw, difficulty, before, 1), asked(draw, difficulty, before + more, seeds)
        found = share(second.tolist())
        paired = gain(first.mean(axis=1).tolist(), second.mean(axis=1).tolist(), seeds)
        assert found is not None
        assert paired is not None
        held[0] += found.low <= before + more <= found.high
        held[1] += paired.low <= more <= paired.high
        held[2] += paired.p_value <= 0.05 and (paired.low > 0 or paired.high < 0)
    return Rates(*(count / draws for count in held))


def asked(
    draw: np.random.Generator, difficulty: np.ndarray[Any, Any], right: float, seeds: int
) -> np.ndarray[Any, Any]:
    """Answers, questions by seeds, of which this share is right in the long run."""
    own = draw.normal(size=(len(difficulty), seeds))
    return math.sqrt(ALIKE) * difficulty[:, None] + math.sqrt(1 - ALIKE) * own < normal_quantile(right)


if __name__ == "__main__":
    main()
