"""Going on with a plan that an earlier run did not finish: which one is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from slmtui.cli.terminal import CommandError, say

if TYPE_CHECKING:
    from slmtui.core.plan import Unfinished
    from slmtui.core.probe import KeptProbe

_BEGIN = {"benchmark": "slmtui bench MODEL", "probe": "slmtui probe MODEL --task TASK"}
_Kept = TypeVar("_Kept", "Unfinished", "KeptProbe")


def chosen(found: Sequence[_Kept], wanted: str, noun: str, line: Callable[[_Kept], str]) -> _Kept:
    """The plan whose id begins so, or the newest for an empty text; says which others there are.

    Raises:
        CommandError: there is none, or more than one begins so.
    """
    if not found:
        raise CommandError(f"no {noun} waits to be continued; `{_BEGIN[noun]}` begins one")
    matching = [each for each in found if each.plan.id.startswith(wanted.lower())]
    if not matching or (wanted and len(matching) > 1):
        known = "\n".join(map(line, found))
        which = f"{len(matching)} unfinished {noun}s begin" if matching else f"no unfinished {noun} begins"
        raise CommandError(f"{which} with {wanted}; there are:\n{known}")
    if not wanted and len(found) > 1:
        say(f"Several {noun}s are unfinished; this goes on with the first, `--continue ID` with another:")
        for each in found:
            say(line(each))
    return matching[0]
