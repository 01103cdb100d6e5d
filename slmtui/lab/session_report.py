"""A session as a Markdown report that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slmtui.core import provenance, text
from slmtui.core.ceiling import use_words
from slmtui.core.measurement import Measurement, Session
from slmtui.core.results import CellResult, cell_results
from slmtui.core.stats import NOISY_FRAC, Summary
from slmtui.lab.report import escaped


def session_markdown(session: Session, measurements: Sequence[Measurement]) -> str:
    """The machine, a table of cells, how they were measured, and every repetition."""
    title = text.one_line(session.name) or session.id
    results = cell_results(measurements)
    parts = [
        f"# slmtui session {escaped(title)}",
        _list([*_facts(session), *provenance.surroundings(session.environment)]),
        "## Cells",
        "Speeds are tokens per second: median, in brackets the quartiles, then the number of repetitions. "
        f"*Noisy* marks a spread over {text.share(NOISY_FRAC)} of the median; run such a cell again. "
        "*Averaged* marks another program's mean ± standard deviation. Bandwidth use is the share of the machine's "
        "read bandwidth that decode used, matrix rate the share of its matrix-multiply rate that prefill reached.",
        _table([_cell_columns(result) for result in results]),
        "## How it was measured",
        _list(provenance.circumstances(measurements)),
        "## Repetitions",
        "Exports as CSV, JSON and Parquet hold every column; JSON also holds every token's time and memory in time.",
        _table([_repetition_columns(measurement) for measurement in measurements]),
    ]
    if any(measurement.demo for measurement in measurements):
        parts.insert(2, "Models marked *demo* show how slmtui works and are good for nothing else.")
    return "\n\n".join(parts) + "\n"


def _facts(session: Session) -> list[tuple[str, str]]:
    return [
        ("Session", session.id),
        ("Started", session.started_at),
        ("Ended", session.ended_at or text.NOT_MEASURED),
    ]


def _list(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {label}: {escaped(value)}" for label, value in facts)


def _cell_columns(result: CellResult) -> dict[str, str]:
    marks = (
        ("averaged", result.averaged),
        ("noisy", result.noisy),
        ("together", result.together),
        ("demo", result.demo),
    )
    words = [word for word, on in marks if on]
    if result.source:
        words.append(f"by {escaped(result.source)}")
    memory = sum(part.bytes for part in result.engine_memory) if result.engine_memory else None
    return {
        "model": escaped(result.name),
        "test": result.shape,
        "prefill": _spread(result.prefill_tps, averaged=result.averaged),
        "decode": _spread(result.decode_tps, averaged=result.averaged),
        "first token": text.duration(result.ttft_s.median if result.ttft_s else None),
        "bandwidth use": use_words(result.mbu),
        "matrix rate": text.share(result.matmul_share),
        "energy a decoded token": _joules(result.decode_j_per_token),
        "engine memory": text.memory(memory),
        "process memory": text.memory(result.process_bytes),
        "remarks": ", ".join(words),
    }


def _spread(speed: Summary | None, *, averaged: bool) -> str:
    if speed is None:
        return text.NOT_MEASURED
    if averaged:
        return f"{text.rate(speed.mean)} ± {text.rate(speed.sd)}"
    quartiles = f"({text.rate(speed.q1)} – {text.rate(speed.q3)})"
    return f"{text.rate(speed.median)} {quartiles}, n = {speed.n}"


def _joules(value: float | None) -> str:
    return text.NOT_MEASURED if value is None else f"{value:.3g} J"


def _repetition_columns(measurement: Measurement) -> dict[str, str]:
    timing = measurement.timing
    process = measurement.process_memory
    return {
        "measured at": escaped(measurement.measured_at),
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
