"""The benchmarks that have a name, and how one becomes a plan for models on a machine."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime
from itertools import product

import msgspec

from slmtui.core.catalog import Format, LocalModel
from slmtui.core.granted import own_setup, refusal
from slmtui.core.machine import ENGINES, EngineState, Machine, imitated
from slmtui.core.plan import Cell, Grid, Plan, PlanError, Setup, Shape

SWEEP = "sweep"
REPETITIONS = 5
PRESETS: dict[str, Grid] = {
    "quick": Grid(prompt_tokens=(128,), generated_tokens=(32,), repetitions=3),
    "standard": Grid(prompt_tokens=(512,), generated_tokens=(128,), repetitions=REPETITIONS),
    # Section 4 of arXiv 2409.15790; it does not say how often, so the standard number.
    "survey": Grid(
        prompt_tokens=(50,),
        generated_tokens=(50,),
        after_prompt=True,
        context=2048,
        kv_types=(("f16", "f16"),),
        repetitions=REPETITIONS,
        cool_down_s=10.0,
    ),
    # The shapes of LocalScore (llamafile 0.9.3).
    "localscore": Grid(
        pairs=(
            (1024, 16),
            (4096, 256),
            (2048, 256),
            (2048, 768),
            (1024, 1024),
            (1280, 3072),
            (384, 1152),
            (64, 1024),
            (16, 1536),
        ),
        repetitions=3,
    ),
    SWEEP: Grid(prompt_tokens=(256,), generated_tokens=(64,), repetitions=3),
}
"""Name to what it measures; `sweep` has its depths and threads from the models and the machine."""

_WORDS = {
    "quick": "pp128 tg32, 3 repetitions: a first look",
    "standard": "pp512 tg128, 5 repetitions: what llama-bench measures",
    "survey": "50 tokens in, 50 out after them, context 2,048, 10 s pause: the survey's (arXiv 2409.15790)",
    "localscore": "LocalScore's nine lengths of prompt and answer, 3 repetitions",
    SWEEP: "speed against depth, and against threads, 3 repetitions",
}
_DEPTH_FIRST = 256
_DEPTH_FACTOR = 4
_CONTEXT_UNKNOWN = 4096
"""How deep a sweep goes for a model whose trained context is not known: the context that engines take then."""


def preset_words(name: str) -> str:
    """A preset in one line."""
    return _WORDS[name]


def make_plan(
    preset: str,
    models: Sequence[LocalModel],
    changes: Grid | None,
    machine: Machine,
    trained_context: Mapping[str, int] | None = None,
) -> Plan:
    """The plan of a preset, with changes, for these models.

    `trained_context` is each model's by its id, in tokens; only a sweep's depths need it.

    Raises:
        PlanError: a value cannot be measured, needs a device that is not here, or is one that the engine of these
            models does not have.
    """
    grid = PRESETS[preset].changed_by(changes).checked()
    grids = _placed(grid, models, machine)
    places = tuple(dict.fromkeys(device for each in grids.values() for device in each.devices or ()))
    if changes is not None and (why := refusal(changes, grids, places)) is not None:
        raise PlanError(why)
    identity = secrets.token_hex(4)
    cells: list[Cell] = []
    for model in models:
        mine = grids[model.format]
        if preset == SWEEP:
            trained = (trained_context or {}).get(model.id, _CONTEXT_UNKNOWN)
            tests = list(_sweep(mine, machine, trained))
        else:
            tests = list(product(mine.setups(), mine.shapes()))
        tests = list(dict.fromkeys((own_setup(setup, model.format), shape) for setup, shape in tests))
        cells += [
            Cell(key=f"{identity}.{len(cells) + number:03d}", model=model, setup=setup, shape=shape)
            for number, (setup, shape) in enumerate(tests, start=1)
        ]
    return Plan(
        id=identity,
        preset=preset,
        cells=tuple(cells),
        repetitions=grid.repetitions or REPETITIONS,
        cool_down_s=grid.cool_down_s or 0.0,
        together=bool(grid.together),
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
    )


def sweep_depths(trained_context: int, measured_tokens: int) -> tuple[int, ...]:
    """0, 256, 1024, 4096 … as far as `measured_tokens` more fit into the trained context."""
    depths = [0]
    depth = _DEPTH_FIRST
    while depth + measured_tokens <= trained_context:
        depths.append(depth)
        depth *= _DEPTH_FACTOR
    return tuple(depths)


def sweep_threads(machine: Machine) -> tuple[int, ...]:
    """1, 2, 4 … up to all logical cores that this process may use, and the number for decode."""
    cores = machine.cpu.usable_cores or machine.cpu.logical_cores or machine.cpu.threads
    powers = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return tuple(sorted({*powers, cores, machine.cpu.threads}))


def _placed(grid: Grid, models: Sequence[LocalModel], machine: Machine) -> Mapping[Format, Grid]:
    """The grid of each format, with those of its devices that the format's engine has here.

    A GPU that the processor imitates is one that may be asked for by name.

    Raises:
        PlanError: a GPU is asked for, and a model would not be measured, or none on a GPU; or layers on it beside the
            CPU alone.
    """
    wanted = set(grid.devices or ()) - {"cpu"}
    formats = dict.fromkeys(model.format for model in models)
    without = [form for form in formats if not _has(machine.engine_for(form), wanted)]
    asked, nowhere_else = bool(wanted) or any(grid.gpu_layers or ()), bool(wanted) and "cpu" not in (grid.devices or ())
    if asked and without and (nowhere_else or len(without) == len(formats)):
        engines = " and ".join(ENGINES[form] for form in without)
        raise PlanError(f"{engines} can use no GPU here (`slmtui hardware` says why); measure on the CPU")
    if grid.devices and not wanted and any(grid.gpu_layers or ()):
        raise PlanError("layers on a GPU are asked for, and the device is cpu; leave one of them out")
    on_cpu, usual = (msgspec.structs.replace(grid, devices=devices) for devices in (("cpu",), grid.devices or ("gpu",)))
    return {form: on_cpu if form in without else usual for form in formats}


def _has(engine: EngineState | None, wanted: Set[str]) -> bool:
    """Whether an engine can use a GPU here, or imitates those that are wanted by name."""
    if engine is None or engine.offloads:
        return engine is not None
    named = bool(wanted) and "gpu" not in wanted
    return named and any(imitated(device) for device in engine.others)


def _sweep(grid: Grid, machine: Machine, trained_context: int) -> Iterator[tuple[Setup, Shape]]:
    """Every depth at the usual number of threads, and every number of threads at the least depth; not their product."""
    measured = max(shape.context - shape.depth for shape in grid.shapes())
    depths = grid.depths or sweep_depths(min(trained_context, grid.context or trained_context), measured)
    threads = grid.threads or sweep_threads(machine)
    usual = machine.cpu.threads if machine.cpu.threads in threads else threads[0]
    deeper = msgspec.structs.replace(grid, depths=depths, threads=(usual,))
    wider = msgspec.structs.replace(grid, depths=depths[:1], threads=threads)
    tests = [(setup, shape) for axis in (deeper, wider) for setup in axis.setups() for shape in axis.checked().shapes()]
    yield from dict.fromkeys(tests)
