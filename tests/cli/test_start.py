"""`slmtui` without a command and without a terminal: the bundled models compared, and the result exported."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from tests.cli.program import processes_of, run, wait_for


def test_without_a_terminal_the_bundled_models_are_compared(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text("threads = 1\n")
    done = run()
    assert done.returncode == 0, done.stderr
    assert "no terminal" in done.stderr
    for name in ("Pocket 5M Q4_K_M", "Pocket 5M Q8_0", "Pocket 5M F16", "Pocket 2M Q8_0"):
        assert name in done.stdout
    assert "±" in done.stdout
    found = re.search(r"exported to (.+)", done.stderr)
    assert found is not None
    path = Path(found[1])
    assert path.parent == home / "exports"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["model"] for row in rows}) >= 5
    wait_for(lambda: not processes_of(home), "the end of every process")


def test_without_a_terminal_and_without_a_usable_home(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(env={"SLMTUI_HOME": str(tmp_path / "file" / "below")})
    assert done.returncode == 1
    assert "SLMTUI_HOME" in done.stderr
    assert "Traceback" not in done.stderr
