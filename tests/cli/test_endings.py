"""Exit codes, messages, and what is left behind: 0 done, 1 failed, 2 usage, 130 interrupted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import (
    SLMTUI,
    STORY,
    assert_nothing_left,
    endless_story,
    on_terminal,
    run,
    start,
)
from tests.engine.gguf_files import Gguf
from tests.mlx_models import ENGINES, Forms, changed, needs_mlx


def assert_fails(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("command", [("chat", "-p", "Hi"), ("bench", "-r", "1")], ids=["chat", "bench"])
class TestBadModels:
    """Each is a sentence and exit code 1, and no process is left."""

    def test_no_such_file(self, command: tuple[str, ...], tmp_path: Path) -> None:
        assert_fails(run(*command, tmp_path / "none.gguf"), "none.gguf")

    def test_no_such_model(self, command: tuple[str, ...]) -> None:
        assert_fails(run(*command, "pocket-5n"), "pocket-5n", "slmtui models")
        assert_fails(run(*command, "pocket-5m:Q9"), "Q9", "pocket-5m:Q8_0")

    def test_not_a_gguf(self, command: tuple[str, ...], tmp_path: Path, home: Path) -> None:
        (tmp_path / "letter.gguf").write_text("Dear reader, " * 100)
        assert_fails(run(*command, tmp_path / "letter.gguf"), "letter", "GGUF")
        assert_nothing_left(home)

    def test_cut_short(self, command: tuple[str, ...], tmp_path: Path, home: Path) -> None:
        data = STORY.read_bytes()
        (tmp_path / "half.gguf").write_bytes(data[: len(data) // 2])
        assert_fails(run(*command, tmp_path / "half.gguf"), "half")
        assert_nothing_left(home)

    def test_unknown_architecture(self, command: tuple[str, ...], tmp_path: Path, home: Path) -> None:
        model = Gguf.read(STORY).set("general.architecture", "perceptron9").write(tmp_path / "odd.gguf")
        assert_fails(run(*command, model), "perceptron9")
        assert_nothing_left(home)

    @pytest.mark.parametrize("place", ["file/below", "~nobody-of-this-name"])
    def test_an_unusable_home(self, command: tuple[str, ...], place: str, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        folder = place if place.startswith("~") else str(tmp_path / place)
        assert_fails(run(*command, "pocket-2m", env={"SLMTUI_HOME": folder}), folder, "SLMTUI_HOME")


@needs_mlx
@pytest.mark.parametrize("command", [("chat", "-p", "Hi"), ("bench", "-r", "1")], ids=["chat", "bench"])
@pytest.mark.parametrize(
    ("fault", "words"), [("half", "half is damaged or incomplete"), ("odd", "the model type perceptron9 of odd")]
)
def test_a_folder_that_mlx_cannot_open(
    command: tuple[str, ...], fault: str, words: str, mlx_forms: Forms, tmp_path: Path, home: Path
) -> None:
    good, bad = mlx_forms("bf16"), tmp_path / fault
    if fault == "odd":
        changed(good, bad, model_type="perceptron9")
    else:
        weights = changed(good, bad) / "model.safetensors"
        weights.unlink()
        weights.write_bytes((good / weights.name).read_bytes()[:5_000_000])
    assert_fails(run(*command, bad), words)
    assert_nothing_left(home)


@pytest.mark.parametrize("command", [("chat", "-p", "Hi"), ("bench", "-r", "1")], ids=["chat", "bench"])
def test_a_folder_that_holds_no_model(command: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    assert_fails(run(*command, tmp_path / "letters"), "letters is a folder; it holds no model")
    assert_fails(run(*command, tmp_path / "none" / "model"), "none/model")


def test_damaged_settings_and_store(home: Path) -> None:
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text("theme = ")
    assert_fails(run("models"), "config.toml")
    (home / "config" / "config.toml").unlink()
    (home / "data" / "slmtui.sqlite3").write_text("no database at all " * 100)
    assert_fails(run("sessions"), "slmtui.sqlite3")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_prompt_longer_than_the_context(engine: str, mlx_forms: Forms, home: Path) -> None:
    model = mlx_forms("bf16") if engine == "MLX" else "pocket-5m:F16"
    done = run("chat", model, "-c", "256", "-p", "word " * 400)
    assert_fails(done, "the context holds 256")
    assert_nothing_left(home)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("models", "--nonsense"),
        ("chat",),
        ("bench",),
        ("bench", "pocket-2m", "-r", "0"),
        ("bench", "pocket-2m", "-r", "many"),
        ("bench", "pocket-2m", "-p", "-1"),
        ("bench", "pocket-2m", "-p", "0", "-n", "0"),
        ("bench", "pocket-2m", "-t", "0"),
        ("bench", "pocket-2m", "-o", "xml"),
        ("bench", "pocket-2m", "-p", ""),
        ("bench", "pocket-2m", "-pg", "16"),
        ("bench", "pocket-2m", "-fa", "maybe"),
        ("bench", "pocket-2m", "--delay", "-1"),
        ("bench", "pocket-2m", "-ctk", "foo"),
        ("bench", "pocket-2m", "-ctk", "foo", "--dry-run"),
        ("bench", "pocket-2m", "-p", "99999999999"),
        ("bench", "pocket-2m", "-p", "99999999999", "--dry-run"),
        ("bench", ""),
        ("bench", "pocket-2m", "-c", "16"),
        ("bench", "pocket-2m", "--preset", "quickly"),
        ("bench", "pocket-2m", "--continue", "1f"),
        ("bench", "--continue", "1f", "-r", "3"),
        ("chat", "pocket-2m", "-p", "Hi", "-t", "0"),
        ("chat", "pocket-2m", "-p", "Hi", "-t", "99999"),
        ("chat", "pocket-2m", "-p", "Hi", "-c", "0"),
        ("chat", "pocket-2m", "-p", ""),
        ("chat", "pocket-2m"),
        ("chat", "", "-p", "Hi"),
        ("chat", "pocket-2m", "-p", "Hi", "-n", "0"),
        ("chat", "pocket-2m", "-p", "Hi", "--temp", "-1"),
        ("chat", "pocket-2m", "-p", "Hi", "--temp", "nan"),
        ("probe", "pocket-2m", "--task", "sentiment", "--shots", "-1"),
        ("probe", "pocket-2m", "--task", "sentiment", "--seeds", "1000000000"),
        ("probe", "pocket-2m", "--task", "sentiment", "-t", "99999", "--dry-run"),
        ("search", ""),
        ("search", "tiny", "-n", "-5"),
        ("search", "tiny", "-n", "100000"),
        ("pull", " "),
        ("add", ""),
        ("rm", ""),
        ("tasks", "new", ""),
        ("sessions", ""),
        ("export", "--format", "xls"),
        ("export", "-o", ""),
    ],
    ids=" ".join,
)
def test_usage(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(("usage: slmtui", "slmtui"))
    assert "Traceback" not in done.stderr


def test_a_wrong_value_is_named_as_it_was_given() -> None:
    done = run("chat", "pocket-2m", "-p", "Hi", "-n", "0")
    assert done.stderr == "slmtui: --limit is 0; it must be from 1 to 1,000,000\n"
    assert "MODEL" not in run("hardware", "--help").stdout, "it takes none"
    assert "MODEL is an id" in run("rm", "--help").stdout


def test_no_prompt_on_a_terminal_is_usage() -> None:
    code, sent = on_terminal("chat", "pocket-2m")
    assert code == 2
    assert "-p" in sent


def test_a_prompt_without_an_end_is_not_read_for_ever() -> None:
    done = run("chat", "pocket-2m", stdin=bytes(33 << 20))
    assert done.returncode == 2
    assert "more than 32 MiB" in done.stderr


def test_names_that_are_no_text_are_not_there(tmp_path: Path) -> None:
    for arguments in (("export", "\udcff"), ("sessions", "\udcff"), ("tasks", "\udcff"), ("tasks", "check", ".")):
        assert_fails(run(*arguments))
    path = tmp_path / "\udcff.jsonl"
    try:
        path.write_text('{"input": "a", "target": "b"}\n')
    except OSError:
        pytest.skip("this file system has no such names")
    assert_fails(run("probe", "pocket-2m", "--task", path), "not valid UTF-8", "rename the file")


@pytest.mark.parametrize("arguments", [("--help",), ("models",), ("models", "--json"), ("doctor",)], ids=" ".join)
def test_a_reader_that_leaves_early(arguments: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run([*SLMTUI, *arguments], stdout=theirs, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(theirs)
    assert done.returncode == (0 if arguments == ("--help",) else 1), "argparse does not mind"
    assert b"Error" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_a_long_answer(home: Path, tmp_path: Path) -> None:
    process = start("chat", endless_story(tmp_path), "--raw", "-p", "Once", "-t", "1", "-c", "32768", "-n", "32000")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(20)
    process.stdout.close()
    assert process.wait(30) == 1
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    assert_nothing_left(home)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("arguments", [("models",), ("doctor", "--json")], ids=" ".join)
def test_output_to_a_full_disk(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*SLMTUI, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_closed_standard_streams() -> None:
    program = " ".join(SLMTUI)
    done = subprocess.run(
        ["sh", "-c", f"{program} models >&- && {program} chat pocket-2m -p Hi -n 4 <&- 2>&-"], timeout=60
    )
    assert done.returncode == 0


def test_a_full_disk_keeps_what_was_measured(tmp_path: Path, known_machine: Path) -> None:
    """On a file system of its own of 600 kB, which ends with the mount namespace."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    program = " ".join(SLMTUI)
    script = f"""
        mount -t tmpfs -o size=600k none {tmp_path} || exit 77
        export SLMTUI_HOME={tmp_path}/small
        mkdir -p $SLMTUI_HOME && cp -r {known_machine} $SLMTUI_HOME/cache
        {program} bench pocket-2m -p 16 -n 8 -r 2 -t 1 >&2 || exit 78
        dd if=/dev/zero of={tmp_path}/filler bs=1k 2>/dev/null
        {program} bench pocket-2m -p 16 -n 8 -r 200 -t 1 >&2
        echo "code $?"
        rm {tmp_path}/filler
        {program} sessions --json
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=100)
    if done.returncode == 77:
        pytest.skip("needs the right to mount a small file system")
    head, _, rest = done.stdout.partition("\n")
    assert head == "code 1", done.stderr
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(rest)[-1]["measurements"] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize(("arguments", "code"), [(("models", "--all"), 0), (("nonsense",), 2), (("rm", "nope"), 1)])
def test_what_is_said_and_can_not_be_written_ends_nothing(arguments: tuple[str, ...], code: int) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*SLMTUI, *arguments], stdout=subprocess.PIPE, stderr=full, timeout=60)
    assert done.returncode == code
    assert bool(done.stdout) == (code == 0)
