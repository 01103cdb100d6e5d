"""What goes to which device: where a dry run's memory lies, what is free there, and how many layers fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from slmtui.core import text
from slmtui.core.events import MAIN_MEMORY, FailureKind, MemoryKind, MemoryPart, ModelFacts
from slmtui.core.offload import ALL, most_layers
from slmtui.core.work import Tensor
from slmtui.engine.backends import EngineError
from slmtui.engine.llama_devices import Device, free_bytes
from slmtui.engine.protocol import Load

RESERVE_BYTES = 384 * 1024 * 1024
"""Video memory to leave free on each GPU: what the backend takes beside its buffers while it evaluates (cuBLAS, pools),
which no dry run tells, and what the screen needs."""
_LAYER = re.compile(r"blk\.(\d+)\.")

Room = Mapping[str, int]
"""Bytes that may be taken on each device, by its name."""
Plan = Callable[[Load], tuple[ModelFacts, tuple[MemoryPart, ...]]]
"""A dry run: facts, and every buffer of a load with its size."""


class Placed(NamedTuple):
    """Bytes of something in main memory and on the GPUs."""

    main: int
    graphics: int

    def parts(self, kind: MemoryKind, device: str) -> list[MemoryPart]:
        """Parts of this kind, one a place that has any."""
        places = ((device, self.graphics), (MAIN_MEMORY, self.main))
        return [MemoryPart(kind, place, count) for place, count in places if count]


def weights(tensors: Sequence[Tensor], layers: int, offloaded: int) -> Placed:
    """Where llama.cpp puts a model's tensors when `offloaded` of its layers + 1 (the output) go to GPUs.

    The output is offloaded first, then layers from the last to the first; the embedding stays in main memory, and has a
    second copy where it is the output matrix too.
    """
    first = layers + 1 - offloaded
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    main = graphics = 0
    for tensor in tensors:
        layer = _LAYER.match(tensor.name)
        if int(layer[1]) >= first if layer else tensor.name.startswith("output") and offloaded > 0:
            graphics += tensor.bytes
        else:
            main += tensor.bytes
        if tied and tensor.name == "token_embd.weight" and offloaded > 0:
            graphics += tensor.bytes
    return Placed(main, graphics)


def cache(size: int, layers: int, offloaded: int) -> Placed:
    """A cache that all layers share alike; the output layer has none."""
    there = round(size * min(layers, max(0, offloaded - 1)) / layers) if layers else 0
    return Placed(size - there, there)


def fitted(request: Load, room: Room, plan: Plan) -> Load:
    """The request with as many layers as the video memory holds, by dry runs."""
    facts, everything = plan(replace(request, gpu_layers=ALL))
    layers = (facts.layers or 0) + 1

    def fits(count: int) -> bool:
        planned = everything if count == layers else plan(replace(request, gpu_layers=count))[1]
        return not _short(planned, room)

    return replace(request, gpu_layers=most_layers(layers, fits))


def fewer(request: Load) -> Load:
    """The request with an eighth of the layers less, after one that did not load."""
    layers = request.gpu_layers
    return replace(request, gpu_layers=layers - max(1, layers // 8))


def check_video_memory(planned: Iterable[MemoryPart], room: Room) -> None:
    """Refuse what the dry run says that the GPUs do not hold.

    Raises:
        EngineError: says what is needed, what is free, and what would need less.
    """
    for device, needed, free in _short(planned, room):
        raise EngineError(
            FailureKind.OUT_OF_MEMORY,
            f"It needs {text.memory(needed)} on {device} and {text.memory(free)} is free there. Offload fewer layers "
            "(as many as fit: -ngl fit), or choose a smaller context or a smaller variant.",
        )


def video_memory(graphics: Sequence[Device], own: Iterable[MemoryPart] = ()) -> Room:
    """Bytes that a model may take on each GPU, and on all together under their joined names; unknown ones are left out.

    `own` is what a model takes now that will be closed before.
    """
    given_back: Counter[str] = Counter()
    for part in own:
        given_back[part.device] += part.bytes
    found = {device.name: free_bytes(device) for device in graphics}
    room = {name: max(0, free + given_back[name] - RESERVE_BYTES) for name, free in found.items() if free is not None}
    if len(room) == len(graphics) > 1:
        room["+".join(room)] = sum(room.values())
    return room


def _short(planned: Iterable[MemoryPart], room: Room) -> list[tuple[str, int, int]]:
    """Device, bytes needed and bytes free wherever there are too few."""
    needed: Counter[str] = Counter()
    for part in planned:
        needed[part.device] += part.bytes
    return [
        (device, count, room[device]) for device, count in needed.items() if device in room and count > room[device]
    ]
