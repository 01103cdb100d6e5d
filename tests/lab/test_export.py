from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow.parquet as pq
import pytest

from slmtui.core.measurement import Measurement, Session
from slmtui.core.rows import row
from slmtui.lab.export import FORMATS, ExportError, export, frame
from tests.samples import FULL_ENVIRONMENT, full_measurement, imported_measurement, measurement, session, timing

MEASURED = (
    measurement(0, timing=timing(1 / 3, None, decode_steps=0, generated_tokens=0)),
    full_measurement(1),
    full_measurement(2, model="/modèles/「小」 🦙.gguf", file='with "quotes", commas\nand breaks.gguf'),
)
SESSION = session(environment=FULL_ENVIRONMENT)
ROWS = [row(each, FULL_ENVIRONMENT) for each in MEASURED]
# Nothing is on a GPU, so that there is a ceiling for every share.
COMPLETE = msgspec.structs.replace(
    imported_measurement(),
    engine_memory=tuple(msgspec.structs.replace(part, device="CPU") for part in full_measurement().engine_memory),
)


def plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of Python values in which everything that is missing is None."""
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]


def test_every_column_has_the_type_of_its_values() -> None:
    table = frame([COMPLETE], FULL_ENVIRONMENT)
    kinds = {"string": str, "Int64": int, "Float64": float, "boolean": bool}
    for name, value in row(COMPLETE, FULL_ENVIRONMENT).items():
        assert value is not None, f"{name} is missing in the full sample"
        assert type(value) is kinds[str(table[name].dtype)], name


def test_types_do_not_depend_on_what_is_missing() -> None:
    complete = list(frame([COMPLETE], FULL_ENVIRONMENT).dtypes)
    assert list(frame([measurement()]).dtypes) == complete
    assert list(frame([]).dtypes) == complete


def test_parquet_keeps_the_types_of_empty_columns(tmp_path: Path) -> None:
    def schema(name: str, measurements: list[Measurement]) -> list[tuple[str, str]]:
        path = export(SESSION, measurements, "parquet", tmp_path / name)
        return [(field.name, str(field.type)) for field in pq.read_schema(path)]

    assert schema("empty.parquet", [measurement()]) == schema("full.parquet", [COMPLETE])
    assert {kind for _, kind in schema("e.parquet", [measurement()])} <= {
        "int64",
        "double",
        "bool",
        "large_string",
        "string",
    }


def test_text_that_ends_in_a_slash_is_a_folder_that_is_made(tmp_path: Path) -> None:
    path = export(session(), MEASURED, "csv", f"{tmp_path}/new/runs/")
    assert path == tmp_path / "new" / "runs" / f"slmtui-{session().id}.csv"
    assert path.is_file()


def test_csv_reads_back_equal(tmp_path: Path) -> None:
    path = export(SESSION, MEASURED, "csv", tmp_path / "größe.csv")
    types = {name: str(dtype) for name, dtype in frame(MEASURED).dtypes.items()}
    table = pd.read_csv(path, dtype=types, encoding="utf-8", keep_default_na=False, na_values=[""])
    assert plain(table) == ROWS
    content = path.read_bytes()
    assert b"\r" not in content
    assert not content.startswith(b"\xef\xbb\xbf")
    assert b"nan" not in content.lower().replace(b"finance", b"")


def test_csv_leaves_what_is_missing_empty_and_whole_numbers_whole(tmp_path: Path) -> None:
    path = export(session(), MEASURED, "csv", tmp_path / "s.csv")
    text = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert text["weights_bytes"].tolist() == ["", "5600000", "5600000"]
    assert text["decode_tps"].tolist()[0] == ""
    assert text["seed"].tolist() == ["", "4294967295", "4294967295"]


def test_parquet_reads_back_equal(tmp_path: Path) -> None:
    path = export(SESSION, MEASURED, "parquet", tmp_path / "s.parquet")
    table = pd.read_parquet(path)
    assert plain(table) == ROWS
    assert list(table.dtypes) == list(frame(MEASURED).dtypes)


def test_json_loses_nothing(tmp_path: Path) -> None:
    path = export(session(name="「小」", environment=FULL_ENVIRONMENT), MEASURED, "json", tmp_path / "s.json")
    document = json.loads(path.read_text("utf-8"))
    assert msgspec.convert(document["session"], Session) == session(name="「小」", environment=FULL_ENVIRONMENT)
    assert tuple(msgspec.convert(each, Measurement) for each in document["measurements"]) == MEASURED
    assert document["rows"] == ROWS
    assert "「小」".encode() in path.read_bytes(), "not escaped"


def test_markdown_is_a_report(tmp_path: Path) -> None:
    path = export(session(), MEASURED, "md", tmp_path / "s.md")
    report = path.read_text("utf-8")
    assert report.startswith("# slmtui session 20261121-0131-a7f3\n")
    assert "Größe 5M \\| 「小」" in report
    assert report.count("2026-11-21T01:31:0") == 4  # started, and three repetitions


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_folder_gets_a_good_name_and_an_old_file_is_replaced(tmp_path: Path, file_format: str) -> None:
    path = export(session(), MEASURED, file_format, tmp_path)
    assert path == tmp_path / f"slmtui-20261121-0131-a7f3.{file_format}"
    first = path.read_bytes()
    path.write_bytes(b"old" * 100_000)
    assert export(session(), MEASURED, file_format, path) == path
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_a_relative_path_and_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert export(session(), MEASURED, "csv", Path("a.csv")) == tmp_path / "a.csv"
    assert export(session(), MEASURED, "csv", Path("~/b.csv")) == tmp_path / "b.csv"


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("missing/file", r"can't write .*missing.file: there is no folder .*missing; choose another path"),
        ("plain/file", r"can't write .*plain.file: .*plain is not a folder; choose another path"),
        ("~nobody-of-that-name/x", r"can't write ~nobody.*: Could not determine home directory"),
        ("x" * 300, r"can't write .*xxx: File name too long; choose another path"),
    ],
)
def test_a_path_that_can_not_be_written_is_named(tmp_path: Path, file_format: str, target: str, complaint: str) -> None:
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(ExportError, match=complaint):
        export(session(), MEASURED, file_format, Path(target) if target[0] == "~" else tmp_path / target)
    assert list(tmp_path.iterdir()) == [tmp_path / "plain"]


def test_an_unknown_format_and_an_empty_session_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no export format xlsx; choose one of csv, json, parquet, md"):
        export(session(), MEASURED, "xlsx", tmp_path)
    with pytest.raises(ExportError, match="holds no measurement, so there is nothing to export"):
        export(session(), (), "csv", tmp_path)
    assert list(tmp_path.iterdir()) == []
