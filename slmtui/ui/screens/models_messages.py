"""What the workers of Models find out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual.message import Message

from slmtui.core.catalog import LocalModel
from slmtui.core.events import Failed, Inspected

if TYPE_CHECKING:
    from slmtui.core.outlook import Outlook, Place
    from slmtui.lab.download_events import Event


class ModelsListed(Message):
    """The models that are on this machine now."""

    def __init__(self, models: tuple[LocalModel, ...]) -> None:
        super().__init__()
        self.models = models


class ModelInspected(Message):
    """A model's header and its memory plan are known, or why they can't be."""

    def __init__(self, model: LocalModel, result: Inspected | Failed) -> None:
        super().__init__()
        self.model = model
        self.result = result


class SpeedsRead(Message):
    """What the store knows about speeds on this machine."""

    def __init__(self, speeds: Mapping[str, tuple[float | None, float | None]]) -> None:
        super().__init__()
        self.speeds = speeds


class ModelsExpected(Message):
    """What to expect of each row on this machine."""

    def __init__(self, place: Place, outlooks: Mapping[str, Outlook | None]) -> None:
        super().__init__()
        self.place = place
        self.outlooks = outlooks


class MachineMeasured(Message):
    """The measurement of this machine has ended, well or not."""


class DownloadHeard(Message):
    """Something that a download reports."""

    def __init__(self, key: str, event: Event) -> None:
        """`key` is that of the row."""
        super().__init__()
        self.key = key
        self.event = event

    def can_replace(self, message: Message) -> bool:
        """Progress replaces older progress of the same download; an ending replaces nothing."""
        if not isinstance(message, DownloadHeard) or message.key != self.key:
            return False
        return _is_progress(self.event) and _is_progress(message.event)


class ModelRemoved(Message):
    """Files were deleted or forgotten, or why they were not."""

    def __init__(self, sentence: str, *, failed: bool) -> None:
        super().__init__()
        self.sentence = sentence
        self.failed = failed


def _is_progress(event: Event) -> bool:
    from slmtui.lab.download_events import Progress

    return isinstance(event, Progress)
