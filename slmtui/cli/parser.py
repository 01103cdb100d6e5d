"""What may stand on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from slmtui import __version__
from slmtui.cli.bench_flags import add_flags, layer_wish
from slmtui.cli.probe_flags import add_probe_flags
from slmtui.cli.pull_flags import add_add, add_models, add_pull, add_rm, add_search
from slmtui.cli.values import add_device, named

DIFF = "sessions diff"
_PAIRS = (DIFF, "tasks check", "tasks new", "tasks scores")
"""Commands of two words; their first word alone is a command too, which takes an id."""
_MODEL = (
    "MODEL is an id of `slmtui models` (pocket-5m), an id with a variant (pocket-5m:Q4_K_M), or a path to a .gguf file "
    "or to an MLX folder."
)
_EPILOG = (
    f"{_MODEL} `slmtui pull` brings other models here. Without a command, slmtui opens the app. SLMTUI_HOME moves all "
    "of the program's files to one folder."
)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What is to be done: `run` names the function, as `module:name` in this package; None takes the process's words.

    Raises:
        SystemExit: usage errors with code 2, and `--help` and `--version` with 0.
    """
    return parser().parse_args(_words(arguments))


def _words(arguments: Sequence[str] | None) -> list[str]:
    """The words to parse, those of a command of two words as one."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    pair = " ".join(words[:2])
    return [pair, *words[2:]] if pair in _PAIRS else words


def parser() -> argparse.ArgumentParser:
    """Everything that the program understands."""
    root = argparse.ArgumentParser(
        prog="slmtui",
        description="Choose a small language model on your own machine: chat, speed, memory, side by side.",
        epilog=_EPILOG,
    )
    root.add_argument("--version", action="version", version=f"slmtui {__version__}")
    root.set_defaults(run="start:start")
    commands = root.add_subparsers(title="commands", metavar="COMMAND")
    _add_tellers(commands)
    _add_chat(commands)
    _add_bench(commands)
    _add_tasks(commands)
    _add_probe(commands)
    _add_export(commands)
    _add_import(commands)
    _add_library(commands)
    _add_fit(commands)
    return root


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: str, text: str, epilog: str = ""
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text, epilog=epilog)
    parser.set_defaults(run=run)
    return parser


def _add_tellers(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, text in (
        ("hardware", "Say what this machine is and which engines and devices are usable here."),
        ("sessions", "List what was measured, newest first, or show one session."),
        ("doctor", "Check folders, engine and bundled models, and say what to do about problems."),
    ):
        parser = _add(commands, name, f"tell:{name}", text)
        if name == "sessions":
            parser.add_argument("session", nargs="?", type=named, help="id of a session, its beginning, or `latest`")
        if name == "hardware":
            parser.add_argument("--measure", action="store_true", help="measure bandwidth and matrix rates anew")
        parser.add_argument("--json", action="store_true", help="print JSON")
        if name == "sessions":
            _add_diff(commands)


def _add_library(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for name, run, add, text in (
        ("models", "models:models", add_models, "List the models that are here, or look through the catalog."),
        ("pull", "pull:pull", add_pull, "Download models from the hub into the cache that other programs share."),
        ("search", "pull:search", add_search, "Search the hub for models by words."),
        ("add", "shelf:add", add_add, "List a .gguf file, a folder of them, or a repository of the hub from now on."),
        ("rm", "shelf:rm", add_rm, "Delete models that were downloaded, in part too, or forget files that were added."),
    ):
        add(_add(commands, name, run, text, _MODEL if name == "rm" else ""))


def _add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands, DIFF, "diff:diff_sessions", "Compare session B with session A, or two models or devices of one."
    )
    parser.epilog = (
        "Exit codes: 0 no regression is shown; 3 a benchmark's speed or first token is shown to be slower by more "
        "than the tolerance (its whole 95 % interval lies beyond it); 1 a session is not found, or they have nothing "
        "in common. Memory is compared and does not change the exit code."
    )
    parser.add_argument("a", metavar="A", type=named, help="id of a session, its beginning, its name, or `latest`")
    parser.add_argument("b", metavar="B", nargs="?", type=named, help="the session to compare with A")
    parser.add_argument("--models", nargs=2, metavar=("M1", "M2"), help="compare M2 (of B, or else of A) with M1 of A")
    parser.add_argument(
        "--devices", nargs=2, metavar=("D1", "D2"), help="compare cells on D2 with those on D1: cpu gpu"
    )
    parser.add_argument("--tolerance", metavar="SHARE", help="what a regression exceeds: 5%% (default) or 0.05")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_chat(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands, "chat", "chat:chat", "Send one prompt to one or more models and show their answers.", _MODEL
    )
    parser.add_argument("models", nargs="+", type=named, metavar="MODEL")
    parser.add_argument(
        "-p", "--prompt", help="the prompt; read from standard input, without its last line break, when not given"
    )
    parser.add_argument("--raw", action="store_true", help="continue the prompt as it is, without chat template")
    parser.add_argument("--system", help="system prompt")
    parser.add_argument("--together", action="store_true", help="run all models at once (contended, marked)")
    parser.add_argument("-n", "--limit", dest="max_tokens", type=int, help="generate at most this many tokens")
    parser.add_argument("--temp", dest="temperature", type=float, help="temperature; 0 is greedy")
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--min-p", type=float)
    parser.add_argument("--repeat-penalty", type=float)
    parser.add_argument("--seed", type=int)
    _add_loading(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document with text and timing of each")


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "bench",
        "bench:bench",
        "Measure prefill and decode speed: adaptive warm-up, interleaved repetitions, median and spread.",
        _MODEL,
    )
    add_flags(parser)


def _add_tasks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "tasks", "tasks:tasks", "List the tasks that come with slmtui, or show one.")
    parser.add_argument(
        "task", nargs="?", type=named, metavar="TASK", help="id, or path of a .jsonl, .csv or .toml file"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = _add(commands, "tasks check", "tasks:check", "Check a task of your own, line by line.")
    parser.add_argument("file", type=named, metavar="FILE", help="the items (.jsonl or .csv) or the head (.toml)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = _add(
        commands, "tasks new", "tasks:new", "Write a task to fill in: a head that explains its keys, and items."
    )
    parser.add_argument(
        "path", type=named, metavar="PATH", help="where the items go, .jsonl or .csv; the head is put beside it"
    )
    parser.add_argument("--labels", metavar="A,B", help="make it a choice between these; without, answers are open")
    parser.add_argument("--json", action="store_true", help="print the paths as JSON")
    parser = _add(commands, "tasks scores", "tasks:scores", "Show results of lm-evaluation-harness.")
    parser.add_argument("files", nargs="+", type=named, metavar="FILE", help="results_*.json or samples_*.jsonl")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_loading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-t", "--threads", type=int, metavar="THREADS", help="threads; default: physical cores")
    parser.add_argument("-c", "--context", type=int, metavar="TOKENS", help="tokens of context")
    add_device(parser)
    parser.add_argument(
        "-ngl", "--n-gpu-layers", type=layer_wish, metavar="N|all|fit", help="layers on the GPU; default: all"
    )


def _add_probe(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "probe",
        "probe:probe",
        "Find out whether models learn from examples: the same questions with and without, and what the answers show.",
        _MODEL,
    )
    add_probe_flags(parser)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "export", "tell:export", "Write the measurements of a session to a file.")
    parser.add_argument(
        "session", nargs="?", type=named, default="latest", help="id, its beginning, or `latest` (default)"
    )
    parser.add_argument("--format", default="csv", choices=("csv", "json", "parquet", "md"), help="default: csv")
    parser.add_argument(
        "-o", "--output", type=named, metavar="PATH", help="file or folder; default: the exports folder"
    )
    parser.add_argument("--answers", action="store_true", help="one row for each question of its probes")
    parser.add_argument("--json", action="store_true", help="print the path as JSON")


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands,
        "import",
        "take:take",
        "Keep llama-bench's results (JSON, JSONL, CSV) or an export of slmtui (JSON) as sessions beside ours.",
    )
    parser.add_argument("files", nargs="+", type=named, metavar="FILE", help="told by its content, not by its name")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_fit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _add(
        commands, "fit", "fit:fit", "Say what memory models take, whether they fit, and how fast they would be."
    )
    parser.epilog = (
        "MODEL is an id of the catalog (all of its variants), an id with a variant, a model that is here, or a path to "
        "a .gguf file. Nothing is downloaded or loaded. Figures for --on are memory, read bandwidth, matrix rate and a "
        'GPU\'s memory: "16 GB, 68 GB/s, 1.5 TFLOP/s, gpu 8 GB".'
    )
    parser.add_argument("models", nargs="+", type=named, metavar="MODEL")
    parser.add_argument("-c", "--context", type=int, metavar="TOKENS", help="default: the model's own, at most 4,096")
    parser.add_argument("--kv", default="f16", metavar="TYPE", help="type of the KV cache: f16 (default), q8_0, q4_0 …")
    parser.add_argument("--on", metavar="FIGURES", help="another machine, by its figures")
    parser.add_argument("--json", action="store_true", help="print JSON")
