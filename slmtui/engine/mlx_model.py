"""An MLX model: opened lazily to see what it will take, then read into memory part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import get_total_parameters, load_model

from slmtui.core.events import MAIN_MEMORY, MemoryPart, ModelFacts
from slmtui.engine.backends import EngineError
from slmtui.engine.mlx_checks import load_failure
from slmtui.engine.mlx_device import build_line, engine_name, use_device, wire_memory, working_set_bytes
from slmtui.engine.mlx_files import ModelFolder
from slmtui.engine.mlx_sizes import cells, is_quantized, read_bytes, weights_bytes
from slmtui.engine.mlx_text import Template
from slmtui.engine.protocol import Load

DEFAULT_CONTEXT = 4096
RAISED_BY_MODELS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What building a model from somebody else's config and weights can end with."""
_PART_BYTES = 64 * 1024 * 1024
"""Weights that are read between two looks at whether to stop."""
_PROCESSOR_TOKENS = 64
"""More in one go are no faster on a processor: Pocket 5M in bf16 reads 664 a second 64 at a time, 637 with 128."""
_LABELS = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}


class OpenModel:
    """A model whose weights stay in their files until `read` is called."""

    def __init__(self, folder: ModelFolder, request: Load) -> None:
        """Open it.

        Raises:
            EngineError: MLX does not know the model, its parts do not fit together, or there is no such device.
        """
        self.folder = folder
        self.request = request
        self.device = use_device(request.device)
        self.working_set_bytes = working_set_bytes() if self.device == "metal" else None
        """What macOS lets the GPU keep resident."""
        try:
            with chdir(folder.path):  # mlx-lm takes its path for a pattern, and MLX for UTF-8
                self.model, _ = load_model(Path(), lazy=True)
            if self.device == "cpu" and is_quantized(self.model):
                self.model.set_dtype(mx.float32)  # MLX adds up in bf16 there: 2 % off, and a seventh of the speed
            caches = make_prompt_cache(self.model)
            logits = self.model(mx.array([[0]]), cache=caches)  # shapes alone: nothing is evaluated
            self.words = int(logits.shape[-1])
            """Token ids that it has logits for."""
            self._cells = tuple(cells(caches))
            self._numbers = str(logits.dtype).rpartition(".")[2]
            self.weights_bytes = weights_bytes(self.model)
        except RAISED_BY_MODELS as error:
            raise EngineError(*load_failure(error, folder)) from error

    @property
    def context_size(self) -> int:
        """Tokens of context that the request asks for."""
        return self.request.context or min(self.trained_context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    @property
    def together(self) -> int:
        """Tokens of a prompt that are evaluated in one go; between two of them it can be stopped."""
        if self.device == "cpu":
            return _PROCESSOR_TOKENS
        return min(self.request.micro_batch, self.request.batch, self.context_size)

    @property
    def trained_context(self) -> int | None:
        """Tokens that the model was trained for."""
        return self.folder.number("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length")

    @property
    def memory(self) -> tuple[MemoryPart, ...]:
        """Weights, and what the caches take when the context is full; MLX lets them grow up to there."""
        size, together = self.context_size, self.together
        where = MAIN_MEMORY if self.device == "cpu" else self.device.capitalize()
        parts = (
            MemoryPart("weights", where, self.weights_bytes),
            MemoryPart("KV cache", where, sum(cell.bytes_in(size, together) for cell in self._cells)),
            MemoryPart("recurrent state", where, sum(cell.state_bytes for cell in self._cells)),
        )
        return tuple(part for part in parts if part.bytes)

    @property
    def in_main_memory(self) -> tuple[MemoryPart, ...]:
        """What lies in main memory: everything on the processor and on Apple silicon, where a GPU shares it."""
        if self.device == "cuda":
            return ()
        return tuple(MemoryPart(part.kind, MAIN_MEMORY, part.bytes) for part in self.memory)

    def read(self, progress: Callable[[float], bool]) -> bool:
        """Read the weights into memory; False when `progress`, called with the fraction that is there, asked to stop.

        Raises:
            EngineError: they cannot be read or do not fit.
        """
        done = 0
        if self.device == "metal":
            wire_memory()
        try:
            for part in _parts([array for _, array in tree_flatten(self.model.parameters())]):
                mx.eval(part)
                done += sum(array.nbytes for array in part)
                if not progress(done / self.weights_bytes):
                    return False
        except RAISED_BY_MODELS as error:
            raise EngineError(*load_failure(error, self.folder)) from error
        return True

    def facts(self, template: Template | None) -> ModelFacts:
        """What the model's files say, with the settings of this load."""
        number = self.folder.number
        heads, hidden = number("num_attention_heads", "n_heads", "n_head"), number("hidden_size", "n_embd", "dim")
        experts = number("num_experts_per_tok", "moe_topk", "num_experts_per_token", "top_k_experts")
        return ModelFacts(
            name=self.folder.name,
            architecture=self.folder.model_type,
            quantization=self.folder.quantization,
            parameters=int(get_total_parameters(self.model)),
            weights_bytes=self.weights_bytes,
            layers=len(self.model.layers),
            hidden_size=hidden,
            heads=heads,
            kv_heads=number("num_key_value_heads", "num_kv_heads") or heads,
            vocabulary=self.words,
            trained_context=self.trained_context,
            licence=self.folder.licence,
            template_source=template.source if template else None,
            template_sha256=template.sha256 if template else None,
            engine=engine_name(),
            engine_build=build_line(),
            context=self.context_size,
            device=self.device,
            head_size=number("head_dim") or (hidden // heads if hidden and heads else None),
            kv_type=_LABELS.get(self._numbers),
            decode_read_bytes=read_bytes(self.model, self.words, experts),
        )


def _parts(arrays: list[Any]) -> Iterator[list[Any]]:
    """The arrays, some `_PART_BYTES` at a time."""
    part: list[Any] = []
    for array in arrays:
        part.append(array)
        if sum(one.nbytes for one in part) >= _PART_BYTES:
            yield part
            part = []
    if part:
        yield part
