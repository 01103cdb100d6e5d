"""Where figures come from, as labels and values that a person reads: what `core.rows` has as columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from slmtui.core import text
from slmtui.core.ceiling import Ceiling
from slmtui.core.machine import Gpu
from slmtui.core.measurement import Environment, Measurement, Settings
from slmtui.core.offload import layers_word
from slmtui.core.places import engine_words
from slmtui.core.sampling import Sampling
from slmtui.core.stats import quantile

_ONLY_IF_KNOWN = ("Source", "Engine memory", "GPU memory")
NO_METER = "none: no meter can be read here without privileges, or each phase was too short for it"


def surroundings(environment: Environment) -> list[tuple[str, str]]:
    """The machine and the programs of a session; what is not known is "—"."""
    machine, cpu = environment.machine, environment.machine.cpu
    memory = text.memory(machine.memory.total_bytes)
    if machine.memory.limited_by:
        memory += f" (limited by {machine.memory.limited_by})"
    software = environment.program + (f", Python {environment.python}" if environment.python else "")
    rows = [
        ("CPU", ", ".join(filter(None, (machine.apple_chip or cpu.name, cpu.architecture, _cores(environment))))),
        ("Instruction sets", ", ".join(cpu.instruction_sets)),
        ("Memory", memory),
        ("GPU", "; ".join(map(_gpu, machine.gpus))),
        ("Product", machine.product),
        ("System", machine.system),
        ("Power", machine.power),
        ("Governor", machine.governor),
        ("Engines", ", ".join(f"{engine.name} {engine.version}" for engine in machine.engines if engine.version)),
        ("Software", software),
    ]
    if imported := environment.imported:
        rows.append(("Imported", f"{imported.at}, from {imported.file}, SHA-256 {imported.sha256}"))
    return [(label, value or text.NOT_MEASURED) for label, value in rows]


def circumstances(measurements: Sequence[Measurement]) -> list[tuple[str, str]]:
    """How these measurements were made; where they differ, every value is named."""
    all_of = _AllOf(measurements)
    rows = [
        *(("File", words) for words in _files(measurements)),
        ("Engine", all_of(lambda m: m.facts.engine)),
        ("Engine build", all_of(lambda m: m.facts.engine_build)),
        *(("Settings", words) for words in _different(settings_words(m.settings, m) for m in measurements)),
        *(("Chat template", words) for words in _different(m.template_sha256 for m in measurements)),
        *(("Sampling", words) for words in _different(_sampling(m.sampling) for m in measurements)),
        ("Plan", all_of(lambda m: " ".join(filter(None, (m.preset, m.plan))))),
        ("Warm-up runs", all_of(lambda m: _number(m.warmup_runs))),
        ("Cool-down", all_of(lambda m: None if m.cool_down_s is None else text.duration(m.cool_down_s))),
        ("Models at once", all_of(lambda m: "together (contended)" if m.together else "one at a time")),
        ("Power, governor", all_of(lambda m: ", ".join(filter(None, (m.power, m.governor))))),
        ("Load average", _before_after(measurements, lambda m: m.load_average, lambda m: m.load_average_after, "")),
        ("Temperature", _before_after(measurements, lambda m: m.temperature_c, lambda m: m.temperature_after_c, " °C")),
        ("Engine memory", all_of(lambda m: engine_words(m.engine_memory))),
        ("GPU memory", all_of(_gpu_memory)),
        ("Ceiling", all_of(lambda m: ceiling_words(m.ceiling))),
        ("Energy meter", all_of(lambda m: m.timing.energy.meter if m.timing.energy else None) or NO_METER),
        ("Tool overhead", _overhead(measurements)),
        ("Source", all_of(lambda m: m.source)),
    ]
    return [(label, value or text.NOT_MEASURED) for label, value in rows if value or label not in _ONLY_IF_KNOWN]


def settings_words(settings: Settings, measurement: Measurement) -> str:
    """How the engine was set up, in one line; the unknown is left out."""
    used = {None: "", True: " (used: on)", False: " (used: off)"}[measurement.facts.flash_attention]
    named = (
        ("threads", settings.threads),
        ("threads for prefill", settings.threads_batch),
        ("batch", settings.batch),
        ("micro-batch", settings.micro_batch),
        ("context", settings.context),
        ("KV cache", "/".join(filter(None, (settings.type_k, settings.type_v))) or None),
        ("flash attention", settings.flash_attention + used if settings.flash_attention else None),
        ("device", settings.device),
        ("layers offloaded", None if settings.gpu_layers is None else layers_word(settings.gpu_layers)),
        ("split by", settings.split_mode),
        ("shares", settings.tensor_split),
        ("repacked weights", {None: None, True: "allowed", False: "off"}[settings.extra_buffers]),
    )
    words = [f"{name} {value}" for name, value in named if value is not None]
    return ", ".join([*words, settings.other] if settings.other else words)


def ceiling_words(ceiling: Ceiling | None) -> str | None:
    """The machine's ceiling in one line; None when it is not known."""
    if ceiling is None or (ceiling.read_bytes_per_s is None and not ceiling.matmul):
        return None
    parts = []
    if ceiling.read_bytes_per_s is not None:
        parts.append(f"reads {ceiling.read_bytes_per_s / 1e9:.3g} GB/s")
    parts += [f"{rate.type} matrices {rate.flops / 1e9:.4g} GFLOP/s" for rate in ceiling.matmul]
    threads = f"{ceiling.threads} threads" if ceiling.threads else None
    beside = "while other programs ran: too low" if ceiling.disturbed else None
    about = ", ".join(filter(None, (threads, ceiling.engine, ceiling.measured_at, beside)))
    return ", ".join(parts) + (f" ({about})" if about else "")


class _AllOf:
    """Every different value of something, in the order of the measurements."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        self._measurements = measurements

    def __call__(self, read: Callable[[Measurement], str | None]) -> str:
        return " / ".join(_different(map(read, self._measurements)))


def _different(values: Iterable[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value]


def _files(measurements: Sequence[Measurement]) -> list[str]:
    return _different(
        ", ".join(
            filter(
                None,
                (
                    m.file,
                    m.facts.quantization,
                    None if m.file_bytes is None else f"{m.file_bytes:,} bytes",
                    f"SHA-256 {m.file_sha256}" if m.file_sha256 else None,
                ),
            )
        )
        for m in measurements
    )


def _sampling(sampling: Sampling | None) -> str | None:
    if sampling is None:
        return None
    return ", ".join(
        (
            f"temperature {sampling.temperature:g}",
            f"top-k {sampling.top_k}",
            f"top-p {sampling.top_p:g}",
            f"min-p {sampling.min_p:g}",
            f"repeat penalty {sampling.repeat_penalty:g} over {sampling.repeat_last_n}",
            f"seed {text.NOT_MEASURED if sampling.seed is None else sampling.seed}",
            f"at most {sampling.max_tokens} tokens",
        )
    )


def _before_after(
    measurements: Sequence[Measurement],
    before: Callable[[Measurement], float | None],
    after: Callable[[Measurement], float | None],
    unit: str,
) -> str | None:
    ends = [_range([value for value in map(read, measurements) if value is not None]) for read in (before, after)]
    if ends == [None, None]:
        return None
    return ", ".join(f"{name} {end}{unit}" for name, end in zip(("before", "after"), ends, strict=True) if end)


def _range(values: Sequence[float]) -> str | None:
    if not values:
        return None
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _overhead(measurements: Sequence[Measurement]) -> str | None:
    values = [m.overhead_s for m in measurements if m.overhead_s is not None]
    return f"{text.duration(quantile(values, 0.5))} a repetition (median)" if values else None


def _gpu_memory(measurement: Measurement) -> str | None:
    """What the driver charges to the worker, which is more than the engine's buffers; None where it does not say."""
    process = measurement.process_memory
    return text.memory(process.gpu_bytes) if process is not None and process.gpu_bytes is not None else None


def _cores(environment: Environment) -> str:
    cpu = environment.machine.cpu
    cores = f"{cpu.physical_cores or text.NOT_MEASURED} cores"
    usable = cpu.usable_cores
    return f"{cores}, {usable} usable" if usable and usable != cpu.logical_cores else cores


def _gpu(gpu: Gpu) -> str:
    memory = None if gpu.memory_total_bytes is None else text.memory(gpu.memory_total_bytes)
    about = ", ".join(filter(None, (memory, f"driver {gpu.driver}" if gpu.driver else None)))
    return f"{gpu.name} ({about})" if about else gpu.name


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)
