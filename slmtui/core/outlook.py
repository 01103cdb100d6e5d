"""What to expect of a model on a machine: memory against what is free, largest context, speeds, and their basis."""

from __future__ import annotations

import msgspec

from slmtui.core import text
from slmtui.core.estimate import Anatomy, Range
from slmtui.core.estimate_memory import (
    CELLS,
    Host,
    Part,
    Setup,
    memory_parts,
    needed_bytes,
    process_bytes,
)
from slmtui.core.estimate_speed import Rates, read_bytes, speed, token_flops
from slmtui.core.fit import Fit, fit

LARGEST_CONTEXT = 131_072
"""No larger context is looked for, where a model's own is larger."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A graphics processor that the engine can use."""

    name: str
    free_bytes: int | None


class Corrections(msgspec.Struct, frozen=True, kw_only=True):
    """What measurements on this machine say about estimates made for it; see `core.estimate_learn`."""

    decode: dict[str, tuple[float, int]] = {}
    """By weight type: the factor on estimated tokens per second, and from how many models it was learnt."""
    prefill: dict[str, tuple[float, int]] = {}
    memory_bytes: int = 0
    """What processes take more than was estimated."""
    memory_models: int = 0


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as far as an outlook depends on it."""

    name: str
    """In words: "this machine", or the figures that a person typed."""
    host: Host = Host()
    available_bytes: int | None = None
    """Main memory that is free, container limits included."""
    gpus: tuple[Gpu, ...] = ()
    """Empty where models run on the processor."""
    rates: Rates = Rates()
    """Of the processor, or of the GPUs where there are any."""
    corrections: Corrections = Corrections()
    context: int | None = None
    """Tokens of context in the person's settings."""


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect; None where too little is known."""

    setup: Setup
    layers: int
    parts: tuple[Part, ...]
    process_bytes: int
    """What the operating system will charge to the worker, within 10 % on the machines where that was tried."""
    fit: Fit | None
    """Of main memory, which has to hold what the GPUs do not; of both where they are one."""
    trained_context: int | None
    """Tokens that the model was trained for."""
    largest_context: int | None
    """Tokens for which everything still fits, at most the model's own; 0 when none does."""
    decode_tps: Range | None
    """From an empty context."""
    prefill_tps: Range | None
    """Of a micro-batch from there."""
    read_bytes: int
    """Of weights that a decode step reads."""
    token_flops: int
    """Operations of prefill for a token, without attention's own."""
    basis: tuple[str, ...]
    """What the figures rest on, in sentences."""

    @property
    def needed_bytes(self) -> int:
        """Main memory that must be free."""
        return needed_bytes(self.parts, gpu=False)

    @property
    def gpu_bytes(self) -> int:
        """Video memory that must be free."""
        return needed_bytes(self.parts, gpu=True)


def outlook(anatomy: Anatomy, place: Place, context: int | None = None, kv_type: str = "f16") -> Outlook:
    """What to expect of a model with the context that it would be loaded with, unless another is given."""
    chosen = context or place.context or usual_context(anatomy)
    setup = placed(anatomy, place, Setup(context=chosen, type_k=kv_type, type_v=kv_type))
    parts = memory_parts(anatomy, setup, place.host)
    known = place.corrections
    said = speed(anatomy, setup, place.host, place.rates)
    if place.gpus and setup.gpu_layers <= anatomy.layers:
        partly = ("Speeds are not known for a model that the GPU does not hold whole.",)
        said = msgspec.structs.replace(said, decode_tps=None, prefill_tps=None, basis=partly)
    decode = corrected(said.decode_tps, known.decode, said.weight_type)
    prefill = corrected(said.prefill_tps, known.prefill, said.weight_type)
    return Outlook(
        setup=setup,
        layers=anatomy.layers,
        parts=parts,
        process_bytes=process_bytes(parts),
        fit=_fit(parts, place),
        trained_context=anatomy.trained_context,
        largest_context=largest_context(anatomy, place, kv_type),
        decode_tps=decode,
        prefill_tps=prefill,
        read_bytes=round(read_bytes(anatomy)),
        token_flops=round(token_flops(anatomy)),
        basis=(*_basis(anatomy, place, setup), *said.basis, *_learnt(known, said.weight_type)),
    )


def usual_context(anatomy: Anatomy) -> int:
    """Tokens of context that a model is loaded with where nobody chose: its own, at most 4,096."""
    return min(anatomy.trained_context or 4096, 4096)


def largest_context(anatomy: Anatomy, place: Place, kv_type: str = "f16") -> int | None:
    """Tokens for which everything still fits; 0 when none does, None when it is not known what is free."""
    top = min(anatomy.trained_context or LARGEST_CONTEXT, LARGEST_CONTEXT)

    def fits(context: int) -> bool:
        setup = placed(anatomy, place, Setup(context=context, type_k=kv_type, type_v=kv_type))
        verdict = _fit(memory_parts(anatomy, setup, place.host), place)
        return verdict is not None and verdict.verdict != "no"

    if place.available_bytes is None:
        return None
    if fits(top):
        return top
    low, high = 0, -(-top // CELLS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle * CELLS) else (low, middle)
    return low * CELLS


def placed(anatomy: Anatomy, place: Place, setup: Setup) -> Setup:
    """The setup with as many layers on the GPUs as their free memory holds; all of them where that is not known."""
    every = anatomy.layers + 1
    free = [gpu.free_bytes for gpu in place.gpus]
    if not place.gpus:
        return setup
    known = [bytes_ for bytes_ in free if bytes_ is not None]
    room = sum(known) if known else None
    for layers in range(every, 0, -1):
        tried = msgspec.structs.replace(setup, gpu_layers=layers)
        if room is None or needed_bytes(memory_parts(anatomy, tried, place.host), gpu=True) <= room:
            return tried
    return setup


def corrected(found: Range | None, known: dict[str, tuple[float, int]], kind: str | None) -> Range | None:
    """The estimate with what was learnt for the type; its interval narrows with the number of models."""
    factor, models = known.get(kind or "", (1.0, 0))
    if found is None or not models:
        return found
    likely = found.likely * factor
    narrow = 1 / (1 + models) ** 0.5
    return Range(
        likely * (1 - (1 - found.low / found.likely) * narrow),
        likely,
        likely * (1 + (found.high / found.likely - 1) * narrow),
    )


def _fit(parts: tuple[Part, ...], place: Place) -> Fit | None:
    """The verdict on main memory, since `placed` puts no more on the GPUs than they hold; on all where it is one."""
    main = needed_bytes(parts, gpu=False)
    if not place.host.unified:
        return fit(main, place.available_bytes)
    limits = [limit for limit in (place.available_bytes, *(gpu.free_bytes for gpu in place.gpus)) if limit is not None]
    return fit(main + needed_bytes(parts, gpu=True), min(limits, default=None))


def _basis(anatomy: Anatomy, place: Place, setup: Setup) -> list[str]:
    weights = {
        "file header": "Memory: weights as the file's header lists them",
        "catalog": "Memory: weights as large as the file, shared out by the catalog's architecture",
        "measurement": "Memory: weights as measured",
    }[anatomy.source]
    kinds = setup.type_k if setup.type_k == setup.type_v else f"{setup.type_k}/{setup.type_v}"
    said = [f"{weights}; KV cache for {setup.context:,} tokens in {kinds}; buffers by llama.cpp's rules; {place.name}."]
    if place.gpus:
        there = min(setup.gpu_layers, anatomy.layers + 1)
        names = ", ".join(gpu.name for gpu in place.gpus)
        said.append(f"{there} of {anatomy.layers + 1} layers (the output is one) on {names}.")
    if not place.host.charges_files:
        said.append("The worker's own memory was measured on Linux only.")
    return [*said, *anatomy.doubts]


def _learnt(known: Corrections, kind: str | None) -> list[str]:
    said = []
    for what, factors in (("Decode", known.decode), ("Prefill", known.prefill)):
        if kind in factors:
            factor, models = factors[kind]
            said.append(
                f"{what} times {factor:.2f}: so {text.counted(models, 'model')} with {kind} weights came out here."
            )
    if known.memory_models:
        sign = "more" if known.memory_bytes >= 0 else "less"
        amount = text.memory(abs(known.memory_bytes))
        said.append(
            f"The worker takes {amount} {sign}, as {text.counted(known.memory_models, 'model')} measured here did."
        )
    return said
