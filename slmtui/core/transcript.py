"""Conversations with several models as a document."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slmtui.core import text
from slmtui.core.chat import Message
from slmtui.core.measurement import Measurement
from slmtui.core.sampling import Sampling

JSON_VERSION = 1
"""Version of the JSON document's shape."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One model's side of a chat."""

    model: str
    """Id of the variant, or its path."""
    name: str
    demo: bool = False
    messages: tuple[Message, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    """One an answer that was measured, oldest first."""


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """A chat with one to four models."""

    saved_at: str
    """ISO 8601 in UTC."""
    version: int = JSON_VERSION
    sampling: Sampling = Sampling()
    sides: tuple[Side, ...] = ()


def as_json(transcript: Transcript) -> str:
    """The transcript with everything measured, indented."""
    return msgspec.json.format(msgspec.json.encode(transcript), indent=2).decode() + "\n"


def as_markdown(transcript: Transcript) -> str:
    """The transcript to read: a chapter for each model, a paragraph for each turn."""
    lines = ["# Chat", "", f"Saved {transcript.saved_at} by slmtui."]
    for side in transcript.sides:
        lines += ["", f"## {text.one_line(side.name)}{' (demo)' if side.demo else ''}"]
        for message in side.messages:
            lines += ["", f"**{message.role}**", "", text.clean(message.content).strip()]
        lines += _figures(side.measurements)
    return "\n".join(lines) + "\n"


def _figures(measurements: Sequence[Measurement]) -> list[str]:
    if not measurements:
        return []
    rows = ["", "| answer | tokens | prefill tok/s | first token | decode tok/s | memory |", "| --: " * 6 + "|"]
    for number, measurement in enumerate(measurements, start=1):
        timing = measurement.timing
        charged = measurement.process_memory.charged_bytes if measurement.process_memory else None
        cells = (
            str(number),
            f"{timing.generated_tokens:,}",
            text.rate(timing.prefill_tps),
            text.duration(timing.ttft_s),
            text.rate(timing.decode_tps),
            text.memory(charged),
        )
        contended = " (contended)" if measurement.together else ""
        rows.append(f"| {' | '.join(cells)}{contended} |")
    return rows
