"""Trials of an engine in a child process: what the child lived to say, and remembering what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from slmtui.core.machine import EngineState
from slmtui.engine.child import run_child


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one child process lived to say."""

    devices: tuple[str, ...] = ()
    build: str | None = None
    decoded: tuple[int, ...] = ()
    """Batch sizes that worked."""
    error: str | None = None
    advice: str | None = None
    """A sentence in place of what is usually said of an engine that does not work."""
    crashed: bool = False
    """Whether it died of something that will happen again, not of a busy machine or a missing file."""


async def run_trial(command: Sequence[str], patience_s: float) -> Trial:
    """Run the child to its end and gather the lines of JSON that it wrote."""
    ended = await run_child(command, {**os.environ, "GGML_NO_BACKTRACE": "1"}, patience_s)
    said: dict[str, Any] = {"decoded": [], "crashed": ended.code not in (0, 1, None)}
    for line in ended.output.decode("utf-8", "replace").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            document = json.loads(line)
            said["decoded"] += document.pop("decoded", [])
            said.update(document)
    if ended.why and "error" not in said:
        said["error"] = f"the trial {ended.why}"
    return msgspec.convert(said, Trial)


def say(**known: object) -> None:
    """One JSON line of the child, written at once: the next step may end this process."""
    sys.stdout.write(json.dumps(known) + "\n")
    sys.stdout.flush()


def remembered(cache: Path | None, key: str) -> EngineState | None:
    """What came of the same trial before; None where nobody knows."""
    if cache is None:
        return None
    try:
        known = msgspec.json.decode(cache.read_bytes(), type=dict[str, EngineState])
    except (OSError, msgspec.DecodeError):
        return None
    return known.get(key)


def remember(cache: Path | None, key: str, state: EngineState) -> None:
    """Keep the newest answer only: an older build does not come back unchanged often."""
    if cache is None:
        return
    with contextlib.suppress(OSError):
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(msgspec.json.encode({key: state}))
        part.replace(cache)
