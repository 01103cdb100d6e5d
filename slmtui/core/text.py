"""Numbers and foreign text made fit for a screen: every visible figure is formatted here."""

from __future__ import annotations

import re
import unicodedata

NOT_MEASURED = "—"
_BLOCKS = "▁▂▃▄▅▆▇█"
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")


def rate(tps: float | None, digits: int = 3) -> str:
    """Tokens per second with about three significant digits and a thousands separator, without the unit."""
    if tps is None:
        return NOT_MEASURED
    if tps >= 10 ** (digits - 1):
        return f"{tps:,.0f}"
    return f"{tps:.{max(0, digits - len(str(int(tps))))}f}"


def size(value: int | None) -> str:
    """Bytes in decimal units, as file managers and hubs print them: 5.65 MB, 1.1 GB."""
    if value is None:
        return NOT_MEASURED
    amount = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(amount) < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 99.5 else f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def memory(value: int | None) -> str:
    """Bytes of memory in binary units, as the operating system counts them: 14 MiB, 1.02 GiB."""
    if value is None:
        return NOT_MEASURED
    amount = float(value)
    for unit in ("B", "KiB", "MiB"):
        if abs(amount) < 1023.5:
            return f"{amount:.0f} {unit}" if unit == "B" or abs(amount) >= 99.5 else f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} GiB" if amount < 999.5 else f"{amount:,.0f} GiB"


def duration(seconds: float | None) -> str:
    """Seconds in words that fit a cell: 3.2 ms, 0.42 s, 1 min 05 s."""
    if seconds is None:
        return NOT_MEASURED
    if seconds < 0.0995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.5:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds without the unit, for a column whose head says it: 3.20, 25.0, 1,234."""
    return rate(None if seconds is None else seconds * 1000)


def count(value: int | None) -> str:
    """A number of parameters or tokens in short form: 5.25M, 1.2B, 151,936."""
    if value is None:
        return NOT_MEASURED
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= 0.9995 * limit:  # what rounds to 1000 of one unit is 1 of the next
            return f"{value / limit:.3g}{unit}"
    return f"{value:,}"


def counted(number: int, noun: str) -> str:
    """A number of things: 1 cell, 1,024 cells."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def share(fraction: float | None) -> str:
    """A fraction as a percentage."""
    return NOT_MEASURED if fraction is None else f"{fraction * 100:.0f} %"


def ratio(value: float | None) -> str:
    """A ratio with three decimals, fewer from ten on: 0.912, 1.004, 12.3."""
    if value is None:
        return NOT_MEASURED
    return f"{value:.3f}" if value < 9.9995 else rate(value)


def sparkline(values: list[float], width: int) -> str:
    """The last `width` values as block characters from zero to their maximum; spaces where there are none."""
    tail = values[-width:] if width > 0 else []
    top = max(tail, default=0.0)
    drawn = "".join(_BLOCKS[min(7, max(0, round(value / top * 7)))] if top > 0 else _BLOCKS[0] for value in tail)
    return drawn.rjust(width)


def clean(text: str) -> str:
    """Remove what could act on a terminal: ANSI sequences, control and bidirectional override characters.

    Line breaks and tabs stay. For text that slmtui did not write: model output, file names, hub text.
    """
    if text.isprintable():
        return text
    text = _ANSI.sub("", text.replace("\r\n", "\n"))
    return "".join(char for char in text if char in "\n\t" or not _acts(char))


def one_line(text: str) -> str:
    """`clean` text with every run of white space as one blank."""
    return " ".join(clean(text).split())


def shorten(text: str, width: int) -> str:
    """Cut `text` to `width` characters, the last of them an ellipsis where something was cut."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def _acts(char: str) -> bool:
    return (
        unicodedata.category(char) in {"Cc", "Cs"} or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )
