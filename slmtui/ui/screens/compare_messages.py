"""What the workers of Compare find out."""

from __future__ import annotations

from textual.message import Message

from slmtui.core.measurement import Measurement
from slmtui.core.plan import Plan, Unfinished
from slmtui.lab import speed


class BenchHeard(Message):
    """Something that a running plan reports."""

    def __init__(self, event: speed.BenchEvent) -> None:
        super().__init__()
        self.event = event


class BenchBegan(Message):
    """A plan is about to run."""

    def __init__(self, plan: Plan, earlier: tuple[Measurement, ...] = (), *, again: bool = False) -> None:
        """`earlier` are repetitions that it has already; with `again` it adds to cells that are shown."""
        super().__init__()
        self.plan = plan
        self.earlier = earlier
        self.again = again


class BenchClosed(Message):
    """No worker of the plan is left."""


class PlanThought(Message):
    """What would be measured, and how long that takes; or why it can't be."""

    def __init__(self, plan: Plan | None, outlook: speed.Outlook | None = None, problem: str = "") -> None:
        super().__init__()
        self.plan = plan
        self.outlook = outlook
        self.problem = problem


class StoreRead(Message):
    """Plans that can be continued, newest first, and the measurements that were imported."""

    def __init__(self, unfinished: tuple[Unfinished, ...], imported: tuple[Measurement, ...]) -> None:
        super().__init__()
        self.unfinished = unfinished
        self.imported = imported
