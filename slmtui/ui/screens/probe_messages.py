"""What the workers of Probe find out."""

from __future__ import annotations

from collections.abc import Mapping

from textual.message import Message

from slmtui.lab import probe


class ProbeHeard(Message):
    """Something that a running probe reports."""

    def __init__(self, event: probe.ProbeEvent) -> None:
        super().__init__()
        self.event = event


class ProbeBegan(Message):
    """A probe is about to run."""

    def __init__(self, plan: probe.ProbePlan, earlier: tuple[probe.ProbeBatch, ...] = ()) -> None:
        """`earlier` are answers that it has already."""
        super().__init__()
        self.plan = plan
        self.earlier = earlier


class ProbeClosed(Message):
    """No worker of the probe is left."""


class ProbeThought(Message):
    """What would be asked, and what that takes; or why it can't be."""

    def __init__(
        self, plan: probe.ProbePlan | None, outlook: probe.ProbeOutlook | None = None, problem: str = ""
    ) -> None:
        super().__init__()
        self.plan = plan
        self.outlook = outlook
        self.problem = problem


class ProbesRead(Message):
    """What the store knows: probes, newest first, and each model's decode speed."""

    def __init__(self, kept: tuple[probe.KeptProbe, ...], decode_tps: Mapping[str, float | None]) -> None:
        super().__init__()
        self.kept = kept
        self.decode_tps = decode_tps
