"""Every field of a measurement is in its row, or is on a list with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar, cast

import msgspec
import pytest

from slmtui.core.events import StopReason
from slmtui.core.rows import COLUMNS, row
from tests.samples import FULL_ENVIRONMENT, full_measurement, imported_measurement, measurement, timing

NOT_IN_ROWS = {
    "facts.name": "prose of the file; `model_name` is the name, and the JSON export has it",
    "facts.description": "prose of the file; the JSON export has it",
    "facts.template_sha256": "`template_sha256` says which template a text was rendered with; a benchmark renders none",
    "facts.context": "as in settings, which say what was used",
    "facts.threads": "as in settings",
    "facts.device": "as in settings",
    "facts.extra_buffers": "as in settings",
    "facts.kv_type": "as in settings",
    "peak_memory.rss_bytes": "`process_peak_rss_bytes` is the system's own account of it",
    "memory_samples.0.at_s": "memory in time is a table of its own: the JSON export has it",
    "memory_samples.0.memory.rss_bytes": "`process_peak_rss_bytes` is the system's own account of the peak",
    "environment.machine.memory.available_bytes": "when the session began, not when this was measured",
    "environment.machine.gpus.0.index": "the order of `gpu_info`",
    "environment.machine.gpus.0.vendor": "the name says it",
    "environment.machine.gpus.0.memory_free_bytes": "when the session began, not when this was measured",
    "environment.machine.gpus.0.unified": "the processor says it",
    "environment.machine.gpus.0.power_w": "when the session began, not when this was measured",
    "environment.machine.gpus.0.power_limit_w": "as the driver has it; the JSON export has it",
    "environment.machine.gpus.0.temperature_c": "when the session began, not when this was measured",
    "environment.machine.gpus.0.source": "who told of it; the JSON export has it",
    "environment.machine.engines.0.build": "`engine_build` is that of the engine that measured",
    "environment.machine.engines.0.advice": "advice",
    "environment.machine.power": "`power` is that of the measurement",
    "environment.machine.governor": "`governor` is that of the measurement",
    "environment.machine.installer.python": "what advice names, not what measured; a session does not keep it",
    "environment.machine.installer.by": "what advice names, not what measured; a session does not keep it",
    "environment.machine.cuda_toolkit.nvcc": "what engines are built with, not what measured",
    "environment.machine.cuda_toolkit.version": "what engines are built with, not what measured",
    "environment.machine.apple_chip": "`cpu_info` is the processor's name where the system gives both",
    "environment.machine.notes.0": "advice",
    "environment.imported.program": "`source` has it",
}
Value = TypeVar("Value")


def fields(value: object, path: str = "") -> Iterator[str]:
    """Paths of all plain values in a tree of structs and tuples."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from fields(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple):
        if value:
            yield from fields(value[0], f"{path}.0")
    else:
        yield path


def another(value: object) -> object:
    """A value of the same type that is not equal to this one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return type(value)(value * 4 + 1)
        case StopReason():
            return StopReason.STOP_STRING
        case _:
            return f"{value}!"


def changed(value: Value, path: str) -> Value:
    """The same tree with another value at this path."""
    head, _, rest = path.partition(".")
    if isinstance(value, tuple):
        first = changed(value[0], rest) if rest else another(value[0])
        return cast("Value", (first, *value[1:]))
    assert isinstance(value, msgspec.Struct)
    inner = getattr(value, head)
    return msgspec.structs.replace(value, **{head: changed(inner, rest) if rest else another(inner)})


FULL = imported_measurement()


@pytest.mark.parametrize("path", list(fields(FULL)))
def test_every_field_of_a_measurement_shows_in_its_row(path: str) -> None:
    other = row(changed(FULL, path), FULL_ENVIRONMENT)
    assert (other != row(FULL, FULL_ENVIRONMENT)) != (path in NOT_IN_ROWS), path


@pytest.mark.parametrize("path", list(fields(FULL_ENVIRONMENT)))
def test_every_field_of_an_environment_shows_in_its_row(path: str) -> None:
    other = row(FULL, changed(FULL_ENVIRONMENT, path))
    assert (other != row(FULL, FULL_ENVIRONMENT)) != (f"environment.{path}" in NOT_IN_ROWS), path


def test_the_samples_leave_nothing_empty_that_these_tests_would_not_see() -> None:
    for whole in (FULL, FULL_ENVIRONMENT):
        for path in fields(whole):
            value: Any = whole
            for name in path.split("."):
                value = value[0] if name == "0" else getattr(value, name)
            assert value not in (None, "", ()), path


def test_the_list_of_what_is_not_in_rows_names_fields_that_exist() -> None:
    known = {*fields(FULL), *(f"environment.{path}" for path in fields(FULL_ENVIRONMENT))}
    assert set(NOT_IN_ROWS) <= known


def test_a_row_has_every_column_once_and_no_unit_is_lost() -> None:
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    assert list(row(measurement())) == names


def test_nothing_is_made_up_for_what_was_not_measured() -> None:
    empty = row(measurement(timing=timing(None, None)))
    told = {name for name, value in empty.items() if value is not None}
    assert told == {
        "after_prompt",
        "averaged",
        "cell",
        "decode_steps",
        "demo",
        "id",
        "kind",
        "measured_at",
        "model",
        "model_filename",
        "model_name",
        "n_depth",
        "n_gen",
        "n_prompt",
        "page_cache",
        "reason",
        "repetition",
        "session",
        "together",
    }


def test_the_tools_own_cost_is_what_no_phase_took() -> None:
    full = row(full_measurement())
    assert full["overhead_s"] == pytest.approx(0.875 - 0.02 - 0.25 - 0.5)
    assert row(measurement())["overhead_s"] is None


def test_energy_is_counted_for_each_token_and_the_meter_is_named() -> None:
    full = row(full_measurement())
    assert (full["energy_meter"], full["prefill_j_per_token"]) == ("RAPL package-0", 5.0 / 512)
    assert full["decode_j_per_token"] == 12.0 / 128
    none = row(measurement())
    assert none["energy_meter"] is none["decode_j_per_token"] is None


def test_peaks_are_the_largest_of_all_that_was_seen() -> None:
    full = row(full_measurement())
    assert full["process_peak_rss_bytes"] == 41_000_000
    assert full["process_peak_pss_bytes"] == 33_000_000
    assert full["process_peak_gpu_bytes"] == 13_000_000
    assert row(full_measurement(peak_memory=None))["process_peak_uss_bytes"] == 27_000_000
    assert row(measurement())["process_peak_uss_bytes"] is None
