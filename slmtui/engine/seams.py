"""Where prompts end and options begin: both are tokenized together, because a token may lie across the seam."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slmtui.core.events import FailureKind
from slmtui.core.openings import shared, usual
from slmtui.engine.backends import EngineError
from slmtui.engine.prompts import conversation_tokens
from slmtui.engine.protocol import Question
from slmtui.engine.template import Renderer
from slmtui.engine.vocabulary import Vocabulary


@dataclass(frozen=True)
class Seam:
    """One question as token ids."""

    prompt: str
    """The text before the options."""
    options: tuple[str, ...]
    tokens: tuple[list[int], ...]
    """Of the prompt with each option."""
    start: int
    """Place of the first token that is scored: where the first option leaves the prompt's own tokens, for all of them,
    so that all score the same stretch of text."""

    @property
    def opening(self) -> list[int]:
        """What all options have before them, short of the token after which the first one is scored."""
        return self.tokens[0][: self.start - 1]


def seams(
    vocabulary: Vocabulary, renderer: Renderer | None, questions: Sequence[Question], check_stop: Callable[[], None]
) -> list[Seam]:
    """Each question in tokens; `check_stop` is called before each.

    Raises:
        EngineError: a question has no prompt or an option has no text, or the conversation cannot be rendered.
        Exception: what `check_stop` raises.
    """
    found: list[Seam] = []
    raw = [question.prompt for question in questions if question.prompt is not None]
    reader = _Reader(vocabulary, _opening(raw))
    for number, question in enumerate(questions):
        check_stop()
        if (question.prompt is None) == (not question.messages):
            raise _refused(number, "needs either a prompt or messages")
        if not question.options or not all(question.options):
            raise _refused(number, "needs options, and each of them a text")
        if question.prompt is not None:
            prompt = question.prompt
            before, whole = reader.tokens(prompt), tuple(reader.tokens(prompt + option) for option in question.options)
        else:
            prompt, before, whole = _conversation(vocabulary, renderer, question)
        start = min(min(shared(before, each), len(each) - 1) for each in whole)
        if start < 1:
            raise _refused(number, "begins with nothing that this model could read before the options; write a prompt")
        found.append(Seam(prompt, question.options, whole, start))
    return found


def _opening(texts: Sequence[str]) -> str:
    """What the texts begin with alike, as far as the last line break in it that something follows."""
    found = usual(texts) if texts else ""
    return found[: found.rfind("\n", 0, len(found) - 1) + 1]


class _Reader:
    """Tokenizes texts that mostly begin alike, and their common opening only once where that gives the same tokens."""

    def __init__(self, vocabulary: Vocabulary, opening: str) -> None:
        self._vocabulary = vocabulary
        self._opening = opening
        self._opened = self._whole(opening) if opening else []
        self._cuts: bool | None = None if opening else False
        """Whether the opening can be tokenized apart; None before that was looked at."""

    def tokens(self, text: str) -> list[int]:
        """Token ids of the whole text, control tokens in it included."""
        if self._cuts is False or not text.startswith(self._opening):
            return self._whole(text)
        rest = self._vocabulary.tokens(text[len(self._opening) :], special=True)
        cut = [*self._opened, *rest]
        if self._cuts is None:
            # The opening ends with a line break and the same characters follow it in all texts, so one text tells.
            whole = self._whole(text)
            self._cuts = whole == cut
            return whole
        return cut

    def _whole(self, text: str) -> list[int]:
        return self._vocabulary.with_bos(self._vocabulary.tokens(text, special=True))


def _conversation(
    vocabulary: Vocabulary, renderer: Renderer | None, question: Question
) -> tuple[str, list[int], tuple[list[int], ...]]:
    """Rendered prompt, its tokens, and those with each option, whose text never becomes a control token."""
    text, before = conversation_tokens(vocabulary, renderer, question.messages)
    plain = before == vocabulary.with_bos(vocabulary.tokens(text, special=True))

    def following(option: str) -> list[int]:
        if plain and not any(map(vocabulary.is_control, vocabulary.tokens(option, special=True))):
            return vocabulary.with_bos(vocabulary.tokens(text + option, special=True))
        return before + vocabulary.tokens(option, special=False)

    return text, before, tuple(map(following, question.options))


def _refused(number: int, why: str) -> EngineError:
    return EngineError(FailureKind.BAD_REQUEST, f"Question {number + 1} {why}.")
