"""Values of arguments that several commands take."""

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
