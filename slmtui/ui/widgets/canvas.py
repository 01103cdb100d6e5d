"""A drawing of braille dots and signs on a grid of cells: two dots across and four down a cell."""

from __future__ import annotations

from itertools import groupby

_BLANK = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
NO_INK = -1


class Canvas:
    """Lines are dots, marks are whole cells on top of them; an ink is a number that the caller turns into a colour."""

    def __init__(self, cells: int, lines: int) -> None:
        self.cells = max(1, cells)
        self.lines = max(1, lines)
        self._dots = [bytearray(self.cells) for _ in range(self.lines)]
        self._signs = [[""] * self.cells for _ in range(self.lines)]
        self._inks = [[NO_INK] * self.cells for _ in range(self.lines)]

    def cell(self, x: float, y: float) -> tuple[int, int]:
        """Column and line of a place; x and y go from 0 (left, below) to 1 (right, above)."""
        across, down = self._dot(x, y)
        return across // 2, down // 4

    def mark(self, x: float, y: float, sign: str, ink: int) -> None:
        """Put a sign of one cell there."""
        column, line = self.cell(x, y)
        self._signs[line][column] = sign
        self._inks[line][column] = ink

    def line(self, begin: tuple[float, float], end: tuple[float, float], ink: int) -> None:
        """Draw a straight line of dots from one place to another."""
        (left, top), (right, bottom) = self._dot(*begin), self._dot(*end)
        steps = max(abs(right - left), abs(bottom - top)) or 1
        aside, below = (right - left) / steps, (bottom - top) / steps
        for step in range(steps + 1):
            across, down = round(left + step * aside), round(top + step * below)
            column, line = across >> 1, down >> 2
            self._dots[line][column] |= _DOTS[down & 3][across & 1]
            if not self._signs[line][column]:
                self._inks[line][column] = ink

    def rule(self, y: float, ink: int) -> None:
        """Put a faint line across, where nothing else is drawn."""
        _, line = self.cell(0.0, y)
        for column in range(self.cells):
            if not self._signs[line][column] and not self._dots[line][column]:
                self._signs[line][column] = "┈"
                self._inks[line][column] = ink

    def runs(self, line: int) -> list[tuple[str, int]]:
        """One line of cells as texts of one ink each, left to right."""
        dots, signs = self._dots[line], self._signs[line]
        texts = [sign or (chr(_BLANK + dots[column]) if dots[column] else " ") for column, sign in enumerate(signs)]
        pairs = zip(texts, self._inks[line], strict=True)
        return [("".join(text for text, _ in run), ink) for ink, run in groupby(pairs, key=lambda pair: pair[1])]

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        across = round(min(1.0, max(0.0, x)) * (2 * self.cells - 1))
        down = round((1 - min(1.0, max(0.0, y))) * (4 * self.lines - 1))
        return across, down
