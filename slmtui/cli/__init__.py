"""The command line: one thin command a job. Results go to standard output, everything else to standard error.

Exit codes: 0 done, 1 failed, 2 usage, 3 slower (`sessions diff`), 130 interrupted. What a command needs is imported
when it runs, so that `slmtui --help` answers at once, and so that ctrl+c is obeyed from the first moment on.
"""

from __future__ import annotations

import errno
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing `typing` takes longer than all of this
    from collections.abc import Sequence
    from typing import TextIO

DONE, FAILED, USAGE, SLOWER, INTERRUPTED = 0, 1, 2, 3, 130
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code."""
    _mend_streams()
    try:
        return _ended(arguments)
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _give_up(sys.stderr)


class Importing:
    """Imports that ctrl+c ends together with the program.

    An interrupt that is raised while msgspec, which is native code, looks at types is a segmentation fault.
    """

    def __enter__(self) -> None:
        import signal

        self._raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._raises:  # a job in the background ignores it
            signal.signal(signal.SIGINT, _end)

    def __exit__(self, *_: object) -> None:
        import signal

        if self._raises:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> None:
    _tell("\nInterrupted.")
    os._exit(INTERRUPTED)


def is_dumb() -> bool:
    """Whether the terminal says that it understands nothing but lines of text."""
    return os.environ.get("TERM") == "dumb"


def _ended(arguments: Sequence[str] | None) -> int:
    """Run the program to its end, whatever that is, and return its exit code."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _tell("\nInterrupted.")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        _give_up(sys.stdout)
        return FAILED
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _give_up(sys.stdout)
        _tell(f"slmtui: the output can't be written: {error.strerror}; free some space or send it elsewhere")
        return FAILED


def _tell(message: str) -> None:
    try:
        print(message, file=sys.stderr)
    except OSError:  # nobody can read it
        return


def _mend_streams() -> None:
    """Make standard streams that exist and never fail on a character that the locale does not have."""
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY))
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _give_up(stream: TextIO) -> None:
    """Send what is left in the buffer nowhere, so that Python does not fail on it when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: Sequence[str] | None) -> int:
    if not (sys.argv[1:] if arguments is None else arguments):  # the app needs no parser, and its first frame waits
        with Importing():
            from slmtui.cli.start import start
        return start()
    with Importing():
        from importlib import import_module

        from slmtui.cli.parser import parse

        options = parse(arguments)
        module, _, name = options.run.partition(":")
        command = getattr(import_module(f"slmtui.cli.{module}"), name)
    code: int = command(options)
    return code
