"""Models of many architectures and real sizes with random weights, quantized by llama.cpp."""

from __future__ import annotations

import math
import sys
from pathlib import Path

from peers.random_model import QUANTIZATIONS, quantize
from tests import families
from tests.engine.gguf_files import Tensor

ROWS = 64
"""Rows of a matrix that are drawn; the others repeat them, since a multiplication takes as long."""


def random_family(folder: Path, name: str, quantization: str) -> Path:
    """One of `families.MODELS`, made unless it is there; the seed is fixed."""
    path = folder / f"{name}-{quantization}.gguf"
    if not path.exists():
        print(f"Making {path.name} in {folder}.", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        model = families.model(name)
        for tensor_name, tensor in model.tensors.items():
            model.tensors[tensor_name] = _filled(tensor_name, tensor)
        full = model.write(folder / f"{name}-F16.gguf")
        if quantization != "F16":
            quantize(full, path, QUANTIZATIONS[quantization])
            full.unlink()
    return path


def _filled(name: str, tensor: Tensor) -> Tensor:
    """Matrices with the spread that keeps activations near 1, norms of 1, everything else small."""
    import numpy as np

    draw = np.random.default_rng(1)
    width, count = tensor.shape[0], math.prod(tensor.shape)
    if "norm.weight" in name or name.endswith("ssm_d"):
        numbers = np.ones(count, np.float32)
    elif name.endswith("ssm_a"):
        numbers = -np.ones(count, np.float32)
    elif len(tensor.shape) == 1:
        numbers = np.zeros(count, np.float32)
    else:
        rows = min(ROWS, count // width)
        drawn = draw.standard_normal((rows, width), dtype=np.float32) / np.sqrt(width)
        numbers = np.resize(drawn, count)
    data = numbers.astype(np.float16 if tensor.kind == 1 else np.float32).tobytes()
    return Tensor(tensor.shape, tensor.kind, data)
