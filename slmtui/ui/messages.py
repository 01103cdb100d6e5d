"""Messages of the app's own workers; those of a widget or a screen stand beside it."""

from __future__ import annotations

from textual.message import Message

from slmtui.core.machine import Machine
from slmtui.ui.widgets.strip import Live


class MachineDetected(Message):
    """More is known about the machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine


class LiveSampled(Message):
    """Free memory and the loaded models' memory as they are now."""

    def __init__(self, live: Live) -> None:
        super().__init__()
        self.live = live

    def can_replace(self, message: Message) -> bool:
        """A newer sample makes an older one that was not handled yet superfluous."""
        return isinstance(message, LiveSampled)


class Problem(Message):
    """A worker has something to say to the person: a sentence, never markup."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
