"""Scoring options: the same log-probabilities as evaluating each option alone, token by token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from slmtui.core.chat import Message
from slmtui.core.events import AnyEvent, FailureKind, Inspected, Prefilled, Scored, StopReason
from slmtui.engine.client import WorkerClient, cancelled
from slmtui.engine.llama_evaluate import Evaluator
from slmtui.engine.llama_library import StopCell
from slmtui.engine.llama_model import OpenModel, open_model
from slmtui.engine.llama_score import score
from slmtui.engine.llama_text import Vocabulary
from slmtui.engine.prompts import prompt_tokens
from slmtui.engine.protocol import Load, Question, Score
from tests.engine.architectures import gemma3, lfm2, mamba, qwen3, shuffled
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16, STORY, done, failed, loaded, of, run, tell, text_of

SHOTS = "".join(
    f"Story: {text}\nMood: {mood}\n\n"
    for text, mood in (("Lily saw a big red ball", "good"), ("Tom was sad", "bad"), ("The dog ran", "good"))
)
BODIES = (
    "the sun was bright",
    "she lost her toy",
    "a dog ran",
    "Tom said hello to the cat and went home",
    "all played",
)
OPTIONS = (" good", " bad", " very good and happy", " very bad")
EXACT_F32 = 2e-4
"""Rounding in another order: batches of other sizes, sums over other cells of the cache."""


def question(body: str, options: Sequence[str] = OPTIONS, shots: str = SHOTS) -> Question:
    return Question(prompt=f"{shots}Story: {body}\nMood:", options=tuple(options))


QUESTIONS = tuple(question(f"{body} {turn}") for turn in range(4) for body in BODIES)


def request(path: Path, **changes: object) -> Load:
    """A cache of 32-bit numbers and no flash attention, so that hardly anything is rounded."""
    settings: dict[str, object] = {"type_k": "f32", "type_v": "f32", "flash_attention": "off", "context": 2048}
    return Load(path=str(path), threads=1, **(settings | changes))  # type: ignore[arg-type]


class Alone:
    """Evaluates each option alone, one token at a time."""

    def __init__(self, opened: OpenModel) -> None:
        self.evaluator = Evaluator(opened, StopCell(opened.bindings))
        self.vocabulary = Vocabulary(opened.vocabulary)

    def logprobs(self, tokens: Sequence[int]) -> list[float]:
        """Of each token but the first, after those before it."""
        self.evaluator.clear()
        found = []
        for token, after in pairwise(tokens):
            self.evaluator.evaluate_one(token)
            row = self.evaluator.logits(1)[0].astype(np.float64)
            found.append(float(row[after] - np.logaddexp.reduce(row)))
        return found

    def scored(self, question: Question) -> list[float]:
        """Of each option: what its tokens sum up to."""
        assert question.prompt is not None
        before = len(prompt_tokens(self.vocabulary, question.prompt))
        wholes = [prompt_tokens(self.vocabulary, question.prompt + option) for option in question.options]
        return [sum(self.logprobs(whole)[before - 1 :]) for whole in wholes]


def at_once(opened: OpenModel, questions: Sequence[Question]) -> list[Scored]:
    """What `score` says, in the questions' order."""
    events: list[AnyEvent] = []
    alone = Alone(opened)
    alone.evaluator.clear()
    ended = score(alone.evaluator, alone.vocabulary, None, Score(questions=tuple(questions)), events.append)
    done([ended], StopReason.COMPLETED)
    return sorted(of(events, Scored), key=lambda event: event.index)


def stable_mamba() -> Gguf:
    """Random weights whose state decays, as every trained one does; it would grow without end otherwise."""
    model = shuffled(mamba(state=16))
    for name, tensor in model.tensors.items():
        numbers = np.frombuffer(tensor.data, np.float32)
        if name.endswith("ssm_a"):
            tensor.data = (-0.1 - np.abs(numbers)).tobytes()
        elif "ssm" in name:
            tensor.data = (numbers / 2).tobytes()
    return model


MODELS: dict[str, Callable[[], Gguf]] = {
    "windowed": lambda: shuffled(gemma3()),
    "hybrid": lambda: shuffled(lfm2(4)),
    "recurrent": stable_mamba,
    "grouped heads": lambda: shuffled(qwen3()),
}


@pytest.mark.parametrize("name", ["story", "pocket", *MODELS])
def test_scores_are_those_of_each_option_alone(name: str, build: Build) -> None:
    files = {"story": STORY, "pocket": F16}
    path = files.get(name) or build(f"score-{name}.gguf", MODELS[name]())
    asked = [*QUESTIONS[:2], question("The end", shots="Once upon a time.\n\n"), *QUESTIONS[2:4]]
    opened = open_model(request(path))
    alone = Alone(opened)
    expected = [alone.scored(each) for each in asked]
    opened.close()
    opened = open_model(request(path, sequences=24))
    found = at_once(opened, asked)
    opened.close()
    assert [event.index for event in found] == list(range(len(asked)))
    assert [event.prompt for event in found] == [each.prompt for each in asked]
    largest = max(abs(one) for row in expected for one in row)
    for event, row in zip(found, expected, strict=True):
        assert [option.logprob for option in event.options] == pytest.approx(row, abs=EXACT_F32 * max(1, largest / 20))
        assert [option.bytes for option in event.options] == [len(option) - 1 for option in OPTIONS]


@pytest.fixture
def story() -> Iterator[OpenModel]:
    opened = open_model(request(STORY, sequences=8, batch=64, micro_batch=64))
    yield opened
    opened.close()


def logprobs(found: Sequence[Scored]) -> list[float]:
    return [option.logprob for event in found for option in event.options]


def test_company_changes_nothing(story: OpenModel) -> None:
    together = at_once(story, QUESTIONS)
    apart = [at_once(story, [each])[0] for each in reversed(QUESTIONS)][::-1]
    assert logprobs(together) == pytest.approx(logprobs(apart), abs=EXACT_F32)
    assert [event.prompt_tokens for event in together] == [event.prompt_tokens for event in apart]


def test_more_and_longer_options_than_a_batch_has_room_for(story: OpenModel) -> None:
    options = [f" good number {number}" for number in range(20)]
    options[3] += " and a very long end of the story" * 9
    asked = [question("Tom ran", options), question("Lily ran", options[:5]), question("All ran")]
    expected = [Alone(story).scored(each) for each in asked]
    found = at_once(story, asked)
    assert [len(event.options) for event in found] == [20, 5, 4]
    assert logprobs(found) == pytest.approx([one for row in expected for one in row], abs=EXACT_F32)
    assert found[0].options[3].tokens > 64


def test_what_the_model_would_write_is_greedy(story: OpenModel) -> None:
    alone = Alone(story)
    tokens = prompt_tokens(alone.vocabulary, "Once upon a time, there was a")
    prompt = len(tokens)
    for _ in range(6):
        alone.logprobs([*tokens, 1])
        tokens.append(int(alone.evaluator.logits(1)[0].argmax()))
    text = b"".join(map(alone.vocabulary.piece, tokens[prompt:])).decode()
    (event,) = at_once(story, [Question(prompt="Once upon a time, there was a", options=(text, text + "x", " xx"))])
    assert [option.greedy for option in event.options] == [True, False, False]
    assert event.options[0].tokens == 6
    assert event.options[0].logprob > event.options[1].logprob


def test_a_token_across_the_seam_counts_for_all_options() -> None:
    opened = open_model(request(F16, sequences=8))
    alone = Alone(opened)
    tokens = prompt_tokens(alone.vocabulary, "A tok"), prompt_tokens(alone.vocabulary, "A token")
    assert tokens[1][: len(tokens[0])] != tokens[0], "the option's first letters join the prompt's last"
    (event,) = at_once(opened, [Question(prompt="A tok", options=("en", " is", "enizer is"))])
    start = event.prompt_tokens
    assert start < len(tokens[0])
    for option, scored in zip(("en", " is", "enizer is"), event.options, strict=True):
        whole = prompt_tokens(alone.vocabulary, "A tok" + option)
        assert whole[:start] == tokens[0][:start]
        assert scored.tokens == len(whole) - start
        assert scored.logprob == pytest.approx(sum(alone.logprobs(whole)[start - 1 :]), abs=EXACT_F32)
    opened.close()


def test_what_is_shared_is_evaluated_once(story: OpenModel) -> None:
    evaluator, vocabulary = Evaluator(story, StopCell(story.bindings)), Vocabulary(story.vocabulary)

    def evaluated(*questions: Question) -> tuple[int, int]:
        timing = score(evaluator, vocabulary, None, Score(questions=questions), lambda _: None).timing
        assert timing is not None
        return timing.depth, timing.prompt_tokens

    def size(text: str) -> int:
        return len(vocabulary.tokens(text, special=True))

    shots = size(SHOTS) + 1
    reused, fresh = evaluated(*QUESTIONS[:5])
    assert reused == 0
    each = [size(body) + sum(map(size, OPTIONS)) for body in BODIES]
    assert shots < fresh < shots + sum(each) + 5 * size("Story: \nMood:")
    again = evaluated(*QUESTIONS[5:10])
    assert again[0] >= shots - 1
    assert again[1] <= fresh - shots + 10
    assert evaluated() == (0, 0), "nothing asked, nothing evaluated"


# -- in a worker


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pocket(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    log = tmp_path_factory.mktemp("score") / "log"
    async with loaded(log, request(F16, sequences=16, context=1024, batch=64, micro_batch=64)) as client:
        yield client


async def scores(client: WorkerClient, *questions: Question) -> list[Scored]:
    events = await run(client, Score(questions=questions))
    done(events, StopReason.COMPLETED)
    prefilled = of(events, Prefilled)
    assert prefilled[-1].done == prefilled[-1].total
    return sorted(of(events, Scored), key=lambda event: event.index)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_conversation_is_scored_as_its_template_writes_it(pocket: WorkerClient) -> None:
    messages = (Message("user", "2 + 2"), Message("assistant", "4"), Message("user", "1 + 2"))
    (event,) = await scores(pocket, Question(messages=messages, options=("3", "4")))
    assert event.prompt.endswith("1 + 2<|im_end|>\n<|im_start|>assistant\n")
    (raw,) = await scores(pocket, Question(prompt=event.prompt, options=("3", "4")))
    assert logprobs([raw]) == pytest.approx(logprobs([event]), abs=EXACT_F32)
    hostile = (Message("user", "say <|im_end|>"),)
    (event,) = await scores(pocket, Question(messages=hostile, options=("3", "<|im_end|>")))
    assert event.options[1].tokens > 1, "the text of a control token stays text"
    (raw,) = await scores(pocket, Question(prompt=event.prompt, options=("3", "<|im_end|>")))
    assert raw.options[1].tokens == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_chatting_goes_on_beside_it(pocket: WorkerClient) -> None:
    before = text_of(await run(pocket, tell("Once upon a time", 12)))
    asked = await scores(pocket, *QUESTIONS)
    assert text_of(await run(pocket, tell("Once upon a time", 12))) == before
    assert logprobs(await scores(pocket, *QUESTIONS)) == pytest.approx(logprobs(asked), abs=EXACT_F32)


BAD: dict[str, tuple[Question, str]] = {
    "nothing to read": (Question(options=("a",)), "either a prompt or messages"),
    "two prompts": (Question(prompt="a", messages=(Message("user", "a"),), options=("a",)), "either a prompt or"),
    "no options": (Question(prompt="a", options=()), "needs options"),
    "an empty option": (Question(prompt="a", options=("b", "")), "needs options"),
    "too long for the model": (question("dog " * 600), "trained with 512"),
    "too long for the context": (
        question("Tom", [f" {n}{' dog' * 90}" for n in range(12)]),
        "context of 1,024",
    ),
}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("fault", BAD)
async def test_what_cannot_be_scored_is_refused(pocket: WorkerClient, fault: str) -> None:
    wrong, words = BAD[fault]
    ending = (await run(pocket, Score(questions=(QUESTIONS[0], wrong))))[-1]
    kind = FailureKind.CONTEXT_FULL if "long" in fault else FailureKind.BAD_REQUEST
    assert words in failed([ending], kind).message
    assert "Question 2" in failed([ending], kind).message
    assert len(await scores(pocket, QUESTIONS[0])) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_without_template_or_sequences_says_so(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", request(STORY)) as client:
        why = failed(await run(client, Score(questions=QUESTIONS)), FailureKind.BAD_REQUEST)
        assert "several sequences" in why.message
        await run(client, request(STORY, sequences=4))
        talk = Question(messages=(Message("user", "a"),), options=("b",))
        failed(await run(client, Score(questions=(talk,))), FailureKind.BAD_REQUEST)


@pytest.mark.asyncio(loop_scope="module")
async def test_damaged_weights_are_told(tmp_path: Path, build: Build) -> None:
    model = shuffled(qwen3())
    model.tensors["output_norm.weight"].data = np.full(64, np.nan, np.float32).tobytes()
    async with loaded(tmp_path / "log", request(build("nan.gguf", model), sequences=4)) as client:
        failed(await run(client, Score(questions=QUESTIONS)), FailureKind.BAD_FILE)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("moment", ["at once", "trunk", "branches", "last"])
async def test_cancelling_in_every_phase(pocket: WorkerClient, moment: str) -> None:
    expected = logprobs(await scores(pocket, *QUESTIONS))
    await scores(pocket, question("else", shots="Something else.\n" * 20))
    seen, events = 0, []
    async with aclosing(pocket.request(Score(questions=QUESTIONS * 4))) as stream:
        if moment == "at once":
            asyncio.get_running_loop().call_soon(asyncio.ensure_future, pocket.cancel())
        async for event in stream:
            events.append(event)
            seen += isinstance(event, Prefilled)
            late = isinstance(event, Prefilled) and event.done == event.total
            if {"trunk": seen == 1, "branches": seen == 3, "last": late}.get(moment):
                await pocket.cancel()
    if moment != "last":
        assert cancelled(events[-1]), events[-1]
    assert logprobs(await scores(pocket, *QUESTIONS)) == pytest.approx(expected, abs=EXACT_F32)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_inspection_counts_tokens(tmp_path: Path, pocket: WorkerClient) -> None:
    texts = ("", "Once upon a time", SHOTS)
    told = (await run(pocket, request(F16, inspect_only=True, texts=texts)))[-1]
    assert isinstance(told, Inspected)
    opened = open_model(request(F16), dry=True)
    assert told.tokens == tuple(len(Vocabulary(opened.vocabulary).tokens(text, special=True)) for text in texts)
    opened.close()
