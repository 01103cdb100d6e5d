"""What the bundled models show of learning from examples: the larger learns, the smaller and random weights do not."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from slmtui.core.intervals import student_quantile
from tests.cli.program import run
from tests.engine.gguf_files import Gguf
from tests.engine.support import F16

TASKS = ("pocket-2-categories", "pocket-4-categories", "pocket-judgements")
LARGE, SMALL, RANDOM = "pocket-5m:Q8_0", "pocket-2m:Q8_0", "random"
SEEDS = 16
"""How often labels are shuffled: eight examples seldom are without a hint, whichever way it points."""
Level = Mapping[str, Any]
Levels = dict[tuple[str, str, int], Level]
"""Accuracy, its interval, chance, and the share of each seed, by model, task and shots."""


def asked(folder: Path, *arguments: str | Path) -> Levels:
    flags = ("--task", ",".join(TASKS), "-t", "1", "--json")
    done = run("probe", *arguments, *flags, env={"SLMTUI_HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    levels = json.loads(done.stdout)["levels"]
    return {(Path(level["model"]).stem, level["task"], level["shots"]): level for level in levels}


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> Levels:
    """Without examples and with eight, by two seeds."""
    folder = tmp_path_factory.mktemp("learns")
    random = Gguf.read(F16).with_random_weights().write(folder / f"{RANDOM}.gguf")
    return asked(folder, LARGE, SMALL, random, "--shots", "0,8", "-n", "100", "--seeds", "2")


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> Levels:
    """The larger model with eight examples whose labels tell nothing."""
    flags = ("--shots", "8", "-n", "32", "--seeds", str(SEEDS), "--labels", "shuffled")
    return asked(tmp_path_factory.mktemp("shuffled"), LARGE, *flags)


def covers_chance(level: Level) -> bool:
    accuracy = level["accuracy"]
    return bool(accuracy["low"] <= level["chance_frac"] <= accuracy["high"])


@pytest.mark.parametrize("task", TASKS)
def test_the_larger_climbs_from_chance(levels: Levels, task: str) -> None:
    assert covers_chance(levels[LARGE, task, 0])
    assert levels[LARGE, task, 8]["accuracy"]["low"] > 0.9


@pytest.mark.parametrize("task", TASKS)
def test_the_smaller_stays_far_behind(levels: Levels, task: str) -> None:
    assert levels[SMALL, task, 8]["accuracy"]["high"] < levels[LARGE, task, 8]["accuracy"]["low"]


@pytest.mark.parametrize("task", TASKS)
def test_random_weights_stay_at_chance(levels: Levels, task: str) -> None:
    assert covers_chance(levels[RANDOM, task, 0])
    assert covers_chance(levels[RANDOM, task, 8])


@pytest.mark.parametrize("task", TASKS)
def test_shuffled_labels_bring_the_larger_back_to_chance(levels: Levels, shuffled: Levels, task: str) -> None:
    """By the interval over seeds: the one over questions knows nothing of how else the labels could be shuffled."""
    level = shuffled[LARGE, task, 8]
    shares = list(level["by_seed"].values())
    assert len(shares) == SEEDS
    reach = student_quantile(0.975, SEEDS - 1) * statistics.stdev(shares) / SEEDS**0.5
    assert abs(statistics.mean(shares) - level["chance_frac"]) <= reach
    assert statistics.mean(shares) + reach < levels[LARGE, task, 8]["accuracy"]["low"]
