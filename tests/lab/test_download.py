from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import aclosing

import pytest

from slmtui.lab.download import Transfer, plan
from slmtui.lab.download_events import Cancelled, DownloadFailed, Event, Paused, Progress, Ready, Verified
from slmtui.lab.download_plan import label_of_repository
from slmtui.lab.services import Services
from slmtui.sources.hub import Hub
from slmtui.sources.hub_errors import HubError
from slmtui.sources.hub_folder import cache_folder
from slmtui.sources.resources import pocket_folder
from tests.hub import LoopbackHub, Repository
from tests.hub.faults import Fault
from tests.hub.server import TOKEN
from tests.sources.downloads import MIB, NAME, noise, serve, weights

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize(
    ("name", "label"),
    [("4bit", "4bit"), ("8-bit", "8bit"), ("BF16", "bf16"), ("MXFP4-Q8", "mxfp4"), ("nvfp4", "nvfp4"), ("it", None)],
)
def test_a_repository_s_name_tells_what_mlx_calls_its_numbers(name: str, label: str | None) -> None:
    assert label_of_repository(f"mlx-community/Tiny-{name}") == label


async def everything(transfer: Transfer) -> list[Event]:
    async with aclosing(transfer.events()) as events:
        return [event async for event in events]


async def test_a_pulled_model_can_be_used_by_its_id(lab: Services, loopback: LoopbackHub) -> None:
    source = pocket_folder() / "pocket-5m-Q4_K_M.gguf"
    serve(loopback, source)
    planned = await plan(lab, "tiny-1b:q4km")
    assert (planned.id, planned.name, planned.format) == ("tiny-1b:Q4_K_M", "Tiny 1B Q4_K_M", "GGUF")
    assert planned.size_bytes == planned.left_bytes == source.stat().st_size
    assert planned.disk_left_bytes is not None
    assert planned.refusal is None
    *told, verified, ready = await everything(Transfer(lab, planned))
    assert {type(event) for event in told} == {Progress}
    assert isinstance(verified, Verified)
    assert isinstance(ready, Ready)
    assert lab.find("tiny-1b:Q4_K_M") == lab.find("TINY-1B") == ready.model
    assert ready.model in lab.models()
    assert ready.model.path.read_bytes() == source.read_bytes()
    assert (await plan(lab, "tiny-1b")).left_bytes == 0


async def test_any_repository_can_be_named_as_on_the_hub(lab: Services, loopback: LoopbackHub) -> None:
    repository = serve(loopback, noise(MIB), "Other/Model-GGUF", "sub/Model-Q8_0.gguf")
    repository.add("Model-Q4_K_M.gguf", noise(1000))
    repository.add("mmproj-Model-f16.gguf", noise(10))
    repository.card = {"license": "mit", "base_model": ["a/b"]}
    for wanted, file in (
        ("Other/Model-GGUF", "Model-Q4_K_M.gguf"),
        ("hf.co/Other/Model-GGUF:Q8_0", "sub/Model-Q8_0.gguf"),
        ("https://huggingface.co/Other/Model-GGUF", "Model-Q4_K_M.gguf"),
        ("https://huggingface.co/Other/Model-GGUF/blob/main/sub/Model-Q8_0.gguf?x=1", "sub/Model-Q8_0.gguf"),
        (f"Other/Model-GGUF@{repository.commit}/Model-Q4_K_M.gguf", "Model-Q4_K_M.gguf"),
    ):
        planned = await plan(lab, wanted)
        assert [one.path for one in planned.files] == [file], wanted
        assert planned.listing.licence == "mit"
    ready = (await everything(Transfer(lab, await plan(lab, "Other/Model-GGUF:Q8_0"))))[-1]
    assert isinstance(ready, Ready)
    assert ready.model.id == "Other/Model-GGUF:Q8_0"
    assert lab.find("other/model-gguf:q8_0") == lab.find("Other/Model-GGUF") == ready.model


async def test_parts_of_a_model_come_together(lab: Services, loopback: LoopbackHub) -> None:
    repository = loopback.add(Repository(NAME))
    for number in (1, 2, 3):
        repository.add(f"Q4_K_M/Tiny-{number:05d}-of-00003.gguf", noise(1000 * number))
    planned = await plan(lab, NAME)
    assert planned.size_bytes == 6000
    events = await everything(Transfer(lab, planned))
    assert [event.file for event in events if isinstance(event, Verified)] == [one.path for one in planned.files]
    model = lab.find("tiny-1b")
    assert (model.size_bytes, model.path.name) == (6000, "Tiny-00001-of-00003.gguf")
    shards = [event.done_bytes for event in events if isinstance(event, Progress)]
    assert shards == sorted(shards)
    assert shards[-1] == 6000
    model.path.with_name("Tiny-00002-of-00003.gguf").unlink()
    assert model.id not in {one.id for one in lab.models()}, "a model that lacks a part is not whole"


async def test_a_model_for_mlx_comes_without_code_and_is_said_not_to_open(lab: Services, loopback: LoopbackHub) -> None:
    repository = loopback.add(Repository("mlx-community/Tiny-4bit"))
    repository.add("config.json", b'{"quantization": {"bits": 4, "group_size": 64}}')
    repository.add("model.safetensors", noise(2000))
    repository.add("tokenizer.json", b"{}")
    repository.add("modeling.py", b"raise SystemExit")
    repository.add("original/consolidated.pth", noise(10))
    planned = await plan(lab, "tiny-1b:4-bit")
    assert {file.path for file in planned.files} == {"config.json", "model.safetensors", "tokenizer.json"}
    ready = (await everything(Transfer(lab, planned)))[-1]
    assert isinstance(ready, Ready)
    assert (ready.model.id, ready.model.format, ready.model.path.is_dir()) == ("tiny-1b:4bit", "MLX", True)
    assert ready.model in lab.library()
    lab.formats = ("GGUF",)
    assert ready.model not in lab.models()
    with pytest.raises(ValueError, match=r"tiny-1b:4bit is here in MLX's format, and MLX is not installed"):
        lab.find("tiny-1b:4bit")


async def test_the_next_repository_is_taken_where_one_does_not_give_it(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, noise(1000), "official/Tiny-GGUF", "Tiny-Q8_0.gguf")
    serve(loopback, noise(500))
    planned = await plan(lab, "tiny-1b:Q4_K_M")
    assert planned.listing.repository == NAME
    assert planned.notices == ("official/Tiny-GGUF was passed over: it has no Q4_K_M; it has Q8_0.",)
    with pytest.raises(
        HubError, match=r"no repository gives tiny-1b:Q2_K\. official.*it has Q8_0\. somebody.*Q4_K_M\.$"
    ):
        await plan(lab, "tiny-1b:Q2_K")


async def test_what_can_not_be_had_is_said_with_what_to_do(lab: Services, loopback: LoopbackHub) -> None:
    loopback.renamed["old/Name-GGUF"] = NAME
    serve(loopback, noise(500))
    serve(loopback, noise(500), "closed/Secret-GGUF").private = True
    loopback.add(Repository("void/Nothing")).add("README.md", b"#")
    for wanted, kind, words in (
        ("nobody/Nothing-GGUF", "missing", r"has no model nobody/Nothing-GGUF, or it is private: set HF_TOKEN"),
        ("closed/Secret-GGUF", "missing", r"has no model closed/Secret-GGUF"),
        (f"{NAME}@never", "missing", r"somebody/Tiny-GGUF has no such branch, tag or commit"),
        (f"{NAME}:Q2_K", "no_variant", r"somebody/Tiny-GGUF: it has no Q2_K; it has Q4_K_M"),
        (f"{NAME}/other.gguf", "no_variant", r"it has no model file other\.gguf"),
        ("void/Nothing", "no_variant", r"void/Nothing: it holds no GGUF language model"),
        ("pocket-5m", "missing", r"pocket-5m comes with slmtui"),
        ("never-heard", "missing", r"never-heard is neither a model of the catalog nor a repository.*owner/name"),
        ("../../etc/passwd", "missing", r"is neither"),
    ):
        with pytest.raises(HubError, match=words) as raised:
            await plan(lab, wanted)
        assert raised.value.kind == kind
    assert (await plan(lab, "old/Name-GGUF")).notices == (f"old/Name-GGUF is called {NAME} now.",)


async def test_a_gated_repository_is_passed_over_or_opened_by_the_token(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(loopback, noise(500), "official/Tiny-GGUF").gated = True
    with pytest.raises(HubError, match=r"official/Tiny-GGUF is gated: accept its licence at http.*, then set HF_TOKEN"):
        await plan(lab, "official/Tiny-GGUF")
    serve(loopback, noise(500))
    assert (await plan(lab, "tiny-1b")).listing.repository == NAME
    monkeypatch.setenv("HF_TOKEN", "hf_ofSomebodyWhoDidNotAccept")
    planned = await plan(lab, "tiny-1b")
    assert planned.listing.repository == NAME
    assert planned.notices[0].startswith("official/Tiny-GGUF was passed over: official/Tiny-GGUF is gated: accept its")
    with pytest.raises(HubError, match=r"is gated: accept its licence at http[^,]*\. Other") as raised:
        await plan(lab, "official/Tiny-GGUF")
    assert raised.value.kind == "gated"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    planned = await plan(lab, "tiny-1b")
    assert planned.listing.repository == "official/Tiny-GGUF"
    monkeypatch.setenv("HF_TOKEN", "hf_thatWasTakenBackMeanwhile")
    (failed,) = [event for event in await everything(Transfer(lab, planned)) if ends(event)]
    assert isinstance(failed, DownloadFailed)
    assert failed.kind == "gated"
    assert f"official/Tiny-GGUF is gated: accept its licence at {loopback.endpoint}/official" in failed.message
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert isinstance((await everything(Transfer(lab, planned)))[-1], Ready)


def ends(event: Event) -> bool:
    return not isinstance(event, Progress | Verified)


async def test_a_busy_hub_is_asked_again_and_a_dead_one_is_named(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, noise(500))
    loopback.api_faults.extend([Fault(status=503), Fault(status=429, retry_after=0)])
    hub = Hub(loopback.endpoint, cache_folder(), patience_s=0.01)
    assert (await plan(lab, NAME, hub)).id == f"{NAME}:Q4_K_M"
    dead = Hub("http://127.0.0.1:9", cache_folder(), patience_s=0.01)
    with pytest.raises(HubError, match=r"can't reach http://127\.0\.0\.1:9: .*check the network") as raised:
        await plan(lab, NAME, dead)
    assert raised.value.kind == "unreachable"


async def test_without_a_network_nothing_is_asked(lab: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE is set") as raised:
        await plan(lab, NAME)
    assert raised.value.kind == "offline"


async def test_no_room_on_the_disk_is_said_before(
    lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(loopback, noise(5000))
    monkeypatch.setattr("slmtui.lab.download_plan._disk_left", lambda _: 3000)
    planned = await plan(lab, NAME)
    assert planned.refusal is not None
    assert planned.refusal.startswith("5 kB have to be downloaded and 3 kB are left on the disk of ")


async def test_pause_keeps_what_came_and_cancel_does_not(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, weights(8 * MIB))
    planned = await plan(lab, NAME)
    loopback.asked.clear()
    loopback.faults.append(Fault(stall_after=2 * MIB))
    paused = await until(Transfer(lab, planned), 2 * MIB, Transfer.pause)
    assert paused == Paused(done_bytes=2 * MIB)
    assert (await plan(lab, NAME)).here_bytes == 2 * MIB
    loopback.faults.append(Fault(stall_after=2 * MIB))
    assert await until(Transfer(lab, planned), 4 * MIB, Transfer.cancel) == Cancelled()
    assert loopback.sent() == 4 * MIB
    assert (await plan(lab, NAME)).here_bytes == 0
    assert [path.name for path in cache_folder().rglob("*") if path.is_file()] == ["CACHEDIR.TAG"]
    assert isinstance((await everything(Transfer(lab, planned)))[-1], Ready)


async def until(transfer: Transfer, done_bytes: int, then: Callable[[Transfer], None]) -> Event:
    """Do something with the transfer when so much is here; its ending."""
    last: Event | None = None
    async with aclosing(transfer.events()) as events:
        async for last in events:
            if isinstance(last, Progress) and last.done_bytes >= done_bytes:
                then(transfer)
    assert last is not None
    return last


async def test_a_transfer_that_is_left_stops_and_can_be_gone_on_with(lab: Services, loopback: LoopbackHub) -> None:
    serve(loopback, noise(4 * MIB))
    planned = await plan(lab, NAME)
    loopback.faults.append(Fault(stall_after=MIB))

    async def watch() -> None:
        await everything(Transfer(lab, planned))

    watching = asyncio.create_task(watch())
    while loopback.sent() < MIB:  # noqa: ASYNC110 - another thread's
        await asyncio.sleep(0.01)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    ready = (await everything(Transfer(lab, planned)))[-1]
    assert isinstance(ready, Ready)


async def test_a_full_disk_is_no_bug(lab: Services, loopback: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(loopback, noise(4 * MIB))
    planned = await plan(lab, NAME)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("slmtui.sources.fetch.write_at", full)
    (failed,) = [event for event in await everything(Transfer(lab, planned)) if ends(event)]
    assert isinstance(failed, DownloadFailed)
    assert failed.kind == "disk"
    assert "No space left on device. Free some space or set HF_HUB_CACHE" in failed.message


async def test_many_at_once_leave_room_for_everything_else(lab: Services, loopback: LoopbackHub) -> None:
    names = [f"somebody/Model-{number}-GGUF" for number in range(2 * (os.cpu_count() or 1) + 8)]
    for number, name in enumerate(names):
        serve(loopback, noise(2 * MIB, seed=number), name)
    transfers = [Transfer(lab, await plan(lab, name)) for name in names]
    loopback.faults.extend([Fault(stall_after=MIB)] * len(names))
    loopback.asked.clear()
    running = [asyncio.create_task(everything(transfer)) for transfer in transfers]
    while loopback.sent() < MIB * len(names):  # noqa: ASYNC110 - another thread's
        await asyncio.sleep(0.02)
    assert await asyncio.to_thread(lambda: "answered") == "answered", "though every transfer has a thread"
    for transfer in transfers:
        transfer.pause()
    for *_, last in await asyncio.gather(*running):
        assert isinstance(last, Paused)
        assert 0 < last.done_bytes <= MIB, "what the host has sent need not have arrived"
