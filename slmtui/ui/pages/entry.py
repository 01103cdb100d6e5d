"""A measured cell as charts and tables name it, and what a page makes of several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from slmtui.core.measurement import Settings
from slmtui.core.offload import layers_words
from slmtui.core.plan import Cell, Setup, setup_words
from slmtui.core.results import CellResult
from slmtui.core.text import one_line
from slmtui.ui.widgets.chart import Bar
from slmtui.ui.widgets.fit_table import Figure, TableColumn
from slmtui.ui.widgets.memory_chart import MemoryUse
from slmtui.ui.widgets.plot_chart import Plot

Phase = Literal["prefill", "decode"]
PHASES: tuple[Phase, ...] = ("prefill", "decode")

_WORDS: tuple[tuple[str, Callable[[Settings], str]], ...] = (
    ("threads", lambda each: counted(each.threads, "thread")),
    ("threads_batch", lambda each: counted(each.threads_batch, "prefill thread")),
    ("batch", lambda each: f"batch {each.batch:,}" if each.batch else ""),
    ("micro_batch", lambda each: f"micro-batch {each.micro_batch:,}" if each.micro_batch else ""),
    ("type_k", lambda each: f"keys {each.type_k}" if each.type_k else ""),
    ("type_v", lambda each: f"values {each.type_v}" if each.type_v else ""),
    ("flash_attention", lambda each: f"flash attention {each.flash_attention}" if each.flash_attention else ""),
    ("device", lambda each: each.device or ""),
    ("gpu_layers", lambda each: "" if each.gpu_layers is None else layers_words(each.gpu_layers)),
    ("split_mode", lambda each: f"split by {each.split_mode}" if each.split_mode else ""),
    ("tensor_split", lambda each: f"shares {each.tensor_split}" if each.tensor_split else ""),
)
"""The settings that cells of a plan may differ in, and how each is said."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One measured cell and its names; the number gives its mark and colour in every chart."""

    result: CellResult
    number: int
    planned: Setup | None = None
    """The setup that the plan asked for; None for a row without a plan."""
    setup: str = ""
    """The settings in which it differs from other cells."""
    label: str = ""
    """The shortest words that tell it from all other cells."""
    test: str = ""
    """The same without the model's name."""

    @property
    def model(self) -> str:
        """Name of the model, with the program that measured it where that was not we."""
        return model_label(self.result)

    @property
    def settings(self) -> Settings:
        """The engine's settings."""
        return self.result.measurements[0].settings


class Bars(msgspec.Struct, frozen=True, kw_only=True):
    """A bar chart."""

    title: str
    bars: tuple[Bar, ...]


class Memories(msgspec.Struct, frozen=True, kw_only=True):
    """A chart of memory by kind."""

    uses: tuple[MemoryUse, ...]


Chart = Bars | Memories | Plot
Rows = Mapping[str, Mapping[str, Figure]]


class Exhibit(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows: charts side by side with a note, or a sentence on what is missing; and its table's rows."""

    charts: tuple[Chart, ...] = ()
    note: str = ""
    missing: str = ""
    rows: Rows = {}


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants to see."""

    entries: tuple[Entry, ...] = ()
    phases: tuple[Phase, ...] = PHASES


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One chart of Compare, with the columns of its table."""

    key: str
    title: str
    help: str
    """A sentence for the palette."""
    build: Callable[[View], Exhibit]
    columns: tuple[TableColumn, ...]
    sort: str = "order"


def entries_of(
    results: Iterable[CellResult], cells: Mapping[str, Cell] | None = None, varying: frozenset[str] = frozenset()
) -> tuple[Entry, ...]:
    """Name each cell by what tells it from the others.

    `cells` are those of the plan by key, and `varying` the fields of their setup in which they differ; rows of other
    programs are told apart by all settings that they say.
    """
    results = tuple(results)
    setups = _setups(results, cells or {}, varying)
    several = {name: len({words[name] for words in map(_parts, results)}) > 1 for name in _PARTS}
    entries = []
    for number, (result, (setup, words)) in enumerate(zip(results, setups, strict=True)):
        parts = {name: said for name, said in _parts(result).items() if several[name]}
        model = parts.pop("model", "")
        test = " · ".join(filter(None, [*parts.values(), words, "together" if result.together else ""]))
        label = " · ".join(filter(None, (model, test))) or model_label(result)
        entries.append(Entry(result=result, number=number, planned=setup, setup=words, label=label, test=test))
    return tuple(entries)


_PARTS = ("model", "prompt", "generated", "depth")


def _parts(result: CellResult) -> dict[str, str]:
    """What a label may say of a cell, each only where cells differ in it."""
    return {
        "model": model_label(result),
        "prompt": f"pp{result.prompt_tokens}" if result.prompt_tokens else "",
        "generated": f"tg{result.decode_steps}" if result.decode_steps else "",
        "depth": f"d{result.depth}",
    }


def _setups(
    results: Sequence[CellResult], cells: Mapping[str, Cell], varying: frozenset[str]
) -> list[tuple[Setup | None, str]]:
    every = differences([result.measurements[0].settings for result in results])
    found: list[tuple[Setup | None, str]] = []
    for result, words in zip(results, every, strict=True):
        cell = None if result.source else cells.get(result.cell)
        found.append((cell.setup, " · ".join(setup_words(cell.setup, varying))) if cell else (None, words))
    return found


def differences(settings: Sequence[Settings]) -> list[str]:
    """What each of these settings has to say where those that say it are not all alike: `2 threads · keys q8_0`."""
    said = [{name: words(each) for name, words in _WORDS} for each in settings]
    differing = [name for name, _ in _WORDS if len({each[name] for each in said} - {""}) > 1]
    if "threads" in differing and all(each.threads_batch in (None, each.threads) for each in settings):
        differing = [name for name in differing if name != "threads_batch"]
    return [" · ".join(filter(None, (each[name] for name in differing))) for each in said]


def model_label(result: CellResult) -> str:
    """A model's name on one line, with its foreign source."""
    name = one_line(result.name)
    return f"{name} ({source_words(result.source)})" if result.source else name


def source_words(source: str) -> str:
    """Which program measured a row, and the file it came from; without the program's build."""
    program, _, file = one_line(source).partition(", ")
    return f"{program.partition(' ')[0]} {file}".strip()


def counted(number: int | None, noun: str) -> str:
    """A number with its noun: `2 threads`; empty where nobody says."""
    return "" if number is None else f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
