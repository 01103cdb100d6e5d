"""MLX's evaluator in the test's own process, on the processor, told that it is on whatever a test wants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol

from slmtui.engine.mlx_files import read_folder
from tests.engine.mlx_requests import request

if TYPE_CHECKING:
    from slmtui.engine.mlx_evaluate import Evaluator
    from slmtui.engine.mlx_model import OpenModel


class _Tokens(Protocol):
    shape: tuple[int, ...]


class _Cache(Protocol):
    nbytes: int


class Noting:
    """A model that notes how many tokens come in one go, and the most bytes that each cache has held."""

    def __init__(self, opened: OpenModel) -> None:
        self._model = opened.model
        self.tokens: list[int] = []
        self.held: Counter[int] = Counter()

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def __call__(self, tokens: _Tokens, cache: Sequence[_Cache]) -> object:
        logits: object = self._model(tokens, cache=cache)
        self.tokens.append(tokens.shape[1])
        for place, each in enumerate(cache):
            self.held[place] = max(self.held[place], each.nbytes)
        return logits


def evaluator_on(device: str, path: Path, **changes: object) -> tuple[Evaluator, Noting, OpenModel]:
    """An evaluator of a folder's model, that model, and what it was opened from."""
    from slmtui.engine.mlx_evaluate import Evaluator
    from slmtui.engine.mlx_model import OpenModel

    opened: Any = OpenModel(read_folder(str(path)), request(path, **changes))
    noting = Noting(opened)
    opened.device, opened.model = device, noting
    return Evaluator(opened, Event()), noting, opened
