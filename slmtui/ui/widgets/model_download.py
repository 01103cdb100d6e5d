"""What the Models screen shows of a download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textual.content import Content

from slmtui.core.text import duration, one_line, share, shorten, size
from slmtui.ui.widgets.bars import bar

Phase = Literal["running", "paused", "failed"]
if TYPE_CHECKING:
    from slmtui.lab.download_events import Progress

_SIGNS: dict[Phase, str] = {"running": "↓", "paused": "‖", "failed": "✗"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One variant on its way to this machine, or stopped on it."""

    label: str | None
    """The variant's quantization."""
    phase: Phase = "running"
    done_bytes: int = 0
    total_bytes: int = 0
    rate_bytes_per_s: float | None = None
    seconds_left: float | None = None
    remark: str = ""
    """Why nothing comes at the moment, or why it failed."""

    @property
    def done_frac(self) -> float:
        """How much of it is here; all of a download of nothing."""
        return self.done_bytes / self.total_bytes if self.total_bytes else 1.0

    @property
    def short(self) -> str:
        """Sign and share, for a cell."""
        return f"{_SIGNS[self.phase]} {share(self.done_frac)}"

    @property
    def pace(self) -> str:
        """Bytes per second; empty while nothing comes."""
        if self.phase != "running" or self.rate_bytes_per_s is None:
            return ""
        return f"{size(round(self.rate_bytes_per_s))}/s"

    @property
    def brief(self) -> str:
        """The same as `words` in a few letters: what is left of the time, or the phase."""
        if self.phase != "running":
            return self.phase
        if self.remark:
            return "waits"
        return duration(self.seconds_left) if self.seconds_left is not None else "begins"

    @property
    def words(self) -> str:
        """How it goes, in a few words."""
        if self.remark:
            return one_line(self.remark)
        if self.phase != "running":
            return self.phase
        left = f"{duration(self.seconds_left)} left" if self.seconds_left is not None else ""
        return " · ".join(filter(None, (self.pace or "begins", left)))

    def line(self, width: int) -> Content:
        """A bar of up to 40 cells, and how it goes."""
        cells = max(8, min(40, width - 50))
        amount = f"{size(self.done_bytes)} of {size(self.total_bytes)}"
        tone = {"running": "$primary", "paused": "$text-muted", "failed": "$error"}[self.phase]
        words = f"{share(self.done_frac)}  {amount}  {self.words}"
        return Content.assemble(
            bar(self.done_frac, cells, tone), "  ", shorten(one_line(words), max(0, width - cells - 2))
        )


def moved(download: Download, progress: Progress) -> Download:
    """The download after some progress."""
    return Download(
        label=download.label,
        done_bytes=progress.done_bytes,
        total_bytes=progress.total_bytes,
        rate_bytes_per_s=progress.rate_bytes_per_s,
        seconds_left=progress.seconds_left,
        remark=progress.remark or "",
    )
