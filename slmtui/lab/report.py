"""Measurements as text that people and other programs read: llama-bench's tables, and a session's report."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from slmtui.core import text
from slmtui.core.machine import Machine
from slmtui.core.measurement import Measurement, Session
from slmtui.core.results import CellResult, bench_rows, cell_results, shape_label
from slmtui.core.stats import NOISY_FRAC, Summary

Output = Literal["md", "json", "jsonl", "csv"]

# Columns and widths of llama-bench's own table, then ours; a negative width is left-aligned, as in printf.
_COLUMNS = {"model": -30, "size": 10, "params": 10, "backend": -10, "threads": 7, "test": 15, "t/s": 20, "median": 9}


def render(results: Sequence[CellResult], machine: Machine, output: Output) -> str:
    """Benchmark results in one of llama-bench's formats, ending in a line break.

    CSV has no room for lists and leaves out `samples_ns` and `samples_ts`, as llama-bench does.
    """
    rows = bench_rows(results, machine)
    match output:
        case "md":
            return bench_table_markdown(rows)
        case "json":
            return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode() + "\n"
        case "jsonl":
            return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)
        case "csv":
            return _csv(rows)


def bench_table_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `bench_rows` in llama-bench's look: t/s is mean ± standard deviation, and our median beside it.

    Below it stands what the table has no column for: engine, repetitions, noisy cells, demo models.
    """
    columns = dict(_COLUMNS)
    if any(row["backends"] not in ("CPU", None) for row in rows):
        columns = {**_before(columns, "threads"), "ngl": 3, **_from(columns, "threads")}
    cells = [_bench_cells(row) for row in rows]
    widths = {name: max([abs(width), *(len(cell[name]) for cell in cells)]) for name, width in columns.items()}
    lines = [
        _line({name: name for name in columns}, columns, widths),
        _line({n: "-" * (widths[n] - 1) + (":" if w > 0 else "-") for n, w in columns.items()}, columns, widths),
        *(_line(cell, columns, widths) for cell in cells),
    ]
    return "\n".join([*lines, "", *_footnotes(rows)]) + "\n"


def session_markdown(session: Session, measurements: Sequence[Measurement]) -> str:
    """A report that a person reads: the machine, a table of cells, and every repetition."""
    title = text.one_line(session.name) or session.id
    results = cell_results(measurements)
    parts = [
        f"# slmtui session {escaped(title)}",
        "\n".join(f"- {label}: {value}" for label, value in _facts(session).items()),
        "## Cells",
        "Speeds are tokens per second: median, in brackets the quartiles, then the number of repetitions. "
        f"*Noisy* marks a spread over {text.share(NOISY_FRAC)} of the median; run such a cell again.",
        _table([_cell_columns(result) for result in results]),
        "## Repetitions",
        "Exports as CSV, JSON and Parquet hold every column.",
        _table([_repetition_columns(measurement) for measurement in measurements]),
    ]
    if any(measurement.demo for measurement in measurements):
        parts.insert(2, "Models marked *demo* show how slmtui works and are good for nothing else.")
    return "\n\n".join(parts) + "\n"


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
        "test": shape_label(row["n_prompt"], row["n_gen"], row["n_depth"]),
        "t/s": f"{row['avg_ts']:.2f} ± {row['stddev_ts']:.2f}",
        "median": f"{row['median_ts']:.2f}",
    }


def _scaled(value: int | None, small: int, large: int, small_unit: str, large_unit: str) -> str:
    if value is None:
        return text.NOT_MEASURED
    return f"{value / large:.2f} {large_unit}" if value >= large else f"{value / small:.2f} {small_unit}"


def _plain(value: int | None) -> str:
    return text.NOT_MEASURED if value is None else str(value)


def _footnotes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    engines = sorted({escaped(row["engine"]) for row in rows if row["engine"]})
    lines = [f"engine: {', '.join(engines)}"] if engines else []
    counts = sorted({row["repetitions"] for row in rows})
    repetitions = " or ".join(map(str, counts)) or "no"
    lines.append(f"t/s: mean ± standard deviation of {repetitions} repetitions")
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


def _facts(session: Session) -> dict[str, str]:
    environment = session.environment
    machine = environment.machine
    cores = f"{machine.cpu.physical_cores or text.NOT_MEASURED} cores"
    facts = {
        "Session": session.id,
        "Started": session.started_at,
        "Ended": session.ended_at,
        "CPU": ", ".join(filter(None, (machine.apple_chip or machine.cpu.name, cores))),
        "Instruction sets": ", ".join(machine.cpu.instruction_sets),
        "Memory": text.memory(machine.memory.total_bytes),
        "GPU": ", ".join(f"{gpu.name} ({text.memory(gpu.memory_total_bytes)})" for gpu in machine.gpus),
        "System": machine.system,
        "Power": machine.power,
        "Governor": machine.governor,
        "Engines": ", ".join(f"{engine.name} {engine.version}" for engine in machine.engines if engine.version),
        "Software": f"slmtui {environment.slmtui}, Python {environment.python}",
    }
    return {label: escaped(value) if value else text.NOT_MEASURED for label, value in facts.items()}


def _cell_columns(result: CellResult) -> dict[str, str]:
    marks = [word for word, on in (("noisy", result.noisy), ("together", result.together), ("demo", result.demo)) if on]
    memory = sum(part.bytes for part in result.engine_memory) if result.engine_memory else None
    return {
        "model": escaped(result.name),
        "test": result.shape,
        "prefill": _spread(result.prefill_tps),
        "decode": _spread(result.decode_tps),
        "first token": text.duration(result.ttft_s.median if result.ttft_s else None),
        "engine memory": text.memory(memory),
        "process memory": text.memory(result.process_bytes),
        "remarks": ", ".join(marks),
    }


def _spread(speed: Summary | None) -> str:
    if speed is None:
        return text.NOT_MEASURED
    quartiles = f"({text.rate(speed.q1)} – {text.rate(speed.q3)})"
    return f"{text.rate(speed.median)} {quartiles}, n = {speed.n}"


def _repetition_columns(measurement: Measurement) -> dict[str, str]:
    timing = measurement.timing
    process = measurement.process_memory
    return {
        "measured at": measurement.measured_at,
        "model": escaped(measurement.name),
        "kind": measurement.kind,
        "#": str(measurement.repetition),
        "prompt tokens": str(timing.prompt_tokens),
        "generated": str(timing.generated_tokens),
        "depth": str(timing.depth),
        "prefill tok/s": text.rate(timing.prefill_tps),
        "first token": text.duration(timing.ttft_s),
        "decode tok/s": text.rate(timing.decode_tps),
        "process memory": text.memory(process.charged_bytes if process else None),
        "ended by": measurement.reason.value,
    }


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "None."
    import pandas as pd

    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
