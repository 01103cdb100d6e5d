"""Tries the installed llama.cpp once in a child process, because some builds crash on quantized models.

A build by GCC 12 for a processor with AMX tiles segfaults as soon as a batch of a quantized model has two tokens
(llama.cpp #20824). Such a build works without repacked weights (`use_extra_bufts=False`), more slowly. The child
decodes one token, then eight, of a bundled Q4_K_M model; what it lived to say decides how models are loaded here. A GPU
on which that fails in either way is left alone when it works without.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from slmtui.core.llama_builds import Target, build
from slmtui.core.machine import EngineState
from slmtui.engine.installer import installer
from slmtui.engine.trials import remember, remembered, run_trial, say

PATIENCE_S = 60.0
TRIAL_COMMAND = (sys.executable, "-P", "-m", "slmtui.engine.trial")


async def engine_state(
    model: Path, cache: Path | None, key: str, command: Sequence[str] = TRIAL_COMMAND
) -> EngineState:
    """State of llama.cpp here, tried once for each engine build and machine (`key`), remembered in `cache`.

    `model` is a quantized GGUF file. A cache that is damaged or cannot be written is ignored. An engine that does
    not work at all is tried again the next time.
    """
    version = _version()
    if version is None:
        return EngineState(
            name="llama.cpp",
            trial="unusable",
            advice=f"llama-cpp-python is not installed. Install it: {reinstall()}",
        )
    shown = os.environ.get("GGML_VK_VISIBLE_DEVICES")
    key = f"{key} {fingerprint()} {shown} {installer()}"  # whose command the advice names
    known = remembered(cache, key)
    if known is not None:
        return known
    state, lasting = await _try(version, model, command)
    if lasting:
        remember(cache, key, state)
    return state


def reinstall() -> str:
    """The command that builds the engine for this machine, which keeps AMX and is right with GCC 12 too."""
    target = Target(windows=os.name == "nt", installer=installer(), keeps_stores=sys.platform == "linux")
    return build(target)


def fingerprint() -> str:
    """Changes when another build of the engine is installed; reads sizes and times, loads nothing."""
    spec = importlib.util.find_spec("llama_cpp")
    digest = hashlib.sha256(str(_version()).encode())
    folder = Path(os.environ.get("LLAMA_CPP_LIB_PATH") or Path(str(spec.origin if spec else ".")).parent / "lib")
    for file in sorted(folder.glob("*")) if folder.is_dir() else []:
        stat = file.stat()
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _version() -> str | None:
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return None


async def _try(version: str, model: Path, command: Sequence[str]) -> tuple[EngineState, bool]:
    """The state, and whether another trial would come to the same."""
    usual = await run_trial([*command, str(model)], PATIENCE_S)
    sound = EngineState(name="llama.cpp", version=version, devices=usual.devices, build=usual.build, trial="sound")
    if usual.decoded == (1, 8):
        return sound, True
    plain = await run_trial([*command, str(model), "--plain-buffers"], PATIENCE_S)
    seen = msgspec.structs.replace(sound, devices=plain.devices or usual.devices, build=plain.build or usual.build)
    if plain.decoded == (1, 8):
        advice = (
            f"This build of llama.cpp fails on quantized models ({usual.error}), so slmtui loads them without "
            f"repacked weights, which is slower. A sound build: {reinstall()}"
        )
        return msgspec.structs.replace(seen, trial="plain buffers only", advice=advice), usual.crashed
    processor = await run_trial([*command, str(model), "--processor"], PATIENCE_S) if seen.others else plain
    if processor.decoded == (1, 8):
        advice = (
            f"llama.cpp fails on {seen.others[0]} ({usual.error}), so slmtui leaves the GPU alone. Update its driver, "
            "or install another build; `slmtui hardware` names the GPU and its compute capability."
        )
        return msgspec.structs.replace(seen, trial="processor only", advice=advice), usual.crashed
    advice = f"This build of llama.cpp does not work on this machine ({plain.error}). Install another: {reinstall()}"
    return msgspec.structs.replace(seen, trial="unusable", advice=advice), False


def main(arguments: Sequence[str]) -> int:
    """The child: says what it sees, then decodes one and eight tokens, a JSON line after each step."""
    from slmtui.engine import llama_devices, llama_library

    if hasattr(signal, "alarm"):
        signal.alarm(round(PATIENCE_S))  # whoever asked may be gone
    try:
        bindings = llama_library.load()
    except (ImportError, OSError, RuntimeError) as error:
        say(error=f"llama.cpp cannot be loaded: {error}")
        return 1
    found = llama_devices.devices()
    names = [device.name if device.kind == "CPU" else f"{device.name} {device.description}" for device in found]
    say(devices=names, build=llama_library.build_line())
    parameters = bindings.llama_model_default_params()
    parameters.use_extra_bufts = "--plain-buffers" not in arguments
    alone = llama_devices.device_list(())  # must live until the model is open
    if "--processor" in arguments:
        parameters.devices, parameters.n_gpu_layers = ctypes.cast(alone, ctypes.c_void_p), 0
    model = bindings.llama_model_load_from_file(arguments[0].encode(), parameters)
    if not model:
        say(error=llama_library.LOG.errors() or "the model does not load")
        return 1
    settings = bindings.llama_context_default_params()
    settings.n_ctx, settings.n_batch = 64, 64
    context = bindings.llama_init_from_model(model, settings)
    for count in (1, 8):
        tokens = (bindings.llama_token * count)(*range(300, 300 + count))
        if bindings.llama_decode(
            context,
            bindings.llama_batch_get_one(ctypes.cast(tokens, ctypes.POINTER(bindings.llama_token)), count),
        ):
            say(error=llama_library.LOG.errors() or "decoding fails")
            return 1
        bindings.llama_synchronize(context)
        say(decoded=[count])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
