"""The llama.cpp engine: load, generate, measure, score and cancel with the low-level API."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from slmtui.core.events import Done, FailureKind, Inspected, Loaded, Loading, StopReason
from slmtui.core.offload import FIT
from slmtui.engine import llama_library
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.gauge import Watched, page_cache_state, read_ahead
from slmtui.engine.llama_devices import placed
from slmtui.engine.llama_evaluate import Evaluator
from slmtui.engine.llama_model import LoadCancelledError, OpenModel, dry_run, open_model
from slmtui.engine.llama_offload import check_video_memory, fewer, fitted, video_memory
from slmtui.engine.llama_score import score
from slmtui.engine.llama_text import Vocabulary
from slmtui.engine.loading import check_budget, check_request, load_progress
from slmtui.engine.meter import find_meter
from slmtui.engine.nvml import Gpus, open_gpus
from slmtui.engine.one_model import OneModel
from slmtui.engine.prompts import started_renderer
from slmtui.engine.protocol import Load, Score

_READ_SHARE = 0.8
"""Share of the progress bar for reading a file that is not in memory yet."""


class LlamaCpp(OneModel[Evaluator]):
    """One model in llama.cpp; implements `backends.Backend`."""

    def __init__(self) -> None:
        self._stop = llama_library.StopCell(llama_library.load())
        super().__init__(self._stop)
        self._open: OpenModel | None = None
        self._gpus: Gpus | None = None

    def load(self, request: Load, emit: Emit) -> Loaded | Inspected | Done:
        """See `backends.Backend.load`; the first `Loading` event carries the dry run."""
        check_request(request)
        started = time.perf_counter()
        graphics = placed(request)
        room = video_memory(graphics, self._open.memory if self._open else ())
        fitting = bool(graphics) and request.gpu_layers == FIT
        if fitting:
            request = fitted(request, room, dry_run)
        facts, planned = dry_run(request)
        if request.inspect_only:
            return Inspected(facts=facts, planned=planned, tokens=_counted(request))
        check_budget(planned, request.memory_budget_bytes)
        if request.memory_budget_bytes is not None:
            check_video_memory(planned, room)
        emit(Loading(fraction=0.0, planned=planned))
        self.close()
        path, progress = Path(request.path), load_progress(emit, self._stop.is_set)
        page_cache = page_cache_state(path)
        share = _READ_SHARE if page_cache != "warm" and _fits(path, request.memory_budget_bytes) else 0.0
        try:
            if share and not read_ahead(path, lambda fraction: progress(share * fraction)):
                return Done(reason=StopReason.CANCELLED)
            opened = _opened(request, lambda fraction: progress(share + (1 - share) * fraction), fitting=fitting)
        except LoadCancelledError:
            return Done(reason=StopReason.CANCELLED)
        except OSError as error:
            raise EngineError(
                FailureKind.BAD_FILE, f"The file cannot be read to its end: {error.strerror}. Copy it again."
            ) from error
        self._adopt(opened)
        load_s = time.perf_counter() - started
        return Loaded(facts=opened.facts(), load_s=load_s, memory=opened.memory, page_cache=page_cache)

    def _adopt(self, opened: OpenModel) -> None:
        self._open = opened
        self._vocabulary = Vocabulary(opened.vocabulary)
        self._evaluator = Evaluator(opened, self._stop)
        if opened.graphics:
            self._gpus = open_gpus([device.pci or "" for device in opened.graphics])
        self._meter = find_meter(self._gpus)
        template = opened.template()
        if template:
            self._renderer = started_renderer(template, self._vocabulary)

    def close(self) -> None:
        """Free the model and end the template's process."""
        super().close()
        if self._open is not None:
            self._open.close()
        self._open = self._gpus = None

    def score(self, request: Score, emit: Emit) -> Done:
        """See `backends.Backend.score`."""
        evaluator, vocabulary = self.ready()
        evaluator.use_threads(None)
        return score(evaluator, vocabulary, self._renderer, request, emit)

    def watched(self) -> Watched:
        """See `backends.Backend.watched`."""
        self.look_at_battery()
        gpus = self._gpus  # another thread closes it
        return Watched(gpu_bytes=gpus.process_bytes() if gpus is not None else None)


def _opened(request: Load, progress: Callable[[float], bool], *, fitting: bool) -> OpenModel:
    """The loaded model, with fewer layers on the GPU where the dry run promised too much and `fitting` leaves it open.

    Raises:
        EngineError: the file or the settings do not work.
        LoadCancelledError: `progress` returned False.
        OSError: the file cannot be read.
    """
    while True:
        try:
            return open_model(request, progress=progress)
        except EngineError as error:
            if not fitting or error.kind is not FailureKind.OUT_OF_MEMORY or request.gpu_layers == 0:
                raise
        request = fewer(request)


def _counted(request: Load) -> tuple[int, ...]:
    """Tokens of each text that an inspection asks about."""
    if not request.texts:
        return ()
    opened = open_model(request, dry=True)
    counts = Vocabulary(opened.vocabulary).counted(request.texts)
    opened.close()
    return counts


def _fits(path: Path, budget_bytes: int | None) -> bool:
    """Whether the page cache can keep the whole file; reading a larger one would only push out its beginning."""
    return budget_bytes is None or path.stat().st_size <= budget_bytes
