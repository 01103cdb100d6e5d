"""Which option a model chose, from how likely each is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from slmtui.core.events import OptionScore
from slmtui.core.probe import Scorer


def chosen(scores: Sequence[OptionScore], scorer: Scorer, calibration: Sequence[Sequence[OptionScore]] = ()) -> int:
    """Place of the option with the largest value; of equal ones the first.

    `calibration` holds the scores of the same options after questions without content; then an option counts by how
    much likelier it became (contextual calibration, Zhao et al. 2021, arXiv:2102.09690).
    """
    values = [_value(score, scorer) for score in scores]
    if calibration:
        usual = [_shares([_value(score, scorer) for score in each]) for each in calibration]
        prior = [statistics.fmean(shares) for shares in zip(*usual, strict=True)]
        values = [value - math.log(max(share, 1e-300)) for value, share in zip(values, prior, strict=True)]
    return values.index(max(values))


def probabilities(scores: Sequence[OptionScore], scorer: Scorer = "sum") -> tuple[float, ...]:
    """How likely each option is among them; they sum up to 1, and there are none without options."""
    return _shares([_value(score, scorer) for score in scores])


def _value(score: OptionScore, scorer: Scorer) -> float:
    match scorer:
        case "sum":
            return score.logprob
        case "token":
            return score.logprob / max(1, score.tokens)
        case "byte":
            return score.logprob / max(1, score.bytes)


def _shares(values: Sequence[float]) -> tuple[float, ...]:
    top = max(values, default=0.0)
    weights = [math.exp(value - top) for value in values]
    return tuple(weight / sum(weights) for weight in weights)
