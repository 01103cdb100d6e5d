"""Where the data that comes with the program lies: in an installed wheel, or in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "data"
_CHECKOUT = _PACKAGE.parent


class ResourceError(RuntimeError):
    """A file that comes with the program is missing; the message names it and says what to do."""


def theme_files() -> list[Path]:
    """The themes that come with the program, one .toml each, sorted by name.

    Raises:
        ResourceError: there is none, so the installation is damaged.
    """
    files = sorted(_shipped("themes").glob("*.toml"))
    if not files:
        raise ResourceError(f"no theme in {_shipped('themes')}: the installation is damaged; install slmtui again")
    return files


def catalog_file() -> Path:
    """The `model_catalog.toml` that comes with the program.

    Raises:
        ResourceError: it is missing, so the installation is damaged.
    """
    path = _shipped("model_catalog.toml")
    if not path.is_file():
        raise ResourceError(f"{path} is missing: the installation is damaged; install slmtui again")
    return path


def task_files() -> list[Path]:
    """The heads of the tasks that come with the program, one .toml each, sorted by name.

    Raises:
        ResourceError: there is none, so the installation is damaged.
    """
    folder = _PACKAGE / "tasks"
    files = sorted(folder.glob("*.toml"))
    if not files:
        raise ResourceError(f"no task in {folder}: the installation is damaged; install slmtui again")
    return files


def pocket_folder() -> Path:
    """The folder of the bundled demo models' GGUF files."""
    return _PACKAGE / "pocket"


def _shipped(name: str) -> Path:
    # A wheel has slmtui/data (pyproject.toml puts it there); a checkout keeps the same files at its top.
    return (_INSTALLED if _INSTALLED.is_dir() else _CHECKOUT) / name
