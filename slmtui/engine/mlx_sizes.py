"""What an MLX model takes and reads, counted on arrays that nobody has evaluated: their shapes are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mlx.utils import tree_flatten


class Cell(NamedTuple):
    """The cache of one layer, or of a part of one."""

    token_bytes: int
    """Of one token's keys and values."""
    step: int
    """Tokens by which it grows."""
    window: int | None = None
    """Tokens that it goes round in; what is evaluated in one go stands behind those that the first token still sees."""
    chunk: int | None = None
    """Tokens to which it is cut before it grows."""
    state_bytes: int = 0
    """Of what does not grow."""

    def bytes_in(self, context: int, together: int) -> int:
        """Keys and values of a context that is full, so many of its tokens evaluated in one go."""
        held = self._rounded(context)
        if self.window is not None:
            held = min(held, self.window - 1 + together)
        elif self.chunk is not None:
            held = min(held, self.chunk + self._rounded(together))
        return self.token_bytes * held

    def _rounded(self, tokens: int) -> int:
        return -(-tokens // self.step) * self.step


def cells(caches: Sequence[Any]) -> Iterator[Cell]:
    """The cells of the caches that a model has filled with one token."""
    for cache in caches:
        if hasattr(cache, "caches"):
            yield from cells(cache.caches)
            continue
        keys = getattr(cache, "keys", None)
        if keys is None:
            empty = cache.empty() if hasattr(cache, "empty") else False
            yield Cell(0, 1, state_bytes=0 if empty else int(cache.nbytes))
            continue
        token_bytes, step = int(cache.nbytes) // keys.shape[-2], getattr(cache, "step", 1)
        yield Cell(token_bytes, step, getattr(cache, "max_size", None), getattr(cache, "chunk_size", None))


def read_bytes(model: Any, words: int, used_experts: int | None) -> int:
    """Bytes of weights that a decode step reads.

    Of an embedding that is not the output matrix too, one row is read; of experts, as many as a token is routed to.
    """
    modules = [module for _, module in tree_flatten(model.leaf_modules(), is_leaf=_is_module)]
    own_output = any(_is("Linear", module) and module.weight.shape[0] == words for module in modules)
    read = weights_bytes(model)
    for module in modules:
        size = weights_bytes(module)
        if _is("Embedding", module) and own_output:
            read -= size - size // module.weight.shape[0]
        elif _is("Switch", module) and used_experts:
            read -= size - size * used_experts // module.weight.shape[0]
    return read


def is_quantized(model: Any) -> bool:
    """Whether some of its weights share scales."""
    return any(name.endswith("scales") for name, _ in tree_flatten(model.parameters()))


def weights_bytes(module: Any) -> int:
    """Bytes of all parameters of a module and those in it."""
    return sum(int(array.nbytes) for _, array in tree_flatten(module.parameters()))


def _is(kind: str, module: Any) -> bool:
    return kind in type(module).__name__ and "weight" in module


def _is_module(value: Any) -> bool:
    return hasattr(value, "leaf_modules")
