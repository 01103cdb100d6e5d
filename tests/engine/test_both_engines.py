"""What goes wrong ends alike in both engines: a sentence, the kind of failure, a worker that goes on or is reported."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from slmtui.core.events import (
    AnyEvent,
    FailureKind,
    Inspected,
    Loaded,
    Loading,
    Prefilled,
    Scored,
    StopReason,
    Tokens,
)
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Generate, Load, Measure, Question, Request, Score
from tests.engine.gguf_files import HOSTILE, Gguf
from tests.engine.support import F16, ask, done, failed, prompted, run, tell, text_of, worker
from tests.mlx_models import ENGINES, Forms, changed

pytestmark = pytest.mark.asyncio(loop_scope="module")
ONCE = "Once upon a time"
LONG = ONCE + " there was a dog and a cat. " * 60


@pytest.fixture(scope="module", params=ENGINES)
def load(request: pytest.FixtureRequest) -> Load:
    """Loads Pocket 5M, its prompts read in batches of 16 tokens."""
    forms: Forms = request.getfixturevalue("mlx_forms")
    path = forms("bf16") if request.param == "MLX" else F16
    return Load(path=str(path), engine=request.param, threads=1, micro_batch=16, batch=64, context=512, sequences=8)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(load: Load, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerClient]:
    async with worker(tmp_path_factory.mktemp("worker") / "log") as alive:
        yield alive


# -- files


def nothing(_: Load, target: Path) -> None:
    """No file, no folder."""


def a_letter(load: Load, target: Path) -> None:
    """Something else in its place."""
    if load.engine == "MLX":
        target.mkdir()
        target /= "letter.txt"
    target.write_text("Dear reader, " * 100, encoding="utf-8")


def half(load: Load, target: Path) -> None:
    """A download that ended too soon."""
    good, cut = Path(load.path), target
    if load.engine == "MLX":
        good, cut = good / "model.safetensors", changed(good, target) / "model.safetensors"
        cut.unlink()
    data = good.read_bytes()
    cut.write_bytes(data[: len(data) // 2])


def of_tomorrow(load: Load, target: Path) -> None:
    """A model that this version of the engine does not know."""
    if load.engine == "MLX":
        changed(Path(load.path), target, model_type="perceptron9")
    else:
        Gguf.read(Path(load.path)).set("general.architecture", "perceptron9").write(target)


FAULTS: dict[Callable[[Load, Path], None], tuple[FailureKind, str]] = {
    nothing: (FailureKind.BAD_FILE, "Check the path."),
    a_letter: (FailureKind.BAD_FILE, "Choose a "),
    half: (FailureKind.BAD_FILE, "Download or copy it again."),
    of_tomorrow: (FailureKind.UNSUPPORTED_ARCHITECTURE, "perceptron9"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_model_that_cannot_be_opened(
    client: WorkerClient, load: Load, tmp_path: Path, fault: Callable[[Load, Path], None]
) -> None:
    kind, words = FAULTS[fault]
    target = tmp_path / "bad \x1b[31m[b]"
    fault(load, target)
    for dry in (True, False):
        bad = replace(load, path=str(target), inspect_only=dry)
        why = failed(await run(client, bad), kind).message
        assert words in why
        assert "[b]" in why, "it is named"
        assert why.isprintable()
    assert isinstance((await run(client, replace(load, inspect_only=True)))[-1], Inspected)
    assert isinstance((await run(client, load))[-1], Loaded)
    done(await run(client, tell(ONCE, 2)), StopReason.LIMIT)


# -- prompts and answers


@pytest.mark.parametrize("asked", [tell(LONG), ask(LONG), ask("Hello", LONG, "Well?")], ids=["text", "chat", "turns"])
async def test_a_prompt_that_is_longer_than_the_context(client: WorkerClient, load: Load, asked: Generate) -> None:
    assert isinstance((await run(client, load))[-1], Loaded)
    expected = text_of(await run(client, tell(ONCE, 8)))
    why = failed(await run(client, asked), FailureKind.CONTEXT_FULL).message
    assert "the context holds 512" in why
    assert "larger context" in why
    again = await run(client, tell(ONCE, 8))
    assert prompted(again).cached_tokens > 0, "what was there still is"
    assert text_of(again) == expected


async def test_what_a_model_says_comes_as_it_is_but_for_bytes_that_are_no_text(
    client: WorkerClient, load: Load, hostile: Callable[[str], Path]
) -> None:
    asked = ask("Hello", tokens=24)
    assert isinstance((await run(client, load))[-1], Loaded)
    plain = text_of(await run(client, asked))
    assert " " in plain
    assert isinstance((await run(client, replace(load, path=str(hostile(load.engine)))))[-1], Loaded)
    assert text_of(await run(client, asked)) == plain.replace(" ", HOSTILE.decode("utf-8", "replace"))


# -- SIGKILL

QUESTIONS = tuple(Question(prompt=f"A story.\n\n{ONCE}, {who}", options=(" was", " zuki")) for who in ("Tom", "Lily"))
PHASES: dict[str, tuple[Request, type[AnyEvent]]] = {
    "load": (Load(path=""), Loading),
    "prefill": (tell(LONG[:900]), Prefilled),
    "decode": (tell(ONCE, 400, ignore_end=True), Tokens),
    "measured prefill": (Measure(prompt_tokens=400, repetitions=500), Prefilled),
    "measured decode": (Measure(prompt_tokens=0, generated_tokens=400, repetitions=500), Tokens),
    "score": (Score(questions=QUESTIONS * 100), Scored),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_worker_killed_while_it_works_is_reported(load: Load, tmp_path: Path, phase: str) -> None:
    request, reached = PHASES[phase]
    async with worker(tmp_path / "log") as client:
        if phase == "load":
            request = load
        else:
            assert isinstance((await run(client, load))[-1], Loaded)
        seen: list[AnyEvent] = []
        async with aclosing(client.request(request)) as stream:
            async for event in stream:
                seen.append(event)
                if isinstance(event, reached):
                    client.kill()
        failure = failed(seen, FailureKind.CRASHED)
        assert failure.signal == signal.SIGKILL
        assert "killed" in failure.message
        assert "memory" in failure.message
        assert not client.alive
        failed(await run(client, request), FailureKind.CRASHED)
