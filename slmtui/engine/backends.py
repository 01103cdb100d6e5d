"""The seam between the worker and the engines."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from slmtui.core.events import AnyEvent, Done, FailureKind, Inspected, Loaded
from slmtui.engine.protocol import Generate, Load, Measure, Score

if TYPE_CHECKING:
    from slmtui.engine.gauge import Watched

Emit = Callable[[AnyEvent], None]

BACKENDS = {"llama.cpp": "slmtui.engine.llamacpp:LlamaCpp", "MLX": "slmtui.engine.mlx:Mlx"}
"""Engine name to "module:class"; nothing is imported before it is asked for."""


_PACKAGES = {"llama.cpp": ("llama_cpp",), "MLX": ("mlx", "mlx_lm")}
"""What an engine's backend imports, beside what every installation has."""


def installed(engine: str) -> bool:
    """Whether the packages of an engine are here; whether they work is another question, which a trial answers."""
    return all(find_spec(package) is not None for package in _PACKAGES[engine])


class EngineError(Exception):
    """A request failed for a reason that a person can act on."""

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class Backend(Protocol):
    """One engine inside a worker; every method but `cancel` is called from one thread."""

    def load(self, request: Load, emit: Emit) -> Loaded | Inspected | Done:
        """Open the model, replacing the one that was open; `Done` when it was cancelled.

        Raises:
            EngineError: the file or the settings do not work.
        """
        ...

    def generate(self, request: Generate, emit: Emit, accepted_s: float) -> Done:
        """Answer, emitting `Prompted`, `Prefilled` and `Tokens`; `accepted_s` is on `time.perf_counter`'s clock.

        Raises:
            EngineError: the request does not fit this model or context.
        """
        ...

    def measure(self, request: Measure, emit: Emit) -> Done:
        """Time prefill and decode, emitting one `Repeated` a repetition.

        Raises:
            EngineError: the shape does not fit the context.
        """
        ...

    def score(self, request: Score, emit: Emit) -> Done:
        """Score the options of all questions, emitting one `Scored` a question.

        Raises:
            EngineError: a question does not fit this model or context.
        """
        ...

    def watched(self) -> Watched:
        """What only the engine knows of this process's memory; the gauge asks with each sample, on its own thread."""
        ...

    def cancel(self) -> None:
        """Make the running request end soon; callable from any thread."""
        ...

    def reset(self) -> None:
        """Forget an earlier cancel; called before each request."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


def create(engine: str) -> Backend:
    """Import and create the backend of that name.

    Raises:
        EngineError: no such engine, or its library is not installed or does not start here.
    """
    target = BACKENDS.get(engine)
    if target is None:
        raise EngineError(
            FailureKind.ENGINE_MISSING, f"There is no engine {engine!r}; choose one of {', '.join(BACKENDS)}."
        )
    module, _, name = target.partition(":")
    try:
        factory = cast("Callable[[], Backend]", getattr(import_module(module), name))
        return factory()
    except (ImportError, OSError, RuntimeError) as error:
        raise EngineError(
            FailureKind.ENGINE_MISSING,
            f"The engine {engine} cannot be started here: {error}. Run `slmtui doctor` to see how to install it.",
        ) from error
