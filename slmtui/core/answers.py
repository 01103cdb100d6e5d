"""Whether an open answer is right: what does not count is taken off both sides, then they must be equal."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection
from decimal import Context, Decimal

from slmtui.core.task import Normalisation, TaskHead

_NUMBER = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|[-+−]?\.\d+")
_EXACT = Context(prec=10_000)
"""Decimal's own default rounds to 28 digits."""
_MARKS = ".,;:!?\"'`“”‘’«»"


def is_right(task: TaskHead, answer: str, target: str) -> bool:
    """Whether `answer`, cut at the task's first stop, says the same as `target`.

    As a number: the first number in the answer equals the target, digit for digit (2.50 is 2.5, 1,200 is 1200).
    As JSON: both are the same value; order of keys and white space do not count. As text: equal after `normalised`.
    """
    answer = ended(answer, task.stop)
    match task.compare:
        case "number":
            number = as_number(answer)
            return number is not None and number == as_number(target)
        case "json":
            value = as_json(answer)
            return value is not None and value == as_json(target)
        case "text":
            return normalised(answer, task.normalise) == normalised(target, task.normalise)


def ended(answer: str, stops: Collection[str]) -> str:
    """The answer up to the first stop, without white space at its ends.

    White space before the answer is no stop: a model may well begin on a new line.
    """
    answer = answer.lstrip()
    ends = [place for stop in stops if (place := answer.find(stop)) >= 0]
    return answer[: min(ends, default=len(answer))].strip()


def normalised(text: str, steps: Collection[Normalisation]) -> str:
    """Text in Unicode's form NFC, without what `steps` say does not count.

    case: letters become small. space: a run of white space becomes one blank. punctuation: quotation marks and
    . , ; : ! ? at both ends are removed.
    """
    text = unicodedata.normalize("NFC", text).strip()
    if "case" in steps:
        text = text.casefold()
    if "space" in steps:
        text = " ".join(text.split())
    if "punctuation" in steps:
        text = text.strip(_MARKS + " ")
    return text


def as_number(text: str) -> Decimal | None:
    """The first number in a text, commas between groups of three digits left out; None where there is none."""
    found = _NUMBER.search(text)
    return None if found is None else Decimal(found[0].replace(",", "").replace("−", "-"))


def as_json(text: str) -> str | None:
    """A JSON value in one form that equal values share; None where the text is something else."""
    try:
        value = json.loads(text, parse_int=Decimal, parse_float=Decimal)
        # Numbers become lists of one form, so that 1.0 is 1, and neither is true or "1".
        return json.dumps(value, sort_keys=True, default=lambda number: ["number", str(number.normalize(_EXACT))])
    except (ValueError, RecursionError, ArithmeticError):  # the last: an exponent beyond what Decimal holds
        return None
