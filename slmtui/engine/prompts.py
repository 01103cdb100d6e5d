"""Prompts and conversations as token ids of a model."""

from __future__ import annotations

from collections.abc import Sequence

from slmtui.core.chat import Message
from slmtui.core.events import FailureKind
from slmtui.engine.backends import EngineError
from slmtui.engine.template import Rendered, Renderer, TemplateError
from slmtui.engine.vocabulary import Vocabulary


def prompt_tokens(vocabulary: Vocabulary, text: str) -> list[int]:
    """Token ids of a raw prompt, in which control tokens may be written out; none for a prompt of nothing."""
    return vocabulary.with_bos(vocabulary.tokens(text, special=True))


def conversation_tokens(
    vocabulary: Vocabulary, renderer: Renderer | None, messages: Sequence[Message]
) -> tuple[str, list[int]]:
    """Rendered prompt and token ids of a conversation, with the opening of the model's answer.

    The whole text is tokenized at once, as every other program does it, unless a message contains the text of a
    control token: then its contents are tokenized apart, so that `<|im_end|>` in a message stays text.

    Raises:
        EngineError: no template, or one that refuses, or one that hides where contents are.
    """
    if renderer is None:
        raise EngineError(
            FailureKind.BAD_REQUEST,
            "This file has no chat template, so it cannot hold a conversation. It can continue a text: use --raw.",
        )
    try:
        rendered = renderer.render(messages)
    except TemplateError as error:
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"The chat template of this model fails on this conversation: {error}. "
            "Remove the system prompt if there is one, or use the model with a raw prompt.",
        ) from None
    return rendered.text, vocabulary.with_bos(_separated(vocabulary, rendered, messages))


def _separated(vocabulary: Vocabulary, rendered: Rendered, messages: Sequence[Message]) -> list[int]:
    whole = vocabulary.tokens(rendered.text, special=True)
    if rendered.pieces is None:
        for message in messages:
            if any(vocabulary.is_control(token) for token in vocabulary.tokens(message.content, special=True)):
                raise EngineError(
                    FailureKind.BAD_REQUEST,
                    f"A message of the {message.role} contains control tokens of this model, and its chat template "
                    "rewrites messages, so they cannot be told apart. Remove them from the message.",
                )
        return whole
    literals = [piece for piece, foreign in rendered.pieces if not foreign]
    controls = [token for piece in literals for token in vocabulary.tokens(piece, special=True)]
    if list(filter(vocabulary.is_control, controls)) == list(filter(vocabulary.is_control, whole)):
        return whole
    return [token for piece, foreign in rendered.pieces for token in vocabulary.tokens(piece, special=not foreign)]


def started_renderer(template: str, vocabulary: Vocabulary) -> Renderer:
    """The renderer of a model's chat template, started and ready for the first conversation."""
    renderer = Renderer(template, vocabulary.written(vocabulary.bos), vocabulary.written(vocabulary.eos))
    renderer.warm_up()
    return renderer


def check_prompt(tokens: list[int], size: int) -> None:
    """Refuse a prompt of nothing, and one that leaves a context of `size` tokens no room for an answer.

    Raises:
        EngineError: says what to do.
    """
    if not tokens:
        raise EngineError(FailureKind.BAD_REQUEST, "The prompt is empty; write something.")
    if len(tokens) >= size:
        raise EngineError(
            FailureKind.CONTEXT_FULL,
            f"The prompt has {len(tokens):,} tokens and the context holds {size:,}, the answer included. "
            "Shorten the conversation, or load the model with a larger context.",
        )
