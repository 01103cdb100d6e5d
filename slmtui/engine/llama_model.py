"""A llama.cpp model and its context: opened from a `Load` request, sized by a dry run, freed in order."""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from slmtui.core import text
from slmtui.core.events import MAIN_MEMORY, FailureKind, MemoryPart, ModelFacts
from slmtui.core.work import Header
from slmtui.engine import llama_library
from slmtui.engine.backends import EngineError
from slmtui.engine.llama_checks import (
    check_file,
    context_failure,
    flash_attention_type,
    kv_type,
    load_failure,
    split_mode,
)
from slmtui.engine.llama_devices import CPU, Device, device_list, device_shares, placed
from slmtui.engine.llama_offload import Placed, cache, weights
from slmtui.engine.llama_tensors import all_tensors, model_work
from slmtui.engine.protocol import Load

DEFAULT_CONTEXT = 4096
OUTPUTS = 32
"""Rows of logits that a context has room for. One is needed, and each costs vocabulary x 4 bytes of the compute buffer
(all of a batch: 298 MiB for 152k entries); with 8 or fewer llama.cpp prefills 11 to 20 % slower."""
STATES = 8
"""Sequences that a model with a recurrent state may have: each takes a state of its own, up to 100 MB."""


class LoadCancelledError(Exception):
    """The person stopped loading."""


class OpenModel:
    """A loaded model with one context; `close` frees both, context first."""

    def __init__(self, model: Any, request: Load, graphics: tuple[Device, ...]) -> None:
        self.bindings = llama_library.load()
        self.request = request
        self.graphics = graphics
        """The GPUs that it was put on; none for the CPU."""
        self.model = model
        self.context: Any = None
        self.gpu_layers = llama_library.LOG.offloaded_layers() if graphics else 0
        """As offloaded, the output layer counting as one."""
        self.memory: tuple[MemoryPart, ...] = ()
        """What its buffers take; of a dry run, what they would take."""
        self._flash_attention: bool | None = None
        self.vocabulary = self.bindings.llama_model_get_vocab(model)

    @property
    def layers(self) -> int:
        """Layers, those that only predict further tokens included, the output not."""
        said = self.metadata(f"{self.metadata('general.architecture')}.block_count") or ""
        return int(said) if said.isdecimal() else int(self.bindings.llama_model_n_layer(self.model))

    def placed_weights(self) -> Placed:
        """Where the weights go; of a model in several files by the number of layers alone."""
        size = int(self.bindings.llama_model_size(self.model))
        tensors = all_tensors(Path(self.request.path), size)
        if tensors:
            return weights(tensors, self.layers, self.gpu_layers)
        there = round(size * self.gpu_layers / (self.layers + 1))
        return Placed(size - there, there)

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
        parameters.flash_attn_type = flash_attention_type(bindings, request.flash_attention)
        parameters.n_seq_max = self.sequences
        parameters.kv_unified = self.sequences > 1
        parameters.n_outputs_max = self.outputs
        # Layers with a sliding window keep the window, as in llama-bench; branches share what lies before it, too.
        parameters.swa_full = self.sequences > 1
        parameters.no_perf = False  # two readings of a clock for each evaluation
        if not self.graphics:
            parameters.op_offload = parameters.offload_kqv = False
        self.context = bindings.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise EngineError(*context_failure(request, self.context_size))
        self._flash_attention = llama_library.LOG.flash_attention()

    @property
    def device(self) -> str:
        """What it runs on: "cpu", or llama.cpp's names of the GPUs."""
        return "+".join(device.name for device in self.graphics) or CPU

    @property
    def context_size(self) -> int:
        """Tokens of context that the request asks for."""
        trained = self.bindings.llama_model_n_ctx_train(self.model)
        return self.request.context or min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    @property
    def has_state(self) -> bool:
        """Whether some of its layers keep a recurrent state."""
        return bool(
            self.bindings.llama_model_is_recurrent(self.model) or self.bindings.llama_model_is_hybrid(self.model)
        )

    @property
    def sequences(self) -> int:
        """Sequences that the cache can hold at the same time."""
        return min(self.request.sequences, STATES) if self.has_state else self.request.sequences

    @property
    def outputs(self) -> int:
        """Rows of logits that one batch may ask for; llama.cpp wants one for each sequence."""
        return max(min(OUTPUTS, self.request.batch, self.context_size), self.sequences)

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
        found = self._template_bytes()
        return found.decode("utf-8", "replace") if found else None

    @property
    def head_size(self) -> int | None:
        """Numbers of one head's key: what the header says, else the hidden size shared among the heads."""
        said = self.metadata(f"{self.metadata('general.architecture')}.attention.key_length")
        if said is not None:
            return int(said) if said.isdecimal() else None  # one for each layer
        heads = self.bindings.llama_model_n_head(self.model)
        return self.bindings.llama_model_n_embd(self.model) // heads if heads > 0 else None

    def _template_bytes(self) -> bytes | None:
        found: bytes | None = self.bindings.llama_model_chat_template(self.model, None)
        return found or None

    def facts(self) -> ModelFacts:
        """What the header says, with the settings of this load."""
        bindings, model, request = self.bindings, self.model, self.request
        template = self._template_bytes()
        header = Header(self.metadata, windowed=bindings.llama_model_n_swa(model) > 0)
        work = model_work(Path(request.path), bindings.llama_model_size(model), header)
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
            template_source="file header" if template else None,
            template_sha256=hashlib.sha256(template).hexdigest() if template else None,
            engine=llama_library.engine_name(),
            engine_build=llama_library.build_line(),
            context=bindings.llama_n_ctx(self.context) if self.context else self.context_size,
            threads=request.threads,
            device=self.device,
            gpu_layers=self.gpu_layers,
            extra_buffers=request.extra_buffers,
            flash_attention=self._flash_attention,
            head_size=self.head_size,
            **(msgspec.structs.asdict(work) if work else {}),
        )


def dry_run(request: Load) -> tuple[ModelFacts, tuple[MemoryPart, ...]]:
    """Facts, and every buffer with its size, without allocating any.

    Raises:
        EngineError: the file or the settings do not work.
    """
    opened = open_model(request, dry=True)
    try:
        return opened.facts(), opened.memory
    finally:
        opened.close()


def open_model(request: Load, *, dry: bool = False, progress: Callable[[float], bool] | None = None) -> OpenModel:
    """Open the file and its context; with `dry`, read only the header and size every buffer exactly.

    `progress` is called with the loaded fraction and stops loading by returning False.

    Raises:
        EngineError: the file or the settings do not work.
        LoadCancelledError: `progress` returned False.
    """
    check_file(Path(request.path))
    graphics = placed(request)
    llama_library.LOG.clear()
    opened = OpenModel(_read(request, graphics, dry=dry, progress=progress), request, graphics)
    try:
        opened.check_writes_text()
        opened.open_context()
    except EngineError:
        opened.close()
        raise
    opened.memory = _planned(opened) if dry else llama_library.LOG.memory()
    return opened


def _read(request: Load, graphics: tuple[Device, ...], *, dry: bool, progress: Callable[[float], bool] | None) -> Any:
    """llama.cpp's model from the file, its weights on these devices.

    Raises:
        EngineError: llama.cpp does not open it.
        LoadCancelledError: `progress` returned False.
    """
    bindings = llama_library.load()
    parameters = bindings.llama_model_default_params()
    parameters.use_extra_bufts = request.extra_buffers
    parameters.n_gpu_layers = request.gpu_layers if graphics else 0
    listed = device_list(graphics)  # must live until the model is open
    parameters.devices = ctypes.cast(listed, ctypes.c_void_p)
    parameters.split_mode = split_mode(bindings, request.split_mode)
    shares = device_shares(bindings, request.tensor_split, graphics)  # too
    if shares is not None:
        parameters.tensor_split = shares
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
        raise EngineError(*load_failure(Path(request.path)))
    return model


def quantization_label(bindings: Any, ftype: int) -> str | None:
    """The usual label (Q4_K_M, F16, …) of llama.cpp's file type number."""
    ftype &= ~int(bindings.LLAMA_FTYPE_GUESSED)
    for name in dir(bindings):
        if name.startswith("LLAMA_FTYPE_") and getattr(bindings, name) == ftype:
            return name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
    return None


def _planned(opened: OpenModel) -> tuple[MemoryPart, ...]:
    """The buffers of a dry run, which logs weights and caches as 0: those come from elsewhere."""
    layers, offloaded, device = opened.layers, opened.gpu_layers, opened.device
    planned = opened.placed_weights().parts("weights", device)
    for part in llama_library.LOG.planned_caches(MAIN_MEMORY):
        planned += cache(part.bytes, layers, offloaded).parts(part.kind, device)
    return (*planned, *(part for part in llama_library.LOG.memory() if part.kind in ("compute", "output")))
