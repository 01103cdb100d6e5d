"""The person's settings: `config.toml` in the config folder."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from slmtui.core.sampling import Sampling, SamplingError, checked
from slmtui.sources.atomic import write_atomically
from slmtui.sources.locks import changing

_HEAD = """\
# Settings of slmtui. What is not here has its default.
# slmtui writes this file anew when a setting is changed in the program; comments do not survive that.

"""
_PROBLEM = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)


class ConfigError(ValueError):
    """The settings can't be read or written; the message names the file and the key."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings that last from one run to the next."""

    theme: str = "slmtui-dark"
    sampling: Sampling = Sampling()
    threads: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    """Threads for decode; None takes what suits the machine."""
    context: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """Tokens of context; None takes the model's own, at most 4,096."""
    folders: tuple[str, ...] = ()
    """Folders in which to look for .gguf files; `~` is the home folder."""


def load_config(path: Path) -> Config:
    """Read the settings; a file that does not exist means the defaults.

    Raises:
        ConfigError: the file can't be read, is not TOML, or a key is unknown or has a wrong value.
    """
    try:
        # Editors on Windows like to put a byte order mark first, which TOML does not know.
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}; mend it or move it away") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}; correct that place or move the file away") from error
    return _parse(document, path)


def save_config(config: Config, path: Path) -> None:
    """Replace the file at `path` by one that holds what differs from the defaults, making its folder.

    Raises:
        ConfigError: the file can't be written.
    """
    import tomli_w

    document = _differing(msgspec.to_builtins(config), msgspec.to_builtins(Config()))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _HEAD + tomli_w.dumps(document))
    except OSError as error:
        raise _unwritable(path, error) from error


def change_config(path: Path, change: Callable[[Config], Config]) -> Config:
    """Change the settings in the file at `path`, and return them; what another process changed meanwhile stays.

    Raises:
        ConfigError: the file can't be read, so that it is left as it is, or can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with changing(path):
            config = change(load_config(path))
            save_config(config, path)
    except OSError as error:  # of the lock
        raise _unwritable(path, error) from error
    return config


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"can't write {path}: {error.strerror or 'another process holds it'}; the settings hold for this run only. "
        "Make the folder writable, or set SLMTUI_HOME to another one"
    )


def _parse(document: dict[str, Any], path: Path) -> Config:
    table = document.get("sampling")
    if isinstance(table, dict):
        for key in table.keys() - set(Sampling.__struct_fields__):
            raise _unknown(path, f"sampling.{key}")
    try:
        config = msgspec.convert(document, Config)
        checked(config.sampling)
    except msgspec.ValidationError as error:
        raise _explained(path, str(error)) from None
    except SamplingError as error:
        raise ConfigError(f"{path}: sampling.{error}; correct it or remove the line") from None
    return config


def _explained(path: Path, message: str) -> ConfigError:
    found = _PROBLEM.fullmatch(message)
    what, key = (found["what"], found["key"]) if found else (message, None)
    if unknown := _UNKNOWN.fullmatch(what):
        return _unknown(path, ".".join(filter(None, (key, unknown["name"]))))
    where = f"{path}: {key}" if key else str(path)
    return ConfigError(f"{where}: {what[:1].lower()}{what[1:]}; correct it or remove the line")


def _unknown(path: Path, key: str) -> ConfigError:
    known = Sampling.__struct_fields__ if key.startswith("sampling.") else Config.__struct_fields__
    return ConfigError(f"{path}: there is no setting {key}; known here: {', '.join(known)}")


def _differing(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            if inner := _differing(value, defaults[key]):
                kept[key] = inner
        elif value != defaults[key]:
            kept[key] = value
    return kept
