"""A session as a file: CSV, JSON, Parquet, Markdown; one row a repetition, UTF-8 everywhere."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from slmtui.core.measurement import Environment, Measurement, Session
from slmtui.core.rows import COLUMNS, ColumnType, row
from slmtui.core.text import one_line
from slmtui.lab.session_report import session_markdown
from slmtui.sources.atomic import write_atomically

if TYPE_CHECKING:
    import pandas as pd

JSON_VERSION = 1
"""Version of the JSON document's shape."""

_DTYPES: dict[ColumnType, Literal["string", "Int64", "Float64", "boolean"]] = {
    "text": "string",
    "whole": "Int64",
    "real": "Float64",
    "flag": "boolean",
}


class ExportError(RuntimeError):
    """The export was not written; the message names the file and says what to do."""


def export(session: Session, measurements: Sequence[Measurement], file_format: str, path: Path | str) -> Path:
    """Write a session in one of `FORMATS` and return the file's path.

    `path` is the file, or a folder that gets `slmtui-<session id>.<format>`; text that ends in a slash is a folder
    that is made when it is missing. An existing file is replaced at
    once or, when anything goes wrong, left as it was.

    Raises:
        ExportError: the format is unknown, there is nothing to export, or the file can't be written.
    """
    encode = _ENCODERS.get(file_format)
    if encode is None:
        raise ExportError(f"there is no export format {one_line(file_format)}; choose one of {', '.join(FORMATS)}")
    if not measurements:
        raise ExportError(
            f"session {session.id} holds no measurement, so there is nothing to export; "
            "chat with a model or run a benchmark first"
        )
    return place(path, f"slmtui-{session.id}.{file_format}", encode(session, measurements))


def place(path: Path | str, name: str, content: bytes) -> Path:
    """Write an export to a file, or to a folder under this name, and return the file's path.

    Raises:
        ExportError: the file can't be written.
    """
    try:
        names_folder = str(path).endswith(("/", os.sep))
        path = Path(path).expanduser().absolute()
        if names_folder:
            path.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            path = path / name
        write_atomically(path, content)
    except (OSError, RuntimeError) as error:
        raise ExportError(
            f"can't write {one_line(str(path))}: {_why(error, Path(path))}; choose another path"
        ) from error
    return path


def frame(measurements: Sequence[Measurement], environment: Environment | None = None) -> pd.DataFrame:
    """One row a repetition with the columns of `core.rows`; a missing figure is NA.

    A column has one type whatever a session leaves empty, so that files of several sessions can be joined.
    """
    rows = [row(measurement, environment) for measurement in measurements]
    return framed(rows, {column.name: column.type for column in COLUMNS})


def framed(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, ColumnType]) -> pd.DataFrame:
    """Rows as a table whose columns have these types, whatever is missing."""
    import pandas as pd

    return pd.DataFrame(
        {name: pd.array([each[name] for each in rows], dtype=_DTYPES[kind]) for name, kind in columns.items()}
    )


def encoded(table: pd.DataFrame, file_format: Literal["csv", "parquet"]) -> bytes:
    """A table as a file's content."""
    if file_format == "csv":
        return table.to_csv(index=False, lineterminator="\n").encode()
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _why(error: OSError | RuntimeError, path: Path) -> str:
    match error:
        case FileNotFoundError() | NotADirectoryError():
            parent = one_line(str(path.parent))
            if path.parent.is_dir():
                return f"{parent} takes no files"
            return f"{parent} is not a folder" if path.parent.exists() else f"there is no folder {parent}"
        case OSError():
            return error.strerror or str(error)
        case _:  # pathlib knows no home folder for ~name
            return str(error)


def _csv(session: Session, measurements: Sequence[Measurement]) -> bytes:
    return encoded(frame(measurements, session.environment), "csv")


def _json(session: Session, measurements: Sequence[Measurement]) -> bytes:
    document = {
        "slmtui_export": JSON_VERSION,
        "session": session,
        "rows": [row(measurement, session.environment) for measurement in measurements],
        "measurements": measurements,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _parquet(session: Session, measurements: Sequence[Measurement]) -> bytes:
    return encoded(frame(measurements, session.environment), "parquet")


def _markdown(session: Session, measurements: Sequence[Measurement]) -> bytes:
    return session_markdown(session, measurements).encode()


_ENCODERS: dict[str, Callable[[Session, Sequence[Measurement]], bytes]] = {
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "md": _markdown,
}

FORMATS = tuple(_ENCODERS)
"""Names of the export formats, which are also the files' extensions."""
