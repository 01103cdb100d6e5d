from __future__ import annotations

import codecs
from types import SimpleNamespace

import pytest

from slmtui.core.events import AnyEvent, Tokens
from slmtui.core.stopping import StopMatcher
from slmtui.engine import answer
from slmtui.engine.answer import AnswerWriter
from slmtui.engine.protocol import EMIT_EVERY_S


class Clock:
    """Stands still until it is told."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer, "time", SimpleNamespace(perf_counter=CLOCK))


class Paper:
    """Collects what a writer emits, which takes a token each millisecond."""

    def __init__(self, *stops: str) -> None:
        self.events: list[Tokens] = []
        self.writer = AnswerWriter(self.take, CLOCK(), StopMatcher(stops))

    def take(self, event: AnyEvent) -> None:
        assert isinstance(event, Tokens)
        self.events.append(event)

    def write(self, *pieces: bytes, apart: bool = False) -> Paper:
        for piece in pieces:
            CLOCK.now_s += EMIT_EVERY_S * 1.2 if apart else 0.001
            self.writer.token(piece)
        return self

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events)


@pytest.mark.parametrize("text", ["Zażółć gęślą jaźń", "日本語", "a😀b👩‍👩‍👧c", "plain"])
def test_characters_that_are_split_over_tokens_come_whole(text: str) -> None:
    paper = Paper().write(*(bytes([byte]) for byte in text.encode()))
    paper.writer.finish()
    assert paper.text == text
    assert "\ufffd" not in paper.text


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        ([b"a", b"\xf0", b"b", b"c"], "a\ufffdbc"),
        ([b"\xf0\x9f", b"x", b"\x98\x80", b"y"], "\ufffdx\ufffd\ufffdy"),
        ([b"\x80", b"a"], "\ufffda"),
        ([b"\xff\xfe", b"a"], "\ufffd\ufffda"),
        ([b"a", b"\xf0\x9f\x98"], "a\ufffd"),
        ([b"\xed\xa0\xbd", b"z"], "\ufffd\ufffd\ufffdz"),
        ([b"\xc0\xaf", b"z"], "\ufffd\ufffdz"),
    ],
)
def test_bytes_that_are_no_utf_8_are_replaced(pieces: list[bytes], text: str) -> None:
    paper = Paper().write(*pieces)
    paper.writer.finish()
    assert paper.text == text


def test_an_invalid_byte_does_not_hold_back_what_follows() -> None:
    paper = Paper().write(b"a", b"\xf0", b"b", b"c", apart=True)
    assert paper.text == "a\ufffdbc", "shown before the end"


def test_after_an_invalid_byte_no_more_is_looked_at_again_than_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are read once more with each token would make long answers slow."""
    read: list[int] = []
    real = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(piece: bytes, final: bool = False) -> str:
        read.append(len(real.getstate()[0]) + len(piece))
        return real.decode(piece, final)

    decoder = SimpleNamespace(decode=decode)
    monkeypatch.setattr(answer, "codecs", SimpleNamespace(getincrementaldecoder=lambda _: lambda _: decoder))
    paper = Paper("never").write(b"\xf0", *[b" word"] * 200)
    paper.writer.finish()
    assert paper.text == "\ufffd" + " word" * 200
    assert len(read) == 1 + 200 + 1
    assert max(read) <= len(b"\xf0 word")


def test_the_first_token_is_said_at_once_and_the_next_ones_together() -> None:
    paper = Paper().write(b"a", b"b", b"c")
    assert [event.count for event in paper.events] == [1]
    paper.write(b"d", apart=True)
    assert [event.count for event in paper.events] == [1, 3]
    paper.writer.finish()
    assert len(paper.events) == 2, "nothing was left to say"


def test_tokens_without_text_are_counted() -> None:
    paper = Paper().write(b"", b"\xf0\x9f", b"", b"\x98\x80")
    paper.writer.finish()
    assert sum(event.count for event in paper.events) == paper.writer.count == 4
    assert paper.text == "😀"
    assert [moment for event in paper.events for moment in event.at_s] == list(
        paper.writer.timing(0, 1, 0.1).token_at_s
    )


def test_a_stop_string_inside_a_character_sequence() -> None:
    paper = Paper("😀!").write(b"a\xf0\x9f", b"\x98", b"\x80!", b"later")
    assert paper.writer.stopped
    paper.writer.finish()
    assert paper.text == "a"


def test_timing_counts_steps_not_tokens() -> None:
    paper = Paper().write(b"a", b"b", b"c")
    limited = paper.writer.timing(5, 7, 0.25)
    assert (limited.generated_tokens, limited.decode_steps, limited.depth, limited.prompt_tokens) == (3, 2, 5, 7)
    assert limited.decode_s == limited.token_at_s[2] - limited.token_at_s[0]
    assert limited.ttft_s == limited.token_at_s[0]
    CLOCK.now_s += 0.001
    paper.writer.end_token()
    ended = paper.writer.timing(5, 7, 0.25)
    assert (ended.generated_tokens, ended.decode_steps) == (3, 3)
    assert ended.decode_s is not None
    assert ended.decode_s > limited.decode_s


def test_timing_of_an_answer_without_tokens() -> None:
    nothing = Paper().writer.timing(0, 7, None)
    assert (nothing.ttft_s, nothing.decode_s, nothing.decode_steps, nothing.decode_tps) == (None, None, 0, None)
    paper = Paper()
    paper.writer.end_token()
    paper.writer.finish()
    at_once = paper.writer.timing(0, 7, 0.1)
    assert (at_once.generated_tokens, at_once.decode_steps, at_once.decode_s) == (0, 0, None)
    assert paper.events == []
