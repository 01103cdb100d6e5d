"""How good estimates are that are made before a model is loaded: memory against the process's, speed against decode's.

python benchmarks/fit.py memory|speed [--models NAME ...] [--contexts N ...] [--kv TYPE ...] [--results FILE]
python benchmarks/fit.py report [--results FILE]

Models are the bundled ones and ones with random weights in the sizes of real ones, of ten architectures, made once and
kept. Each case has a worker of its own. For memory the context is filled (of larger files to 2,048 tokens: of what lies
beyond only the masks, 1 KiB a token, are not touched yet), 512 tokens of it in one prefill, then 16 are decoded; what
counts is the figure of core.events.ProcessMemory that the operating system charges. Two estimates are laid beside it:
from the file's header, and without the file, from the catalog's card of the model that it was made after (of models
that were not made after any, from the facts that a measurement keeps). For speed the machine's ceiling is
measured first; prefill is of 512 tokens and decode of 64 from an empty context, medians of three after a warm-up.
"others" is the estimate as corrected by all other models' measurements. llmfit's published formulas are the peer.

Each case is added to the results when it is measured, and what is there already is left out, so that it can be run in
pieces; `report` prints all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from peers import ROOT, llmfit
from peers.random_families import random_family
from peers.random_model import random_models

from slmtui.core.ceiling import Ceiling
from slmtui.core.estimate import Anatomy, anatomy_of
from slmtui.core.estimate_card import anatomy_of_facts
from slmtui.core.estimate_learn import Observed, learn
from slmtui.core.estimate_memory import Host, Setup, memory_parts, process_bytes
from slmtui.core.estimate_speed import Rates, speed
from slmtui.core.events import Failed, Loaded, MemorySampled, ModelFacts, Repeated
from slmtui.core.text import memory, rate, share
from slmtui.engine.ceiling import Order, measure
from slmtui.engine.client import WorkerClient
from slmtui.engine.protocol import Load, Measure, Request
from slmtui.engine.trial import engine_state
from slmtui.lab.fit import host_of
from slmtui.sources.detect import detect
from slmtui.sources.detect_cache import last_cache_bytes
from slmtui.sources.gguf import read_header
from tests.families import as_card

POCKET = ROOT / "slmtui" / "pocket"
FOLDER = Path(tempfile.gettempdir()) / "slmtui-fit"
RANDOM = {
    "llama-125m-Q8_0": None,
    "llama-125m-Q4_K_M": None,
    "smollm2-135m-Q8_0": ("smollm2-135m", "Q8_0"),
    "qwen2.5-0.5b-Q4_K_M": ("qwen2.5-0.5b", "Q4_K_M"),
    "qwen3-0.6b-Q8_0": ("qwen3-0.6b", "Q8_0"),
    "gemma-3-270m-Q8_0": ("gemma-3-270m", "Q8_0"),
    "phi-3-half-Q4_K_M": ("phi-3-half", "Q4_K_M"),
    "granite-4.0-350m-Q8_0": ("granite-4.0-350m", "Q8_0"),
    "lfm2-350m-Q4_K_M": ("lfm2-350m", "Q4_K_M"),
    "pythia-160m-F16": ("pythia-160m", "F16"),
    "granite-4.0-h-350m-Q4_K_M": ("granite-4.0-h-350m", "Q4_K_M"),
}
NAMES = (*(path.stem for path in sorted(POCKET.glob("*.gguf"))), *RANDOM)
FILLED, SMALL_BYTES = 2048, 16 * 1024 * 1024
"""Tokens to which the context of larger files is filled; that of small ones is filled to its end."""
WITHIN, WORST, SPEED_WITHIN = 0.10, 0.15, 0.30


class Case(msgspec.Struct, kw_only=True):
    """One measurement beside its estimates."""

    what: Literal["memory", "decode", "prefill"]
    model: str
    architecture: str
    context: int = 0
    kv: str = "f16"
    weight_type: str = ""
    measured: float
    header: float
    """Estimate from the file's header."""
    card: float | None
    """Estimate without the file."""
    low: float = 0.0
    high: float = 0.0
    peer: float | None = None


class Seen(NamedTuple):
    """What a worker said of one load and what was asked of it."""

    facts: ModelFacts
    charged_bytes: int
    repeated: list[Repeated]


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("memory", "speed", "report"))
    parser.add_argument(
        "--models", nargs="+", default=list(NAMES), choices=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument("--contexts", nargs="+", type=int, default=[512, 2048, 8192])
    parser.add_argument("--kv", nargs="+", default=["f16", "q8_0"])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, default=FOLDER / "results.jsonl")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    before = options.results.read_bytes().splitlines() if options.results.exists() else []
    known = [msgspec.json.decode(line, type=Case) for line in before]
    if options.what == "report":
        report(known)
        return
    host = asyncio.run(this_host())
    asyncio.run((memory_cases if options.what == "memory" else speed_cases)(options, host, known))


def keep(cases: Sequence[Case], results: Path) -> None:
    """Add cases to the results."""
    with results.open("ab") as file:
        file.writelines(msgspec.json.encode(case) + b"\n" for case in cases)


async def this_host() -> Host:
    """How this build of the engine keeps weights here; told by a child, since libraries that this process has loaded
    too would count half for the workers.
    """
    machine = detect(None)
    state = await engine_state(POCKET / "pocket-5m-Q4_K_M.gguf", None, "")
    return host_of(msgspec.structs.replace(machine, engines=(state,)))


def file_of(name: str) -> Path:
    """The model's file, made if it is not there."""
    if name not in RANDOM:
        return POCKET / f"{name}.gguf"
    family = RANDOM[name]
    if family is None:
        kind = name.removeprefix("llama-125m-")
        return next(path for path in random_models(FOLDER) if path.stem.endswith(kind))
    return random_family(FOLDER, *family)


def without_file(name: str, path: Path, facts: ModelFacts) -> Anatomy | None:
    """What the catalog says of such a model, or else a measurement."""
    model, _, quantization = name.rpartition("-")
    return as_card(model, path, quantization) or anatomy_of_facts(facts)


async def memory_cases(options: argparse.Namespace, host: Host, known: Sequence[Case]) -> None:
    """Every model at every context with every type of cache."""
    done = {(case.model, case.context, case.kv) for case in known if case.what == "memory"}
    for name, context, kv in itertools.product(options.models, options.contexts, options.kv):
        if (name, context, kv) not in done:
            case = await memory_case(file_of(name), name, Setup(context=context, type_k=kv, type_v=kv), host)
            keep([case], options.results)
            print(memory_line(case), flush=True)


async def memory_case(path: Path, name: str, setup: Setup, host: Host) -> Case:
    """Fill the context and look."""
    load = Load(path=str(path), context=setup.context, type_k=setup.type_k, type_v=setup.type_v, threads=2)
    fitting = anatomy_of([read_header(path)])
    filled = setup.context if fitting.weights_bytes < SMALL_BYTES else min(FILLED, setup.context)
    prompt = min(512, filled)
    asked = [
        Measure(prompt_tokens=prompt, generated_tokens=0, depth=filled - prompt),
        Measure(prompt_tokens=0, generated_tokens=16, depth=0),
    ]
    seen = await ask(load, asked)
    bare = without_file(name, path, seen.facts)
    return Case(
        what="memory",
        model=name,
        architecture=fitting.architecture,
        context=setup.context,
        kv=setup.type_k,
        measured=seen.charged_bytes,
        header=process_bytes(memory_parts(fitting, setup, host)),
        card=process_bytes(memory_parts(bare, setup, host)) if bare else None,
        peer=llmfit.required_bytes(seen.facts, setup.context, setup.type_k),
    )


async def speed_cases(options: argparse.Namespace, host: Host, known: Sequence[Case]) -> None:
    """The machine's ceiling, then every model once."""
    done = {case.model for case in known if case.what != "memory"}
    top = await undisturbed(options.threads)
    print(f"{(top.read_bytes_per_s or 0) / 1e9:.1f} GB/s, with {share(top.cpu_share)} of the cores", flush=True)
    for name in options.models:
        if name not in done:
            cases = await speed_case(file_of(name), name, host, Rates.of(top))
            keep(cases, options.results)
            for case in cases:
                print(f"{name} {case.what} {rate(case.measured)}, estimate {rate(case.header)}", flush=True)


async def speed_case(path: Path, name: str, host: Host, rates: Rates) -> list[Case]:
    """Decode and prefill of one model."""
    setup = Setup(context=1024)
    load = Load(path=str(path), context=setup.context, threads=rates.threads or 1)
    seen = await ask(load, [Measure(generated_tokens=64, repetitions=4)])
    fitting, bare = anatomy_of([read_header(path)]), without_file(name, path, seen.facts)
    said = speed(fitting, setup, host, rates)
    other = speed(bare, setup, host, rates) if bare else None
    cases: list[Case] = []
    for what in ("decode", "prefill"):
        estimate = getattr(said, f"{what}_tps")
        without = getattr(other, f"{what}_tps") if other else None
        case = Case(
            what=what,
            model=name,
            architecture=fitting.architecture,
            weight_type=said.weight_type or "",
            measured=statistics.median(getattr(event.timing, f"{what}_tps") for event in seen.repeated[1:]),
            header=estimate.likely,
            low=estimate.low,
            high=estimate.high,
            card=without.likely if without else None,
            peer=llmfit.decode_tps(seen.facts, os.cpu_count() or 1) if what == "decode" else None,
        )
        cases.append(case)
    return cases


async def undisturbed(threads: int) -> Ceiling:
    """The ceiling, measured again while other programs disturb it."""
    order = Order(threads=threads, cache_bytes=last_cache_bytes(), available_bytes=8 * 1024**3)
    tries = [await measure(order)]
    while tries[-1].disturbed and len(tries) < 4:
        tries.append(await measure(order))
    return max(tries, key=lambda each: each.cpu_share or 0)


async def ask(load: Load, requests: Sequence[Request]) -> Seen:
    """Load a model in a worker of its own and ask these in turn."""
    facts, charged, repeated = ModelFacts(), 0, list[Repeated]()
    with tempfile.TemporaryDirectory() as folder:
        client = await WorkerClient.start(Path(folder) / "worker.log")
        try:
            for request in (load, *requests):
                async with aclosing(client.request(request)) as events:
                    async for event in events:
                        match event:
                            case Loaded():
                                facts = event.facts
                            case MemorySampled():
                                charged = max(charged, event.memory.charged_bytes or 0) if request is not load else 0
                            case Repeated():
                                repeated.append(event)
                            case Failed():
                                raise SystemExit(f"{load.path}: {event.message}")
                            case _:
                                pass
        finally:
            await client.close()
    return Seen(facts, charged, repeated)


def report(cases: Sequence[Case]) -> None:
    """Both tables, and what they say together."""
    measured = [case for case in cases if case.what == "memory"]
    if measured:
        print(f"\n{'model':<26} {'':<14} {'context':>7} {'cache':<5} {'measured':>9}  header    card      llmfit")
        for case in measured:
            print(memory_line(case))
        summarize("memory, from the header", [case.header / case.measured for case in measured], (WITHIN, WORST))
        summarize("memory, from the card", [c.card / c.measured for c in measured if c.card], (WITHIN, WORST))
        summarize("memory, llmfit", [c.peer / c.measured for c in measured if c.peer], (WITHIN, WORST))
    for what in ("decode", "prefill"):
        fast = [case for case in cases if case.what == what]
        if fast:
            speed_table(fast)


def speed_table(cases: Sequence[Case]) -> None:
    """Speeds of one phase."""
    what = cases[0].what
    print(f"\n{what + ' tok/s':<26} {'':<14} {'type':<5} {'measured':>9} {'estimate':>9} {'':>7}  interval")
    others: list[float] = []
    inside = 0
    for case in cases:
        taught = learn(observed(other) for other in cases if other.model != case.model)
        factor, _ = getattr(taught, what).get(case.weight_type, (1.0, 0))
        others.append(case.header * factor / case.measured)
        inside += case.low <= case.measured <= case.high
        peer = "" if case.peer is None else f"  llmfit {rate(case.peer)} {case.peer / case.measured - 1:+.0%}"
        card = "" if case.card is None else f"  card {case.card / case.measured - 1:+.0%}"
        print(
            f"{case.model:<26} {case.architecture:<14} {case.weight_type:<5} {rate(case.measured):>9}"
            f" {rate(case.header):>9} {case.header / case.measured - 1:>+7.0%}  {rate(case.low)} to {rate(case.high)}"
            f"  others {others[-1] - 1:+.0%}{card}{peer}"
        )
    print(f"within the interval: {inside} of {len(cases)}")
    limits = (SPEED_WITHIN, SPEED_WITHIN)
    summarize(what, [case.header / case.measured for case in cases], limits)
    summarize(f"{what}, from the card", [case.card / case.measured for case in cases if case.card], limits)
    summarize(f"{what}, as the others taught", others, limits)
    summarize(f"{what}, llmfit", [case.peer / case.measured for case in cases if case.peer], limits)


def observed(case: Case) -> Observed:
    """The case as the program would have stored it."""
    ratio = case.measured / case.header
    return Observed(
        model=case.model,
        weight_type=case.weight_type,
        decode_ratio=ratio if case.what == "decode" else None,
        prefill_ratio=ratio if case.what == "prefill" else None,
        more_bytes=None,
    )


def memory_line(case: Case) -> str:
    """One row."""
    errors = "  ".join(
        f"{'—':>8}" if value is None else f"{value / case.measured - 1:>+8.1%}"
        for value in (case.header, case.card, case.peer)
    )
    shown = memory(round(case.measured))
    return f"{case.model:<26} {case.architecture:<14} {case.context:>7,} {case.kv:<5} {shown:>9}  {errors}"


def summarize(what: str, ratios: Sequence[float], limits: tuple[float, float]) -> None:
    """Median and worst of estimate / measured, and how many are within the limits."""
    if not ratios:
        return
    errors = [abs(ratio - 1) for ratio in ratios]
    near, far = (sum(error <= limit for error in errors) for limit in limits)
    within = f"{near} of {len(errors)} within {limits[0]:.0%}"
    further = f", {far} within {limits[1]:.0%}" if limits[1] != limits[0] else ""
    print(f"{what}: median error {statistics.median(errors):.1%}, worst {max(errors):.1%}; {within}{further}")


if __name__ == "__main__":
    main()
