"""Texts that begin alike, laid out for llama.cpp: each token once, marked with every sequence that it belongs to."""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType
from typing import Any

from slmtui.core.openings import shared

Path = tuple[int, ...]
"""Token ids after the trunk."""


@dataclass
class Branches:
    """Trees of tokens after a common trunk, as parallel columns; a token stands after those that lead to it."""

    trunk: int
    """Tokens of the trunk, which is sequence 0."""
    coupled: bool
    """Whether a token may belong to several sequences; a purely recurrent model cannot have that."""
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    owners: list[list[int]] = field(default_factory=list)
    """The sequences that each token belongs to."""
    sequences: int = 0
    """How many are in use; they are numbered from 1."""
    _rows: dict[tuple[int, int, int], int] = field(default_factory=dict)
    """(First of the sequences that may share the row, row before, token) to row."""

    def add(self, paths: Sequence[Path]) -> list[list[int]]:
        """Lay out paths and return the rows of each; one that begins another needs no sequence of its own."""
        found: dict[Path, list[int]] = {}
        first = self.sequences + 1
        for path in leaves(paths):
            self.sequences += 1
            found[path] = list(self._laid_out(path, first if self.coupled else self.sequences))
        return [next(rows[: len(path)] for leaf, rows in found.items() if _begins(path, leaf)) for path in paths]

    def _laid_out(self, path: Path, first: int) -> Iterator[int]:
        row = -1
        for position, token in enumerate(path, start=self.trunk):
            key = first, row, token
            if key not in self._rows:
                self._rows[key] = len(self.tokens)
                self.tokens.append(token)
                self.positions.append(position)
                self.owners.append([])
            row = self._rows[key]
            self.owners[row].append(self.sequences)
            yield row

    def batch(self, bindings: ModuleType, rows: range, wanted: Collection[int]) -> tuple[Any, object]:
        """These rows as a llama_batch, with the logits of those `wanted`, and what must live as long as the batch."""
        count, cut, sequence = len(rows), slice(rows.start, rows.stop), bindings.llama_seq_id
        lists = [(sequence * len(owners))(*owners) for owners in self.owners[cut]]
        columns = (
            (bindings.llama_token * count)(*self.tokens[cut]),
            (bindings.llama_pos * count)(*self.positions[cut]),
            (ctypes.c_int32 * count)(*map(len, lists)),
            (ctypes.POINTER(sequence) * count)(*(ctypes.cast(one, ctypes.POINTER(sequence)) for one in lists)),
            (ctypes.c_int8 * count)(*(row in wanted for row in rows)),
        )
        tokens, positions, counts, owners, outputs = columns
        batch = bindings.llama_batch(count, tokens, None, positions, counts, owners, outputs)
        return batch, (columns, lists)


def leaves(paths: Sequence[Path]) -> list[Path]:
    """The different paths of which none begins another."""
    ordered = sorted(set(paths))
    return [path for path, after in pairwise([*ordered, ()]) if not _begins(path, after)]


def tree_size(paths: Sequence[Path]) -> int:
    """Tokens of the tree that these paths make."""
    ordered = leaves(paths)
    return sum(map(len, ordered)) - sum(shared(one, after) for one, after in pairwise(ordered))


def _begins(path: Path, other: Path) -> bool:
    return other[: len(path)] == path
