"""Items of `dates`: days, weekdays, months, times of day and ways of writing a date, twenty-six of each."""

from __future__ import annotations

import random
from calendar import day_name, month_name
from datetime import date, timedelta

from made import Made, draw_each

_FIRST = date(2019, 1, 1)
_DAYS = 2500
_MINUTES = 24 * 60


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    kinds = {"day": _day, "weekday": _weekday, "month": _month, "time of day": _time, "way of writing": _written}
    return draw_each(rng, kinds, 26)


def _day(rng: random.Random) -> tuple[str, str]:
    start, days = _any_date(rng), rng.choice((2, 3, 5, 7, 10, 14, 20, 30))
    if rng.random() < 0.5:
        return f"Which date is {days} days after {_words(start)}?", _words(start + timedelta(days))
    return f"Which date is {days} days before {_words(start)}?", _words(start - timedelta(days))


def _weekday(rng: random.Random) -> tuple[str, str]:
    today, days = rng.randrange(7), rng.randint(2, 12)
    if rng.random() < 0.5:
        return f"Which weekday is {days} days after a {day_name[today]}?", day_name[(today + days) % 7]
    return f"Which weekday is {days} days before a {day_name[today]}?", day_name[(today - days) % 7]


def _month(rng: random.Random) -> tuple[str, str]:
    month, months = rng.randrange(12), rng.randint(2, 11)
    if rng.random() < 0.5:
        return f"Which month is {months} months after {month_name[month + 1]}?", month_name[(month + months) % 12 + 1]
    return f"Which month is {months} months before {month_name[month + 1]}?", month_name[(month - months) % 12 + 1]


def _time(rng: random.Random) -> tuple[str, str]:
    start = rng.randrange(0, _MINUTES, 5)
    minutes = rng.choice((15, 20, 25, 40, 45, 50, 75, 90, 100, 150))
    if rng.random() < 0.5:
        return f"Which time is {minutes} minutes after {_clock(start)}?", _clock(start + minutes)
    return f"Which time is {minutes} minutes before {_clock(start)}?", _clock(start - minutes)


def _written(rng: random.Random) -> tuple[str, str]:
    day = _any_date(rng)
    if rng.random() < 0.5:
        return f"How is {_words(day)} written as YYYY-MM-DD?", day.isoformat()
    return f"How is {day.isoformat()} written in words?", _words(day)


def _any_date(rng: random.Random) -> date:
    return _FIRST + timedelta(rng.randrange(_DAYS))


def _words(day: date) -> str:
    return f"{day.day} {month_name[day.month]} {day.year}"


def _clock(minute: int) -> str:
    return "{:02}:{:02}".format(*divmod(minute % _MINUTES, 60))
