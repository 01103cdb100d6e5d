"""The real app on a real (pseudo) terminal: what a person does, from start to quit."""

from __future__ import annotations

import csv
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.ui.terminal import Terminal, app_on_terminal, slow_motion

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

FIRST, SECOND = "pocket-2m-Q8_0.gguf", "pocket-5m-Q4_K_M.gguf"
FIGURES = (
    r"prefill +[\d,.]+ tok/s",
    r"first token +[\d,.]+ m?s",
    r"decode +[\d,.]+ tok/s",
    r"memory +[\d,.]+ MiB",
)


@pytest.fixture(autouse=True)
def one_thread(home: Path) -> None:
    """Settings that suit a busy machine."""
    (home / "config").mkdir(parents=True)
    (home / "config" / "config.toml").write_text("threads = 1\ncontext = 4096\n[sampling]\nmax_tokens = 1500\n")


def columns(screen: str) -> tuple[str, str]:
    """Text of the left and of the right column of Chat."""
    rows = screen.splitlines()[1:-5]
    return "\n".join(row[:60] for row in rows), "\n".join(row[60:] for row in rows)


def measured(column: str) -> bool:
    return all(re.search(figure, column) for figure in FIGURES)


def chat_with_two(terminal: Terminal) -> None:
    """Start, mark the two smallest Pocket variants, and open Chat with both."""
    terminal.until(lambda screen: "Pocket 2M" in screen and "Pocket 5M" in screen, "both Pocket models")
    terminal.press(" ")
    terminal.until(lambda screen: "1 marked" in screen, "the first mark")
    terminal.press("down", "down", " ")
    terminal.until(lambda screen: "2 marked" in screen, "the second mark")
    terminal.press("c")
    terminal.until(lambda screen: all("ready" in column for column in columns(screen)), "two loaded models")


def ask(terminal: Terminal, question: str) -> None:
    terminal.press(question)
    terminal.until(lambda screen: question in screen, "the question in its field")
    terminal.press("enter")


def stopped_in_the_middle(terminal: Terminal) -> str:
    """The screen after a story that esc stopped, with what is left of it."""
    ask(terminal, "Tell me a story.")
    terminal.until(lambda screen: "decoding" in columns(screen)[0], "an answer that is being written")
    terminal.press("esc")
    return terminal.until(
        lambda screen: (
            re.search(r"[1-9]\d* tokens .*stopped", columns(screen)[0].replace(",", ""))
            and "stopped" in columns(screen)[1]
        ),
        "the first answer as far as it came, and the second one stopped",
    )


def assert_left_in_order(terminal: Terminal, workers: list[psutil.Process], code: int = 0) -> None:
    """The exit code, the terminal as it was, and no process left."""
    assert terminal.end() == code
    sent = bytes(terminal.sent)
    assert sent.rfind(b"\x1b[?1049l") > sent.rfind(b"\x1b[?1049h") > -1, "the alternate screen is left"
    assert sent.rfind(b"\x1b[?25h") > sent.rfind(b"\x1b[?25l") > -1, "the cursor is back"
    for mode in (b"1000", b"1003", b"1006", b"2004"):
        assert sent.rfind(b"\x1b[?%bl" % mode) > sent.rfind(b"\x1b[?%bh" % mode), f"mode {mode!r} is off"
    assert terminal.settings == terminal.settings_before
    assert b"Traceback" not in sent
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


def test_two_models_from_start_to_quit(home: Path) -> None:
    with app_on_terminal(endless=True) as terminal:
        chat_with_two(terminal)
        workers = terminal.process.children(recursive=True)

        ask(terminal, "What is prefill?")
        terminal.until(lambda screen: all(map(measured, columns(screen))), "four figures in both columns")
        terminal.until(lambda screen: all("done" in column for column in columns(screen)), "the end of both answers")

        with slow_motion(terminal.worker(FIRST, workers)):
            screen = stopped_in_the_middle(terminal)
        assert " 0 tok" in columns(screen)[1], "the second model did not begin"

        terminal.press("f5")
        terminal.until(lambda screen: "quick" in screen and screen.count("planned") == 2, "Compare")
        terminal.press("r")
        terminal.until(lambda screen: len(re.findall(r"✓ done|! noisy", screen)) >= 2, "the quick benchmark")
        workers += terminal.process.children(recursive=True)
        terminal.press("e")
        terminal.until(lambda screen: "Export a session" in screen, "the export sheet")
        terminal.press("enter")
        terminal.until(lambda screen: "Written" in screen, "the export")
        terminal.press("esc")
        terminal.until(lambda screen: "Export a session" not in screen, "the end of the export sheet")
        terminal.press("ctrl+q")
        assert_left_in_order(terminal, workers)

    (exported,) = (home / "exports").glob("*.csv")
    with exported.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows].count("bench") == 6, "three repetitions of two models"
    assert [row["kind"] for row in rows].count("chat") >= 2


def test_a_killed_worker_does_not_take_the_other_with_it() -> None:
    with app_on_terminal(endless=True) as terminal:
        chat_with_two(terminal)
        workers = terminal.process.children(recursive=True)
        victim = terminal.worker(FIRST, workers)
        with slow_motion(victim):
            ask(terminal, "Tell me a story.")
            terminal.until(lambda screen: "decoding" in columns(screen)[0], "an answer that is being written")
            victim.kill()
            terminal.until(lambda screen: "failed" in columns(screen)[0], "the failure in its column")
        terminal.until(lambda screen: "SIGKILL" in columns(screen)[0], "the reason under what it had written")
        terminal.until(
            lambda screen: "done" in columns(screen)[1] and measured(columns(screen)[1]), "the other answer's figures"
        )
        terminal.press("ctrl+q")
        assert_left_in_order(terminal, workers)


def test_quitting_while_an_answer_is_written() -> None:
    with app_on_terminal(endless=True) as terminal:
        chat_with_two(terminal)
        workers = terminal.process.children(recursive=True)
        with slow_motion(terminal.worker(FIRST, workers)):
            ask(terminal, "Tell me a story.")
            terminal.until(lambda screen: "decoding" in columns(screen)[0], "an answer that is being written")
            terminal.press("ctrl+q")
            assert_left_in_order(terminal, workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_by_a_signal(number: signal.Signals) -> None:
    with app_on_terminal() as terminal:
        chat_with_two(terminal)
        workers = terminal.process.children(recursive=True)
        terminal.process.send_signal(number)
        assert_left_in_order(terminal, workers, 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_being_told_to_end_before_there_is_a_screen(number: signal.Signals) -> None:
    with app_on_terminal() as terminal:
        terminal.until(lambda _: b"\x1b[?1049h" in terminal.sent, "the alternate screen")
        terminal.process.send_signal(number)
        assert_left_in_order(terminal, [], 128 + number)


@pytest.mark.parametrize("controlling", [False, True])
def test_a_terminal_that_goes_away_leaves_nothing_running(*, controlling: bool) -> None:
    with app_on_terminal(controlling=controlling) as terminal:
        chat_with_two(terminal)
        processes = [terminal.process, *terminal.process.children(recursive=True)]
        terminal.vanish()
        _, alive = psutil.wait_procs(processes, timeout=30)
        assert alive == []


def test_quitting_typed_ahead_of_a_new_screen() -> None:
    with app_on_terminal() as terminal:
        terminal.until(lambda screen: "Pocket 2M" in screen, "the models")
        terminal.press("c", "f4", "f5", "f6", "f2", "f3", "ctrl+q")
        assert_left_in_order(terminal, [])


def test_a_tiny_terminal() -> None:
    with app_on_terminal(20, 5) as terminal:
        terminal.until(lambda screen: "60×15" in screen, "a sentence about the size")
        for key in ("c", "f4", "r", "f5", "r", "f2"):
            terminal.press(key)
            terminal.look()
        terminal.resize(120, 36)
        terminal.until(lambda screen: "Pocket 2M" in screen and "60×15" not in screen, "the whole screen")
        workers = terminal.process.children(recursive=True)
        terminal.press("ctrl+q")
        assert_left_in_order(terminal, workers)


@pytest.mark.parametrize("theme", ["slmtui-terminal", "ansi-light"])
def test_a_terminal_theme_without_colour(home: Path, theme: str) -> None:
    (home / "config" / "config.toml").write_text(f'threads = 1\ntheme = "{theme}"\n')
    with app_on_terminal(80, 24, NO_COLOR="1") as terminal:
        terminal.until(lambda screen: "Pocket 2M" in screen and "Help" in screen, "the models and the keys")
        assert terminal.looks("variant") == ("default", "default", False)
        assert terminal.looks("Pocket 2M") == ("default", "default", True), "the highlighted row stands out"
        codes = {code for sent in re.findall(rb"\x1b\[([\d;]+)m", bytes(terminal.sent)) for code in sent.split(b";")}
        assert [code for code in codes if re.fullmatch(rb"[34][0-8]|9\d|10\d", code)] == [], "no colour is sent"
