"""Plans: what a benchmark measures, cell by cell, and how a plan is written down so that it can be continued."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import msgspec

from slmtui.core import ranges
from slmtui.core.catalog import LocalModel
from slmtui.core.gguf import CACHE_TYPES
from slmtui.core.offload import ALL, layers_words, shares_words
from slmtui.core.results import shape_label
from slmtui.core.text import counted, one_line

_CONTEXT_STEP = 256


class PlanError(ValueError):
    """A plan cannot be made, run or continued; the message says why and what to do."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How much a repetition measures, in tokens."""

    prompt_tokens: int = 512
    generated_tokens: int = 128
    depth: int = 0
    """Tokens in the context before the measured part."""
    after_prompt: bool = False
    """Whether decode goes on from the prompt, as llama-bench -pg; otherwise both phases begin at `depth`."""

    @property
    def context(self) -> int:
        """Tokens of context that it needs."""
        if self.after_prompt:
            return self.depth + self.prompt_tokens + self.generated_tokens
        return self.depth + max(self.prompt_tokens, self.generated_tokens)

    @property
    def label(self) -> str:
        """In llama-bench's words: `pp512 tg128 @ d4096`, `pp512+tg128` when decode goes on from the prompt."""
        between = "+" if self.after_prompt else " "
        return shape_label(self.prompt_tokens, self.generated_tokens, self.depth, between)


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine is set up; None takes the machine's own value, or is what the engine does not have."""

    threads: int | None = None
    threads_batch: int | None = None
    """Threads for prefill; None takes `threads`."""
    batch: int = 2048
    micro_batch: int | None = 512
    type_k: str | None = "f16"
    type_v: str | None = "f16"
    flash_attention: str | None = "auto"
    device: str = "cpu"
    gpu_layers: int = 0
    """Layers offloaded to the device; -1 for all, -2 for as many as fit."""
    split_mode: str | None = "layer"
    """How several GPUs share the model."""
    tensor_split: tuple[float, ...] = ()
    """Each GPU's share; empty for shares by free memory."""
    context: int | None = None
    """Tokens of context; None takes what the largest shape needs."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One model in one setup and one shape: what is repeated."""

    key: str
    """Unique in its plan, and the same whenever the plan is continued."""
    model: LocalModel
    setup: Setup
    shape: Shape

    @property
    def label(self) -> str:
        """Shape, and what the setup has that is not usual: `pp512 tg128 @ d4096 · 2 threads`."""
        return " · ".join((self.shape.label, *setup_words(self.setup)))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to measure, how often, and how."""

    id: str
    preset: str
    cells: tuple[Cell, ...]
    repetitions: int = 5
    cool_down_s: float = 0.0
    """Pause before each repetition."""
    together: bool = False
    """Whether models run at the same time (contended, and marked so)."""
    created_at: str
    """ISO 8601 in UTC."""

    @property
    def models(self) -> tuple[LocalModel, ...]:
        """Each model once, in the order of the cells."""
        return tuple({cell.model.id: cell.model for cell in self.cells}.values())

    @property
    def varying(self) -> frozenset[str]:
        """Names of the fields of `Setup` in which its cells differ, among those whose engine has them."""
        setups = {cell.setup for cell in self.cells}
        values = {name: {getattr(setup, name) for setup in setups} - {None} for name in Setup.__struct_fields__}
        return frozenset(name for name, different in values.items() if len(different) > 1)


class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """Values to combine, each with each; None leaves what the preset says."""

    prompt_tokens: tuple[int, ...] | None = None
    generated_tokens: tuple[int, ...] | None = None
    depths: tuple[int, ...] | None = None
    pairs: tuple[tuple[int, int], ...] | None = None
    """Prompt and generation lengths of shapes whose decode goes on from the prompt, as llama-bench -pg: beside the
    product of the lengths above where these are given, otherwise in its place."""
    threads: tuple[int, ...] | None = None
    batches: tuple[int, ...] | None = None
    micro_batches: tuple[int, ...] | None = None
    kv_types: tuple[tuple[str, str], ...] | None = None
    """Types of the cache's keys and values."""
    flash_attention: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None
    """None takes the GPU where the model's engine can use one, otherwise the CPU."""
    gpu_layers: tuple[int, ...] | None = None
    split_modes: tuple[str, ...] | None = None
    tensor_splits: tuple[tuple[float, ...], ...] | None = None
    repetitions: int | None = None
    cool_down_s: float | None = None
    together: bool | None = None
    after_prompt: bool | None = None
    """Whether decode goes on from the prompt in all shapes."""
    context: int | None = None

    def changed_by(self, changes: Grid | None) -> Grid:
        """The same with everything that `changes` says; lengths that it says take the place of all lengths here."""
        if changes is None:
            return self
        given = {name: value for name in self.__struct_fields__ if (value := getattr(changes, name)) is not None}
        if "pairs" in given:
            given = {"prompt_tokens": None, "generated_tokens": None, **given}
        elif self.pairs is not None and given.keys() & {"prompt_tokens", "generated_tokens"}:
            given = {"pairs": None, **given}
        return msgspec.structs.replace(self, **given)

    def checked(self) -> Grid:
        """The same.

        Raises:
            PlanError: a value cannot be measured; the message names it.
        """
        for what, values, allowed in (
            ("the number of prompt tokens", _lengths(self.prompt_tokens, self.pairs, 0), ranges.TOKENS),
            ("the number of generated tokens", _lengths(self.generated_tokens, self.pairs, 1), ranges.TOKENS),
            ("the depth", self.depths or (), ranges.TOKENS),
            ("the number of threads", self.threads or (), ranges.THREADS),
            ("the batch size", (*(self.batches or ()), *(self.micro_batches or ())), ranges.BATCH),
            ("the number of layers on the GPU", self.gpu_layers or (), ranges.LAYERS),
            ("the number of repetitions", _one(self.repetitions), ranges.REPETITIONS),
            ("the context", _one(self.context), ranges.CONTEXT),
            ("the pause in seconds", _one(self.cool_down_s), ranges.PAUSE_S),
            ("the number of cells of each model", (self._size,), ranges.CELLS),
        ):
            if (wrong := allowed.problem(what, values)) is not None:
                raise PlanError(wrong)
        for kind in (name for pair in self.kv_types or () for name in pair):
            if kind not in CACHE_TYPES:
                raise PlanError(f"the type of the KV cache is {one_line(kind)!r}; use one of {', '.join(CACHE_TYPES)}")
        self._check_shapes()
        return self

    def _check_shapes(self) -> None:
        shapes = list(self.shapes())
        if not shapes:
            raise PlanError("there is nothing to measure: give a number of prompt tokens or of generated tokens")
        most = self.context or ranges.CONTEXT.high
        for shape in shapes:
            if shape.context > most:
                says = (
                    f"the plan says {most:,}; give a larger context, or" if self.context else f"{most:,} is the most;"
                )
                raise PlanError(f"{shape.label} needs a context of {shape.context:,} tokens and {says} measure less")

    @property
    def _size(self) -> int:
        """About how many cells each model has: those of equal values are counted, too."""
        given = (
            *(self.depths, self.threads, self.batches, self.micro_batches, self.kv_types, self.flash_attention),
            *(self.devices, self.gpu_layers, self.split_modes, self.tensor_splits),
        )
        lengths = len(self.prompt_tokens or (0,)) * len(self.generated_tokens or (0,)) + len(self.pairs or ())
        return lengths * math.prod(len(values or (0,)) for values in given)

    def shapes(self) -> Iterator[Shape]:
        """All combinations of lengths and depths that measure something."""
        lengths: list[tuple[int, int, bool]] = []
        if self.pairs is None or self.prompt_tokens is not None or self.generated_tokens is not None:
            prompts, answers = _or(self.prompt_tokens, 512), _or(self.generated_tokens, 128)
            lengths += [(prompt, answer, bool(self.after_prompt)) for prompt, answer in product(prompts, answers)]
        lengths += [(prompt, answer, True) for prompt, answer in self.pairs or ()]
        shapes = (
            Shape(
                prompt_tokens=prompt,
                generated_tokens=answer,
                depth=depth,
                after_prompt=after and prompt > 0 and answer > 0,
            )
            for depth in _or(self.depths, 0)
            for prompt, answer, after in lengths
            if prompt or answer
        )
        yield from dict.fromkeys(shapes)

    def setups(self) -> Iterator[Setup]:
        """All combinations of settings; on the CPU if the grid does not say where."""
        setups = (
            Setup(
                threads=threads,
                batch=batch,
                micro_batch=micro_batch,
                type_k=keys,
                type_v=values,
                flash_attention=flash_attention,
                device=device,
                gpu_layers=0 if device == "cpu" else layers,
                split_mode="layer" if device == "cpu" else split_mode,
                tensor_split=() if device == "cpu" else shares,
                context=self.context,
            )
            for device, layers, split_mode, shares, threads, batch, micro_batch, (
                keys,
                values,
            ), flash_attention in product(
                self.devices or ("cpu",),
                _or(self.gpu_layers, ALL),
                self.split_modes or ("layer",),
                self.tensor_splits or ((),),
                self.threads or (None,),
                _or(self.batches, 2048),
                _or(self.micro_batches, 512),
                self.kv_types or (("f16", "f16"),),
                self.flash_attention or ("auto",),
            )
        )
        yield from dict.fromkeys(setups)


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What must still hold when a plan of any kind is continued."""

    sha256: dict[str, str] = {}
    """Path of each model file to its SHA-256 when the plan began; files that could not be read are left out."""
    slmtui: str = ""
    engine: str | None = None


class PlanRecord(Begun, frozen=True, kw_only=True):
    """A plan as it is stored."""

    plan: Plan


class Unfinished(msgspec.Struct, frozen=True, kw_only=True):
    """A plan of which repetitions are missing."""

    plan: Plan
    session: str
    """Id of the session that holds its repetitions."""
    done: int
    """Repetitions in the store."""
    total: int
    """Repetitions of all cells that were not given up."""
    models: tuple[str, ...]
    """Names."""
    when: str
    """When it was begun, ISO 8601 in UTC."""


def setup_words(setup: Setup, names: frozenset[str] | None = None) -> tuple[str, ...]:
    """The settings in words: those among `names` (fields of `Setup`), or those that are not the usual ones."""
    shown = names if names is not None else frozenset(_unusual(setup))
    words = {
        "device": setup.device,
        "gpu_layers": layers_words(setup.gpu_layers),
        "split_mode": _named("split by", setup.split_mode),
        "tensor_split": f"shares {shares_words(setup.tensor_split)}" if setup.tensor_split else None,
        "threads": None if setup.threads is None else counted(setup.threads, "thread"),
        "threads_batch": None if setup.threads_batch is None else f"{counted(setup.threads_batch, 'thread')} prefill",
        "batch": f"batch {setup.batch:,}",
        "micro_batch": None if setup.micro_batch is None else f"micro-batch {setup.micro_batch:,}",
        "type_k": _named("keys", setup.type_k),
        "type_v": _named("values", setup.type_v),
        "flash_attention": _named("flash attention", setup.flash_attention),
        "context": None if setup.context is None else f"context {setup.context:,}",
    }
    return tuple(said for name, said in words.items() if name in shown and said is not None)


def _named(what: str, value: str | None) -> str | None:
    return None if value is None else f"{what} {value}"


def context_for(cells: Sequence[Cell]) -> int:
    """Tokens of context for cells of one model and setup: the setup's own, else room for the largest shape."""
    own = cells[0].setup.context
    needed = max(cell.shape.context for cell in cells)
    return own or max(_CONTEXT_STEP, -(-needed // _CONTEXT_STEP) * _CONTEXT_STEP)


def _unusual(setup: Setup) -> Iterator[str]:
    usual = Setup()
    for name in Setup.__struct_fields__:
        if getattr(setup, name) != getattr(usual, name):
            yield name


def _one(value: float | None) -> tuple[float, ...]:
    return () if value is None else (value,)


def _lengths(alone: Sequence[int] | None, pairs: Sequence[tuple[int, int]] | None, place: int) -> tuple[int, ...]:
    return (*(alone or ()), *(pair[place] for pair in pairs or ()))


def _or(values: tuple[int, ...] | None, usual: int) -> tuple[int, ...]:
    return (usual,) if values is None else values
