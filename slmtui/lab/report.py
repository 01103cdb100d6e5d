"""Benchmark results in llama-bench's formats, for people and for other programs."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from slmtui import __version__
from slmtui.core import provenance, text
from slmtui.core.bench_rows import bench_rows
from slmtui.core.machine import Machine
from slmtui.core.measurement import Environment
from slmtui.core.results import CellResult, shape_label
from slmtui.core.stats import NOISY_FRAC

Output = Literal["md", "json", "jsonl", "csv"]

# Columns and widths of llama-bench's own table, then ours; a negative width is left-aligned, as in printf.
_COLUMNS = {"model": -30, "size": 10, "params": 10, "backend": -10, "threads": 7, "test": 15, "t/s": 20, "median": 9}
# Columns that llama-bench shows too when a setting takes several values, with the field that each shows.
_VARIED = {
    "n_batch": (7, "n_batch"),
    "n_ubatch": (8, "n_ubatch"),
    "type_k": (6, "type_k"),
    "type_v": (6, "type_v"),
    "fa": (2, "flash_attn"),
}


def render(results: Sequence[CellResult], machine: Machine, output: Output) -> str:
    """Results measured by this program on this machine in one of llama-bench's formats, ending in a line break.

    CSV has no room for lists and leaves out `samples_ns` and `samples_ts`, as llama-bench does.
    """
    environment = Environment(slmtui=__version__, python=platform.python_version(), machine=machine)
    rows = bench_rows(results, environment)
    match output:
        case "md":
            return bench_table_markdown(rows) + _provenance(results, environment)
        case "json":
            return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n"
        case "jsonl":
            return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)
        case "csv":
            return _csv(rows)


def bench_table_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `bench_rows` in llama-bench's look: t/s is mean ± standard deviation, and our median beside it.

    Below it stands what the table has no column for: repetitions, noisy cells, demo models.
    """
    columns = dict(_COLUMNS)
    if any(row["backends"] not in ("CPU", None) for row in rows):
        columns = {**_before(columns, "threads"), "ngl": 3, **_from(columns, "threads")}
    varied = {n: width for n, (width, field) in _VARIED.items() if len({row[field] for row in rows} - {None}) > 1}
    columns = {**_before(columns, "test"), **varied, **_from(columns, "test")}
    cells = [_bench_cells(row) for row in rows]
    widths = {name: max([abs(width), *(len(cell[name]) for cell in cells)]) for name, width in columns.items()}
    lines = [
        _line({name: name for name in columns}, columns, widths),
        _line({n: "-" * (widths[n] - 1) + (":" if w > 0 else "-") for n, w in columns.items()}, columns, widths),
        *(_line(cell, columns, widths) for cell in cells),
    ]
    return "\n".join([*lines, "", *_footnotes(rows)]) + "\n"


def escaped(value: str) -> str:
    """Foreign text on one line, with what Markdown would act on made harmless."""
    return "".join(f"\\{char}" if char in "\\|<[`*" else char for char in text.one_line(value))


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    flat = [{k: v for k, v in row.items() if k not in ("samples_ns", "samples_ts")} for row in rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(flat[0]) if flat else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: int(v) if isinstance(v, bool) else v for k, v in row.items()} for row in flat)
    return buffer.getvalue()


def _provenance(results: Sequence[CellResult], environment: Environment) -> str:
    measured = [measurement for result in results for measurement in result.measurements]
    if not measured:
        return ""
    facts = [*provenance.surroundings(environment), *provenance.circumstances(measured)]
    return "\n" + "".join(f"{label}: {escaped(value)}\n" for label, value in facts)


def _before(columns: Mapping[str, int], stop: str) -> dict[str, int]:
    names = list(columns)
    return {name: columns[name] for name in names[: names.index(stop)]}


def _from(columns: Mapping[str, int], start: str) -> dict[str, int]:
    names = list(columns)
    return {name: columns[name] for name in names[names.index(start) :]}


def _line(cells: Mapping[str, str], columns: Mapping[str, int], widths: Mapping[str, int]) -> str:
    padded = (
        cells[name].rjust(widths[name]) if width > 0 else cells[name].ljust(widths[name])
        for name, width in columns.items()
    )
    return f"| {' | '.join(padded)} |"


def _bench_cells(row: Mapping[str, Any]) -> dict[str, str]:
    size, parameters = row["model_size"], row["model_n_params"]
    return {
        "model": escaped(row["model_name"]),
        "size": _scaled(size, 1024**2, 1024**3, "MiB", "GiB"),
        "params": _scaled(parameters, 10**6, 10**9, "M", "B"),
        "backend": escaped(row["backends"] or text.NOT_MEASURED),
        "ngl": _plain(row["n_gpu_layers"]),
        "threads": _plain(row["n_threads"]),
        **{name: escaped(_plain(row[field])) for name, (_, field) in _VARIED.items()},
        "test": shape_label(row["n_prompt"], row["n_gen"], row["n_depth"]),
        "t/s": f"{row['avg_ts']:.2f} ± {row['stddev_ts']:.2f}",
        "median": f"{row['median_ts']:.2f}",
    }


def _scaled(value: int | None, small: int, large: int, small_unit: str, large_unit: str) -> str:
    if value is None:
        return text.NOT_MEASURED
    return f"{value / large:.2f} {large_unit}" if value >= large else f"{value / small:.2f} {small_unit}"


def _plain(value: int | str | None) -> str:
    return text.NOT_MEASURED if value is None else str(value)


def _footnotes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    counts = sorted({row["repetitions"] for row in rows})
    repetitions = " or ".join(map(str, counts)) or "no"
    lines = [f"t/s: mean ± standard deviation of {repetitions} repetitions"]
    for mark, meaning in (
        ("noisy", f"noisy (spread over {text.share(NOISY_FRAC)} of the median), run again"),
        ("together", "measured while other models ran"),
    ):
        marked = [
            f"{escaped(row['model_name'])} {shape_label(row['n_prompt'], row['n_gen'], row['n_depth'])}"
            for row in rows
            if row[mark]
        ]
        if marked:
            lines.append(f"{meaning}: {', '.join(marked)}")
    demos = dict.fromkeys(escaped(row["model_name"]) for row in rows if row["demo"])
    if demos:
        lines.append(f"demo models, good for trying slmtui only: {', '.join(demos)}")
    return lines
