"""Generating: text, endings, clocks, sampling, prefix reuse, with real models."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from slmtui.core.chat import Message
from slmtui.core.events import Done, Failed, FailureKind, Loaded, MemorySampled, Prefilled, StopReason, Tokens
from slmtui.core.sampling import Sampling
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Generate, Load
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16, FIXTURES, STORY, ask, done, failed, loaded, of, prompted, run, tell, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
GREEDY = (FIXTURES / "stories260K.greedy.txt").read_text(encoding="utf-8").rstrip("\n")
ONCE = "Once upon a time"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    log = tmp_path_factory.mktemp("story") / "log"
    async with loaded(log, Load(path=str(STORY), threads=1)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    log = tmp_path_factory.mktemp("chat") / "log"
    async with loaded(log, Load(path=str(F16), threads=1)) as client:
        yield client


async def test_greedy_text_is_that_of_an_independent_implementation(story: WorkerClient) -> None:
    events = await run(story, tell(ONCE, 400))
    text = ONCE + text_of(events)
    assert len(GREEDY) > 200
    assert text.startswith(GREEDY)


async def test_no_text_or_token_is_lost_between_events(story: WorkerClient) -> None:
    events = await run(story, tell(ONCE, 100))
    ending = done(events, StopReason.LIMIT)
    assert ending.timing is not None
    tokens = of(events, Tokens)
    assert sum(event.count for event in tokens) == ending.timing.generated_tokens == 100
    at = [moment for event in tokens for moment in event.at_s]
    assert tuple(at) == ending.timing.token_at_s
    assert at == sorted(set(at)), "each token has a moment of its own"
    assert tokens[0].count == 1, "the first token is shown at once"
    assert of(events, MemorySampled)


async def test_clocks_of_an_answer_that_reaches_its_limit(story: WorkerClient) -> None:
    events = await run(story, tell("Lily saw a very big dog and", 24))
    timing = done(events, StopReason.LIMIT).timing
    assert timing is not None
    assert timing.prefill_s is not None
    assert timing.ttft_s is not None
    assert timing.decode_s is not None
    assert timing.decode_steps == timing.generated_tokens - 1 == 23
    assert 0 < timing.prefill_s <= timing.ttft_s == timing.token_at_s[0]
    assert timing.decode_s == pytest.approx(sum(timing.itl_s))
    shown = prompted(events)
    assert timing.prompt_tokens == shown.tokens - shown.cached_tokens
    assert timing.depth == shown.cached_tokens
    assert of(events, Prefilled)[-1].done == of(events, Prefilled)[-1].total == timing.prompt_tokens


async def test_the_step_that_finds_the_end_counts_and_its_token_does_not(chat: WorkerClient) -> None:
    events = await run(chat, ask("What is prefill?", tokens=300))
    timing = done(events, StopReason.END).timing
    assert timing is not None
    assert timing.decode_steps == timing.generated_tokens == sum(event.count for event in of(events, Tokens))
    assert timing.decode_s is not None
    assert timing.decode_s > sum(timing.itl_s)
    assert "<|" not in text_of(events)


async def test_the_end_can_be_ignored(chat: WorkerClient) -> None:
    events = await run(chat, ask("What is prefill?", tokens=60, ignore_end=True))
    timing = done(events, StopReason.LIMIT).timing
    assert timing is not None
    assert timing.generated_tokens == 60


@pytest.mark.parametrize(
    ("stop", "kept"),
    [
        ((" girl",), "little"),
        (("little girl",), ", there was a "),
        (("e in th",), "to play outsid"),  # begins and ends in the middle of a token
        (("nowhere", "Lily", "named"), "girl "),
        (("", "zzz", "Lily"), "named "),
    ],
)
async def test_a_stop_string_ends_the_answer_before_it(story: WorkerClient, stop: tuple[str, ...], kept: str) -> None:
    events = await run(story, tell(ONCE, 100, stop=stop))
    done(events, StopReason.STOP_STRING)
    text = text_of(events)
    assert text.endswith(kept)
    assert GREEDY.startswith(ONCE + text)
    assert not any(one and one in text for one in stop)


async def test_text_held_back_for_a_stop_string_comes_in_the_end(story: WorkerClient) -> None:
    free = await run(story, tell(ONCE, 12))
    held = await run(story, tell(ONCE, 12, stop=(text_of(free)[-3:] + "!!!",)))
    done(held, StopReason.LIMIT)
    assert text_of(held) == text_of(free)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    """256 tokens of context, batches that are smaller than it and no multiple of anything."""
    log = tmp_path_factory.mktemp("small") / "log"
    async with loaded(log, Load(path=str(STORY), threads=1, context=256, batch=100, micro_batch=512)) as client:
        yield client


async def test_a_full_context_ends_the_answer(small: WorkerClient) -> None:
    events = await run(small, tell(ONCE, 1000, ignore_end=True))
    timing = done(events, StopReason.CONTEXT_FULL).timing
    assert timing is not None
    assert timing.prompt_tokens + timing.depth + timing.decode_steps == 256
    assert timing.generated_tokens == timing.decode_steps + 1


async def test_a_prompt_longer_than_a_batch_is_read_in_parts(small: WorkerClient, story: WorkerClient) -> None:
    prompt = " ".join(["Lily saw a big dog and a red ball."] * 14)
    events = await run(small, tell(prompt, 8))
    assert prompted(events).tokens > 120
    assert len(of(events, Prefilled)) > 1
    assert text_of(events) == text_of(await run(story, tell(prompt, 8)))


@pytest.mark.parametrize("times", [30, 3_000, 30_000])
async def test_a_prompt_longer_than_the_context_is_refused_with_figures(small: WorkerClient, times: int) -> None:
    prompt = "Lily saw a big red ball. " * times
    failure = failed(await run(small, tell(prompt, 4)), FailureKind.CONTEXT_FULL)
    assert "256" in failure.message
    assert "larger context" in failure.message
    done(await run(small, tell(ONCE, 4)), StopReason.LIMIT)


async def test_a_context_smaller_than_the_engines_unit(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(STORY), threads=1, context=100)) as client:
        events = await run(client, tell("Lily saw a big dog. " * 12, 4))
        if isinstance(events[-1], Failed):
            failed(events, FailureKind.CONTEXT_FULL)
        else:
            done(events, StopReason.LIMIT)


@pytest.mark.parametrize("prompt", ["", "   ", "\x00", "\n\n"])
async def test_prompts_of_nothing(story: WorkerClient, prompt: str) -> None:
    """stories260K begins every text with BOS, so even an empty prompt can be continued."""
    events = await run(story, tell(prompt, 4))
    assert done(events, StopReason.LIMIT).timing is not None
    assert prompted(events).tokens >= 1


async def test_an_empty_prompt_of_a_model_without_bos_is_refused(tmp_path: Path, build: Build, pocket: Gguf) -> None:
    path = build("no-bos.gguf", pocket.set("tokenizer.ggml.add_bos_token", False).with_template("{{ '' }}"))
    async with loaded(tmp_path / "log", Load(path=str(path), threads=1)) as client:
        failure = failed(await run(client, tell("", 4)), FailureKind.BAD_REQUEST)
        assert "empty" in failure.message
        failed(await run(client, ask("This template says nothing.")), FailureKind.BAD_REQUEST)
        failed(await run(client, Generate()), FailureKind.BAD_REQUEST)
        done(await run(client, tell("What", 2)), StopReason.LIMIT)


async def test_a_model_without_a_template_holds_no_conversation(story: WorkerClient) -> None:
    failure = failed(await run(story, ask("Hello")), FailureKind.BAD_REQUEST)
    assert "no chat template" in failure.message
    assert "--raw" in failure.message


@pytest.mark.parametrize("text", ["half \ud83d a character", "Zażółć 😀 gęślą", "\x1b[31mred\x1b[0m", "a\r\nb\tc"])
async def test_any_text_can_be_a_prompt(chat: WorkerClient, text: str) -> None:
    done(await run(chat, tell(text, 2)), StopReason.LIMIT)
    done(await run(chat, ask(text, tokens=2)), StopReason.LIMIT)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 99.0}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"min_p": -1.0}, "min_p"),
        ({"top_k": -1}, "top_k"),
        ({"repeat_penalty": 0.0}, "repeat_penalty"),
        ({"repeat_last_n": -1}, "repeat_last_n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"seed": 2**32}, "seed"),
        ({"seed": -1}, "seed"),
    ],
)
async def test_sampling_out_of_range_is_refused(story: WorkerClient, changes: dict[str, float], named: str) -> None:
    sampling = msgspec.structs.replace(Sampling(), **changes)
    failure = failed(await run(story, Generate(prompt=ONCE, sampling=sampling)), FailureKind.BAD_REQUEST)
    assert named in failure.message


@pytest.mark.parametrize("value", [math.nan, math.inf, "hot", None])
async def test_a_value_of_no_use_is_refused(story: WorkerClient, value: object) -> None:
    sampling = msgspec.structs.replace(Sampling(), temperature=value)
    failure = failed(await run(story, Generate(prompt=ONCE, sampling=sampling)), FailureKind.BAD_REQUEST)
    assert "temperature" in failure.message
    done(await run(story, tell(ONCE, 2)), StopReason.LIMIT)


async def text_with(client: WorkerClient, **sampling: float) -> str:
    settings = msgspec.structs.replace(Sampling(max_tokens=40), **sampling)
    return text_of(await run(client, Generate(prompt=ONCE, sampling=settings, ignore_end=True)))


async def test_a_seed_gives_the_same_text_again(story: WorkerClient) -> None:
    first = await text_with(story, temperature=1.5, seed=7)
    assert await text_with(story, temperature=1.5, seed=7) == first
    assert await text_with(story, temperature=1.5, seed=8) != first
    assert await text_with(story, temperature=1.5, seed=2**32 - 1) != first


async def test_temperature_zero_ignores_the_seed_and_the_cuts(story: WorkerClient) -> None:
    greedy = await text_with(story, temperature=0, seed=1)
    assert greedy == await text_with(story, temperature=0, seed=2, top_k=5, top_p=0.1, min_p=0.9)
    assert greedy == await text_with(story, temperature=1.5, top_k=1, seed=3)
    assert GREEDY.startswith(ONCE + greedy[:40])


async def test_each_cut_has_an_effect(story: WorkerClient) -> None:
    greedy = await text_with(story, temperature=0)
    hot = await text_with(story, temperature=4.0, top_k=0, top_p=1, min_p=0, seed=5)
    assert hot != greedy
    assert await text_with(story, temperature=1.0, top_k=0, top_p=0.0001, min_p=0, seed=5) == greedy
    assert await text_with(story, temperature=1.0, top_k=0, top_p=1, min_p=1.0, seed=5) == greedy


async def test_the_repeat_penalty_has_an_effect(story: WorkerClient) -> None:
    free = await text_with(story, temperature=0, max_tokens=120)
    assert await text_with(story, temperature=0, max_tokens=120, repeat_penalty=1.8) != free
    assert await text_with(story, temperature=0, max_tokens=120, repeat_penalty=1.8, repeat_last_n=0) == free
    hot = {"temperature": 1.0, "seed": 4, "max_tokens": 60}
    assert await text_with(story, **hot) != await text_with(story, **hot, repeat_penalty=1.8)


async def test_a_second_turn_reads_only_what_is_new(chat: WorkerClient, tmp_path: Path) -> None:
    done(await run(chat, tell("clear", 1)), StopReason.LIMIT)
    first = await run(chat, ask("What is a token?", tokens=200))
    answer = text_of(first)
    second = await run(chat, ask("What is a token?", answer, "What is prefill?", tokens=60))
    timing = done(second, StopReason.END).timing
    assert timing is not None
    assert prompted(second).cached_tokens > prompted(first).tokens
    assert timing.depth == prompted(second).cached_tokens
    assert timing.prompt_tokens == prompted(second).tokens - timing.depth
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=1)) as fresh:
        again = await run(fresh, ask("What is a token?", answer, "What is prefill?", tokens=60))
    assert prompted(again).cached_tokens == 0
    assert text_of(again) == text_of(second) != ""


async def test_the_same_prompt_again_evaluates_one_token(chat: WorkerClient) -> None:
    first = await run(chat, ask("What can you do?", tokens=30))
    second = await run(chat, ask("What can you do?", tokens=30))
    assert isinstance(first[-1], Done)
    timing = done(second, first[-1].reason).timing
    assert timing is not None
    assert timing.prompt_tokens == 1
    assert text_of(first) == text_of(second)


async def test_the_prompt_shown_is_the_templates_text(chat: WorkerClient) -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "Hi"),
        Message("assistant", "Yes?"),
        Message("user", "Ä"),
    )
    events = await run(chat, Generate(messages=messages, sampling=Sampling(max_tokens=1, seed=11)))
    assert prompted(events).text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nYes?<|im_end|>\n<|im_start|>user\nÄ<|im_end|>\n<|im_start|>assistant\n"
    )
    assert prompted(events).seed == 11


async def test_a_worker_takes_another_model_and_forgets_the_first(tmp_path: Path) -> None:
    async with loaded(tmp_path / "log", Load(path=str(F16), threads=1)) as client:
        done(await run(client, ask("Hello", tokens=2)), StopReason.LIMIT)
        assert isinstance((await run(client, Load(path=str(STORY), threads=1)))[-1], Loaded)
        events = await run(client, tell(ONCE, 20))
        assert prompted(events).cached_tokens == 0
        assert GREEDY.startswith(ONCE + text_of(events))
        failed(await run(client, ask("Hello")), FailureKind.BAD_REQUEST)
        failed(await run(client, Load(path=str(tmp_path / "missing.gguf"))), FailureKind.BAD_FILE)


def swapped(model: Gguf, one: str, other: str) -> None:
    """Let two tokens of the vocabulary change places, so that the model says one where it said the other."""
    tokens, kinds = model.array("tokenizer.ggml.tokens"), model.array("tokenizer.ggml.token_type")
    first, second = tokens.index(one), tokens.index(other)
    for values in (tokens, kinds):
        values[first], values[second] = values[second], values[first]


async def test_bytes_of_a_character_in_several_tokens_and_an_invalid_one(tmp_path: Path, build: Build) -> None:
    """The greedy text begins ", there was a little girl named Lily."; three of its words become bytes."""
    model = Gguf.read(STORY)
    for word, byte in (("▁was", "<0xE2>"), ("▁a", "<0x82>"), ("▁little", "<0xAC>"), ("▁named", "<0xF0>")):
        swapped(model, word, byte)
    async with loaded(tmp_path / "log", Load(path=str(build("bytes.gguf", model)), threads=1)) as client:
        events = await run(client, tell(ONCE, 60))
    text = text_of(events)
    assert text.startswith(", there€ girl\ufffd Lily.")
    done(events, StopReason.LIMIT)
    assert len(text) > 100


@pytest.mark.parametrize("length", [33, 65, 500])
async def test_a_long_piece_is_said_whole(tmp_path: Path, build: Build, length: int) -> None:
    model = Gguf.read(STORY)
    tokens = model.array("tokenizer.ggml.tokens")
    tokens[tokens.index("▁little")] = "▁" + "l" * length
    async with loaded(tmp_path / "log", Load(path=str(build(f"piece-{length}.gguf", model)), threads=1)) as client:
        events = await run(client, tell(ONCE, 8))
    assert text_of(events).startswith(f", there was a {'l' * length} girl")
