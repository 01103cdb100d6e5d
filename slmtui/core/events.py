"""What a worker reports, as frozen values: facts, progress, timings, failures.

Times are seconds measured in the worker on its monotonic clock; sizes are bytes; speeds are tokens per second.
"""

from __future__ import annotations

import enum
import math
from itertools import pairwise
from typing import Literal

import msgspec

MemoryKind = Literal["weights", "KV cache", "recurrent state", "compute", "output"]


MAIN_MEMORY = "CPU"
"""The device of a `MemoryPart` that lies in main memory."""


class MemoryPart(msgspec.Struct, frozen=True):
    """One buffer that the engine allocated, or would allocate, on one device."""

    kind: MemoryKind
    device: str
    bytes: int


class ProcessMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What the operating system charges to the worker; None where it has no such figure.

    Linux reads `/proc/self/smaps_rollup` (RSS, PSS, USS), macOS `phys_footprint`, Windows the private working set.
    """

    rss_bytes: int | None = None
    pss_bytes: int | None = None
    uss_bytes: int | None = None
    footprint_bytes: int | None = None
    gpu_bytes: int | None = None
    """Video memory of this process on all GPUs (NVML); None where the driver does not say."""

    def at_least(self, other: ProcessMemory) -> ProcessMemory:
        """The larger of each figure; one that only one side has counts."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__struct_fields__)
        return ProcessMemory(**{name: a if b is None else b if a is None else max(a, b) for name, a, b in pairs})

    @property
    def charged_bytes(self) -> int | None:
        """The platform's fairest single figure: footprint, else PSS, else USS, else RSS."""
        for value in (self.footprint_bytes, self.pss_bytes, self.uss_bytes, self.rss_bytes):
            if value is not None:
                return value
        return None


class EngineMemory(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine with an allocator of its own says of it (MLX); it need not agree with the operating system."""

    active_bytes: int
    """Of arrays that are in use."""
    cache_bytes: int
    """Of buffers that were freed and are kept for the next arrays."""
    peak_bytes: int
    """The most that was in use at once since the worker started."""


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine read from the model file's header; None where the file does not say."""

    name: str | None = None
    architecture: str | None = None
    quantization: str | None = None
    parameters: int | None = None
    weights_bytes: int | None = None
    layers: int | None = None
    hidden_size: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    vocabulary: int | None = None
    trained_context: int | None = None
    licence: str | None = None
    description: str | None = None
    template_source: str | None = None
    """Where the chat template comes from ("file header"); None when the file has none."""
    template_sha256: str | None = None
    """Hash of the chat template's text as it stands in the file (UTF-8)."""
    engine: str | None = None
    """Engine name and version, e.g. "llama.cpp via llama-cpp-python 0.3.36"."""
    engine_build: str | None = None
    """The engine's own line on the instruction sets and backends that it was built with."""
    context: int | None = None
    """Tokens that this load's KV cache holds."""
    threads: int | None = None
    device: str | None = None
    gpu_layers: int | None = None
    extra_buffers: bool | None = None
    """Whether repacked weights (AMX and the like) were allowed; False after the engine's trial crashed."""
    flash_attention: bool | None = None
    """Whether the engine uses flash attention, once "auto" is resolved."""
    kv_type: str | None = None
    """Numbers of the KV cache where the engine chooses them ("bf16"); None where the load does."""
    head_size: int | None = None
    """Numbers of one head's key (its value has as many, as a rule)."""
    decode_read_bytes: int | None = None
    """Bytes of weights that one decode step reads; of an embedding that is not the output matrix too, one row."""
    prefill_flops: int | None = None
    """Floating-point operations of the matrix multiplications for one prompt token, without attention's own; the output
    matrix does not count, because prefill needs the logits of the last token only."""
    attention_flops: int | None = None
    """Floating-point operations of attention for one token and one token that it looks at, over all layers; None where
    some layers look at a window only."""
    weight_type: str | None = None
    """Type of most of the weights that prefill multiplies with, in ggml's words: "f16", "q8_0", "q4_K"."""


class StopReason(enum.Enum):
    """Why a request ended."""

    END = "end of generation"
    LIMIT = "token limit"
    STOP_STRING = "stop string"
    CONTEXT_FULL = "context full"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


class FailureKind(enum.Enum):
    """The closed list of ways in which a request can fail."""

    BAD_FILE = "bad_file"
    UNSUPPORTED_ARCHITECTURE = "unsupported_architecture"
    OUT_OF_MEMORY = "out_of_memory"
    CONTEXT_FULL = "context_full"
    ENGINE_MISSING = "engine_missing"
    BAD_REQUEST = "bad_request"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    INTERNAL = "internal"


class Energy(msgspec.Struct, frozen=True, kw_only=True):
    """Joules that a meter counted in each phase."""

    meter: str
    """Which meter: "RAPL package-0", "NVML GPU 0", "battery"."""
    prefill_j: float | None = None
    decode_j: float | None = None


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The clock readings of one generation or of one repetition of a benchmark."""

    depth: int = 0
    """Tokens in the context before the measured part (cached ones, for a chat)."""
    prompt_tokens: int = 0
    """Tokens that prefill evaluated; cached ones do not count."""
    prefill_s: float | None = None
    """From submitting the first prompt batch until the engine is idle; no tokenizing, no sampling."""
    generated_tokens: int = 0
    """Tokens of the answer, without the one that ended it."""
    decode_steps: int = 0
    """Evaluations of one token each; the first token of an answer belongs to prefill and is not one."""
    decode_s: float | None = None
    """Time over all decode steps."""
    ttft_s: float | None = None
    """From accepting the request until the first token's text; tokenizing and sampling included. A benchmark's prompt
    is token ids, so its figure begins with submitting them and has no tokenizing in it."""
    token_at_s: tuple[float, ...] = ()
    """When each token was ready, since the request was accepted (a repetition's depth and prefill come before)."""
    depth_s: float | None = None
    """Time that a repetition took to bring the context to its depth, which no speed counts."""
    engine_prefill_s: float | None = None
    """The engine's own counter for the prefill of `prompt_tokens`; None where it has none."""
    engine_decode_s: float | None = None
    """The engine's own counter for the decode steps; None where it has none."""
    energy: Energy | None = None
    """None where no meter can be read without privileges."""

    @property
    def prefill_tps(self) -> float | None:
        """Prompt tokens per second of prefill; None when none was evaluated."""
        return _rate(self.prompt_tokens, self.prefill_s)

    @property
    def decode_tps(self) -> float | None:
        """Decode steps per second; None before the first step."""
        return _rate(self.decode_steps, self.decode_s)

    @property
    def itl_s(self) -> tuple[float, ...]:
        """Inter-token latencies: the times between successive tokens."""
        return tuple(later - earlier for earlier, later in pairwise(self.token_at_s))


def _rate(count: int, seconds: float | None) -> float | None:
    if not count or seconds is None or seconds <= 0 or not math.isfinite(seconds):
        return None
    return count / seconds


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Something that a worker says about the request with this number."""

    request: int = 0


class Loading(Event, frozen=True, kw_only=True, tag="loading"):
    """Part of the model is in memory; the first one carries the exact dry run of what will be allocated."""

    fraction: float
    planned: tuple[MemoryPart, ...] = ()


class Inspected(Event, frozen=True, kw_only=True, tag="inspected"):
    """Facts and exact memory need of a model that was not loaded."""

    facts: ModelFacts
    planned: tuple[MemoryPart, ...]
    tokens: tuple[int, ...] = ()
    """Number of tokens of each text that was asked about, without a beginning-of-sequence token."""


class Loaded(Event, frozen=True, kw_only=True, tag="loaded"):
    """The model is ready to generate."""

    facts: ModelFacts
    load_s: float
    memory: tuple[MemoryPart, ...]
    page_cache: Literal["cold", "warm", "unknown"] = "unknown"


class Prompted(Event, frozen=True, kw_only=True, tag="prompted"):
    """The exact text that the model is about to read, and how many of its tokens are cached already."""

    text: str
    tokens: int
    cached_tokens: int
    seed: int | None = None


class Prefilled(Event, frozen=True, kw_only=True, tag="prefill"):
    """Progress of prefill, in tokens that have to be evaluated."""

    done: int
    total: int
    elapsed_s: float
    filling: bool = False
    """Whether this only brings the context to a benchmark's depth, which no speed counts."""


class Tokens(Event, frozen=True, kw_only=True, tag="tokens"):
    """New tokens: their text (which may lag behind the count while a character or stop string is incomplete)."""

    text: str
    count: int
    at_s: tuple[float, ...]
    """When each was ready, since the request was accepted."""


class MemorySampled(Event, frozen=True, kw_only=True, tag="memory"):
    """The worker's memory as the operating system sees it, taken unasked at most four times a second.

    A model of several GiB is looked at less often, so that the samples take no more than 1 % of a core.
    """

    at_s: float
    memory: ProcessMemory
    peak_rss_bytes: int | None = None
    """The largest resident size that the worker ever had, by the system's own account."""
    peak: ProcessMemory | None = None
    """The largest of each figure since the worker started: of RSS by the system's account, of all others in samples."""
    engine: EngineMemory | None = None
    """The engine's own account; None where it keeps none."""


class Repeated(Event, frozen=True, kw_only=True, tag="repetition"):
    """One repetition of a measurement."""

    timing: Timing
    warmup: bool = False


class OptionScore(msgspec.Struct, frozen=True, array_like=True):
    """How likely an option is after its prompt."""

    logprob: float
    """Natural logarithm of its probability: the sum over its tokens."""
    tokens: int
    """How many tokens were scored."""
    bytes: int
    """UTF-8 bytes of its text without the white space around it."""
    greedy: bool
    """Whether each of its tokens is the most likely one in its place."""


class Scored(Event, frozen=True, kw_only=True, tag="scored"):
    """One question of a `Score` request, its options in their order."""

    index: int
    """Its place among the request's questions, from 0; questions may come in another order."""
    prompt: str
    """The exact text that the model read before the options."""
    prompt_tokens: int
    """Tokens before the first one that was scored, the same for all options."""
    options: tuple[OptionScore, ...]


class Done(Event, frozen=True, kw_only=True, tag="done"):
    """The request ended as asked or was cancelled; always the last event of its request."""

    reason: StopReason
    timing: Timing | None = None


class Failed(Event, frozen=True, kw_only=True, tag="failed"):
    """The request failed; always the last event of its request."""

    kind: FailureKind
    message: str
    """A sentence that a person can act on."""
    log_tail: str = ""
    signal: int | None = None
    """The signal that ended the worker, where one did."""


AnyEvent = (
    Loading | Inspected | Loaded | Prompted | Prefilled | Tokens | MemorySampled | Repeated | Scored | Done | Failed
)
Ending = Inspected | Loaded | Done | Failed


def total_bytes(parts: tuple[MemoryPart, ...], kind: MemoryKind | None = None) -> int:
    """Sum of the parts' sizes, of one kind or of all."""
    return sum(part.bytes for part in parts if kind is None or part.kind == kind)
