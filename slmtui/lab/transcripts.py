"""Saving a chat as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from slmtui.core.sampling import Sampling
from slmtui.core.transcript import Side, Transcript, as_json, as_markdown
from slmtui.lab.talk import Seat
from slmtui.sources.atomic import write_atomically
from slmtui.sources.paths import ensure_folder

Format = Literal["md", "json"]


class SaveError(RuntimeError):
    """A chat was not saved; the message names the file, says why and what to do."""


async def save_chat(seats: Sequence[Seat], sampling: Sampling, file_format: Format, folder: Path) -> Path:
    """Write what was said to every seat into a new file in `folder`, and return the file's path.

    Raises:
        SaveError: the folder or the file can't be written.
    """
    now = datetime.now(UTC)
    transcript = Transcript(
        saved_at=now.isoformat(timespec="seconds"),
        sampling=sampling,
        sides=tuple(_side(seat) for seat in seats),
    )
    content = as_json(transcript) if file_format == "json" else as_markdown(transcript)
    path = folder / f"chat-{now:%Y%m%d-%H%M%S}.{file_format}"
    try:
        await asyncio.to_thread(_write, path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SaveError(
            f"The chat was not saved to {path}: {reason}. Make room there, or set SLMTUI_HOME to another folder."
        ) from error
    return path


def _side(seat: Seat) -> Side:
    model = seat.loaded.model
    return Side(
        model=model.id,
        name=model.name,
        demo=model.demo,
        messages=tuple(seat.messages),
        measurements=tuple(seat.measurements),
    )


def _write(path: Path, content: str) -> None:
    ensure_folder(path.parent)
    write_atomically(path, content)
