"""Part of the package's build: compiles `slmtui/engine/steps.c`, where there is a C compiler."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

SOURCE = Path("slmtui", "engine", "steps.c")


class CompileSteps(BuildHookInterface):  # type: ignore[type-arg]
    """Leaves the library beside its source; a wheel with it is one for this kind of system, but for every Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say what that makes of the wheel."""
        library = SOURCE.with_suffix(".so")
        why = compiled(Path(self.root, SOURCE), Path(self.root, library))
        if why is not None:
            self.app.display_warning(f"{SOURCE} was not compiled ({why}); very small models measure a little slower.")
            return
        build_data["artifacts"].append(library.as_posix())
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(iter(platform_tags()))}"


def compiled(source: Path, library: Path) -> str | None:
    """Compile a file into a library that others may have open; why that was not possible, or None."""
    if sys.platform == "win32":
        return "not on Windows"
    try:
        with TemporaryDirectory(dir=library.parent) as folder:
            fresh = Path(folder, library.name)
            subprocess.run(
                [*_compiler(), "-O2", "-shared", "-fPIC", "-o", str(fresh), str(source)],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            fresh.replace(library)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        with suppress(OSError):  # nothing can be written beside a source that is mounted read-only
            library.unlink(missing_ok=True)
        return (str(getattr(error, "stderr", "")).strip() or str(error)).splitlines()[-1]
    return None


def _compiler() -> list[str]:
    """The compiler that CC names; else the one that Python was built with, if it is here too; else `cc`."""
    if told := os.environ.get("CC"):
        return shlex.split(told)
    pythons = shlex.split(sysconfig.get_config_var("CC") or "cc")
    return pythons if shutil.which(pythons[0]) else ["cc"]
