"""How long the rest of a probe will take, from batches that have ended and from speeds that were measured before."""

from __future__ import annotations

from collections.abc import Mapping

from slmtui.core.events import Timing
from slmtui.core.pace import Speeds
from slmtui.core.probe_sizes import Work


class ProbePace:
    """Learns from each batch; says nothing of a model about which nothing is known."""

    def __init__(self, earlier: Mapping[str, Speeds]) -> None:
        """`earlier` are the speeds that were measured before on this machine, by the model's id."""
        self._speeds = dict(earlier)
        self._taken: dict[str, tuple[float, float]] = {}

    def note(self, model: str, work: Work, timing: Timing, seconds: float) -> None:
        """A batch that was counted as so much work took this long."""
        prefill, decode = self._speeds.get(model, (None, None))
        self._speeds[model] = timing.prefill_tps or prefill, timing.decode_tps or decode
        expected = self._expected_s(model, work)
        if expected:
            before = self._taken.get(model, (0.0, 0.0))
            self._taken[model] = before[0] + seconds, before[1] + expected

    def seconds(self, model: str, work: Work) -> float | None:
        """Seconds that the work takes a model; None when that is not known."""
        expected = self._expected_s(model, work)
        taken, foretold = self._taken.get(model, (1.0, 1.0))
        return None if expected is None else expected * taken / foretold

    def _expected_s(self, model: str, work: Work) -> float | None:
        """Time of the evaluations alone."""
        total = 0.0
        for tokens, speed in zip((work.prompt_tokens, work.written_tokens), self._speeds.get(model, ()), strict=False):
            if tokens and not speed:
                return None
            total += tokens / speed if speed else 0.0
        return total if model in self._speeds else None
