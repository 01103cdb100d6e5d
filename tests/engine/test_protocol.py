from __future__ import annotations

import math

import msgspec
import pytest

from slmtui.core.chat import Message
from slmtui.core.events import (
    AnyEvent,
    Done,
    Failed,
    FailureKind,
    Inspected,
    Loaded,
    Loading,
    MemoryPart,
    MemorySampled,
    ModelFacts,
    OptionScore,
    Prefilled,
    ProcessMemory,
    Prompted,
    Repeated,
    Scored,
    StopReason,
    Timing,
    Tokens,
)
from slmtui.core.sampling import Sampling
from slmtui.engine import protocol
from slmtui.engine.protocol import AnyRequest, Cancel, Generate, Load, Measure, Question, Score, Shutdown

TIMING = Timing(depth=3, prompt_tokens=5, prefill_s=0.1 + 0.2, decode_steps=2, token_at_s=(1 / 3, 2 / 3, 1e-9))
PARTS = (MemoryPart("weights", "CPU", 2**40), MemoryPart("recurrent state", "CUDA0", 0))

REQUESTS: list[AnyRequest] = [
    Load(number=1, path="/models/ü 日本\n\x1b[31m.gguf"),
    Load(
        path="C:\\models\\a.gguf",
        engine="mlx",
        device="gpu",
        gpu_layers=-1,
        split_mode="row",
        tensor_split=(3.0, 1.5),
        context=4096,
        threads=3,
        threads_batch=4,
        batch=5,
        micro_batch=6,
        type_k="q8_0",
        type_v="q4_0",
        flash_attention="on",
        extra_buffers=False,
        memory_budget_bytes=2**41,
        inspect_only=True,
        texts=("", "ü"),
        sequences=256,
    ),
    Load(path="/bytes/that/are/no/utf-8/\udcff\udce9.gguf"),
    Generate(number=2**31, messages=(Message("system", ""), Message("user", "a\x00b\u2028\U0001f600"))),
    Generate(
        prompt="", sampling=Sampling(temperature=0.1, seed=2**32 - 1, max_tokens=1), stop=("\n", ""), ignore_end=True
    ),
    Generate(prompt="half of \ud83d a character"),
    Generate(prompt="long " * 100_000),
    Measure(number=3, prompt_tokens=1, generated_tokens=2, depth=3, repetitions=4, warmup=True, seed=5),
    Measure(after_prompt=True),
    Score(
        questions=(
            Question(prompt="a\n", options=(" b", "\ud83d")),
            Question(messages=(Message("user", ""),), options=()),
        )
    ),
    Cancel(number=6),
    Shutdown(number=7),
]
EVENTS: list[AnyEvent] = [
    Loading(request=1, fraction=0.25, planned=PARTS),
    Inspected(facts=ModelFacts(name="x", parameters=2**40), planned=(), tokens=(0, 7)),
    Loaded(facts=ModelFacts(), load_s=0.5, memory=PARTS, page_cache="cold"),
    Prompted(text="<|im_start|>\n" * 30_000, tokens=5, cached_tokens=4, seed=3),
    Prompted(text="half \udc80", tokens=1, cached_tokens=0),
    Prefilled(done=1, total=2, elapsed_s=1e-6, filling=True),
    Tokens(text="a\ufffd\x1b[2J\u202e", count=2, at_s=(0.1, 0.2)),
    Scored(
        index=1, prompt="p", prompt_tokens=3, options=(OptionScore(-1.5, 2, 3, True), OptionScore(-1e6, 1, 1, False))
    ),
    MemorySampled(at_s=0.25, memory=ProcessMemory(rss_bytes=5), peak_rss_bytes=6, peak=ProcessMemory(gpu_bytes=7)),
    Repeated(timing=TIMING, warmup=True),
    *(Done(reason=reason, timing=TIMING) for reason in StopReason),
    *(Failed(kind=kind, message="m", log_tail="l\n", signal=9) for kind in FailureKind),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
def test_requests_survive_the_way(request_: AnyRequest) -> None:
    line = protocol.encode(request_)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert protocol.decode_request(line) == request_


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_survive_the_way(event: AnyEvent) -> None:
    line = protocol.encode(event)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert protocol.decode_event(line) == event


def test_every_kind_is_tried() -> None:
    assert {type(request) for request in REQUESTS} == set(AnyRequest.__args__)
    assert {type(event) for event in EVENTS} == set(AnyEvent.__args__)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b"\xff\xfe\n",
        b'{"request_kind":"dance"}\n',
        b'{"request_kind":"load"}\n',
        b'{"request_kind":"load","path":5}\n',
        b'{"request_kind":"generate","messages":[{"role":"boss","content":"x"}]}\n',
        b'{"request_kind":"generate","prompt":"\xff"}\n',
        b'{"event":"tokens","text":"a"}\n',
        b'{"event":"done","reason":"end of generation"} {"event":"done"}\n',
        b'{"event":"failed","kind":"odd","message":"\\udcff"}\n',
        b'{"event":"memory","at_s":"soon"}\n',
        b"[" * 200_000,
        b"9" * 10_000,
    ],
)
def test_what_is_not_in_the_protocol_is_a_decode_error(line: bytes) -> None:
    for decode in (protocol.decode_request, protocol.decode_event):
        with pytest.raises(msgspec.DecodeError):
            decode(line)


def test_a_figure_that_is_not_a_number_becomes_none() -> None:
    """JSON has no NaN; a reader gets None, never 0."""
    event = protocol.decode_event(protocol.encode(Done(reason=StopReason.END, timing=Timing(prefill_s=math.nan))))
    assert isinstance(event, Done)
    assert event.timing is not None
    assert event.timing.prefill_s is None
