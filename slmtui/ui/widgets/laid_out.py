"""Growing without a second layout."""

from __future__ import annotations

from textual.geometry import Size
from textual.reactive import var


def laid_out() -> var[Size]:
    """The `virtual_size` of a widget that grows by layouts alone: Textual would answer each with one more of all."""
    return var(Size(0, 0))
