"""What MLX is told of devices and limits, on a made-up Mac, and what its errors mean; Metal needs a real one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from slmtui.core.events import FailureKind, MemoryPart
from slmtui.engine.backends import EngineError
from slmtui.engine.mlx_checks import check_working_set, evaluation_failure, load_failure
from slmtui.engine.mlx_files import ModelFolder
from tests.mlx_models import needs_mlx

GIB = 1024**3


class Mx(SimpleNamespace):
    """As much of `mlx.core` as is asked; notes what it is told."""

    def __init__(self, *, metal: bool = False, cuda: bool = False) -> None:
        told: list[tuple[str, object]] = []
        super().__init__(
            told=told,
            cpu="the processor",
            gpu="the GPU",
            metal=SimpleNamespace(is_available=lambda: metal),
            cuda=SimpleNamespace(is_available=lambda: cuda),
            device_info=lambda: {
                "max_recommended_working_set_size": 10 * GIB,
                "architecture": "g15",
                "device_name": "M3",
            },
            set_default_device=lambda device: told.append(("device", device)),
            set_wired_limit=lambda limit: told.append(("wired", limit)),
            disable_compile=lambda: told.append(("compile", False)),
            enable_compile=lambda: told.append(("compile", True)),
        )


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    from slmtui.engine import mlx_device

    monkeypatch.setattr(mlx_device, "mx", Mx(metal=True))
    return mlx_device


@needs_mlx
@pytest.mark.parametrize("asked", ["gpu", "metal", " GPU", "Metal", "metal:0", "mtl", "MTL0"])
def test_a_mac_s_gpu(device: ModuleType, asked: str) -> None:
    assert device.use_device(asked) == "metal"
    assert device.mx.told == [("device", "the GPU"), ("compile", True)]
    assert device.build_line() == "CPU and metal : g15, M3"


@needs_mlx
@pytest.mark.parametrize("asked", ["cpu", "CPU"])
def test_its_processor(device: ModuleType, asked: str) -> None:
    assert device.use_device(asked) == "cpu"
    assert device.mx.told == [("device", "the processor"), ("compile", False)]


@needs_mlx
@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "metal:1", "MTL1", "vulkan", "none", "\x1b[1m"])
def test_a_device_that_is_not_there(device: ModuleType, asked: str) -> None:
    with pytest.raises(EngineError, match=r"has cpu and metal\. Choose another") as caught:
        device.use_device(asked)
    assert caught.value.kind is FailureKind.BAD_REQUEST


@needs_mlx
@pytest.mark.parametrize("asked", ["gpu", "cuda", "CUDA0", "cuda:0"])
def test_an_nvidia_gpu(device: ModuleType, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    monkeypatch.setattr(device, "mx", Mx(cuda=True))
    assert device.use_device(asked) == "cuda"


@needs_mlx
def test_no_gpu_at_all(device: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "mx", Mx())
    for asked in ("gpu", "None"):
        with pytest.raises(EngineError, match="cpu only"):
            device.use_device(asked)
    assert device.working_set_bytes() is None
    device.wire_memory()
    assert device.mx.told == []


@needs_mlx
def test_what_macos_recommends_is_wired(device: ModuleType) -> None:
    device.wire_memory()
    assert device.mx.told == [("wired", 10 * GIB)]


def test_more_than_the_working_set_is_refused_with_figures() -> None:
    parts = (MemoryPart("weights", "Metal", 9 * GIB), MemoryPart("KV cache", "Metal", 2 * GIB))
    check_working_set(parts, None)
    check_working_set(parts, 11 * GIB)
    with pytest.raises(EngineError, match=r"needs 11 GiB, and macOS lets the GPU keep 10 GiB") as caught:
        check_working_set(parts, 10 * GIB)
    assert caught.value.kind is FailureKind.OUT_OF_MEMORY


@pytest.mark.parametrize(
    "why",
    [
        "[malloc] Unable to allocate 42 bytes.",
        "[metal::malloc] Attempting to allocate 9663676416 bytes which is greater than the maximum allowed buffer size",
        "[METAL] Command buffer execution failed: Insufficient Memory",
    ],
)
def test_memory_that_runs_out_while_evaluating_is_named(why: str) -> None:
    kind, sentence = evaluation_failure(RuntimeError(why))
    assert kind is FailureKind.OUT_OF_MEMORY
    assert "smaller context" in sentence
    assert evaluation_failure(MemoryError())[0] is FailureKind.OUT_OF_MEMORY
    assert evaluation_failure(RuntimeError("[matmul] shapes"))[0] is FailureKind.INTERNAL


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("Model type gem not supported."), FailureKind.UNSUPPORTED_ARCHITECTURE, "the model type gem"),
        (ValueError("Gem attention is not supported."), FailureKind.UNSUPPORTED_ARCHITECTURE, "Gem attention is not"),
        (ValueError("[quantize] Group size 63 is not supported."), FailureKind.BAD_FILE, "Group size 63 is not"),
    ],
)
def test_why_a_model_is_not_opened(error: Exception, kind: FailureKind, words: str) -> None:
    found = load_failure(error, ModelFolder(Path("gem-4bit"), {"model_type": "gem"}, {}, ()))
    assert found[0] is kind
    assert words in found[1]
    assert "gem-4bit" in found[1]
