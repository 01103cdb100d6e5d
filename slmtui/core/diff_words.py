"""A comparison in words and figures, the same on the command line and on the screen."""

from __future__ import annotations

from slmtui.core import text
from slmtui.core.diff import CellDiff, Comparison, Finding, Part, Phase, Unmatched, Verdict
from slmtui.core.measurement import Settings
from slmtui.core.results import shape_label

_NAMES = {
    "threads": "threads",
    "threads_batch": "threads for prefill",
    "batch": "batch",
    "micro_batch": "micro-batch",
    "context": "context",
    "type_k": "keys",
    "type_v": "values",
    "flash_attention": "flash attention",
    "device": "device",
    "gpu_layers": "layers on the GPU",
    "split_mode": "split by",
    "tensor_split": "shares",
    "other": "other settings",
}
_TALLY: dict[Verdict, str] = {
    **{said: said.value for said in Verdict},
    Verdict.OPEN: "without a difference that can be shown",
    Verdict.FEW: "with too few repetitions or loads",
}
_HOW: dict[Verdict, str] = {
    Verdict.FASTER: "faster",
    Verdict.SLOWER: "slower",
    Verdict.LESS: "less",
    Verdict.MORE: "more",
}


def percent(share: float) -> str:
    """A share as a percentage with two significant digits: 0.5 %, 5 %, 12 %."""
    return f"{share * 100:.2g} %" if share < 0.995 else f"{share * 100:,.0f} %"


def figure(phase: Phase, value: float) -> str:
    """A figure with its unit."""
    if phase == "TTFT":
        return f"{text.milliseconds(value)} ms"
    return text.memory(round(value)) if phase == "memory" else f"{text.rate(value)} tok/s"


def what(cell: CellDiff, phase: Phase) -> str:
    """Which figure of the cell, in llama-bench's words: `decode tg128 @ d512`."""
    first = cell.a.first
    if cell.kind == "chat" or phase in ("TTFT", "memory"):
        return phase
    if phase == "prefill":
        return f"{phase} {shape_label(first.prompt_tokens, 0, first.depth)}"
    before = first.depth + (first.prompt_tokens if first.after_prompt else 0)
    return f"{phase} {shape_label(0, first.decode_steps, before)}"


def models(cell: CellDiff) -> str:
    """The cell's model, or both where they differ."""
    return " / ".join(dict.fromkeys(text.one_line(part.first.name) for part in (cell.a, cell.b)))


def shape(part: Part, names: tuple[str, ...] = ()) -> str:
    """What was measured, with those of these settings that it tells: `pp512 tg128 · threads 4`."""
    return " · ".join([part.shape, *settings_words(part.settings, names)])


def settings_words(settings: Settings, names: tuple[str, ...]) -> list[str]:
    """Those of these settings that are told: `threads 4`."""
    told = ((name, getattr(settings, name)) for name in names)
    return [f"{_NAMES[name]} {text.one_line(str(value))}" for name, value in told if value is not None]


def verdict(finding: Finding, tolerance: float) -> str:
    """What can be said, in a few words: `slower by more than 5 %`."""
    said, limit = finding.verdict.value, percent(tolerance)
    if finding.verdict is Verdict.FEW and finding.phase == "memory":
        return "too few loads"
    if finding.verdict is Verdict.OPEN:
        return f"no difference shown, none over {limit}" if finding.within else "no difference shown"
    if finding.beyond:
        return f"{said} by more than {limit}"
    return f"{said} by less than {limit}" if finding.within else said


def interval(finding: Finding) -> str:
    """The interval's ends: `0.881–0.943`; a dash where there is none."""
    low, high = finding.ratio.low, finding.ratio.high
    return text.NOT_MEASURED if low is None or high is None else f"{text.ratio(low)}–{text.ratio(high)}"


def sentence(cell: CellDiff, finding: Finding, varying: tuple[str, ...] = ()) -> str:
    """One figure of one cell in a sentence, without a full stop."""
    subject = f"{models(cell)}, {shape(cell.a, varying)}: {finding.phase}"
    factor = f"B/A {text.ratio(finding.ratio.value)}"
    if finding.verdict is Verdict.FEW:
        runs = "loads" if finding.phase == "memory" else "repetitions"
        return f"{subject} {factor}, too few {runs} to say how far that can be trusted"
    if finding.verdict is Verdict.OPEN:
        return f"{subject} shows no difference ({factor}, {interval(finding)})"
    return f"{subject} is {_how_much(finding)}"


def only_words(unmatched: Unmatched, varying: tuple[str, ...] = ()) -> str:
    """A cell that one side has, and why the other's nearest is no match."""
    part, other = unmatched.part, unmatched.other
    names = () if unmatched.differs else varying
    label = f"{text.one_line(part.first.name)}, {shape(part, names)}"
    if other is None:
        return label
    here = ", ".join(settings_words(part.settings, unmatched.differs))
    there = ", ".join(settings_words(other, unmatched.differs))
    return f"{label} ({here}; the other has {there})" if here else f"{label} (settings that are not told)"


def summary(comparison: Comparison) -> list[str]:
    """What the comparison comes to, in sentences; the first says whether a regression is shown."""
    limit, found, all_findings = percent(comparison.tolerance), comparison.regressions, comparison.findings
    if found:
        head = [f"B is slower by more than {limit} in {text.counted(len(found), 'figure')}:"]
        head += [f"  {sentence(cell, finding, comparison.varying)}" for cell, finding in found]
    else:
        head = [f"No regression is shown: nothing in B is shown to be slower by more than {limit}."]
    counts: dict[Verdict, int] = {}
    for _, finding in all_findings:
        counts[finding.verdict] = counts.get(finding.verdict, 0) + 1
    tally = ", ".join(f"{number} {_TALLY[said]}" for said in Verdict if (number := counts.get(said, 0)))
    lines = [*head, f"Of {text.counted(len(all_findings), 'figure')}: {tally}."]
    tested = len(all_findings) - counts.get(Verdict.FEW, 0)
    if tested:
        lines.append(
            "Intervals are at 95 %: of 20 figures that did not change, about one is shown as changed. They know "
            "only what varied between the repetitions, not what differs from one start of a program to the next."
        )
    return lines


def _how_much(finding: Finding) -> str:
    low, high, value = finding.ratio.low, finding.ratio.high, finding.ratio.value
    assert low is not None
    assert high is not None
    how = _HOW[finding.verdict]
    if low > 0.5 and high < 2:
        ends = sorted((abs(low - 1), abs(high - 1)))
        return f"{percent(abs(value - 1))} {_kind(finding, how)} ({percent(ends[0])} to {percent(ends[1])})"
    return f"{text.ratio(value)} times A's ({interval(finding)}), {how}"


def _kind(finding: Finding, how: str) -> str:
    if finding.phase == "TTFT":
        return "longer" if finding.verdict is Verdict.SLOWER else "shorter"
    return how
