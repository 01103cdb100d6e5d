"""The flags of `slmtui probe`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, cast

from slmtui.cli.bench_flags import joined, names, numbers
from slmtui.cli.values import add_device, named

if TYPE_CHECKING:
    from slmtui.core.probe import Labels
    from slmtui.core.probe_presets import ProbeGrid

PRESETS = ("quick", "standard", "thorough")
LABELS = ("true", "shuffled", "flipped", "unrelated")
STYLES = ("raw", "turns", "turn")
SCORERS = ("sum", "token", "byte")


def add_probe_flags(parser: argparse.ArgumentParser) -> None:
    """Everything that `slmtui probe` understands."""
    parser.add_argument("models", nargs="*", type=named, metavar="MODEL")
    parser.add_argument(
        "--task",
        dest="tasks",
        type=names,
        action="append",
        metavar="TASK",
        help="id of `slmtui tasks`, or your own .jsonl or .csv; several with commas, or repeat the flag",
    )
    parser.add_argument(
        "--preset", choices=PRESETS, default="standard", help="what to ask when nothing else is said; default: standard"
    )
    parser.add_argument("--shots", type=numbers, action="append", metavar="N", help="examples shown (0,1,2,4,8)")
    parser.add_argument("-n", "--questions", type=int, metavar="N", help="questions of each task (100)")
    parser.add_argument("--seeds", type=int, metavar="N", help="draws of examples (3)")
    parser.add_argument(
        "--labels",
        type=labels,
        action="append",
        metavar="KIND",
        help=f"answers in the examples: {', '.join(LABELS)} (true); controls that tell learning from recalling",
    )
    parser.add_argument("--prompt", dest="style", choices=STYLES, help="plain text, or the chat template (raw)")
    parser.add_argument("--scorer", choices=SCORERS, help="compare options by their sum, per token or per byte (sum)")
    parser.add_argument(
        "--calibrate", action="store_const", const=True, help="take off how likely a label is without a question"
    )
    parser.add_argument("--exact", action="store_const", const=True, help="32-bit cache: exact to the digit, slower")
    parser.add_argument("-t", "--threads", type=int, metavar="THREADS", help="threads; default: physical cores")
    add_device(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be asked and how long it takes")
    parser.add_argument(
        "--continue",
        dest="resume",
        nargs="?",
        const="",
        metavar="PLAN",
        help="go on with a probe: the newest unfinished one, or that whose id begins so; other flags let it ask more",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def changes_of(options: argparse.Namespace) -> ProbeGrid:
    """What the flags change in the preset."""
    from slmtui.core.probe_presets import ProbeGrid

    return ProbeGrid(
        shots=joined(options.shots),
        seeds=options.seeds,
        questions=options.questions,
        labels=cast("tuple[Labels, ...] | None", joined(options.labels)),
        style=options.style,
        scorer=options.scorer,
        calibrated=options.calibrate,
        exact=options.exact,
        threads=options.threads,
        device=options.device,
    )


def labels(text: str) -> tuple[str, ...]:
    """`true,shuffled` as kinds of labels.

    Raises:
        argparse.ArgumentTypeError: an item is something else.
    """
    found = names(text)
    for name in found:
        if name not in LABELS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(LABELS)}")
    return found
