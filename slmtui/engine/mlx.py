"""The MLX engine: load, generate, measure, score and cancel with mlx-lm's models and loops of our own."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING, TypeAlias

from slmtui.core.events import Done, EngineMemory, FailureKind, Inspected, Loaded, Loading, StopReason
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.gauge import Watched
from slmtui.engine.loading import check_budget, check_request, load_progress
from slmtui.engine.meter import find_meter
from slmtui.engine.mlx_checks import check_settings, check_working_set, too_few_files
from slmtui.engine.mlx_files import ModelFolder, read_folder
from slmtui.engine.mlx_text import Vocabulary, chat_template
from slmtui.engine.one_model import OneModel
from slmtui.engine.prompts import started_renderer
from slmtui.engine.protocol import Load, Score

if TYPE_CHECKING:
    from slmtui.engine.mlx_evaluate import Evaluator
    from slmtui.engine.mlx_model import OpenModel

    _MlxModel: TypeAlias = OneModel[Evaluator]
else:
    _MlxModel = OneModel  # what evaluates is imported with MLX


class Mlx(_MlxModel):
    """One model in MLX; implements `backends.Backend`. MLX itself is imported when the first model is opened."""

    def __init__(self) -> None:
        self._stop = Event()
        super().__init__(self._stop)
        self._account: Callable[[], EngineMemory] | None = None
        """MLX's own account of its memory, once MLX is here."""

    def load(self, request: Load, emit: Emit) -> Loaded | Inspected | Done:
        """See `backends.Backend.load`; the first `Loading` event carries the dry run."""
        check_request(request)
        check_settings(request)
        folder = read_folder(request.path)
        _import_engine()
        started = time.perf_counter()
        opened, template = _open(folder, request), chat_template(folder)
        if request.inspect_only:
            facts = opened.facts(template)
            return Inspected(facts=facts, planned=opened.memory, tokens=_counted(folder, request.texts))
        vocabulary = Vocabulary(folder, opened.words)
        check_budget(opened.in_main_memory, request.memory_budget_bytes)
        if request.memory_budget_bytes is not None:
            check_working_set(opened.memory, opened.working_set_bytes)
        emit(Loading(fraction=0.0, planned=opened.memory))
        self.close()
        page_cache = folder.page_cache()
        if not opened.read(load_progress(emit, self._stop.is_set)):
            return Done(reason=StopReason.CANCELLED)
        self._adopt(opened, vocabulary)
        if template is not None:
            self._renderer = started_renderer(template.text, vocabulary)
        load_s = time.perf_counter() - started
        return Loaded(facts=opened.facts(template), load_s=load_s, memory=opened.memory, page_cache=page_cache)

    def _adopt(self, opened: OpenModel, vocabulary: Vocabulary) -> None:
        from slmtui.engine.mlx_device import own_account
        from slmtui.engine.mlx_evaluate import Evaluator

        self._evaluator, self._vocabulary = Evaluator(opened, self._stop), vocabulary
        self._account = own_account
        self._meter = find_meter()

    def close(self) -> None:
        """Free the model and end the template's process."""
        if self._evaluator is not None:
            self._evaluator.close()
        super().close()

    def score(self, request: Score, emit: Emit) -> Done:
        """See `backends.Backend.score`."""
        from slmtui.engine.mlx_score import score

        evaluator, vocabulary = self.ready()
        return score(evaluator, vocabulary, self._renderer, request, emit)

    def watched(self) -> Watched:
        """See `backends.Backend.watched`."""
        self.look_at_battery()
        return Watched(engine=self._account() if self._account is not None else None)


def _import_engine() -> None:
    """Import MLX and mlx-lm, which takes a second or two; the network stays out of it.

    Raises:
        EngineError: they are not installed, or do not start here.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    if (why := too_few_files()) is not None:
        raise EngineError(FailureKind.ENGINE_MISSING, f"The engine MLX cannot be started here: {why}")
    try:
        importlib.import_module("slmtui.engine.mlx_evaluate")
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(
            FailureKind.ENGINE_MISSING,
            f"The engine MLX cannot be started here: {error}. Run `slmtui doctor` to see how to install it.",
        ) from error


def _open(folder: ModelFolder, request: Load) -> OpenModel:
    from slmtui.engine.mlx_model import OpenModel

    return OpenModel(folder, request)


def _counted(folder: ModelFolder, texts: Sequence[str]) -> tuple[int, ...]:
    """Tokens of each text that an inspection asks about."""
    return Vocabulary(folder).counted(texts) if texts else ()
