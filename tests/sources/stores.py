"""Stores of tests, and another process that writes into one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from slmtui.core.measurement import Measurement
from slmtui.sources.store import Store
from tests.samples import ENVIRONMENT, measurement

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from slmtui.sources.store import Store
from tests.samples import ENVIRONMENT, full_measurement
with Store.open(Path(sys.argv[1])) as store:
    session = store.start_session(ENVIRONMENT)
    for repetition in range(int(sys.argv[2])):
        store.add(full_measurement(repetition, session=session.id))
        print(session.id, repetition, flush=True)
    store.end_session(session.id)
"""


def writer(path: Path, repetitions: int) -> subprocess.Popen[str]:
    """Another process that measures."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(repetitions)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begin(store: Store, *, repetitions: int = 1, model: str = "pocket-5m:Q8_0") -> str:
    session = store.start_session(ENVIRONMENT)
    for number in range(repetitions):
        store.add(measurement(number, session=session.id, model=model))
    return session.id


def limit(store: Store, pragma: str) -> None:
    """Make the store's own connection refuse to write, as a full or read-only disk does."""
    assert store._file.connection is not None
    store._file.connection.execute(f"PRAGMA {pragma}").fetchall()


def fill(store: Store, session: str) -> list[Measurement]:
    """Add measurements until the store refuses."""
    added = []
    for number in range(10, 2000):
        added.append(measurement(number, session=session))
        store.add(added[-1])
    return added
