"""Colour themes: one .toml each, checked before Textual hears of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

import msgspec
from textual.color import Color, ColorParseError
from textual.theme import BUILTIN_THEMES, Theme

from slmtui.core.text import one_line
from slmtui.sources.resources import theme_files

DEFAULT_THEME = "slmtui-dark"
_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_STRENGTH = re.compile(r"\d{1,3}(\.\d+)?%")
_TEXT_STYLES = frozenset(("none", "not", "bold", "dim", "italic", "underline", "strike", "reverse", "overline"))


class ThemeError(ValueError):
    """A theme file is wrong; the message names the file, the key and what to do."""


class ThemeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may stand in a theme file; the colours are Textual's, hence its spelling."""

    name: str
    primary: str
    secondary: str | None = None
    accent: str | None = None
    success: str | None = None
    warning: str | None = None
    error: str | None = None
    foreground: str | None = None
    background: str | None = None
    surface: str | None = None
    panel: str | None = None
    boost: str | None = None
    dark: bool = True
    ansi: bool = False
    """Whether the colours are the terminal's own sixteen (`ansi_cyan`, `ansi_default`, …)."""
    luminosity_spread: float = 0.15
    text_alpha: float = 0.95
    variables: dict[str, str] = {}
    """Textual's theme variables by name, without the `$`."""


def read_theme(path: Path) -> Theme:
    """Read one theme and check every colour in it.

    Raises:
        ThemeError: the file can't be read, is not TOML, or a key or colour in it is wrong.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ThemeError(f"{path}: can't read it: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ThemeError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ThemeError(f"{path}: not TOML: {error}") from error
    try:
        file = msgspec.convert(document, ThemeFile)
    except msgspec.ValidationError as error:
        raise ThemeError(f"{path}: {error}") from None
    _check(file, path)
    theme = Theme(**msgspec.structs.asdict(file))
    theme.variables = {**_needed(theme), **theme.variables}
    return theme


def _needed(theme: Theme) -> dict[str, str]:
    """Variables without which Textual's own style sheets can't be read: its terminal themes bring them themselves."""
    if not theme.ansi:
        return {}
    like = BUILTIN_THEMES["ansi-dark" if theme.dark else "ansi-light"]
    return {name: like.variables[name] for name in ("ansi-background", "ansi-foreground")}


def read_themes(*folders: Path) -> tuple[list[Theme], list[str]]:
    """The program's own themes and those in `folders`, and a sentence for each file that is wrong.

    A later theme replaces an earlier one of the same name. A folder that does not exist holds none.
    """
    themes: dict[str, Theme] = {}
    problems: list[str] = []
    for path in _files(folders):
        try:
            theme = read_theme(path)
        except ThemeError as error:
            problems.append(one_line(str(error)))
        else:
            themes[theme.name] = theme
    return list(themes.values()), problems


def _files(folders: Iterable[Path]) -> list[Path]:
    return [*theme_files(), *(path for folder in folders for path in sorted(folder.glob("*.toml")))]


def _check(file: ThemeFile, path: Path) -> None:
    if not _NAME.fullmatch(file.name):
        raise ThemeError(f"{path}: name must be lower-case letters, digits, '-' and '_', not {file.name!r}")
    for key, value in msgspec.structs.asdict(file).items():
        if isinstance(value, str) and key != "name":
            _check_colour(path, key, value)
    for key, value in file.variables.items():
        if key.endswith("-style"):
            _check_style(path, key, value)
        else:
            colour, _, strength = value.partition(" ")
            if strength and not _STRENGTH.fullmatch(strength):
                raise ThemeError(f"{path}: variables.{key}: {strength!r} is no percentage")
            if colour != "auto":
                _check_colour(path, f"variables.{key}", colour)


def _check_colour(path: Path, key: str, value: str) -> None:
    try:
        Color.parse(value)
    except ColorParseError:
        raise ThemeError(f"{path}: {key}: {value!r} is no colour; write it as #rrggbb") from None


def _check_style(path: Path, key: str, value: str) -> None:
    if not value or not _TEXT_STYLES.issuperset(value.split()):
        raise ThemeError(f"{path}: variables.{key}: {value!r} is no text style; write bold, none, …")
