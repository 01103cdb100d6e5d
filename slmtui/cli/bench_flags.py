"""The flags of `slmtui bench`: llama-bench's, lists with commas included, and ours."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from itertools import chain, product
from typing import TYPE_CHECKING, Any, TypeVar

from slmtui.cli.values import named
from slmtui.core.offload import SPLIT_MODES, layers_of, shares_of

if TYPE_CHECKING:
    from slmtui.core.plan import Grid

PRESETS = ("quick", "standard", "survey", "localscore", "sweep")
_FLASH_ATTENTION = {"0": "off", "1": "on", "-1": "auto", "off": "off", "on": "on", "auto": "auto"}
_Value = TypeVar("_Value")


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Everything that `slmtui bench` understands."""
    parser.add_argument("models", nargs="*", type=named, metavar="MODEL")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="standard",
        help="what to measure when nothing else is said; default: standard",
    )
    _add_lists(parser)
    parser.add_argument("-r", "--repetitions", type=int, metavar="N", help="repetitions (standard: 5)")
    parser.add_argument("--delay", type=float, metavar="SECONDS", help="let the machine rest before each repetition")
    parser.add_argument("-c", "--context", type=int, metavar="TOKENS", help="context; default: what the shapes need")
    parser.add_argument("--together", action="store_const", const=True, help="run models at once (contended, marked)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be measured and how long it takes")
    parser.add_argument(
        "--continue",
        dest="resume",
        nargs="?",
        const="",
        metavar="PLAN",
        help="go on with a benchmark that was interrupted; the newest, or the one whose id begins so",
    )
    parser.add_argument("--selfcheck", action="store_true", help="compare our times with the engine's own counters")
    parser.add_argument("-o", "--output", choices=("md", "json", "jsonl", "csv"), default="md", help="default: md")
    parser.add_argument("--json", action="store_const", const="json", dest="output", help="same as -o json")


def _add_lists(parser: argparse.ArgumentParser) -> None:
    """Flags that take several values, with commas or by repeating the flag; every combination is measured."""
    lists = parser.add_argument_group("lists", "each takes several values, with commas: -p 128,512")
    for flags, kind, metavar, words in (
        (("-p", "--n-prompt"), numbers, "N", "prompt tokens (standard: 512)"),
        (("-n", "--n-gen"), numbers, "N", "generated tokens (standard: 128)"),
        (("-d", "--n-depth"), numbers, "N", "tokens in the context before (0)"),
        (("-t", "--threads"), numbers, "N", "threads; default: physical cores"),
        (("-b", "--batch-size"), numbers, "N", "batch size (2048)"),
        (("-ub", "--ubatch-size"), numbers, "N", "micro-batch size (512)"),
        (("-ctk", "--cache-type-k"), names, "TYPE", "type of the cache's keys (f16)"),
        (("-ctv", "--cache-type-v"), names, "TYPE", "type of the cache's values (f16)"),
        (("-fa", "--flash-attn"), flash_attention, "on|off|auto", "flash attention (auto)"),
        (("-dev", "--device"), devices, "DEVICE", "cpu, gpu, cuda:0 …; default: the GPU where one is usable"),
        (("-ngl", "--n-gpu-layers"), layers, "N|all|fit", "layers on the GPU; fit: as many as its memory holds (all)"),
        (("-sm", "--split-mode"), split_modes, "layer|row|none", "how several GPUs share a model (layer)"),
        (("-ts", "--tensor-split"), shares, "A/B", "each GPU's share; default: by free memory"),
    ):
        lists.add_argument(*flags, type=kind, action="append", metavar=metavar, help=words)
    lists.add_argument(
        "-pg", type=pair, action="append", metavar="P,N", help="N tokens generated after a prompt of P; repeat for more"
    )


def changes_of(options: argparse.Namespace) -> Grid:
    """What the flags change in the preset."""
    from slmtui.core.plan import Grid

    keys, values = joined(options.cache_type_k), joined(options.cache_type_v)
    return Grid(
        prompt_tokens=joined(options.n_prompt),
        generated_tokens=joined(options.n_gen),
        depths=joined(options.n_depth),
        pairs=None if options.pg is None else tuple(options.pg),
        threads=joined(options.threads),
        batches=joined(options.batch_size),
        micro_batches=joined(options.ubatch_size),
        kv_types=tuple(product(keys or ("f16",), values or ("f16",))) if keys or values else None,
        flash_attention=joined(options.flash_attn),
        devices=joined(options.device),
        gpu_layers=joined(options.n_gpu_layers),
        split_modes=joined(options.split_mode),
        tensor_splits=joined(options.tensor_split),
        repetitions=options.repetitions,
        cool_down_s=options.delay,
        together=options.together,
        context=options.context,
    )


def joined(given: Iterable[Sequence[_Value]] | None) -> tuple[_Value, ...] | None:
    """The values of a flag that may be repeated, each once; None when it was not given."""
    return None if given is None else tuple(dict.fromkeys(chain.from_iterable(given)))


def numbers(text: str) -> tuple[int, ...]:
    """`128,512` as numbers.

    Raises:
        argparse.ArgumentTypeError: an item is no number.
    """
    try:
        return tuple(int(item) for item in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number and no list of numbers such as 128,512") from None


def names(text: str) -> tuple[str, ...]:
    """`f16,q8_0` as words.

    Raises:
        argparse.ArgumentTypeError: there is none.
    """
    found = tuple(item.strip() for item in text.split(",") if item.strip())
    if not found:
        raise argparse.ArgumentTypeError("the list is empty")
    return found


def layers(text: str) -> tuple[int, ...]:
    """`0,12,all` as wishes.

    Raises:
        argparse.ArgumentTypeError: an item is none.
    """
    try:
        return tuple(layers_of(item) for item in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither all, fit nor a list of numbers") from None


def layer_wish(text: str) -> int:
    """`12`, `all` or `fit` as a wish.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return layers_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither all, fit nor a number") from None


def split_modes(text: str) -> tuple[str, ...]:
    """`layer,row`.

    Raises:
        argparse.ArgumentTypeError: an item is something else.
    """
    found = names(text.lower())
    if unknown := set(found) - set(SPLIT_MODES):
        raise argparse.ArgumentTypeError(f"{unknown.pop()!r} is none of {', '.join(SPLIT_MODES)}")
    return found


def shares(text: str) -> tuple[tuple[float, ...], ...]:
    """`3/1,1/1`.

    Raises:
        argparse.ArgumentTypeError: an item is something else.
    """
    try:
        return tuple(shares_of(item) for item in names(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} are no shares such as 3/1") from None


def devices(text: str) -> tuple[str, ...]:
    """`cpu,cuda:0`, in any spelling.

    Raises:
        argparse.ArgumentTypeError: there is none.
    """
    return names(text.casefold())


def flash_attention(text: str) -> tuple[str, ...]:
    """`on,off` or llama-bench's `0,1` in our words.

    Raises:
        argparse.ArgumentTypeError: an item is something else.
    """
    try:
        return tuple(_FLASH_ATTENTION[item.lower()] for item in names(text))
    except KeyError as error:
        raise argparse.ArgumentTypeError(f"{error.args[0]!r} is neither on, off nor auto") from None


def pair(text: str) -> tuple[int, int]:
    """`512,128` as prompt and generated tokens.

    Raises:
        argparse.ArgumentTypeError: these are not two numbers.
    """
    found: tuple[Any, ...] = numbers(text)
    if len(found) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pair such as 512,128")
    return found[0], found[1]
