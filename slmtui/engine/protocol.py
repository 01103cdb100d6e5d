"""The worker protocol: one JSON document a line, requests down, events up."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec

from slmtui.core.chat import Message
from slmtui.core.events import AnyEvent
from slmtui.core.sampling import Sampling

LINE_LIMIT_BYTES = 16 * 1024 * 1024
"""The longest line that either side accepts; asyncio's default of 64 KiB is too short for a long prompt."""

EMIT_EVERY_S = 0.020
"""Seconds between two events of an answer, unless the request says otherwise."""


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="request_kind"):
    """Something to do, numbered by the client."""

    number: int = 0


class Load(Request, frozen=True, kw_only=True, tag="load"):
    """Open a model file. With `inspect_only`, read the header and size every buffer, but allocate nothing."""

    path: str
    engine: str = "llama.cpp"
    device: str = "cpu"
    """"cpu", "cuda:0" or another of `llama_devices.chosen`."""
    gpu_layers: int = 0
    """Layers offloaded to the device, the output layer counting as one; -1 for all, -2 for as many as its free memory
    holds. The CPU takes none."""
    split_mode: str = "layer"
    """How several GPUs share the model: "layer", "row", or "none" for the first of them alone."""
    tensor_split: tuple[float, ...] = ()
    """Each GPU's share, in the order of the devices; empty for shares by free memory."""
    context: int | None = None
    """Tokens of context; None takes the file's own, at most 4,096."""
    threads: int = 1
    threads_batch: int | None = None
    """Threads for prefill; None takes `threads`."""
    batch: int = 2048
    micro_batch: int = 512
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attention: str = "auto"
    """"auto", "on" or "off"."""
    extra_buffers: bool = True
    """Allow repacked weights (AMX and the like); False after the engine's trial crashed with them."""
    memory_budget_bytes: int | None = None
    """Refuse with `out_of_memory` when the exact dry run needs more; None does not ask."""
    inspect_only: bool = False
    texts: tuple[str, ...] = ()
    """Texts of which an inspection says how many tokens each has."""
    sequences: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1
    """Branches of a text that the cache can hold at the same time, for `Score`; their number is llama.cpp's limit. A
    model with a recurrent state takes 8 of them at most, because each has a state of its own."""


class Generate(Request, frozen=True, kw_only=True, tag="generate"):
    """Answer a conversation, or continue a raw prompt (exactly one of the two is given)."""

    messages: tuple[Message, ...] = ()
    prompt: str | None = None
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    stop_after_text: bool = False
    """Whether white space at the beginning of the answer stops nothing."""
    ignore_end: bool = False
    """Go on past end-of-generation tokens, for benchmarks that need answers of one length."""
    emit_every_s: float = EMIT_EVERY_S
    """Tokens that come faster than this share an event; the first one has an event of its own at once."""
    threads: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Threads for this request, for prefill and decode alike; None takes those of the load."""


class Measure(Request, frozen=True, kw_only=True, tag="measure"):
    """Time prefill of `prompt_tokens` and decode of `generated_tokens`, each from `depth`: llama-bench's -p and -n.

    Token ids are drawn from the model's vocabulary by `seed`; nothing is sampled.
    """

    prompt_tokens: int = 512
    generated_tokens: int = 128
    depth: int = 0
    after_prompt: bool = False
    """Decode goes on from the prompt, as llama-bench's -pg has it, instead of from `depth`."""
    repetitions: int = 1
    warmup: bool = False
    """Marks the repetitions as uncounted."""
    seed: int = 0

    @property
    def context_needed(self) -> int:
        """Tokens of context that a repetition takes."""
        if self.after_prompt:
            return self.depth + self.prompt_tokens + self.generated_tokens
        return self.depth + max(self.prompt_tokens, self.generated_tokens)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt (a raw text, or a conversation that the model is about to answer; exactly one is given) and what may
    follow it.
    """

    prompt: str | None = None
    messages: tuple[Message, ...] = ()
    options: tuple[str, ...]
    """Each as the model would write it, the blank between prompt and answer included."""


class Score(Request, frozen=True, kw_only=True, tag="score"):
    """How likely each option of each question is; what their prompts share is evaluated once."""

    questions: tuple[Question, ...]


class Cancel(Request, frozen=True, kw_only=True, tag="cancel"):
    """Stop the running request; its last event follows as usual."""


class Shutdown(Request, frozen=True, kw_only=True, tag="shutdown"):
    """Free everything and exit with code 0."""


AnyRequest = Load | Generate | Measure | Score | Cancel | Shutdown

_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[AnyRequest] = msgspec.json.Decoder(AnyRequest)
_events: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def encode(document: Request | msgspec.Struct) -> bytes:
    """One line, its line break included.

    Bytes of a file name that are not UTF-8 are lone surrogates in Python; they survive the way.
    """
    try:
        return _encoder.encode(document) + b"\n"
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(document)).encode() + b"\n"


def decode_request(line: bytes) -> AnyRequest:
    """Read a request.

    Raises:
        msgspec.DecodeError: the line is not JSON or not a request.
    """
    try:
        return _requests.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        request: AnyRequest = msgspec.convert(_with_surrogates(line), AnyRequest)
        return request


def decode_event(line: bytes) -> AnyEvent:
    """Read an event.

    Raises:
        msgspec.DecodeError: the line is not JSON or not an event.
    """
    try:
        return _events.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        event: AnyEvent = msgspec.convert(_with_surrogates(line), AnyEvent)
        return event


def _with_surrogates(line: bytes) -> object:
    """What the line says; msgspec itself refuses lone surrogates.

    Raises:
        msgspec.DecodeError: the line is not JSON.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise msgspec.DecodeError(f"not JSON: {error}") from None
