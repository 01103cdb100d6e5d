"""Other programs' measurements, and slmtui's from elsewhere, as sessions: all of a file or nothing of it."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PureWindowsPath

import msgspec

from slmtui.core.catalog import LocalModel
from slmtui.core.foreign import ForeignError, document, read_rows
from slmtui.core.foreign_rows import readings
from slmtui.core.measurement import Environment, Imported, Measurement, Session
from slmtui.core.text import one_line
from slmtui.lab.services import Services
from slmtui.sources.textfile import TextFileError, decoded, read_bytes

LARGEST_BYTES = 200_000_000
MOST_HEADER_BYTES = 64_000_000
"""More than any file's header and vocabulary take."""


class ImportFailedError(RuntimeError):
    """Nothing was imported; the message names the file, and the line or row, and says what is wrong."""


class ImportOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of importing one file."""

    session: Session
    known: bool = False
    """Whether the same content was imported before, so that nothing was added."""
    combined: int = 0
    """Rows that are left out because they give one figure for prompt and generation together (-pg)."""

    @property
    def sentence(self) -> str:
        """The outcome for a person, without control characters."""
        name = one_line(self.session.name)
        if self.known:
            return f"{name} was imported before, as session {self.session.id}; nothing was added."
        number = self.session.measurements
        noun, verb = ("measurement", "is") if number == 1 else ("measurements", "are")
        words = f"{number:,} {noun} of {name} {verb} session {self.session.id}."
        if self.combined:
            rows = "1 row" if self.combined == 1 else f"{self.combined:,} rows"
            words += f" Left out: {rows} of one figure for prompt and generation together (-pg)."
        return words


async def import_file(services: Services, path: Path | str) -> ImportOutcome:
    """Read a file of llama-bench (JSON, JSONL, CSV) or of slmtui (JSON) and keep it as a session named after it.

    Raises:
        ImportFailedError: it can't be read, or a line or row of it is wrong.
        StoreError: the session can't be written.
    """
    return await asyncio.to_thread(_import, services, Path(path))


def _import(services: Services, path: Path) -> ImportOutcome:
    try:
        content = read_bytes(path, LARGEST_BYTES)
        sha256 = hashlib.sha256(content).hexdigest()
        earlier = services.store.imports.find(sha256)
        if earlier is not None:
            return ImportOutcome(session=services.store.session(earlier), known=True)
        environment, measurements, combined = _read(decoded(content), one_line(path.name), sha256)
        session = _session(environment, measurements)
    except (ForeignError, TextFileError) as error:
        raise ImportFailedError(f"can't import {one_line(str(path))}: {error}") from error
    here = services.models()
    own = tuple(
        msgspec.structs.replace(_named(measurement, here), id=f"{session.id}-{number}", session=session.id, plan="")
        for number, measurement in enumerate(measurements)
    )
    services.store.imports.add(session, own)
    return ImportOutcome(session=services.store.session(session.id), combined=combined)


def _read(text: str, file: str, sha256: str) -> tuple[Environment, tuple[Measurement, ...], int]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if (exported := _exported(text)) is not None:
        session, measurements = exported
        program = session.environment.program
        marked = tuple(
            msgspec.structs.replace(measurement, source=measurement.source or f"{program}, {file}")
            for measurement in measurements
        )
        imported = Imported(program=program, file=file, sha256=sha256, at=now)
        return msgspec.structs.replace(session.environment, imported=imported), marked, 0
    read = readings(read_rows(text), file)
    imported = Imported(program=read.program, file=file, sha256=sha256, at=now)
    environment = Environment(slmtui=read.slmtui, python=read.python, machine=read.machine, imported=imported)
    return environment, read.measurements, read.combined


def _exported(text: str) -> tuple[Session, tuple[Measurement, ...]] | None:
    """What `slmtui export --format json` wrote; None when it is something else."""
    if not text.lstrip().startswith("{") or '"slmtui_export"' not in text:
        return None
    whole = document(text)
    if not isinstance(whole, Mapping) or "slmtui_export" not in whole:
        return None
    if "measurements" not in whole and "answers" in whole:
        raise ForeignError(
            "it holds answers of a probe, which stay where they were given; only measurements are imported"
        )
    try:
        session = msgspec.convert(_harmless(whole.get("session")), Session)
        measurements = msgspec.convert(_harmless(whole.get("measurements")), tuple[Measurement, ...])
    except msgspec.ValidationError as error:
        raise ForeignError(f"it is an export of slmtui that can't be read ({error}); update slmtui") from error
    if not measurements:
        raise ForeignError("it holds no measurement")
    return session, measurements


def _named(measurement: Measurement, here: Sequence[LocalModel]) -> Measurement:
    """With the id of the model on this machine whose file has this name, so that both are compared; else as it is.

    Nothing but the name is known of the other file, so a weight size that can't be is the only reason to doubt.
    """
    if measurement.model != measurement.file:
        return measurement
    name = PureWindowsPath(measurement.file).name
    same = [model for model in here if model.path.name == name]
    if len(same) != 1:
        return measurement
    (model,), weights = same, measurement.facts.weights_bytes
    if weights is not None and not 0 <= model.size_bytes - weights <= MOST_HEADER_BYTES:
        return measurement
    return msgspec.structs.replace(measurement, model=model.id, name=model.name, demo=model.demo)


def _harmless(value: object) -> object:
    """The same JSON value without control characters in its texts; a number that no column holds is refused."""
    match value:
        case str():
            return one_line(value)
        case list():
            return [_harmless(each) for each in value]
        case dict():
            return {key: _harmless(each) for key, each in value.items()}
        case int() if abs(value) >= 2**63:
            raise ForeignError(f"a number in it has {len(str(abs(value)))} digits, which no measurement has")
        case _:
            return value


def _session(environment: Environment, measurements: Sequence[Measurement]) -> Session:
    try:
        moments = [datetime.fromisoformat(measurement.measured_at).astimezone(UTC) for measurement in measurements]
    except (ValueError, OverflowError) as error:
        raise ForeignError(f"the time of a measurement is wrong ({error})") from error
    return Session(
        id=f"{min(moments):%Y%m%d-%H%M}-{secrets.token_hex(3)}",
        started_at=_iso(min(moments)),
        ended_at=_iso(max(moments)),
        name=environment.imported.file if environment.imported else "",
        environment=environment,
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
