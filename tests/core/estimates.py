"""Small anatomies and machines for tests of estimates."""

from __future__ import annotations

import msgspec

from slmtui.core.ceiling import StepRate
from slmtui.core.estimate import Anatomy, Cache, Group
from slmtui.core.estimate_memory import Host, Packing, Part, Setup
from slmtui.core.estimate_speed import Rates
from slmtui.core.gguf import TYPES_BY_NAME
from slmtui.core.outlook import Place
from slmtui.core.work import Tensor

MIB = 1024**2
GIB = 1024**3
SHORT = Setup(context=512)
LAYER = 1024 * (2 * 1024 + 2 * 256 + 3 * 2560)
"""Weights of a layer of `anatomy`."""
WEIGHTS = 1024 * 32_768 + 8 * LAYER
AMX = Packing(amx=True, features=frozenset(("AMX_INT8", "AVX2", "AVX512", "REPACK")))


def sizes(parts: tuple[Part, ...], *, gpu: bool = False) -> dict[str, int]:
    """Bytes by kind of part."""
    return {part.kind: part.bytes for part in parts if part.gpu == gpu}


def tensor(name: str, kind: str, width: int, rows: int) -> Tensor:
    """A matrix of this type."""
    return Tensor(name, kind, (width, rows, 1, 1), TYPES_BY_NAME[kind].size(width * rows))


def anatomy(kind: str = "q8_0", **changes: object) -> Anatomy:
    """Eight layers of 1,024 with a tied embedding of 32,768 words: 118 million weights."""
    base = Anatomy(
        source="file header",
        architecture="llama",
        layers=8,
        hidden=1024,
        vocabulary=32_768,
        merges=False,
        trained_context=8192,
        groups=(
            Group(tensor("token_embd.weight", kind, 1024, 32_768), 1),
            Group(tensor("blk.0.attn_q.weight", kind, 1024, 1024), 8),
            Group(tensor("blk.0.attn_k.weight", kind, 1024, 256), 8),
            Group(tensor("blk.0.attn_v.weight", kind, 1024, 256), 8),
            Group(tensor("blk.0.attn_output.weight", kind, 1024, 1024), 8),
            Group(tensor("blk.0.ffn_gate.weight", kind, 1024, 2560), 8),
            Group(tensor("blk.0.ffn_up.weight", kind, 1024, 2560), 8),
            Group(tensor("blk.0.ffn_down.weight", kind, 2560, 1024), 8),
        ),
        caches=(Cache(8, 256, 256, None),),
        width=3 * 2560 + 4 * 1024,
    )
    return msgspec.structs.replace(base, **changes)


RATES = Rates(
    read_bytes_per_s=40e9,
    steps={"q8_0": (StepRate(16 * MIB, 50e9), StepRate(192 * MIB, 25e9))},
    matmul={"q8_0": 500e9, "f32": 200e9},
    threads=2,
    basis="measured on this machine",
)


def place(**changes: object) -> Place:
    """A machine with 8 GiB free."""
    base = Place(name="this machine", host=Host(), available_bytes=8 * GIB, rates=RATES)
    return msgspec.structs.replace(base, **changes)
