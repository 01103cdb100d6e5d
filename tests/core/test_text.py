from __future__ import annotations

import pytest

from slmtui.core import text

MISSING = text.NOT_MEASURED


@pytest.mark.parametrize(
    ("tps", "shown"),
    [(None, MISSING), (0.0, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (812.4, "812"), (21_345.6, "21,346")],
)
def test_rate(tps: float | None, shown: str) -> None:
    assert text.rate(tps) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, MISSING),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (5_647_008, "5.65 MB"),
        (999_600, "1 MB"),
        (123_456_789, "123 MB"),
        (1_100_000_000, "1.1 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_size_is_decimal(value: int | None, shown: str) -> None:
    assert text.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, MISSING),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (14 * 1024**2, "14 MiB"),
        (1023 * 1024**2, "1023 MiB"),
        (int(1.02 * 1024**3), "1.02 GiB"),
        (139 * 1024**3, "139 GiB"),
        (2000 * 1024**3, "2,000 GiB"),
    ],
)
def test_memory_is_binary(value: int | None, shown: str) -> None:
    assert text.memory(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, MISSING),
        (0.0032, "3.2 ms"),
        (0.0994, "99.4 ms"),
        (0.42, "0.42 s"),
        (59.4, "59.4 s"),
        (59.9, "1 min 00 s"),
        (65, "1 min 05 s"),
    ],
)
def test_duration(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, MISSING), (0.0032, "3.20"), (0.025, "25.0"), (0.42, "420"), (1.2344, "1,234")]
)
def test_milliseconds(seconds: float | None, shown: str) -> None:
    assert text.milliseconds(seconds) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, MISSING),
        (151_936, "151,936"),
        (5_246_208, "5.25M"),
        (1_235_814_432, "1.24B"),
        (999_700_000, "1B"),
        (999_499, "999,499"),
    ],
)
def test_count(value: int | None, shown: str) -> None:
    assert text.count(value) == shown


def test_share() -> None:
    assert (text.share(None), text.share(0.205)) == (MISSING, "20 %")


def test_sparkline_scales_to_its_maximum_and_keeps_its_width() -> None:
    assert text.sparkline([0.0, 4.0, 8.0], 5) == "  ▁▅█"
    assert text.sparkline([1.0] * 10, 3) == "███"
    assert text.sparkline([0.0, 0.0], 2) == "▁▁"
    assert text.sparkline([], 3) == "   "
    assert text.sparkline([1.0], 0) == ""


@pytest.mark.parametrize(
    ("foreign", "harmless"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07rest", "rest"),
        ("\x1b]8;;https://example.org\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;unfinished", ""),
        ("\x1bcreset", "creset"),
        ("\x9b31mC1", "31mC1"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("one\r\ntwo\rthree", "one\ntwothree"),
        ("tab\tand\nbreak stay", "tab\tand\nbreak stay"),
        ("\u202eevil\u2066", "evil"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("Größe 「小」 🦙 [b]not markup[/b]", "Größe 「小」 🦙 [b]not markup[/b]"),
    ],
)
def test_clean_takes_away_what_acts_on_a_terminal(foreign: str, harmless: str) -> None:
    cleaned = text.clean(foreign)
    assert cleaned == harmless
    assert "\x1b" not in cleaned


def test_one_line_and_shorten() -> None:
    assert text.one_line("  a\n\tb\x1b[2J \u2028 c ") == "a b c"
    assert text.shorten("abcdef", 6) == "abcdef"
    assert text.shorten("abcdefg", 6) == "abcde…"
    assert text.shorten("abc", 1) == "…"
