"""A llama.cpp model and its context: opened from a `Load` request, sized by a dry run, freed in order."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slmtui.core import text
from slmtui.core.events import FailureKind, MemoryPart, ModelFacts, total_bytes
from slmtui.engine import llama_library
from slmtui.engine.backends import EngineError
from slmtui.engine.protocol import Load

DEFAULT_CONTEXT = 4096
OUTPUTS = 32
"""Rows of logits that a context has room for. One is needed, and each costs vocabulary x 4 bytes of the compute buffer
(all of a batch: 298 MiB for 152k entries); with 8 or fewer llama.cpp prefills 11 to 20 % slower."""
MAXIMUM_CONTEXT = 4_194_304
"""llama.cpp spends minutes on absurd contexts before it fails."""
KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q5_1": 7, "q5_0": 6, "q4_1": 3, "q4_0": 2}
"""Numbers of `enum ggml_type` (ggml.h) that a KV cache can have; any other makes llama.cpp abort."""
_GGUF_MAGIC = b"GGUF"


class LoadCancelledError(Exception):
    """The person stopped loading."""


class OpenModel:
    """A loaded model with one context; `close` frees both, context first."""

    def __init__(self, model: Any, request: Load) -> None:
        self.bindings = llama_library.load()
        self.request = request
        self.model = model
        self.context: Any = None
        self.vocabulary = self.bindings.llama_model_get_vocab(model)

    def check_writes_text(self) -> None:
        """Refuse models on which tokenizing or decoding would abort the process.

        Raises:
            EngineError: it has no vocabulary, or is (half) an encoder.
        """
        bindings = self.bindings
        why = None
        if bindings.llama_vocab_type(self.vocabulary) == bindings.LLAMA_VOCAB_TYPE_NONE:
            why = "has no vocabulary"
        elif bindings.llama_model_has_encoder(self.model) or not bindings.llama_model_has_decoder(self.model):
            why = "is an encoder"
        if why is not None:
            name = text.one_line(Path(self.request.path).name)
            raise EngineError(
                FailureKind.UNSUPPORTED_ARCHITECTURE,
                f"{name} {why}, so it cannot continue a text. Choose a model that writes text.",
            )

    def open_context(self) -> None:
        """Create the context (KV cache and compute buffers).

        Raises:
            EngineError: the settings do not work or memory ran out.
        """
        bindings, request = self.bindings, self.request
        parameters = bindings.llama_context_default_params()
        parameters.n_ctx = self.context_size
        parameters.n_batch = min(request.batch, self.context_size)
        parameters.n_ubatch = min(request.micro_batch, parameters.n_batch)
        parameters.n_threads = request.threads
        parameters.n_threads_batch = request.threads_batch or request.threads
        parameters.type_k, parameters.type_v = kv_type(request.type_k), kv_type(request.type_v)
        parameters.flash_attn_type = _flash_attention(bindings, request.flash_attention)
        parameters.n_outputs_max = min(OUTPUTS, parameters.n_batch)
        parameters.no_perf = True
        if request.device == "cpu":
            parameters.op_offload = parameters.offload_kqv = False
        self.context = bindings.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise EngineError(*_context_failure(request, self.context_size))

    @property
    def context_size(self) -> int:
        """Tokens of context that the request asks for."""
        trained = self.bindings.llama_model_n_ctx_train(self.model)
        return self.request.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    def close(self) -> None:
        """Free the context, then the model; the other order crashes."""
        if self.context:
            self.bindings.llama_free(self.context)
            self.context = None
        if self.model:
            self.bindings.llama_model_free(self.model)
            self.model = None

    def metadata(self, key: str) -> str | None:
        """A value of the file's header as text; None when the key is not there."""
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self.bindings.llama_model_meta_val_str(self.model, key.encode(), buffer, size)
            if length < 0:
                return None
            if length < size:
                return buffer.value.decode("utf-8", "replace")
            size = length + 1

    def template(self) -> str | None:
        """The chat template in the file's header."""
        found = self.bindings.llama_model_chat_template(self.model, None)
        return found.decode("utf-8", "replace") if found else None

    def facts(self) -> ModelFacts:
        """What the header says, with the settings of this load."""
        bindings, model, request = self.bindings, self.model, self.request
        return ModelFacts(
            name=self.metadata("general.name"),
            architecture=self.metadata("general.architecture"),
            quantization=quantization_label(bindings, bindings.llama_model_ftype(model)),
            parameters=bindings.llama_model_n_params(model) or None,
            weights_bytes=bindings.llama_model_size(model) or None,
            layers=bindings.llama_model_n_layer(model) or None,
            hidden_size=bindings.llama_model_n_embd(model) or None,
            heads=bindings.llama_model_n_head(model) or None,
            kv_heads=bindings.llama_model_n_head_kv(model) or None,
            vocabulary=bindings.llama_vocab_n_tokens(self.vocabulary) or None,
            trained_context=bindings.llama_model_n_ctx_train(model) or None,
            licence=self.metadata("general.license"),
            description=self.metadata("general.description"),
            template_source="file header" if self.template() else None,
            engine=llama_library.engine_name(),
            engine_build=llama_library.build_line(),
            context=bindings.llama_n_ctx(self.context) if self.context else self.context_size,
            threads=request.threads,
            device=request.device,
            gpu_layers=request.gpu_layers,
            extra_buffers=request.extra_buffers,
        )


def open_model(
    request: Load, *, dry: bool = False, progress: Callable[[float], bool] | None = None
) -> tuple[OpenModel, tuple[MemoryPart, ...]]:
    """Open the file and its context; with `dry`, read only the header and size every buffer exactly.

    `progress` is called with the loaded fraction and stops loading by returning False.

    Raises:
        EngineError: the file or the settings do not work.
        LoadCancelledError: `progress` returned False.
    """
    check_file(Path(request.path))
    bindings = llama_library.load()
    llama_library.LOG.clear()
    parameters = bindings.llama_model_default_params()
    parameters.use_extra_bufts = request.extra_buffers
    parameters.n_gpu_layers = 0 if request.device == "cpu" else request.gpu_layers
    no_devices = (ctypes.c_void_p * 1)(None)  # must live until the model is open
    if request.device == "cpu":
        parameters.devices = ctypes.cast(no_devices, ctypes.c_void_p)
    if dry:
        parameters.no_alloc, parameters.load_mode = True, bindings.LLAMA_LOAD_MODE_NONE
    stopped: list[bool] = []

    def on_progress(fraction: float, _: object) -> bool:
        if progress is not None and not progress(fraction):
            stopped.append(True)
        return not stopped

    callback = bindings.llama_progress_callback(on_progress)
    parameters.progress_callback = callback
    model = bindings.llama_model_load_from_file(os.fsencode(request.path), parameters)
    if stopped:
        if model:
            bindings.llama_model_free(model)
        raise LoadCancelledError
    if not model:
        raise EngineError(*_load_failure(Path(request.path)))
    opened = OpenModel(model, request)
    try:
        opened.check_writes_text()
        opened.open_context()
    except EngineError:
        opened.close()
        raise
    return opened, _memory(opened, dry=dry)


def check_file(path: Path) -> None:
    """Look at what can be seen without the engine.

    Raises:
        EngineError: no file, not readable, or not a GGUF.
    """
    shown = text.one_line(str(path))
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise EngineError(FailureKind.BAD_FILE, f"{shown} is a folder; name the .gguf file in it.")
        if not stat.S_ISREG(kind):  # opening a pipe would wait for a writer
            raise EngineError(FailureKind.BAD_FILE, f"{shown} is a device or a pipe; name a .gguf file.")
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise EngineError(FailureKind.BAD_FILE, f"There is no file {shown}. Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        why = error.strerror if isinstance(error, OSError) else error
        raise EngineError(FailureKind.BAD_FILE, f"{shown} cannot be read: {why}. Check the path.") from None
    if magic != _GGUF_MAGIC:
        raise EngineError(
            FailureKind.BAD_FILE,
            f"{shown} is not a GGUF file: it does not begin with the letters GGUF. "
            "Choose a .gguf file, or download it again if it should be one.",
        )


def kv_type(name: str) -> int:
    """llama.cpp's number of a KV cache type.

    Raises:
        EngineError: the name is none of those that llama.cpp has kernels for.
    """
    if name not in KV_TYPES:
        raise EngineError(FailureKind.BAD_REQUEST, f"KV cache type {name!r} is none of {', '.join(KV_TYPES)}.")
    return KV_TYPES[name]


def quantization_label(bindings: Any, ftype: int) -> str | None:
    """The usual label (Q4_K_M, F16, …) of llama.cpp's file type number."""
    ftype &= ~int(bindings.LLAMA_FTYPE_GUESSED)
    for name in dir(bindings):
        if name.startswith("LLAMA_FTYPE_") and getattr(bindings, name) == ftype:
            return name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
    return None


def check_request(request: Load) -> None:
    """Refuse settings that llama.cpp would answer with an abort.

    Raises:
        EngineError: names the setting and its range.
    """
    ranges = {"threads": 1024, "threads_batch": 1024, "batch": 65536, "micro_batch": 65536}
    for name, high in ranges.items():
        value = getattr(request, name)
        if value is not None and not 1 <= value <= high:
            raise EngineError(FailureKind.BAD_REQUEST, f"{name} is {value}; it must be from 1 to {high}.")
    if request.context is not None and not 8 <= request.context <= MAXIMUM_CONTEXT:
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"context is {request.context}; it must be from 8 to {MAXIMUM_CONTEXT:,} tokens.",
        )


def check_budget(planned: tuple[MemoryPart, ...], budget_bytes: int | None) -> None:
    """Refuse what the dry run says does not fit into main memory.

    Raises:
        EngineError: says what is needed, what is free, and what would need less.
    """
    needed = total_bytes(tuple(part for part in planned if part.device == "CPU"))
    if budget_bytes is None or needed <= budget_bytes:
        return
    parts = " + ".join(
        f"{kind} {text.memory(total_bytes(planned, kind))}"
        for kind in ("weights", "KV cache", "compute")
        if total_bytes(planned, kind)
    )
    raise EngineError(
        FailureKind.OUT_OF_MEMORY,
        f"It needs {text.memory(needed)} ({parts}) and {text.memory(budget_bytes)} is free. "
        "Close other programs, or choose a smaller context or a smaller variant.",
    )


def _memory(opened: OpenModel, *, dry: bool) -> tuple[MemoryPart, ...]:
    """Buffers from the log; a dry run logs weights and caches as 0, so those come from elsewhere."""
    parts = llama_library.LOG.memory()
    if not dry:
        return parts
    device = "CPU" if opened.request.device == "cpu" else opened.request.device
    weights = MemoryPart("weights", device, opened.bindings.llama_model_size(opened.model))
    scratch = tuple(part for part in parts if part.kind in ("compute", "output"))
    return (weights, *llama_library.LOG.planned_caches(device), *scratch)


def _flash_attention(bindings: Any, name: str) -> int:
    known = {
        "auto": bindings.LLAMA_FLASH_ATTN_TYPE_AUTO,
        "on": bindings.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": bindings.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }
    if name not in known:
        raise EngineError(FailureKind.BAD_REQUEST, f"Flash attention {name!r} is none of {', '.join(known)}.")
    return int(known[name])


def _load_failure(path: Path) -> tuple[FailureKind, str]:
    why, shown = _why(), text.one_line(path.name)
    if "unknown model architecture" in why:
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"This version of llama.cpp does not know the architecture of {shown} ({why}). "
            "Update slmtui and llama-cpp-python, or choose another model.",
        )
    if "cannot be used as main model" in why:
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"{shown} is a part of another model ({why}). Choose the file of the language model itself.",
        )
    if "failed to allocate" in why or "mmap failed" in why:
        return (
            FailureKind.OUT_OF_MEMORY,
            f"{shown} does not fit into memory ({why}). Choose a smaller variant.",
        )
    return (
        FailureKind.BAD_FILE,
        f"{shown} is damaged or incomplete ({why}). Download or copy it again.",
    )


def _context_failure(request: Load, context: int) -> tuple[FailureKind, str]:
    why = _why()
    if "requires flash_attn" in why or "flash" in why:
        return (
            FailureKind.BAD_REQUEST,
            f"A quantized V cache ({request.type_v}) needs flash attention; set it to auto or on ({why}).",
        )
    if "does not divide" in why:
        return (
            FailureKind.BAD_REQUEST,
            f"This model's heads are too small for a KV cache of {request.type_k} and {request.type_v} ({why}). "
            "Choose f16.",
        )
    return (
        FailureKind.OUT_OF_MEMORY,
        f"A context of {context:,} tokens cannot be created ({why}). Choose a smaller context.",
    )


def _why() -> str:
    """What llama.cpp logged as errors, fit for a message: it quotes file names and headers."""
    return text.one_line(llama_library.LOG.errors()) or "llama.cpp gave no reason"
