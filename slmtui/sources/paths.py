"""The program's own folders: below `SLMTUI_HOME`, or where the platform keeps such things."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

_WAY_OUT = "set SLMTUI_HOME to a folder that you can write to"


class PathError(OSError):
    """A folder can't be made or written; the message names it and says what to do."""


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Folders of the program, absolute; naming them creates none."""

    config: Path
    data: Path
    cache: Path
    logs: Path
    exports: Path
    """Where exports go when nobody says otherwise."""

    @property
    def config_file(self) -> Path:
        """Settings of the person."""
        return self.config / "config.toml"

    @property
    def own_catalog(self) -> Path:
        """The person's additions to the catalog of models."""
        return self.config / "model_catalog.toml"

    @property
    def user_themes(self) -> Path:
        """Folder of the person's own themes."""
        return self.config / "themes"

    @property
    def store(self) -> Path:
        """The database of measurements."""
        return self.data / "slmtui.sqlite3"

    @property
    def downloads(self) -> Path:
        """Which files of the shared cache slmtui downloaded."""
        return self.data / "downloads.json"

    @property
    def headers(self) -> Path:
        """Cache of what the model files' headers say."""
        return self.cache / "headers.json"

    @property
    def hashes(self) -> Path:
        """Cache of the model files' SHA-256."""
        return self.cache / "sha256.json"

    @property
    def parsed_catalog(self) -> Path:
        """Cache of the catalog that comes with the program."""
        return self.cache / "catalog.msgpack"

    @classmethod
    def find(cls, environ: Mapping[str, str] | None = None) -> Paths:
        """All folders: below `SLMTUI_HOME` where that is set, else where the platform keeps such things.

        `environ` is the environment to look in; None takes the process's own.

        Raises:
            PathError: `SLMTUI_HOME` starts with the name of a user who does not exist.
        """
        home = (os.environ if environ is None else environ).get("SLMTUI_HOME", "").strip()
        if home:
            return cls._below(_expanded(home))
        import platformdirs

        here = platformdirs.PlatformDirs("slmtui", appauthor=False)
        return cls(
            config=here.user_config_path,
            data=here.user_data_path,
            cache=here.user_cache_path,
            logs=here.user_log_path,
            exports=here.user_data_path / "exports",
        )

    @classmethod
    def _below(cls, home: Path) -> Paths:
        return cls(
            config=home / "config",
            data=home / "data",
            cache=home / "cache",
            logs=home / "logs",
            exports=home / "exports",
        )

    def ensure(self) -> Paths:
        """Make every folder that is missing and return these paths.

        Raises:
            PathError: one of them can't be made or written.
        """
        for folder in (self.config, self.data, self.cache, self.logs, self.exports):
            ensure_folder(folder)
        return self


def ensure_folder(folder: Path) -> Path:
    """Make `folder` where it is missing, try to write in it, and return it.

    Raises:
        PathError: it can't be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise PathError(f"can't make the folder {folder}: a file of that name is in the way; {_WAY_OUT}") from error
    except OSError as error:
        raise PathError(f"can't make the folder {folder}: {error.strerror}; {_WAY_OUT}") from error
    try:
        # Trying is the only honest question: access(2) says yes to root and on some network drives.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PathError(f"can't write in the folder {folder}: {error.strerror}; {_WAY_OUT}") from error
    return folder


def _expanded(home: str) -> Path:
    try:
        return Path(home).expanduser().absolute()
    except RuntimeError as error:
        raise PathError(f"SLMTUI_HOME is {home}, and that user has no home folder here; {_WAY_OUT}") from error
    except OSError as error:
        raise PathError(f"SLMTUI_HOME is {home}, below a folder that is gone; {_WAY_OUT}") from error
