"""How a model is loaded on this machine: what a person may choose, and what it becomes for the worker."""

from __future__ import annotations

import os
import platform
import secrets
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from slmtui.core.catalog import Format, LocalModel
from slmtui.core.granted import own_setup
from slmtui.core.machine import ENGINES, Machine
from slmtui.core.offload import ALL
from slmtui.core.plan import Setup
from slmtui.engine.backends import installed
from slmtui.engine.installer import install_here
from slmtui.engine.protocol import Load
from slmtui.sources.config import Config

RESERVE_BYTES = 256 * 1024 * 1024
"""Memory that a model may not take: the worker itself and what the system needs to stay responsive."""


class LoadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to load a model; None takes the machine's or the file's own value."""

    context: int | None = None
    threads: int | None = None
    threads_batch: int | None = None
    """Threads for prefill; None takes `threads`."""
    batch: int = 2048
    micro_batch: int = 512
    type_k: str = "f16"
    type_v: str = "f16"
    flash_attention: str = "auto"
    device: str | None = None
    gpu_layers: int | None = None
    """Layers offloaded to the device; -1 for all, which None means too, -2 for as many as fit."""
    split_mode: str = "layer"
    """How several GPUs share the model."""
    tensor_split: tuple[float, ...] = ()
    """Each GPU's share; empty for shares by free memory."""
    sequences: int = 1
    """Branches of a text that the cache can hold at the same time; several are for scoring options."""
    check_memory: bool = True
    """Refuse a model that the exact dry run says will not fit into free memory."""


def formats() -> tuple[Format, ...]:
    """Formats that an engine installed here opens, the preferred one first: on Apple silicon that is MLX's."""
    if not installed("MLX"):
        return ("GGUF",)
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return ("MLX", "GGUF") if apple else ("GGUF", "MLX")


def mlx_missing() -> str:
    """What to do where MLX is not installed."""
    if sys.platform == "linux":
        command = install_here('"slmtui[mlx]"')
        return f"MLX is not installed here; install it ({command}), or pull a GGUF variant"
    if sys.platform == "darwin":
        return "MLX is not installed here; `slmtui hardware` says whether it can be, or pull a GGUF variant"
    return "MLX does not run on this system; pull a GGUF variant"


def load_request(
    model: LocalModel, options: LoadOptions, machine: Machine, config: Config, available_bytes: int | None
) -> Load:
    """The request that loads the model here; `available_bytes` of main memory may be taken, None does not ask."""
    state = machine.engine_for(model.format)
    device = options.device or ("gpu" if state is not None and state.offloads else "cpu")
    layers = ALL if options.gpu_layers is None else options.gpu_layers
    own = own_setup(Setup(device=device, gpu_layers=layers), model.format)
    return Load(
        path=str(model.path),
        engine=ENGINES[model.format],
        device=own.device,
        gpu_layers=0 if own.device == "cpu" else own.gpu_layers,
        split_mode=options.split_mode,
        tensor_split=options.tensor_split,
        context=options.context or config.context,
        threads=options.threads or config.threads or machine.cpu.threads,
        threads_batch=options.threads_batch,
        batch=options.batch,
        micro_batch=options.micro_batch,
        type_k=options.type_k,
        type_v=options.type_v,
        flash_attention=options.flash_attention,
        sequences=options.sequences,
        extra_buffers=state is None or state.trial in ("sound", "processor only"),
        memory_budget_bytes=None if available_bytes is None else max(0, available_bytes - RESERVE_BYTES),
    )


def worker_log(folder: Path) -> Path:
    """A fresh log file for a worker; in the temporary folder when the logs folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _drop_old_logs(folder)
    except OSError:
        folder = Path(tempfile.gettempdir())
    return folder / f"worker-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}.log"


def _drop_old_logs(folder: Path, keep: int = 50) -> None:
    logs = sorted(folder.glob("worker-*.log"), key=os.path.getmtime)
    for log in logs[:-keep]:
        log.unlink(missing_ok=True)
