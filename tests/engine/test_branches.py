"""Trees of tokens: each token once, in an order that llama.cpp takes, cut into batches that it can hold."""

from __future__ import annotations

import random

import pytest

from slmtui.core.openings import shared, usual
from slmtui.engine.llama_branches import Branches, Path, leaves, tree_size
from slmtui.engine.llama_score import _batches


def some_paths(draw: random.Random) -> list[Path]:
    """Paths of few different tokens, so that many begin alike and some begin others."""
    return [tuple(draw.choices(range(3), k=draw.randint(1, 6))) for _ in range(draw.randint(1, 8))]


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_a_tree_holds_each_path(seed: int, coupled: bool) -> None:
    draw = random.Random(seed)
    branches = Branches(trunk=5, coupled=coupled)
    questions = [some_paths(draw) for _ in range(3)]
    for paths in questions:
        for path, rows in zip(paths, branches.add(paths), strict=True):
            assert tuple(branches.tokens[row] for row in rows) == path
            assert [branches.positions[row] for row in rows] == list(range(5, 5 + len(path)))
            assert rows == sorted(rows), "what leads to a token stands before it"
            assert set.intersection(*(set(branches.owners[row]) for row in rows)), "one sequence has the whole path"
    sizes = [tree_size(paths) if coupled else sum(map(len, leaves(paths))) for paths in questions]
    assert len(branches.tokens) == sum(sizes)
    assert branches.sequences == sum(len(leaves(paths)) for paths in questions)
    assert {owner for owners in branches.owners for owner in owners} == set(range(1, branches.sequences + 1))
    if not coupled:
        assert all(len(owners) == 1 for owners in branches.owners)


def test_a_path_that_begins_another_needs_no_sequence() -> None:
    assert leaves([(1, 2), (1,), (1, 2, 3), (2,), (1, 2)]) == [(1, 2, 3), (2,)]
    assert tree_size([(1, 2), (1, 3), (2,)]) == 4


@pytest.mark.parametrize(("one", "other", "length"), [("", "", 0), ("abc", "abd", 2), ("ab", "abc", 2), ("x", "y", 0)])
def test_what_two_texts_begin_with(one: str, other: str, length: int) -> None:
    assert shared(one, other) == shared(list(other), list(one)) == length


def test_the_beginning_that_is_worth_most() -> None:
    assert usual(["one two", "one too", "other"]) == "one t"
    assert usual(["one two", "else", "third"]) == ""
    assert usual([[1, 2, 3], [1, 2], [1, 2, 4], [7]]) == [1, 2]
    assert usual(["alone"]) == "alone"
    assert usual(["ab", "cd"]) == ""
    long = "examples of a task: "
    assert usual([f"{long}The end", f"{long}The cat", f"{long}The dog", f"{long}A dog", "other"]) == long
    with pytest.raises(IndexError):
        usual([])


@pytest.mark.parametrize("seed", range(10))
def test_batches_hold_what_they_may(seed: int) -> None:
    draw = random.Random(seed)
    count, most, outputs = draw.randint(0, 60), draw.randint(1, 9), draw.randint(1, 4)
    asked = {row for row in range(count) if draw.random() < 0.6}
    cut = list(_batches(count, asked, most, outputs))
    assert [row for rows in cut for row in rows] == list(range(count))
    assert all(0 < len(rows) <= most and len(asked & set(rows)) <= outputs for rows in cut)
