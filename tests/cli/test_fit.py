"""`slmtui fit`: this machine and others, models that are here and that are not, and what it refuses."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from slmtui.cli import main
from slmtui.core.ceiling import Ceiling, MatmulRate, StepRate
from slmtui.core.machine import Machine
from slmtui.lab import ceiling, loading
from slmtui.lab.services import Services
from slmtui.sources.paths import Paths
from slmtui.sources.store import Store
from tests.cli.program import STORY, run
from tests.mlx_models import Forms, needs_mlx
from tests.samples import ENVIRONMENT, full_measurement

ON = ("--on", "16 GB, 68 GB/s, 1.5 TFLOP/s")


def test_a_model_on_another_machine() -> None:
    done = run("fit", "pocket-5m", "qwen3-0.6b:q8_0", *ON)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [
        "pocket-5m:Q4_K_M", "pocket-5m:Q8_0", "pocket-5m:F16", "qwen3-0.6b:Q8_0",
    ]  # fmt: skip
    assert "measured" not in lines[0], "nothing is measured on another machine"
    assert all(" yes " in line and " to " in line for line in lines[2:])
    assert "file's header" in done.stderr
    assert "catalog's architecture" in done.stderr
    assert done.stderr.count("40 % to 85 % of the bandwidth") == 1


def test_a_context_beyond_the_trained_one_is_said_once_for_all_variants() -> None:
    done = run("fit", "pocket-5m", "qwen3-0.6b:q8_0", "-c", "4096", *ON)
    words = "pocket-5m:Q4_K_M, pocket-5m:Q8_0, pocket-5m:F16: trained for 512 tokens; a context of 4,096 is longer."
    assert [line for line in done.stderr.splitlines() if "trained for" in line] == [words]
    assert "trained for" not in run("fit", "pocket-5m", "-c", "512", *ON).stderr


def test_json() -> None:
    done = run("fit", "pocket-5m:Q8_0", str(STORY), "--context", "1024", "--kv", "f16", *ON, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = json.loads(done.stdout)
    assert (first["id"], second["id"]) == ("pocket-5m:Q8_0", str(STORY))
    estimate = first["estimate"]
    assert estimate["setup"]["context"] == 1024
    assert estimate["verdict"] == "yes"
    assert estimate["process_bytes"] == sum(part["bytes"] for part in estimate["parts"])
    assert estimate["decode_tps"]["low"] < estimate["decode_tps"]["likely"] < estimate["decode_tps"]["high"]
    assert (first["measured"], first["suggestion"]) == (None, None)


def test_what_would_fit_instead() -> None:
    done = run("fit", "gemma-3-4b-it:Q8_0", "--on", "4.3 GB, 50 GB/s")
    assert done.returncode == 0
    assert " no: " in done.stdout
    assert "gemma-3-4b-it:Q8_0 does not fit; gemma-3-4b-it:Q" in done.stderr


async def _machine() -> Machine:
    services = Services.open(strict=True)
    try:
        return await services.machine()
    finally:
        await services.close()


def test_this_machine_with_what_was_measured_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, so that the ceiling, which other programs may disturb, can be given."""
    steps = (StepRate(16_000_000, 40e9), StepRate(192_000_000, 20e9))
    top = Ceiling(read_bytes_per_s=40e9, threads=2, matmul=(MatmulRate(type="q8_0", flops=5e11, steps=steps),))

    async def measured(_: Services) -> Ceiling:
        return top

    monkeypatch.setattr(ceiling, "measured", measured)
    machine = asyncio.run(_machine())
    with Store.open(Paths.find().ensure().store) as store:
        session = store.start_session(msgspec.structs.replace(ENVIRONMENT, machine=machine))
        store.add(full_measurement(0, session=session.id, kind="bench", model="pocket-5m:Q8_0"))
    assert main(["fit", "pocket-5m:Q8_0", "pocket-5m:F16"]) == 0
    said = capsys.readouterr()
    here, other = said.out.splitlines()[2:]
    assert "%)" in here
    assert "%)" not in other
    assert "how far the estimate is from it" in said.err
    assert "this machine" in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "MODEL"),
        (("nothing-like-it", *ON), 1, "no model is called nothing-like-it"),
        (("qwen3-0.6b:Q9", *ON), 1, "has no GGUF variant Q9; it has qwen3-0.6b:"),
        (("qwen3-0.6b:4bit", *ON), 1, "is in MLX's format, which only a dry run tells; `slmtui pull qwen3-0.6b:4bit`"),
        (("bitnet-2b-4t", *ON), 1, "dry run tells; `slmtui pull bitnet-2b-4t:4bit` first"),
        (("bitnet-2b-4t:4bit", *ON), 1, "dry run tells; `slmtui pull bitnet-2b-4t:4bit` first"),
        (("bitnet-2b-4t:Q9", *ON), 1, "has no GGUF variant Q9; it has bitnet-2b-4t:4bit"),
        (("pocket-5m", "--on", "16 cows"), 2, "'16 cows' is not understood; write"),
        (("pocket-5m", "--on", "68 GB/s"), 2, "memory is missing"),
        (("pocket-5m", "--context", "7", *ON), 2, "--context must be at least 8, not 7"),
        (("pocket-5m", "--kv", "q7", *ON), 2, "it must be one of f32, f16"),
    ],
)
def test_refusals(arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run("fit", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(STORY.read_bytes()[:2000])
    done = run("fit", str(bad), "pocket-5m:Q8_0", *ON)
    assert done.returncode == 1
    assert "pocket-5m:Q8_0" in done.stdout
    assert "bad.gguf ends in the middle of its header" in done.stderr


def test_a_variant_that_is_here_and_not_in_the_catalog(tmp_path: Path) -> None:
    pulled = tmp_path / "models--unsloth--Qwen3-0.6B-GGUF" / "snapshots" / ("a" * 40) / "Qwen3-0.6B-Q2_K.gguf"
    pulled.parent.mkdir(parents=True)
    pulled.symlink_to(STORY)
    done = run("fit", "qwen3-0.6b:q2k", *ON, env={"HF_HUB_CACHE": str(tmp_path)})
    assert (done.returncode, done.stdout.count("qwen3-0.6b:Q2_K")) == (0, 1), done.stderr


def test_only_what_can_be_told_is_listed() -> None:
    refused = run("fit", "qwen3-0.6b:Q9", *ON).stderr
    assert "qwen3-0.6b:Q8_0" in refused
    assert "bit" not in refused


@needs_mlx
def test_a_model_in_mlx_s_format_is_told_by_its_dry_run(mlx_forms: Forms, tmp_path: Path) -> None:
    folder = mlx_forms("4bit")
    done = run("fit", folder, "-c", "1024", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)
    assert (row["estimate"], row["planned"]["context"], row["planned"]["fit"]["verdict"]) == (None, 1024, "yes")
    assert row["planned"]["bytes"] > folder.joinpath("model.safetensors").stat().st_size
    _pulled(folder, tmp_path)
    done = run("fit", "qwen3-0.6b:4bit", "pocket-5m:F16", "-c", "1024", env={"HF_HUB_CACHE": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == ["qwen3-0.6b:4bit", "pocket-5m:F16"]
    assert all(" 1,024 " in line and " yes " in line for line in done.stdout.splitlines()[2:])
    assert "trained for 512 tokens; a context of 1,024 is longer" in done.stderr


@needs_mlx
def test_mlx_s_bf16_is_another_variant_than_llama_cpp_s(mlx_forms: Forms, tmp_path: Path) -> None:
    _pulled(mlx_forms("bf16"), tmp_path)
    for label in ("bf16", "BF16"):
        done = run("fit", f"qwen3-0.6b:{label}", env={"HF_HUB_CACHE": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(f"qwen3-0.6b:{label}") == 1


@needs_mlx
def test_what_a_dry_run_cannot_tell_does_not_hide_the_others(mlx_forms: Forms) -> None:
    done = run("fit", mlx_forms("4bit"), "pocket-2m:Q8_0", *ON)
    assert (done.returncode, done.stdout.count("pocket-")) == (1, 1)
    assert "told by a dry run on this machine; leave --on out" in done.stderr
    cache = run("fit", mlx_forms("4bit"), "--kv", "q8_0")
    assert (cache.returncode, cache.stdout) == (1, "")
    assert "q8_0 cannot be had" in cache.stderr


def _pulled(folder: Path, cache: Path) -> None:
    """The folder as the 4-bit form of a model of the catalog in a cache of the hub."""
    pulled = cache / "models--mlx-community--Qwen3-0.6B-4bit" / "snapshots" / ("a" * 40)
    pulled.parent.mkdir(parents=True)
    pulled.symlink_to(folder)


@needs_mlx
@pytest.mark.parametrize("asked", [ON, (*ON, "--kv", "q8_0")])
def test_a_form_that_nobody_named_is_left_out_where_no_dry_run_tells(
    mlx_forms: Forms, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    _pulled(mlx_forms("4bit"), tmp_path)
    done = run("fit", "qwen3-0.6b", *asked, env={"HF_HUB_CACHE": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "qwen3-0.6b:Q8_0" in done.stdout
    assert "4bit" not in done.stdout + done.stderr


@needs_mlx
def test_a_form_in_mlx_s_format_where_mlx_is_not_installed(
    mlx_forms: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _pulled(mlx_forms("4bit"), tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(loading, "installed", lambda _: False)
    assert main(["fit", "qwen3-0.6b"]) == 0
    assert "4bit" not in capsys.readouterr().out
    assert main(["fit", "qwen3-0.6b:4bit"]) == 1
    assert "qwen3-0.6b:4bit is in MLX's format, and MLX is not installed here" in capsys.readouterr().err
