"""Devices of this build of llama.cpp, and which of them a `Load` request means."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

from slmtui.core.events import FailureKind
from slmtui.core.machine import imitated
from slmtui.core.text import counted, one_line
from slmtui.engine import llama_library
from slmtui.engine.backends import EngineError
from slmtui.engine.protocol import Load

CPU = "cpu"
_GPU, _INTEGRATED = "GPU", "integrated GPU"
_KINDS = {0: "CPU", 1: _GPU, 2: _INTEGRATED, 3: "accelerator"}
"""Of `enum ggml_backend_dev_type` (ggml-backend.h)."""
_OTHER_NAMES = {"metal": "mtl"}


class Device(NamedTuple):
    """One device that this build can use here."""

    name: str
    """llama.cpp's own: CPU, CUDA0, MTL0, Vulkan1."""
    kind: str
    description: str
    pci: str | None
    """PCI address, as "0000:c1:00.0"; None where it has none."""
    pointer: int
    """`ggml_backend_dev_t`."""

    @property
    def backend(self) -> str:
        """What its name begins with, in small letters: cuda, mtl, vulkan."""
        return re.sub(r"\d+$", "", self.name.lower())


class _Properties(ctypes.Structure):
    """`struct ggml_backend_dev_props` (ggml-backend.h)."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("capabilities", ctypes.c_bool * 16),  # more than the five there are
    )


@cache
def devices() -> tuple[Device, ...]:
    """Every device that this build can use here, CPU included."""
    llama_library.load()
    registry, base = llama_library.sibling("ggml"), llama_library.sibling("ggml-base")
    registry.ggml_backend_dev_count.restype = ctypes.c_size_t
    registry.ggml_backend_dev_get.restype = ctypes.c_void_p
    registry.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    base.ggml_backend_dev_get_props.restype = None
    base.ggml_backend_dev_get_props.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Properties)]
    return tuple(
        _device(base, registry.ggml_backend_dev_get(index)) for index in range(registry.ggml_backend_dev_count())
    )


def chosen(name: str, found: Sequence[Device] | None = None) -> tuple[Device, ...]:
    """The GPUs that a request's device means: none for "cpu", one for "cuda:0" or "CUDA0", for "cuda" all `usual` ones.

    "metal" is understood, "gpu" means those of any kind that the processor does not imitate. Case does not matter.
    `found` are this build's devices by default.

    Raises:
        EngineError: there is no such device; says which there are.
    """
    wanted = name.strip().lower()
    if wanted == CPU:
        return ()
    found = devices() if found is None else found
    graphics = [device for device in found if device.kind in (_GPU, _INTEGRATED)]
    kind, _, number = wanted.partition(":")
    own = _OTHER_NAMES.get(kind, kind) + number
    if wanted == "gpu":
        matching = usual([device for device in graphics if not imitated(device.description)])
    elif own[-1:].isdigit():
        matching = [device for device in graphics if device.name.lower() == own]
    else:
        matching = usual([device for device in graphics if device.backend == own])
    if not matching:
        there = ", ".join([CPU, *(device.name for device in graphics)])
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"There is no device {one_line(name)!r} for this build of llama.cpp; it can use {there} here. "
            "Choose one of them, or run `slmtui doctor` to see how to install another build.",
        )
    return tuple(matching)


def usual(graphics: Sequence[Device]) -> list[Device]:
    """Those that llama.cpp takes by itself (`llama_prepare_model_devices` in llama.cpp): each GPU by one name.

    Integrated graphics is taken only where there is no other, and then that of one backend.
    """
    taken: list[Device] = []
    for device in graphics:
        if device.kind == _GPU and (device.pci is None or device.pci not in [other.pci for other in taken]):
            taken.append(device)
    return taken or [device for device in graphics if device.backend == graphics[0].backend]


def placed(request: Load, found: Sequence[Device] | None = None) -> tuple[Device, ...]:
    """The GPUs that a model is put on: of those that the request's device means the first alone where nothing is split.

    Raises:
        EngineError: there is no such device; says which there are.
    """
    graphics = chosen(request.device, found)
    return graphics[:1] if request.split_mode == "none" else graphics


def free_bytes(device: Device) -> int | None:
    """Memory of a device that is free now; None where its backend does not say."""
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    base = llama_library.sibling("ggml-base")
    base.ggml_backend_dev_memory.restype = None
    base.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, *[ctypes.POINTER(ctypes.c_size_t)] * 2]
    base.ggml_backend_dev_memory(device.pointer, ctypes.byref(free), ctypes.byref(total))
    return free.value if total.value else None


def device_list(graphics: Sequence[Device]) -> Any:
    """The array that `llama_model_params.devices` points to; it must live until the model is open."""
    return (ctypes.c_void_p * (len(graphics) + 1))(*(device.pointer for device in graphics), None)


def device_shares(bindings: Any, shares: Sequence[float], graphics: Sequence[Device]) -> Any:
    """The array that `llama_model_params.tensor_split` points to; None for shares by free memory.

    Raises:
        EngineError: there are not as many shares as GPUs.
    """
    if not shares or not graphics:
        return None
    if len(shares) != len(graphics):
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"There are {len(shares)} shares for {counted(len(graphics), 'GPU')} "
            f"({', '.join(device.name for device in graphics)}); give one for each.",
        )
    return (ctypes.c_float * bindings.llama_max_devices())(*shares)


def _device(base: ctypes.CDLL, pointer: int) -> Device:
    properties = _Properties()
    base.ggml_backend_dev_get_props(pointer, ctypes.byref(properties))
    pci = properties.device_id
    return Device(
        name=properties.name.decode("utf-8", "replace"),
        kind=_KINDS.get(properties.type, "other"),
        description=properties.description.decode("utf-8", "replace"),
        pci=pci.decode("utf-8", "replace") if pci else None,
        pointer=pointer,
    )
