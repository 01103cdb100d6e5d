"""What can install packages into the Python that runs slmtui."""

from __future__ import annotations

import importlib.util
import shutil
import sys

from slmtui.core.installs import install_command
from slmtui.core.machine import Installer


def installer() -> Installer | None:
    """Its own pip, else uv, else the pip that Python brings along; None where nobody knows which Python this is."""
    if not sys.executable:
        return None
    if importlib.util.find_spec("pip") is not None:
        return Installer(python=sys.executable, by="pip")
    return Installer(python=sys.executable, by="uv" if shutil.which("uv") else "ensurepip")


def install_here(arguments: str) -> str:
    """The command that installs packages here; `arguments` are quoted for a shell."""
    return install_command(installer(), arguments, windows=sys.platform == "win32")
