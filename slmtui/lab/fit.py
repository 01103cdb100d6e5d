"""What to expect of a model before it is loaded, or even downloaded: on this machine, or on one of given figures.

`here` looks at the machine once; after that an outlook is arithmetic, about 0.2 ms each. Benchmarks stand beside the
estimates (`measured`) and correct them (`Place.corrections`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from slmtui.core import machine as machines
from slmtui.core import outlook as core
from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.estimate import Anatomy, anatomy_of
from slmtui.core.estimate_card import anatomy_of_card
from slmtui.core.estimate_learn import gpu_rates, learn, observe
from slmtui.core.estimate_memory import Host, Packing
from slmtui.core.estimate_speed import Rates
from slmtui.core.events import Failed, total_bytes
from slmtui.core.fit import Fit, fit
from slmtui.core.machine import Machine
from slmtui.core.outlook import Gpu, Outlook, Place
from slmtui.core.results import CellResult, cell_results
from slmtui.core.text import memory
from slmtui.lab import ceiling
from slmtui.lab.loading import RESERVE_BYTES, LoadOptions

if TYPE_CHECKING:
    from slmtui.lab.services import Services

_VENDORS = {"CUDA": "NVIDIA", "ROCM": "AMD", "MTL": "Apple", "METAL": "Apple"}
"""Whose GPUs llama.cpp's devices are, by the beginnings of their names."""
_PART = re.compile(r"(?P<stem>.*)-\d{5}-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What benchmarks on this machine said of a model; None where they did not."""

    decode_tps: float | None
    prefill_tps: float | None
    process_bytes: int | None
    context: int | None
    """Tokens of context that `process_bytes` holds for."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What the dry run of a model here says that it takes."""

    context: int | None
    """Tokens that it would be loaded with."""
    trained_context: int | None
    bytes: int
    """Without the worker itself."""
    fit: Fit | None


async def planned(
    services: Services, model: LocalModel, context: int | None = None, kv_type: str = "f16"
) -> Planned | Failed:
    """What its engine says of a model that is here, of any format."""
    told = await services.inspect(model, options=LoadOptions(context=context, type_k=kv_type, type_v=kv_type))
    if isinstance(told, Failed):
        return told
    needed, free = total_bytes(told.planned), (await services.memory_now()).available_bytes
    return Planned(
        context=told.facts.context,
        trained_context=told.facts.trained_context,
        bytes=needed,
        fit=fit(needed, None if free is None else max(0, free - RESERVE_BYTES)),
    )


async def here(services: Services, *, measure: bool = False) -> Place:
    """This machine as it is now; with `measure` its ceiling is measured if it is not known, which takes six seconds.

    Raises:
        StoreError: the store cannot be read.
    """
    machine = await services.machine()
    top = await ceiling.measured(services) if measure else await asyncio.to_thread(ceiling.known, services)
    free = await services.memory_now()
    engine = machine.engine_for("GGUF")
    offloads = engine is not None and engine.offloads
    place = Place(
        name="this machine",
        host=host_of(machine),
        available_bytes=free.available_bytes,
        gpus=await asyncio.to_thread(usable_gpus, machine) if offloads else (),
        rates=Rates.of(top) if top is not None and not offloads else Rates(),
        context=services.config.context,
    )
    return await asyncio.to_thread(_corrected, services, machine, place)


def host_of(machine: Machine) -> Host:
    """What the machine has to do with how much memory a model takes."""
    engine = machine.engine_for("GGUF")
    return Host(
        packing=Packing.of(engine),
        charges_files=not (machine.system or "").startswith(("macOS", "Windows")),
        unified=engine is not None and engine.offloads and any(gpu.unified for gpu in _taken(machine)),
    )


def of_card(
    card: ModelCard, variant: Variant, place: Place, context: int | None = None, kv_type: str = "f16"
) -> Outlook | None:
    """What to expect of a variant that is not here; None where the catalog knows too little of it."""
    anatomy = anatomy_of_card(card, variant)
    return core.outlook(anatomy, place, context, kv_type) if anatomy is not None else None


def of_file(path: Path, place: Place, context: int | None = None, kv_type: str = "f16") -> Outlook:
    """What to expect of a GGUF file; the first of its parts names a split model.

    Raises:
        GgufError: it cannot be read, or is no GGUF file with a language model.
    """
    return core.outlook(anatomy_of_file(path), place, context, kv_type)


def of_model(model: LocalModel, place: Place, context: int | None = None, kv_type: str = "f16") -> Outlook | None:
    """What to expect of a model that is here; None for one in another format than GGUF.

    Raises:
        GgufError: its file cannot be read.
    """
    return of_file(model.path, place, context, kv_type) if model.format == "GGUF" else None


def anatomy_of_file(path: Path) -> Anatomy:
    """The file's anatomy, read again only when it has changed.

    Raises:
        GgufError: see `of_file`.
    """
    from slmtui.sources.gguf import GgufError

    try:
        status = path.stat()
    except OSError as error:
        raise GgufError(f"{path} cannot be read: {error.strerror}. Check the path.") from None
    return _read(path, status.st_size, status.st_mtime_ns)


def suggestion(card: ModelCard, variant: Variant, place: Place, context: int | None = None) -> str | None:
    """What would fit in place of a variant that does not: a smaller context of it, or the largest other variant.

    None when it fits, when nothing does, or when that is not known.
    """
    found = of_card(card, variant, place, context)
    if found is None or found.fit is None or found.fit.verdict != "no":
        return None
    if found.largest_context:
        return f"{card.id}:{variant.quantization} fits with a context of {found.largest_context:,} tokens"
    other = largest_variant(card, place, context)
    if other is None:
        return None
    size = f" ({memory(other.hint_bytes)})" if other.hint_bytes is not None else ""
    return f"{card.id}:{other.quantization}{size} fits"


def largest_variant(card: ModelCard, place: Place, context: int | None = None) -> Variant | None:
    """The largest variant that fits with this context; None when none is known to."""
    fitting: list[tuple[int, Variant]] = []
    for variant in card.variants:
        found = of_card(card, variant, place, context)
        if found is not None and found.fit is not None and found.fit.verdict != "no":
            fitting.append((found.needed_bytes + found.gpu_bytes, variant))
    return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


async def measured(services: Services) -> Mapping[str, Measured]:
    """Model id to what its latest benchmark on this machine said.

    Raises:
        StoreError: the store cannot be read.
    """
    speeds = await services.speeds()
    results = await asyncio.to_thread(_benchmarks, services, await services.machine())
    last = {result.model: result for result in results}
    return {
        model: Measured(
            decode_tps=decode,
            prefill_tps=prefill,
            process_bytes=last[model].process_bytes if model in last else None,
            context=last[model].measurements[-1].facts.context if model in last else None,
        )
        for model, (prefill, decode) in speeds.items()
    }


@lru_cache(maxsize=512)
def _read(path: Path, _size: int, _changed_ns: int) -> Anatomy:
    from slmtui.sources.gguf import GgufError, read_header

    part = _PART.fullmatch(path.name)
    paths = [path]
    if part is not None:
        count = int(part["count"])
        paths = [path.with_name(f"{part['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1)]
    try:
        return anatomy_of([read_header(each) for each in paths])
    except GgufError:
        raise
    except ValueError as error:
        raise GgufError(f"{path.name} cannot be estimated: {error}. Choose the file of a language model.") from None


def usable_gpus(machine: Machine) -> tuple[Gpu, ...]:
    """GPUs that llama.cpp can use here, with what may be taken of their memory now.

    Apple's is limited by the recommended working set; an NVIDIA driver is asked again.
    """
    gpus = _taken(machine)
    if any(gpu.vendor == "NVIDIA" for gpu in gpus):
        from slmtui.sources.detect_nvidia import nvidia_gpus

        now = {gpu.index: gpu.memory_free_bytes for gpu in nvidia_gpus(machine.cuda_visible_devices)[0]}
        gpus = [
            msgspec.structs.replace(gpu, memory_free_bytes=now.get(gpu.index)) if gpu.vendor == "NVIDIA" else gpu
            for gpu in gpus
        ]
    limit = machine.gpu_memory_limit_bytes
    return tuple(Gpu(name=gpu.name, free_bytes=limit if gpu.unified else gpu.memory_free_bytes) for gpu in gpus)


def _taken(machine: Machine) -> list[machines.Gpu]:
    """GPUs of the vendors that llama.cpp has devices of; those with the CPU's memory only where there is no other."""
    engine = machine.engine_for("GGUF")
    devices = " ".join(engine.graphics).upper() if engine else ""
    vendors = {vendor for name, vendor in _VENDORS.items() if name in devices}
    gpus = [gpu for gpu in machine.gpus if gpu.vendor in vendors or "VULKAN" in devices]
    return [gpu for gpu in gpus if not gpu.unified] or gpus


def _corrected(services: Services, machine: Machine, place: Place) -> Place:
    """The place with what benchmarks here taught."""
    results = _benchmarks(services, machine)
    if place.gpus:
        return msgspec.structs.replace(place, rates=gpu_rates(results))
    known = _anatomies(results)
    observed = [observe(result, place.host, place.rates, known) for result in results]
    corrections = learn(one for one in observed if one is not None)
    host = msgspec.structs.replace(place.host, extra_bytes=corrections.memory_bytes)
    return msgspec.structs.replace(place, corrections=corrections, host=host)


def _benchmarks(services: Services, machine: Machine) -> Sequence[CellResult]:
    """Cells that were measured on this machine: same processor, same GPUs."""
    same = {
        session.id
        for session in services.store.sessions()
        if session.environment.machine.cpu.name == machine.cpu.name
        and [gpu.name for gpu in session.environment.machine.gpus] == [gpu.name for gpu in machine.gpus]
    }
    return cell_results([one for session, one in services.store.recent_benchmarks() if session in same])


def _anatomies(results: Iterable[CellResult]) -> dict[str, Anatomy]:
    """Of the models whose files are still there, unchanged in size."""
    from slmtui.sources.gguf import GgufError

    found: dict[str, Anatomy] = {}
    for result in results:
        last = result.measurements[-1]
        if result.model in found or not last.file:
            continue
        try:
            if Path(last.file).stat().st_size == last.file_bytes:
                found[result.model] = anatomy_of_file(Path(last.file))
        except (OSError, ValueError, GgufError):
            continue
    return found
