"""Textual's driver for Unix, which here outlives its terminal, so that the app can put things in order and end."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class OutlivingDriver(LinuxDriver):
    """What it writes to a terminal that has gone is lost.

    In Textual's own, the thread that writes ends with an error then, and whoever writes waits for it for ever.
    """

    def __init__(
        self, app: App[object], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        if self._file is not None:
            self._file = cast("Any", _Lossy(self._file))

    def resume_application_mode(self) -> None:
        """Go on after a stop; a process whose terminal goes is told to go on, too."""
        if os.isatty(self.fileno):
            super().resume_application_mode()


class _Lossy:
    """A file to which writing never fails."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.fileno = file.fileno

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()
