"""What llama-bench prints, field by field and character by character, of a build of 2026 and of one of 2024."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

Row = Mapping[str, object]

PREFILL: Row = {
    "build_commit": "0c1e570",
    "build_number": 6789,
    "cpu_info": "Intel(R) Xeon(R) Processor",
    "gpu_info": "",
    "backends": "CPU",
    "model_filename": "models/stories-Q8_0.gguf",
    "model_type": "llama 1B Q4_K - Medium",
    "model_size": 2233344,
    "model_n_params": 2098432,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 2,
    "cpu_mask": "0x0",
    "cpu_strict": False,
    "poll": 50,
    "type_k": "f16",
    "type_v": "q8_0",
    "n_gpu_layers": -1,
    "n_cpu_moe": 0,
    "split_mode": "layer",
    "main_gpu": 0,
    "no_kv_offload": False,
    "flash_attn": -1,
    "devices": "auto",
    "tensor_split": "0.00",
    "tensor_buft_overrides": "none",
    "load_mode": "auto",
    "lazy_mode": "auto",
    "embeddings": False,
    "no_op_offload": 0,
    "no_host": False,
    "repack": True,
    "fit_target": 0,
    "fit_min_ctx": 0,
    "n_prompt": 512,
    "n_gen": 0,
    "n_depth": 64,
    "test_time": "2026-11-21T09:43:00Z",
    "avg_ns": 250_000_000,
    "stddev_ns": 10_000_000,
    "avg_ts": 2050.190031,
    "stddev_ts": 82.068379,
    "samples_ns": [250_000_000, 260_000_000, 240_000_000],
    "samples_ts": [2048.0, 1969.23, 2133.33],
}
DECODE: Row = {
    **PREFILL,
    "n_prompt": 0,
    "n_gen": 128,
    "test_time": "2026-11-21T09:43:05Z",
    "avg_ns": 500_000_000,
    "stddev_ns": 7_071_067,
    "avg_ts": 256.025602,
    "stddev_ts": 3.6,
    "samples_ns": [495_000_000, 505_000_000],
    "samples_ts": [258.58, 253.46],
}
BOTH: Row = {**PREFILL, "n_prompt": 512, "n_gen": 128}
"""A row of -pg: one figure for prompt and generation."""
OLD: Row = {
    "build_commit": "d5c05821",
    "build_number": 3332,
    "cuda": True,
    "vulkan": False,
    "kompute": False,
    "metal": False,
    "sycl": False,
    "rpc": "0",
    "gpu_blas": True,
    "blas": True,
    "cpu_info": "AMD Ryzen 7 5800X 8-Core Processor",
    "gpu_info": "NVIDIA GeForce RTX 4070",
    "model_filename": "C:\\models\\seven.gguf",
    "model_type": "llama 7B Q4_0",
    "model_size": 3825807360,
    "model_n_params": 6738415616,
    "n_batch": 2048,
    "n_ubatch": 512,
    "n_threads": 8,
    "type_k": "f16",
    "type_v": "f16",
    "n_gpu_layers": 99,
    "split_mode": "row",
    "main_gpu": 0,
    "no_kv_offload": False,
    "flash_attn": True,
    "tensor_split": "0.00",
    "use_mmap": False,
    "embeddings": False,
    "n_prompt": 0,
    "n_gen": 128,
    "test_time": "2024-07-08T12:00:00Z",
    "avg_ns": 1_280_000_000,
    "stddev_ns": 0,
    "avg_ts": 100.0,
    "stddev_ts": 0.0,
    "samples_ns": [1_280_000_000],
    "samples_ts": [100.0],
}
MARKDOWN = """\
| model                |       size |     params | backend | threads |  test |                  t/s |
| -------------------- | ---------: | ---------: | ------- | ------: | ----: | -------------------: |
| llama ?B Q8_0        |   2.13 MiB |     2.10 M | CPU     |       2 |  pp16 |   8215.10 ± 13920.83 |

build: 0c1e570 (1)
"""
SQL = "CREATE TABLE IF NOT EXISTS llama_bench (\n  build_commit TEXT,\n  build_number INTEGER\n);\n\n"


def as_json(*rows: Row) -> str:
    """`-o json`: an array, printed row by row."""
    return "[\n" + ",\n".join("  {\n" + ",\n".join(_pairs(row, "    ")) + "\n  }" for row in rows) + "\n]\n"


def as_jsonl(*rows: Row) -> str:
    """`-o jsonl`: an object a line."""
    return "".join("{" + ", ".join(_pairs(row, "")) + "}\n" for row in rows)


def as_csv(*rows: Row) -> str:
    """`-o csv`: names as they are, every value in quotes, no samples."""
    names = [name for name in rows[0] if not name.startswith("samples_")]
    lines = [",".join(names)]
    lines += [",".join(_quoted(row[name]) for name in names) for row in rows]
    return "\n".join(lines) + "\n"


def _pairs(row: Row, indent: str) -> list[str]:
    return [f'{indent}"{name}": {_value(value)}' for name, value in row.items()]


def _value(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[ {', '.join(map(str, value))} ]"
    return json.dumps(value, ensure_ascii=False)


def _quoted(value: object) -> str:
    words = str(int(value)) if isinstance(value, bool) else str(value)
    return '"' + words.replace('"', '""') + '"'
