"""Arguments that several commands take, and their values."""

from __future__ import annotations

import argparse


def named(text: str) -> str:
    """What has a name: a model, a task, a session, a file.

    Raises:
        argparse.ArgumentTypeError: the text is empty.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; give a name")
    return text


def add_device(parser: argparse.ArgumentParser) -> None:
    """The flag that says where one model computes."""
    parser.add_argument(
        "-dev",
        "--device",
        type=str.casefold,
        metavar="DEVICE",
        help="cpu, gpu, cuda:0 …; default: the GPU where usable",
    )
