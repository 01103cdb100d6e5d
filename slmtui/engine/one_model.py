"""One open model and what is asked of it in any engine; a backend adds loading and scoring."""

from __future__ import annotations

from typing import Generic

from slmtui.core.events import Done, FailureKind
from slmtui.engine.backends import Emit, EngineError
from slmtui.engine.evaluator import Stop
from slmtui.engine.generating import generate
from slmtui.engine.measuring import measure
from slmtui.engine.meter import Battery, Meter
from slmtui.engine.protocol import Generate, Measure
from slmtui.engine.scoring import AnyEvaluator
from slmtui.engine.template import Renderer
from slmtui.engine.vocabulary import Vocabulary


class OneModel(Generic[AnyEvaluator]):
    """The part of `backends.Backend` that engines have in common."""

    def __init__(self, stop: Stop) -> None:
        self._marked = stop
        self._evaluator: AnyEvaluator | None = None
        self._vocabulary: Vocabulary | None = None
        self._renderer: Renderer | None = None
        self._meter: Meter | None = None

    def close(self) -> None:
        """Forget the model and end the template's process."""
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._evaluator = self._vocabulary = self._meter = None

    def cancel(self) -> None:
        """See `backends.Backend.cancel`: at the next batch or token, or sooner where the engine can."""
        self._marked.set()

    def reset(self) -> None:
        """See `backends.Backend.reset`."""
        self._marked.clear()

    def generate(self, request: Generate, emit: Emit, accepted_s: float) -> Done:
        """See `backends.Backend.generate`."""
        evaluator, vocabulary = self.ready()
        return generate(evaluator, vocabulary, self._renderer, request, emit, accepted_s)

    def measure(self, request: Measure, emit: Emit) -> Done:
        """See `backends.Backend.measure`."""
        evaluator, vocabulary = self.ready()
        evaluator.use_threads(None)
        return measure(evaluator, vocabulary, self._meter, request, emit)

    def ready(self) -> tuple[AnyEvaluator, Vocabulary]:
        """What evaluates, and the tokenizer.

        Raises:
            EngineError: no model is loaded.
        """
        if self._evaluator is None or self._vocabulary is None:
            raise EngineError(FailureKind.BAD_REQUEST, "No model is loaded; load one first.")
        return self._evaluator, self._vocabulary

    def look_at_battery(self) -> None:
        """Note what is drawn from the battery now, where that is the meter; the gauge's thread calls it."""
        meter = self._meter  # another thread closes it
        if isinstance(meter, Battery):
            meter.sample()
