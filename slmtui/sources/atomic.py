"""Files that are either the old one or the new one, never half of each."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace the file at `path` by one with this content; text is written as UTF-8, line breaks as they are.

    The new file keeps the mode of the old one; a symbolic link is followed, so that the link stays. A device or a pipe
    is written into, as the shell's `>` does.

    Raises:
        OSError: the folder is missing or can't be written, the disk is full, or `path` is a folder. The old
            file is untouched then and nothing is left beside it.
    """
    content = data.encode() if isinstance(data, str) else data
    if path.exists() and not (path.is_file() or path.is_dir()):
        path.write_bytes(content)
        return
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".slmtui-{secrets.token_hex(8)}.tmp")
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.is_file():
            partial.chmod(stat.S_IMODE(target.stat().st_mode))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
