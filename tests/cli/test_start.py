"""`slmtui` without a command and without a terminal: the bundled models compared, and the result exported."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tests.cli.program import on_terminal, processes_of, run, wait_for


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


def test_a_terminal_that_shows_lines_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself has its test above; here it ends at the home."""
    monkeypatch.setenv("TERM", "dumb")
    answered, sent = on_terminal("chat", "pocket-2m", "-p", "Hi", "-n", "4", "-t", "1")
    assert answered == 0
    assert "\x1b" not in sent
    (tmp_path / "file").touch()
    monkeypatch.setenv("SLMTUI_HOME", str(tmp_path / "file" / "below"))
    code, sent = on_terminal()
    assert code == 1
    assert sent.startswith("slmtui: this terminal can show lines only (TERM is dumb), so the app cannot open.")
    assert "\x1b" not in sent


def test_a_home_of_nobody_is_told_before_the_app_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLMTUI_HOME", "~nobody-of-this-name/slmtui")
    code, sent = on_terminal()
    assert code == 1
    assert "nobody-of-this-name" in sent
    assert "Traceback" not in sent
