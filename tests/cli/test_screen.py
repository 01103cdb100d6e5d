"""What reaches a terminal: nothing in a model's name or answer acts on it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.program import STORY, on_terminal, run, story_with
from tests.mlx_models import needs_mlx

BEGIN = ("-p", "Once upon a time", "--raw", "--temp", "0", "-t", "1")
OUR_SEQUENCE = "\r\x1b[K"
"""The only thing that slmtui itself sends to move the cursor: it empties the progress line."""


def foreign(sent: str) -> str:
    return sent.replace(OUR_SEQUENCE, "")


def test_the_answer_stays_on_the_terminal() -> None:
    code, sent = on_terminal("chat", STORY, *BEGIN, "-n", "20")
    assert code == 0
    shown = foreign(sent[sent.rfind(OUR_SEQUENCE, 0, sent.index("there was")) :])
    assert ", there was a little girl named Lily. She loved" in shown, "no piece was taken back"


@pytest.mark.parametrize("token", ["\x1b[31mX", "\x1b]0;owned\x07X", "\x9b2JX", "\u202eX", "[/b][bold]X"])
def test_an_answer_cannot_act_on_the_terminal(token: str, tmp_path: Path) -> None:
    model = story_with(tmp_path, token)
    code, sent = on_terminal("chat", model, *BEGIN, "-n", "20")
    assert code == 0
    assert not re.search("[\x1b\x07\x9b\u202e]", foreign(sent))
    assert "X. She loved" in sent
    if token.startswith("[/b]"):
        assert token in sent
    piped = run("chat", model, *BEGIN, "-n", "20")
    assert token in piped.stdout, "a pipe gets what the model said"


@needs_mlx
def test_answers_of_both_engines_cannot_act_on_the_terminal(hostile: Callable[[str], Path]) -> None:
    models = (hostile("llama.cpp"), hostile("MLX"))
    code, sent = on_terminal("chat", *models, "-p", "Hello", "--temp", "0", "-n", "20", "-t", "1")
    assert code == 0
    assert "\x1b" not in foreign(sent)
    answers = foreign(sent).split("── ")[1:]
    assert ["\ufffd[b]" in answer for answer in answers] == [True, True], "markup and bytes that are no text"


@pytest.mark.parametrize("output", ["md", "json", "csv"])
def test_a_name_cannot_act_on_the_terminal(output: str, tmp_path: Path) -> None:
    model = Path(shutil.copy(STORY, tmp_path / "[bold]x\x1b[31m.gguf"))
    code, sent = on_terminal("bench", model, "-p", "16", "-n", "8", "-r", "1", "-t", "1", "-o", output, columns=2000)
    assert code == 0
    assert "\x1b" not in foreign(sent)
    assert "[bold]x" in sent.replace("\\", "")


def test_names_in_tables_messages_and_paths_are_inert(home: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(STORY, tmp_path / "[bold]x\x1b[31m.gguf"))
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text(f"folders = ['{tmp_path}']")
    assert run("chat", model, *BEGIN, "-n", "4").returncode == 0
    for arguments in (
        ("models",),
        ("models", "--json"),
        ("sessions",),
        ("sessions", "latest"),
        ("sessions", "latest", "--json"),
        ("chat", str(model), "-p", "x" * 2000, "-c", "256"),
        ("chat", str(model.with_name("none\x1b[31m.gguf")), "-p", "x"),
        ("export", "--format", "md", "-o", str(tmp_path / "o\x1b[31mut.md")),
        ("export", "-o", str(tmp_path / "no\x1b[31mne" / "out.csv")),
    ):
        code, sent = on_terminal(*arguments, columns=200)
        assert code in (0, 1)
        assert "\x1b" not in foreign(sent), arguments
        assert "Traceback" not in sent
    assert "\x1b" not in (tmp_path / "o\x1b[31mut.md").read_text()
    assert "[bold]x" in on_terminal("models")[1]


def test_progress_is_shown_and_taken_back() -> None:
    code, sent = on_terminal("bench", "pocket-2m", "-p", "16", "-n", "8", "-r", "1", "-t", "1")
    assert code == 0
    assert "repetition 1 of 1" in sent
    assert sent.rindex(OUR_SEQUENCE) > sent.index("repetition 1 of 1")
