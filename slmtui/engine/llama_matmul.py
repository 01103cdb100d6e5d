"""The engine's own matrix multiplication, timed through ggml's C API: weights of one type times a batch of prefill.

The weights lie where llama.cpp would put them: in the first buffer type that supports the multiplication (AMX tiles,
repacked rows, where this build has them and they are allowed), else in plain memory; a BLAS library takes the work
where the build has one. The batch is a micro-batch of prefill: 512 tokens of 32-bit activations. A decode step
multiplies one token; how fast that is depends on where the weights come from, so it is timed with few and with many.
"""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any, NamedTuple

from slmtui.core.ceiling import MatmulRate, StepRate
from slmtui.engine import llama_library
from slmtui.engine.llama_devices import Device, devices

WEIGHT_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2, "q5_0": 6, "q4_K": 12, "q5_K": 13, "q6_K": 14}
"""Numbers of `enum ggml_type` (ggml.h) of the usual types; q5_0 takes the place of q4_K where rows are no multiple of
256, as in many small models."""
STEP_TYPES = frozenset(("f16", "q8_0", "q4_0", "q5_0", "q4_K", "q6_K"))
"""Types that are timed with one token too; that of others is near that of one of these."""
TOKENS = 512
SIZES = (2048, 1024, 512)
"""Rows and columns of the matrix, the first as wide as the layers of a model of a billion parameters; slow machines
take a smaller one, which is a little slower too."""
_SOURCE_ROWS = 16
"""Rows that are quantized; the others repeat them, because quantizing takes long and its values do not matter."""
_ONE_S = 0.03
"""A larger matrix than one that takes this long is not tried."""
_BUDGET_S = 0.12
_FEWEST, _MOST = 2, 15
"""Multiplications whose median counts."""


STEP_BYTES = (16 * 1024 * 1024, 64 * 1024 * 1024, 192 * 1024 * 1024)
"""Weights for one token: what most last caches hold, what large ones do, and what few do. Measured on a Xeon, 320 MiB
are as fast as 192, and 64 twice as fast: from 16 and 192 alone models of 80 to 150 MiB seem a third too slow."""
_STEP_WIDTH = 1024
_STEP_ROWS = 64
"""Rows are a multiple of this, which every order of weights divides."""
_STEPS = 5


class MatmulError(Exception):
    """The engine refuses the multiplication; the message says why."""


class Place(NamedTuple):
    """A buffer type for weights and the device that multiplies with them."""

    device: int
    buffer_type: int


class Multiplier:
    """The processor, its threads and the buffer types that llama.cpp would take; `close` frees the backends."""

    def __init__(self, threads: int, *, extra_buffers: bool) -> None:
        self._threads = threads
        self._library = _library()
        self._backends: dict[int, int] = {}
        self._cpu = next(device for device in devices() if device.kind == "CPU")
        self._accelerators = [device for device in devices() if device.kind == "accelerator"]
        self._extra_buffers = extra_buffers
        self._wall_s = self._cpu_s = 0.0

    def close(self) -> None:
        """Free what computes."""
        for backend in self._backends.values():
            self._library.ggml_backend_free(backend)
        self._backends = {}

    def size(self) -> int:
        """The size out of `SIZES` that suits this machine.

        Raises:
            MatmulError: as `rate`.
        """
        pilot = self.rate("f16", SIZES[-1], budget_s=0.0).flops
        return next((size for size in SIZES if 2 * size * size * TOKENS / pilot < _ONE_S), SIZES[-1])

    def rate(self, weight_type: str, size: int = SIZES[0], budget_s: float = _BUDGET_S) -> MatmulRate:
        """Time one type in about `budget_s`; the matrix has `size` rows and columns.

        Raises:
            MatmulError: no memory, or the engine fails.
        """
        self._wall_s = self._cpu_s = 0.0
        with ExitStack() as stack:
            graph, backend, name = self._prepare(stack, WEIGHT_TYPES[weight_type], (size, size), TOKENS)
            self._compute(backend, graph)  # not counted: threads start, activations get their pages
            seconds = [self._compute(backend, graph)]
            count = max(_FEWEST, min(_MOST, round(budget_s / seconds[0])))
            seconds += [self._compute(backend, graph) for _ in range(count - 1)]
        operations = 2 * size * size * TOKENS
        return MatmulRate(type=weight_type, flops=operations / statistics.median(seconds), buffer=name)

    def steps(self, weight_type: str, largest_bytes: int = STEP_BYTES[-1]) -> tuple[StepRate, ...]:
        """Time one token with each of `STEP_BYTES` of this type, of `largest_bytes` at most; none but `STEP_TYPES`.

        Raises:
            MatmulError: no memory, or the engine fails.
        """
        if weight_type not in STEP_TYPES:
            return ()
        kind = WEIGHT_TYPES[weight_type]
        row = self._library.ggml_row_size(kind, _STEP_WIDTH)
        found: list[StepRate] = []
        for wanted in sorted({min(size, largest_bytes) for size in STEP_BYTES}):
            rows = max(1, wanted // row // _STEP_ROWS) * _STEP_ROWS
            with ExitStack() as stack:
                graph, backend, _ = self._prepare(stack, kind, (_STEP_WIDTH, rows), 1)
                self._compute(backend, graph)
                seconds = statistics.median(self._compute(backend, graph) for _ in range(_STEPS))
            found.append(StepRate(rows * row, rows * row / seconds))
        return tuple(found)

    @property
    def cpu_share(self) -> float | None:
        """Processor time that the threads of the last `rate` got, over what their cores have.

        None where a BLAS library has its own threads.
        """
        return self._cpu_s / self._wall_s / self._threads if self._wall_s and not self._accelerators else None

    def _compute(self, backend: int, graph: int) -> float:
        started, started_cpu = time.perf_counter(), time.process_time()
        status = self._library.ggml_backend_graph_compute(backend, graph)
        elapsed = time.perf_counter() - started
        self._wall_s += elapsed
        self._cpu_s += time.process_time() - started_cpu
        if status:
            raise MatmulError(f"ggml's graph ended with status {status}")
        return elapsed

    def _prepare(self, stack: ExitStack, kind: int, shape: tuple[int, int], tokens: int) -> tuple[int, int, str]:
        """A graph of one multiplication with weights in place: (graph, backend, name of the buffer type)."""
        library = self._library
        for buffer_type in self._buffer_types():
            with ExitStack() as trial:
                held = self._context(trial)
                weights = library.ggml_new_tensor_2d(held, kind, *shape)
                buffer = library.ggml_backend_alloc_ctx_tensors_from_buft(held, buffer_type)
                if not buffer:
                    continue
                trial.callback(library.ggml_backend_buffer_free, buffer)
                scratch = self._context(trial)
                batch = library.ggml_new_tensor_2d(scratch, WEIGHT_TYPES["f32"], shape[0], tokens)
                product = library.ggml_mul_mat(scratch, weights, batch)
                device = self._device(product, buffer_type)
                if device is None:
                    continue
                graph = library.ggml_new_graph(scratch)
                library.ggml_build_forward_expand(graph, product)
                plain = library.ggml_backend_alloc_ctx_tensors_from_buft(scratch, self._plain)
                if not plain:
                    raise MatmulError("there is no memory for the activations")
                trial.callback(library.ggml_backend_buffer_free, plain)
                self._fill((weights, batch), kind, shape, tokens)
                stack.enter_context(trial.pop_all())
                return graph, self._backend(device), library.ggml_backend_buft_name(buffer_type).decode()
        raise MatmulError("no buffer type of this build takes such weights")

    def _context(self, stack: ExitStack) -> int:
        """A place for a few tensors' descriptions and a graph, without data."""
        size = 4 * self._library.ggml_tensor_overhead() + self._library.ggml_graph_overhead()
        context: int = self._library.ggml_init(_Parameters(size, None, True))
        stack.callback(self._library.ggml_free, context)
        return context

    @property
    def _plain(self) -> int:
        plain: int = self._library.ggml_backend_dev_buffer_type(self._cpu.pointer)
        return plain

    def _buffer_types(self) -> Iterator[int]:
        """In llama.cpp's order: accelerators' own, extra ones, plain memory (`make_cpu_buft_list`)."""
        for device in self._accelerators:
            own = self._library.ggml_backend_dev_buffer_type(device.pointer)
            if own != self._plain:
                yield own
        if self._extra_buffers:
            yield from self._extra()
        yield self._plain

    def _extra(self) -> Sequence[int]:
        found = self._function(self._cpu, "ggml_backend_dev_get_extra_bufts", ctypes.POINTER(ctypes.c_void_p))
        types = found(self._cpu.pointer) if found else None
        listed: list[int] = []
        while types and types[len(listed)]:
            listed.append(types[len(listed)])
        return listed

    def _device(self, product: int, buffer_type: int) -> Device | None:
        """Who multiplies: an accelerator where it can, else the processor; None when nobody can."""
        library = self._library
        for device in (*self._accelerators, self._cpu):
            takes = library.ggml_backend_dev_supports_buft(device.pointer, buffer_type)
            if takes and library.ggml_backend_dev_supports_op(device.pointer, product):
                return device
        return None

    def _backend(self, device: Device) -> int:
        if device.pointer not in self._backends:
            backend = self._library.ggml_backend_dev_init(device.pointer, None)
            if not backend:
                raise MatmulError(f"the device {device.name} does not start")
            self._backends[device.pointer] = backend
            set_threads = self._function(device, "ggml_backend_set_n_threads", None, ctypes.c_int)
            if set_threads:
                set_threads(backend, self._threads)
        return self._backends[device.pointer]

    def _function(self, device: Device, name: str, result: Any, *more: Any) -> Any:
        """A function that only this device's backend has; it takes a pointer and `more`. None where it is missing."""
        registry = self._library.ggml_backend_dev_backend_reg(device.pointer)
        address = self._library.ggml_backend_reg_get_proc_address(registry, name.encode())
        return ctypes.CFUNCTYPE(result, ctypes.c_void_p, *more)(address) if address else None

    def _fill(self, tensors: tuple[int, int], kind: int, shape: tuple[int, int], tokens: int) -> None:
        """Give weights and activations values of a normal distribution."""
        import numpy as np

        library, (weights, batch), (width, rows) = self._library, tensors, shape
        draw = np.random.default_rng(0)
        source = draw.standard_normal((_SOURCE_ROWS, width), dtype=np.float32)
        packed = np.empty((_SOURCE_ROWS, library.ggml_row_size(kind, width)), dtype=np.uint8)
        library.ggml_quantize_chunk(kind, source.ctypes.data, packed.ctypes.data, 0, _SOURCE_ROWS, width, None)
        data = np.tile(packed, (rows // _SOURCE_ROWS, 1))
        library.ggml_backend_tensor_set(weights, data.ctypes.data, 0, data.nbytes)
        activations = draw.standard_normal((tokens, width), dtype=np.float32)
        library.ggml_backend_tensor_set(batch, activations.ctypes.data, 0, activations.nbytes)


class _Parameters(ctypes.Structure):
    """`struct ggml_init_params` (ggml.h)."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


@cache
def _library() -> Any:
    """libggml-base with the types of the functions used here (ggml.h, ggml-alloc.h, ggml-backend.h)."""
    llama_library.load()
    base = llama_library.sibling("ggml-base")
    pointer, count, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
    kind, yes = ctypes.c_int, ctypes.c_bool
    signatures: dict[str, tuple[Any, ...]] = {
        "ggml_init": (pointer, _Parameters),
        "ggml_free": (None, pointer),
        "ggml_tensor_overhead": (size,),
        "ggml_graph_overhead": (size,),
        "ggml_row_size": (size, kind, count),
        "ggml_new_tensor_2d": (pointer, pointer, kind, count, count),
        "ggml_mul_mat": (pointer, pointer, pointer, pointer),
        "ggml_new_graph": (pointer, pointer),
        "ggml_build_forward_expand": (None, pointer, pointer),
        "ggml_quantize_chunk": (size, kind, pointer, pointer, count, count, count, pointer),
        "ggml_backend_alloc_ctx_tensors_from_buft": (pointer, pointer, pointer),
        "ggml_backend_buffer_free": (None, pointer),
        "ggml_backend_buft_name": (ctypes.c_char_p, pointer),
        "ggml_backend_tensor_set": (None, pointer, pointer, size, size),
        "ggml_backend_dev_buffer_type": (pointer, pointer),
        "ggml_backend_dev_supports_buft": (yes, pointer, pointer),
        "ggml_backend_dev_supports_op": (yes, pointer, pointer),
        "ggml_backend_dev_backend_reg": (pointer, pointer),
        "ggml_backend_dev_init": (pointer, pointer, ctypes.c_char_p),
        "ggml_backend_free": (None, pointer),
        "ggml_backend_graph_compute": (kind, pointer, pointer),
        "ggml_backend_reg_get_proc_address": (pointer, pointer, ctypes.c_char_p),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(base, name)
        function.restype, function.argtypes = result, arguments
    return base
