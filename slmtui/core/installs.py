"""The command that installs packages into the Python that runs slmtui, which is seldom the one that `pip` means.

uv makes environments without pip, for its tools too; pipx has them of its own. pip's long options are understood by uv.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from slmtui.core.machine import Installer

REINSTALL = "--force-reinstall --no-cache-dir"
"""What puts a package in place of the same version of it."""


def install_command(
    installer: Installer | None, arguments: str, variables: Mapping[str, str] | None = None, *, windows: bool = False
) -> str:
    """One line for sh, for PowerShell on Windows; `arguments` are quoted for both, `variables` are for the build."""
    set_first = "".join(_variable(name, value, windows=windows) for name, value in (variables or {}).items())
    if installer is None:
        return f"{set_first}pip install {arguments}"
    python = _quoted(installer.python, windows=windows)
    if installer.by == "uv":
        return f"{set_first}uv pip install --python {python} {arguments}"
    run = f"& {python}" if windows and python.startswith("'") else python
    first = f"{run} -m ensurepip{';' if windows else ' &&'} " if installer.by == "ensurepip" else ""
    return f"{first}{set_first}{run} -m pip install {arguments}"


def _variable(name: str, value: str, *, windows: bool) -> str:
    if windows:
        return f'$env:{name}="{value}"; '
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'{name}="{escaped}" '


def _quoted(path: str, *, windows: bool) -> str:
    if not windows:
        return shlex.quote(path)
    return path if re.fullmatch(r"[\w:\\./-]+", path) else "'{}'".format(path.replace("'", "''"))
