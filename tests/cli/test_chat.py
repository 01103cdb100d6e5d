"""`slmtui chat`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import STORY, run, story_with
from tests.mlx_models import SOURCE, Forms, needs_mlx

BEGIN = "Once upon a time"
RAW = ("--raw", "--temp", "0", "-t", "1")
GREEDY = (STORY.parent / "stories260K.greedy.txt").read_text(encoding="utf-8")


def test_the_story_is_that_of_an_independent_implementation() -> None:
    done = run("chat", STORY, *RAW, "-p", BEGIN, "-n", "100")
    assert done.returncode == 0
    answer = done.stdout.removesuffix("\n")
    assert "a little girl named Lily" in answer
    assert len(GREEDY) > 240
    assert (BEGIN + answer).startswith(GREEDY.rstrip("\n"))
    for word in ("prefill", "first token", "decode", "memory", "100 tokens"):
        assert word in done.stderr


def test_two_models_in_turn_have_their_names_over_their_answers() -> None:
    done = run("chat", "pocket-2m:Q4_K_M", "pocket-5m:Q4_K_M", "-t", "1", "-n", "20", "-p", "What is prefill?")
    assert done.returncode == 0
    first, second = done.stdout.split("── ")[1:]
    assert first.startswith("Pocket 2M Q4_K_M (demo)\n")
    assert second.startswith("Pocket 5M Q4_K_M (demo)\n")
    assert all(answer.split("\n", 1)[1].strip() for answer in (first, second))
    assert done.stderr.count("tok/s") == 4


def test_models_together_are_whole_and_marked() -> None:
    done = run("chat", "pocket-2m", "pocket-5m", "--together", "-t", "1", "-n", "16", "--temp", "0", "-p", "Hello")
    assert done.returncode == 0
    alone = run("chat", "pocket-5m", "-t", "1", "-n", "16", "--temp", "0", "-p", "Hello").stdout
    assert done.stdout.split("── ")[2] == f"Pocket 5M Q8_0 (demo)\n{alone}"
    first = json.loads(run("sessions", "--json").stdout)[-1]["id"]
    stored = json.loads(run("sessions", first, "--json").stdout)["measurements"]
    assert [one["together"] for one in stored] == [True, True]


def test_the_document_holds_text_timing_and_memory() -> None:
    done = run("chat", "pocket-5m:Q4_K_M", STORY, "-p", "Hi", "-n", "12", "--seed", "7", "-t", "1", "--json")
    assert done.returncode == 0
    pocket, story = json.loads(done.stdout)
    assert (pocket["model"], pocket["demo"], story["demo"]) == ("pocket-5m:Q4_K_M", True, False)
    assert "<|im_start|>user\nHi" in pocket["prompt"]["text"]
    for answer in (pocket, story):
        assert answer["text"]
        assert answer["timing"]["generated_tokens"] <= 12
        assert answer["prefill_tps"] > 0
        assert answer["decode_tps"] > 0
        assert answer["timing"]["ttft_s"] > 0
        assert max(value for value in answer["process_memory"].values() if value) > 1_000_000
        assert {part["kind"] for part in answer["engine_memory"]} >= {"weights", "KV cache", "compute"}
        assert answer["reason"]
    again = run("chat", "pocket-5m:Q4_K_M", "-p", "Hi", "-n", "12", "--seed", "7", "-t", "1", "--json")
    assert json.loads(again.stdout)[0]["text"] == pocket["text"]


def test_the_prompt_on_standard_input_is_the_same_prompt() -> None:
    given = run("chat", STORY, *RAW, "-n", "20", "-p", BEGIN)
    piped = run("chat", STORY, *RAW, "-n", "20", stdin=f"{BEGIN}\n".encode())
    assert piped.returncode == 0
    assert piped.stdout == given.stdout
    assert "(5 tokens)" in piped.stderr


def test_standard_input_that_is_not_utf_8() -> None:
    done = run("chat", STORY, *RAW, "-n", "5", stdin=b"Once \xff upon", env={"PYTHONIOENCODING": "utf-8:strict"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("locale", "name"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, "größe Ж"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "own"),
    ],
)
def test_a_locale_without_the_model_s_characters(locale: dict[str, str], name: str, tmp_path: Path) -> None:
    model = story_with(tmp_path, "▁小", f"{name}.gguf")
    done = run("chat", model, STORY, *RAW, "-p", BEGIN, "-n", "20", env=locale)
    assert done.returncode == 0, done.stderr
    assert "a little girl named ?. She" in done.stdout
    document = run("chat", model, *RAW, "-p", BEGIN, "-n", "20", "--json", env=locale)
    assert document.returncode == 0, document.stderr
    assert document.stdout.isascii()
    answer = json.loads(document.stdout)[0]
    assert "named 小" in answer["text"]
    assert answer["name"] == name


def test_a_model_that_fails_does_not_take_the_others_with_it() -> None:
    long = "word " * 400
    done = run("chat", "pocket-5m", "pocket-2m", "-c", "256", "-t", "1", "-p", long, "--json")
    assert done.returncode == 1
    assert [answer["failure"] for answer in json.loads(done.stdout)] == ["context_full"] * 2


@pytest.mark.parametrize("layers", ["5", "all", "fit"])
def test_layers_on_a_gpu_and_the_cpu_as_device_contradict_each_other(layers: str) -> None:
    refused = run("chat", "pocket-2m", "-p", "Hello", "-ngl", layers, "-dev", "CPU")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--n-gpu-layers asks for layers on a GPU, and --device says cpu; leave one of them out" in refused.stderr


@needs_mlx
def test_what_the_engine_of_a_model_does_not_have_is_refused(mlx_forms: Forms) -> None:
    for flags, words in ((("-t", "1"), "how many threads MLX uses"), (("-ngl", "3"), "whole model on one device")):
        refused = run("chat", mlx_forms("bf16"), "-p", "Hello", *flags)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert words in refused.stderr


@needs_mlx
def test_the_gguf_and_the_mlx_form_of_a_model_side_by_side(mlx_forms: Forms) -> None:
    path = mlx_forms("bf16")
    done = run("chat", SOURCE, path, "-p", "What is prefill?", "--temp", "0", "-n", "12")
    assert done.returncode == 0, done.stderr
    theirs, ours = done.stdout.split("── ")[1:]
    assert theirs.startswith("Pocket 5M F16 (demo)\n")
    assert ours.startswith("pocket-5m-bf16\n")
    assert theirs.split("\n", 1)[1].strip() == ours.split("\n", 1)[1].strip() != ""
    assert done.stderr.count("prefill") == 2
