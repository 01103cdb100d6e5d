from __future__ import annotations

import json
import random
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmtui.core.spans import Spans
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.resources import pocket_folder
from tests.cli.program import on_terminal, run, start, wait_for
from tests.hub import LoopbackHub, connect
from tests.hub.faults import Fault
from tests.hub.server import TOKEN
from tests.sources.downloads import FILE, MIB, NAME, serve, weights

BLOCK = 16 * 1024
HEADER = Fault()
"""Nothing is wrong with the file's beginning, which is asked for first to see whether the model fits."""


def sent(hub: LoopbackHub) -> int:
    """Bytes of the download itself."""
    return sum(asked.sent for asked in hub.downloads() if asked.headers.get("range") != "bytes=0-262143")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    with LoopbackHub() as opened:
        connect(opened, monkeypatch, tmp_path / "hf" / "hub")
        yield opened


def partial() -> Path | None:
    return next(iter(cache_folder().glob("*/blobs/*.incomplete")), None)


def on_disk(content: bytes) -> Spans:
    """What of the content is in the partial file."""
    path, spans = partial(), Spans()
    held = path.read_bytes() if path is not None else b""
    for at in range(0, len(content), BLOCK):
        if held[at : at + BLOCK] == content[at : at + BLOCK]:
            spans.add(at, at + len(content[at : at + BLOCK]))
    return spans


def test_a_download_that_is_killed_again_and_again_finishes_and_asks_for_nothing_twice(hub: LoopbackHub) -> None:
    content, chance = weights(24 * MIB), random.Random()
    serve(hub, content)
    hub.bytes_per_s = 24 * MIB
    here = Spans()
    for kill in range(1, 4):
        process = start("pull", NAME)
        enough = sent(hub) + chance.randrange(4 * MIB, 7 * MIB)
        wait_for(lambda enough=enough: sent(hub) > enough, "the download")  # type: ignore[misc]
        process.kill()
        assert process.wait() == -signal.SIGKILL
        process.communicate()
        before, here = here, on_disk(content)
        assert set(before) == set() or here.total > before.total, "what was there stays, and more came"
        assert here.total < len(content), f"kill {kill} came too late"
        asked = hub.downloads()[-1]
        assert asked.start >= before.frontier - 2 * MIB, "at most what came after the last note is asked for again"
    done = run("pull", NAME)
    assert done.returncode == 0, done.stderr
    assert hub.downloads()[-1].start >= here.frontier - 2 * MIB
    assert Path(done.stdout.strip()).read_bytes() == content
    assert partial() is None


def test_a_model_is_pulled_and_then_chats_under_its_id(hub: LoopbackHub, home: Path) -> None:
    serve(hub, pocket_folder() / "pocket-2m-Q4_K_M.gguf", "unsloth/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q4_K_M.gguf")
    done = run("pull", "qwen3-0.6b:q4_k_m", "--json")
    assert done.returncode == 0, done.stderr
    (document,) = json.loads(done.stdout)
    assert document["id"] == "qwen3-0.6b:Q4_K_M"
    assert Path(document["path"]).is_file()
    assert "1.44 MB in 1 file of unsloth/Qwen3-0.6B-GGUF" in done.stderr
    assert "qwen3-0.6b:Q4_K_M" in run("models").stdout
    answer = run("chat", "qwen3-0.6b", "-p", "Hello", "-n", "4", "--json")
    assert answer.returncode == 0, answer.stderr


def test_a_bar_shows_how_far_it_is_on_a_terminal(hub: LoopbackHub) -> None:
    serve(hub, weights(3 * MIB))
    hub.faults.extend([HEADER, Fault(bytes_per_s=6 * MIB)])
    code, screen = on_terminal("pull", NAME)
    assert code == 0
    assert re.search(r"█+[▏▎▍▌▋▊▉]? +\d+%  \S+ [kM]B of 3\.15 MB  \S+ [kM]B/s  \S+ m?s left", screen), screen
    assert screen.rstrip().endswith(FILE)


def test_what_goes_wrong_is_one_sentence_and_exit_code_1(hub: LoopbackHub) -> None:
    serve(hub, weights(2 * MIB))
    hub.faults.extend([HEADER, Fault(wrong_at=MIB)])
    for arguments, words in (
        (["pull", NAME], r"what came as Tiny-Q4_K_M\.gguf is not the file that the hub lists.*It was deleted"),
        (["pull", "nobody/Nothing-GGUF"], r"has no model nobody/Nothing-GGUF"),
        (["pull", f"{NAME}:Q2_K"], r"it has no Q2_K; it has Q4_K_M"),
        (["pull", "never-heard"], r"neither a model of the catalog nor a repository"),
    ):
        done = run(*arguments)
        assert done.returncode == 1
        assert done.stdout == ""
        assert re.search(words, done.stderr), done.stderr
        assert "Traceback" not in done.stderr


def test_a_stop_keeps_what_came_and_says_how_to_go_on(hub: LoopbackHub) -> None:
    serve(hub, weights(4 * MIB))
    hub.faults.extend([HEADER, Fault(stall_after=2 * MIB)])
    process = start("pull", NAME)
    wait_for(lambda: sent(hub) >= 2 * MIB, "half of the file")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"What came of {NAME}:Q4_K_M stays; the same command goes on with it." in said.decode()
    assert "Traceback" not in said.decode()
    assert run("pull", NAME).returncode == 0
    assert sent(hub) <= 4 * MIB + 2 * MIB


def test_two_processes_download_a_file_once(hub: LoopbackHub) -> None:
    content = weights(6 * MIB)
    serve(hub, content)
    hub.bytes_per_s = 6 * MIB
    processes = [start("pull", NAME), start("pull", NAME)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert said[0][0] == said[1][0]
    assert Path(said[0][0].decode().strip()).read_bytes() == content
    assert sent(hub) == len(content)


def test_without_a_network_what_is_here_is_enough(hub: LoopbackHub) -> None:
    serve(hub, weights(2 * MIB))
    path = run("pull", NAME).stdout
    offline = run("pull", NAME, env={"HF_HUB_OFFLINE": "1"})
    assert (offline.returncode, offline.stdout) == (0, path)
    assert f"{NAME}:Q4_K_M is here, as it was downloaded." in offline.stderr
    assert run("pull", f"{NAME}:Q8_0", env={"HF_HUB_OFFLINE": "1"}).returncode == 1


@pytest.mark.parametrize("arguments", [("search", "tiny"), ("pull", NAME), ("add", NAME)], ids=lambda words: words[0])
class TestWithoutAHub:
    """No machine waits for one that is not there."""

    def test_it_is_one_sentence(self, arguments: tuple[str, ...], hub: LoopbackHub) -> None:
        done = run(*arguments, env={"HF_ENDPOINT": "http://127.0.0.1:9"})
        assert (done.returncode, done.stdout) == (1, "")
        (sentence,) = done.stderr.splitlines()
        assert "can't reach http://127.0.0.1:9: " in sentence
        assert "refused; check the network, the proxy and HF_ENDPOINT" in sentence

    def test_a_silent_one_is_not_waited_for(
        self, arguments: tuple[str, ...], hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
            process = start(*arguments)
            with server.accept()[0] as asked:
                assert asked.recv(1)
                process.send_signal(signal.SIGINT)
                said = process.communicate(timeout=30)  # less than two tries would take
        assert (process.returncode, said) == (130, (b"", b"\nInterrupted.\n"))


def test_a_dry_run_says_what_would_come_and_brings_nothing(hub: LoopbackHub) -> None:
    serve(hub, weights(2 * MIB)).card = {"license": "mit"}
    done = run("pull", "--dry-run", NAME)
    assert done.returncode == 0
    assert "2.1 MB in 1 file of somebody/Tiny-GGUF" in done.stdout
    assert "licence: mit" in done.stdout
    assert sent(hub) == 0


def test_the_token_is_nowhere_but_at_the_hub(hub: LoopbackHub, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    serve(hub, weights(2 * MIB)).gated = True
    said = [run("pull", NAME, env={"HF_DEBUG": debug}) for debug in ("0", "1")]
    said += [run("pull", "nobody/x"), run("doctor", "--json"), run("models", "--json")]
    assert said[0].returncode == 0, said[0].stderr
    assert all(TOKEN not in one.stdout + one.stderr for one in said)
    for folder in (home, cache_folder().parent):
        for path in folder.rglob("*"):
            assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_certificates_that_are_not_there_are_told(hub: LoopbackHub) -> None:
    done = run("search", "tiny", env={"SSL_CERT_FILE": "/nonexistent/certificates.pem"})
    assert done.returncode == 1
    assert "correct or unset SSL_CERT_FILE" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_search_lists_repositories(hub: LoopbackHub) -> None:
    repository = serve(hub, weights(2 * MIB))
    repository.tags, repository.downloads = ("gguf",), 12_345
    done = run("search", "tiny")
    assert done.returncode == 0
    assert re.search(r"somebody/Tiny-GGUF +12,345 +1 +2026-11-01", done.stdout)
    assert json.loads(run("search", "tiny", "--json").stdout)[0]["repository"] == NAME
    assert "No repository with MLX models" in run("search", "--mlx", "tiny").stderr
