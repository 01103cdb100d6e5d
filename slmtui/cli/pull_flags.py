"""The flags of the commands that list models, bring them here and take them away."""

from __future__ import annotations

import argparse

from slmtui.cli.values import named

_WANTED = (
    "an id of the catalog (qwen3-0.6b), with a variant (qwen3-0.6b:Q4_K_M), a repository of the hub (owner/name or "
    "owner/name:Q4_K_M), or an address copied from it"
)
_WHERE = (
    "Files go to Hugging Face's cache, which other programs share. HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HUB_OFFLINE "
    "and HTTPS_PROXY hold. A download that was stopped or killed is gone on with by the same command."
)


def add_models(parser: argparse.ArgumentParser) -> None:
    """Flags of `slmtui models`."""
    parser.epilog = (
        "Without words and filters: what is on this machine. With them, or with --all, the whole catalog is looked "
        "through; what is not known about a model is never what is looked for."
    )
    parser.add_argument("words", nargs="*", metavar="WORD", help="in name, id, maker, family, licence, variant or path")
    parser.add_argument("--all", action="store_true", help="models of the catalog too that are not on this machine")
    here = parser.add_mutually_exclusive_group()
    here.add_argument("--here", action="store_true", default=None, help="only what is on this machine")
    here.add_argument("--not-here", action="store_false", dest="here", help="only what is not")
    parser.add_argument("--fits", action="store_true", default=None, help="only what fits into the free memory")
    parser.add_argument("--up-to", metavar="SIZE", help="at most so many parameters: 500M, 1.5B")
    parser.add_argument(
        "--licence", choices=("open", "own", "unknown"), help="open: Apache-2.0, MIT and alike; own: terms of their own"
    )
    thinks = parser.add_mutually_exclusive_group()
    thinks.add_argument("--thinking", action="store_true", default=None, help="only models that can think first")
    thinks.add_argument("--not-thinking", action="store_false", dest="thinking", help="only models that do not")
    parser.add_argument("--format", choices=("GGUF", "MLX"), help="only models that can be had in this format")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_pull(parser: argparse.ArgumentParser) -> None:
    """Flags of `slmtui pull`."""
    parser.epilog = _WHERE
    parser.add_argument("models", nargs="+", type=named, metavar="MODEL", help=_WANTED)
    parser.add_argument("--dry-run", action="store_true", help="say what would be downloaded and whether it fits")
    parser.add_argument("--force", action="store_true", help="download what does not fit all the same")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_search(parser: argparse.ArgumentParser) -> None:
    """Flags of `slmtui search`."""
    parser.add_argument("words", nargs="+", type=named, metavar="WORD", help="all of them are in the repository's name")
    parser.add_argument("--mlx", action="store_true", help="models in MLX's format in place of GGUF")
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="NUMBER", help="at most so many (default: 20)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_add(parser: argparse.ArgumentParser) -> None:
    """Flags of `slmtui add`."""
    parser.add_argument(
        "what", type=named, metavar="PATH|REPOSITORY", help="a .gguf file, a folder of such files, or owner/name"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def add_rm(parser: argparse.ArgumentParser) -> None:
    """Flags of `slmtui rm`."""
    parser.add_argument("models", nargs="+", type=named, metavar="MODEL")
    parser.add_argument("--force", action="store_true", help="also what another program put into the shared cache")
    parser.add_argument("--json", action="store_true", help="print JSON")
