"""An MLX model: opened lazily to see what it will take, then read into memory part by part."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import get_total_parameters, load_model

from slmtui.core.events import MAIN_MEMORY, FailureKind, MemoryPart, ModelFacts
from slmtui.engine.backends import EngineError
from slmtui.engine.mlx_checks import evaluation_failure, load_failure
from slmtui.engine.mlx_files import ModelFolder
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


class OpenModel:
    """A model whose weights are still in their files until `read` has been called."""

    def __init__(self, folder: ModelFolder, request: Load) -> None:
        """Open it.

        Raises:
            EngineError: MLX does not know the model, or its parts do not fit together.
        """
        self.folder = folder
        self.request = request
        self.device = use_device(request.device)
        try:
            self.model, self.config = load_model(folder.path, lazy=True)
            self.cells, self.words, self.type = self._sizes()
        except RAISED_BY_MODELS as error:
            raise EngineError(*load_failure(error, folder)) from error
        self._parameters = [array for _, array in tree_flatten(self.model.parameters())]

    @property
    def context_size(self) -> int:
        """Tokens of context that the request asks for."""
        return self.request.context or min(self.trained_context or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    @property
    def trained_context(self) -> int | None:
        """Tokens that the model was trained for."""
        return self.folder.number("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "seq_length")

    @property
    def weights_bytes(self) -> int:
        """Of all weights in memory."""
        return sum(int(array.nbytes) for array in self._parameters)

    @property
    def memory(self) -> tuple[MemoryPart, ...]:
        """Weights, and what the caches take when the context is full; MLX lets them grow 256 tokens at a time."""
        where = MAIN_MEMORY if self.device == "cpu" else "Metal"
        parts = (
            MemoryPart("weights", where, self.weights_bytes),
            MemoryPart("KV cache", where, sum(cell.bytes_in(self.context_size) for cell in self.cells)),
            MemoryPart("recurrent state", where, sum(cell.state_bytes for cell in self.cells)),
        )
        return tuple(part for part in parts if part.bytes)

    def read(self, progress: Callable[[float], bool]) -> bool:
        """Read the weights into memory; False when `progress`, called with the fraction that is there, said so.

        Raises:
            EngineError: they cannot be read or do not fit.
        """
        total, done = self.weights_bytes, 0
        try:
            for part in _parts(self._parameters):
                mx.eval(part)
                done += sum(array.nbytes for array in part)
                if not progress(done / total):
                    return False
        except RAISED_BY_MODELS as error:
            raise EngineError(*load_failure(error, self.folder)) from error
        return True

    def facts(self, template: Template | None) -> ModelFacts:
        """What the model's files say, with the settings of this load."""
        number = self.folder.number
        heads, hidden = number("num_attention_heads", "n_heads", "n_head"), number("hidden_size", "n_embd", "dim")
        return ModelFacts(
            name=self.folder.name,
            architecture=self.folder.model_type,
            quantization=self.folder.quantization or self.type,
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
            decode_read_bytes=self._read_bytes(),
        )
