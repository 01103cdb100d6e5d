"""Processor features as the systems spell them, in the words of `Cpu.instruction_sets`."""

from __future__ import annotations

from collections.abc import Iterable

_SPELLINGS = {
    "AMX": ("amx_tile", "amxtile"),
    "AVX-512 VNNI": ("avx512_vnni", "avx512vnni"),
    "AVX-512 BF16": ("avx512_bf16", "avx512bf16"),
    "AVX-512": ("avx512f",),
    "AVX-VNNI": ("avx_vnni", "avxvnni"),
    "AVX2": ("avx2", "avx2_0"),
    "FMA": ("fma",),
    "F16C": ("f16c",),
    "SME": ("sme", "feat_sme"),
    "SVE2": ("sve2",),
    "SVE": ("sve",),
    "i8mm": ("i8mm", "feat_i8mm"),
    "BF16": ("bf16", "feat_bf16"),
    "dotprod": ("asimddp", "feat_dotprod"),
    "FP16": ("asimdhp", "feat_fp16"),
    "NEON": ("asimd", "neon", "advsimd"),
}
"""From best to plainest; names as in Linux /proc/cpuinfo, py-cpuinfo and macOS hw.optional, in lower case."""


def instruction_sets(flags: Iterable[str]) -> tuple[str, ...]:
    """Those instruction sets among a processor's flags that make an engine faster, best first."""
    present = {flag.lower() for flag in flags}
    return tuple(name for name, spellings in _SPELLINGS.items() if not present.isdisjoint(spellings))
