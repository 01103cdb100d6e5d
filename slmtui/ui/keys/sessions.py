"""The commands of Sessions."""

from __future__ import annotations

from slmtui.ui.keys.command import Command

COMMANDS = (
    Command(
        id="sessions.open",
        place="sessions",
        key="enter",
        action="open",
        title="Open",
        help="Show every measurement of the highlighted session.",
    ),
    Command(
        id="sessions.mark",
        place="sessions",
        key="space",
        action="mark",
        title="Mark",
        help="Mark or unmark the session: the first marked is A, the second B.",
    ),
    Command(
        id="sessions.diff",
        place="sessions",
        key="c",
        action="diff",
        title="Compare",
        help="Compare B with A, figure by figure: ratio, 95 % interval, verdict. B may be the highlighted session.",
    ),
    Command(
        id="sessions.export",
        place="sessions",
        key="e",
        action="export",
        title="Export",
        help="Write the session to a file: CSV, JSON, Parquet or Markdown.",
    ),
    Command(
        id="sessions.import",
        place="sessions",
        key="i",
        action="import",
        title="Import",
        help="List what llama-bench (JSON, JSONL, CSV) or slmtui elsewhere (JSON) measured beside ours.",
    ),
    Command(
        id="sessions.rename",
        place="sessions",
        key="r",
        action="rename",
        title="Rename",
        help="Give the session a name that you will recognize.",
    ),
    Command(
        id="sessions.delete",
        place="sessions",
        key="delete,d",
        action="delete",
        title="Delete",
        help="Delete the session and its measurements, after asking.",
    ),
)
