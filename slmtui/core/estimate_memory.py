"""How much memory a model takes in a worker, part by part, before it is loaded.

Sizes follow from llama.cpp's source: weights as stored, and once more where the processor's kernels want them in
another order; caches by layer, context and type; compute buffers for a micro-batch. What the worker itself takes was
measured, and is corrected by what is measured on the machine (`estimate_learn`).
"""

from __future__ import annotations

import re
from math import prod
from typing import Literal

import msgspec

from slmtui.core.estimate import Anatomy, Group
from slmtui.core.gguf import TYPES_BY_NAME
from slmtui.core.machine import EngineState
from slmtui.core.work import Tensor, is_table, layer_of

MIB = 1024 * 1024
PartKind = Literal[
    "weights",
    "repacked weights",
    "file copy",
    "KV cache",
    "recurrent state",
    "compute",
    "output",
    "vocabulary",
    "worker",
    "GPU context",
]
WORKER_BYTES = 45 * MIB
"""Python, numpy and llama.cpp's libraries: what PSS has beyond all other parts on Linux x86-64 with Python 3.11, 45 to
46 MiB for a worker that is alone, 41 while others share its libraries."""
TOKEN_BYTES = {True: 310, False: 170}
"""Of main memory for each token of a vocabulary, with merges and without: llama.cpp keeps its text three times, its
score, a hash entry, and with merges a tree node of two texts. Measured with made-up vocabularies of 32,000 to 150,000
tokens."""
GPU_CONTEXT_BYTES = 616 * MIB
"""What the driver charges a worker beside llama.cpp's buffers: CUDA's context and cuBLAS, on an H200 with CUDA 13."""
MICRO_BATCH = 512
OUTPUTS = 32
"""Rows of logits that the worker's context has room for (`engine.llama_model.OUTPUTS`)."""
CELLS = 256
"""llama.cpp rounds contexts up to so many tokens."""
_AMX_BYTES = {"q8_0": 38, "q4_K": 148, "q5_K": 180, "iq4_xs": 138}
"""Of a block in AMX's order, where it is larger (ggml-cpu/amx/mmq.cpp, `get_row_size`)."""
_AMX_WIDTHS = {"q4_0": 64, "q4_1": 64, "q8_0": 64, "q4_K": 256, "q5_K": 256, "q6_K": 256, "iq4_xs": 256, "f16": 16}
"""Types that AMX's kernels take, and what a row's length must be a multiple of."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How the model would be loaded."""

    context: int
    type_k: str = "f16"
    type_v: str = "f16"
    gpu_layers: int = 0
    """Layers on the GPU: the output first, which counts as one, then from the last; more than there are means all."""


class Packing(msgspec.Struct, frozen=True, kw_only=True):
    """Which weights this build of llama.cpp keeps a second time, in the order that the processor's kernels want."""

    amx: bool = False
    features: frozenset[str] = frozenset()
    """Of the processor, in the words of the build's line, where repacking is on."""

    @classmethod
    def of(cls, engine: EngineState | None) -> Packing:
        """What the engine's build line says; nothing is repacked where the engine's trial crashed."""
        if engine is None or engine.trial in ("plain buffers only", "unusable") or not engine.build:
            return cls()
        on = frozenset(re.findall(r"(\w+) = 1\b", engine.build))
        return cls(amx="AMX_INT8" in on, features=on if "REPACK" in on else frozenset())

    def packed_bytes(self, tensor: Tensor) -> int | None:
        """Size of the second copy of a matrix; None where its numbers are used as they lie in the file."""
        width, rows = tensor.shape[:2]
        if (
            self.amx
            and tensor.shape[2] == 1
            and rows % 32 == 0
            and width % _AMX_WIDTHS.get(tensor.type, width + 1) == 0
        ):
            kind = TYPES_BY_NAME[tensor.type]
            return width // kind.block * _AMX_BYTES.get(tensor.type, kind.bytes) * rows
        every = self._rows_of(tensor.type)
        return tensor.bytes if every and rows % every == 0 else None

    def _rows_of(self, kind: str) -> int | None:
        """How many rows of this type are woven together (ggml-cpu/repack.cpp, `get_optimal_repack_type`)."""
        on = self.features
        neon = "NEON" in on and ("DOTPROD" in on or "MATMUL_INT8" in on)
        match kind:
            case "q4_0" | "iq4_nl" | "mxfp4":
                return 8 if "AVX2" in on else 4 if neon else None
            case "q4_K":
                return 8 if "AVX2" in on or neon else None
            case "q5_K" | "q6_K":
                return 8 if neon else None
            case "q8_0":
                return 4 if neon else None
            case "q2_K":
                return 8 if "AVX512" in on else None
            case _:
                return None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Some memory that the model takes."""

    kind: PartKind
    gpu: bool = False
    bytes: int
    charged: bool = True
    """Whether the operating system counts it as the worker's."""
    needed: bool = True
    """Whether decode slows down without it; a copy in the page cache can be dropped."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """What the machine has to do with how much memory a model takes."""

    packing: Packing = Packing()
    charges_files: bool = True
    """Whether mapped files count as the process's memory, as they do on Linux."""
    unified: bool = False
    """Whether the GPU uses main memory."""
    extra_bytes: int = 0
    """What earlier measurements here took more than was estimated."""


def memory_parts(anatomy: Anatomy, setup: Setup, host: Host) -> tuple[Part, ...]:
    """Everything that a worker takes once its context is full."""
    there = min(setup.gpu_layers, anatomy.layers + 1)
    share = _layer_share(anatomy, there)
    embedded = 8 * MICRO_BATCH * anatomy.hidden  # a micro-batch's rows, and their copy on the way to the GPU
    parts = [
        *_weight_parts(anatomy, there, host),
        *_split("KV cache", kv_bytes(anatomy, setup), share),
        *_split("recurrent state", anatomy.state_bytes, share),
        Part(kind="compute", bytes=compute_bytes(anatomy, setup) if share < 1 else embedded),
        Part(kind="output", bytes=4 * anatomy.vocabulary),
        Part(kind="vocabulary", bytes=TOKEN_BYTES[anatomy.merges] * anatomy.vocabulary),
        Part(kind="worker", bytes=max(0, WORKER_BYTES + host.extra_bytes)),
    ]
    if there:
        parts.append(Part(kind="compute", gpu=True, bytes=reserved_bytes(anatomy, setup)))
        if not host.unified:
            parts.append(Part(kind="GPU context", gpu=True, bytes=GPU_CONTEXT_BYTES))
    return tuple(part for part in parts if part.bytes)


def process_bytes(parts: tuple[Part, ...]) -> int:
    """What the operating system will charge to the worker in main memory."""
    return sum(part.bytes for part in parts if part.charged and not part.gpu)


def needed_bytes(parts: tuple[Part, ...], *, gpu: bool) -> int:
    """What must be free of one kind of memory."""
    return sum(part.bytes for part in parts if part.needed and part.gpu == gpu)


def cells(context: int, window: int | None) -> int:
    """Tokens that a layer's cache has room for: a window, and a micro-batch beside it."""
    whole = -(-context // CELLS) * CELLS
    return whole if window is None else min(whole, -(-(window + min(MICRO_BATCH, context)) // CELLS) * CELLS)


def kv_bytes(anatomy: Anatomy, setup: Setup) -> int:
    """Keys and values of every layer for the whole context."""
    key, value = TYPES_BY_NAME[setup.type_k], TYPES_BY_NAME[setup.type_v]
    return sum(
        one.layers * cells(setup.context, one.window) * (key.size(one.keys) + value.size(one.values))
        for one in anatomy.caches
    )


def compute_bytes(anatomy: Anatomy, setup: Setup) -> int:
    """What a micro-batch of a full context touches: activations, masks, and one row of logits after them.

    Beside the buffer that llama.cpp reports, the processor's threads need the widest input of a matrix in the type
    that it is multiplied in: 8 bits and scales for quantized weights, else 16 bits.
    """
    tokens = min(MICRO_BATCH, setup.context)
    widest = max((_input_bytes(group) for group in anatomy.groups), default=0.0)
    return round(_activation_bytes(anatomy, setup) + tokens * widest)


def reserved_bytes(anatomy: Anatomy, setup: Setup) -> int:
    """The compute buffer as llama.cpp reserves it: the same, or 32 rows of logits where they are larger."""
    return max(_activation_bytes(anatomy, setup), OUTPUTS * 4 * anatomy.vocabulary + 4 * MICRO_BATCH * anatomy.hidden)


def _activation_bytes(anatomy: Anatomy, setup: Setup) -> int:
    tokens = min(MICRO_BATCH, setup.context)
    masks = {cells(setup.context, one.window) for one in anatomy.caches}
    # Flash attention takes masks of 16 bits; 10 numbers are positions, ids and places in the cache.
    return tokens * (4 * (anatomy.width + 10) + 2 * sum(masks))


def _input_bytes(group: Group) -> float:
    tensor = group.tensor
    if tensor.shape[1] == 1 or is_table(tensor):
        return 0.0
    return (2 if tensor.type in ("f16", "bf16") else 292 / 256) * tensor.shape[0]


def _split(kind: PartKind, size: int, share: float) -> list[Part]:
    there = round(size * share)
    return [Part(kind=kind, bytes=size - there), Part(kind=kind, gpu=True, bytes=there)]


def _weight_parts(anatomy: Anatomy, there: int, host: Host) -> list[Part]:
    """Weights in the mapped file, repacked ones with what of the file stays mapped behind them, and those on the GPU.

    `there` layers are on the GPU. The embedding never is; where it is the output matrix too, that is a matrix of its
    own if it is repacked or on the GPU, and else the same bytes.
    """
    in_file = packed = copies = on_gpu = 0.0
    output_there = there > 0
    here = 1 - _layer_share(anatomy, there)
    for tensor, times in anatomy.groups:
        size = float(tensor.bytes * times)
        if layer_of(tensor.name) is not None:
            on_gpu += size * (1 - here)
            size *= here
        elif tensor.name.startswith("output") and output_there:
            on_gpu += size
            continue
        again = None if is_table(tensor) else host.packing.packed_bytes(tensor)
        if tensor.name == "token_embd.weight" and anatomy.tied:
            again = None if output_there else host.packing.packed_bytes(tensor)
            on_gpu += size if output_there else 0
        if again is None:
            in_file += size
        else:
            # A card's matrices are as large as the file's size makes them, so the shape alone tells too little.
            packed += size * again / TYPES_BY_NAME[tensor.type].size(prod(tensor.shape))
            copies += size
    if not there:
        copies -= _unmapped_bytes(anatomy, host)
    return [
        Part(kind="weights", bytes=round(in_file), charged=host.charges_files),
        Part(kind="repacked weights", bytes=round(packed)),
        Part(kind="file copy", bytes=round(copies), charged=host.charges_files, needed=False),
        Part(kind="weights", gpu=True, bytes=round(on_gpu)),
    ]


def _unmapped_bytes(anatomy: Anatomy, host: Host) -> int:
    """Repacked matrices at both ends of the file, whose part of the file llama.cpp gives back."""
    first, last = anatomy.ends
    given_back = 0
    for tensors in (first, last[::-1]):
        for tensor in tensors:
            if host.packing.packed_bytes(tensor) is None:
                break
            given_back += tensor.bytes
    return given_back


def _layer_share(anatomy: Anatomy, there: int) -> float:
    """Share of the layers that are on the GPU when it holds so many, the output first."""
    return max(0, there - 1) / anatomy.layers if anatomy.layers else 0.0
