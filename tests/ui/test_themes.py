from __future__ import annotations

from pathlib import Path

import pytest
from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

from slmtui.lab.services import Services
from slmtui.sources.config import Config, load_config, save_config
from slmtui.sources.paths import Paths
from slmtui.sources.resources import theme_files
from slmtui.ui.themes import DEFAULT_THEME, ThemeError, read_theme, read_themes
from tests.ui.steps import notices, running, until

OWN = '{name}\nprimary = "#336699"\n'


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.2's contrast ratio of two opaque colours."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: Color) -> float:
    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(part / 255) for part in colour.rgb)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable(style: Style) -> bool:
    """Whether text in this style is either the terminal's plain text, or far enough from its ground."""
    text, ground = (colour or RichColor.default() for colour in (style.color, style.bgcolor))
    if text.is_default or ground.is_default:
        return text.is_default and ground.is_default
    return contrast(Color.from_rich_color(text), Color.from_rich_color(ground)) >= 3


def shipped(name: str) -> Theme:
    return next(theme for theme in read_themes()[0] if theme.name == name)


def test_at_least_four_themes_come_with_the_program_and_none_is_wrong() -> None:
    themes, problems = read_themes()
    assert problems == []
    assert {"slmtui-dark", "slmtui-light", "slmtui-contrast", "slmtui-terminal"} <= {each.name for each in themes}
    assert DEFAULT_THEME in {theme.name for theme in themes}
    assert Config().theme == DEFAULT_THEME


@pytest.mark.parametrize("path", theme_files(), ids=lambda path: path.stem)
def test_a_theme_has_every_variable_that_textual_knows_and_no_other(path: Path) -> None:
    theme = read_theme(path)
    like = BUILTIN_THEMES["ansi-dark" if theme.ansi else "textual-dark"]
    known = set(like.to_color_system().generate())
    assert path.stem == theme.name
    assert set(theme.to_color_system().generate()) >= known
    assert set(theme.variables) <= known


@pytest.mark.parametrize(("name", "least"), [("slmtui-dark", 4.5), ("slmtui-light", 4.5), ("slmtui-contrast", 7.0)])
def test_text_can_be_read_on_every_ground(name: str, least: float) -> None:
    values = shipped(name).to_color_system().generate()
    texts = ("foreground", "text-muted", "primary", "accent", "success", "warning", "error", "footer-key-foreground")
    for ground in ("background", "surface"):
        for text in texts:
            ratio = contrast(Color.parse(values[text]), Color.parse(values[ground]))
            assert ratio >= least, f"{text} on {ground}: {ratio:.1f}"
    for kind in ("block-cursor", "block-cursor-blurred"):
        pair = (values[f"{kind}-foreground"], values[f"{kind}-background"])
        assert contrast(*(Color.parse(value) for value in pair)) >= least


def test_the_terminal_theme_uses_no_colour_but_the_terminals() -> None:
    theme = shipped("slmtui-terminal")
    assert theme.ansi
    colours = [value for key, value in theme.variables.items() if not key.endswith("-style")]
    colours += [theme.primary, theme.background or "", theme.foreground or "", theme.error or ""]
    assert all(colour.startswith("ansi_") for colour in colours)
    # Bright black is the ground itself in Solarized: no text that matters may have it.
    assert "ansi_bright_black" not in (theme.variables["text-muted"], theme.foreground)


@pytest.mark.parametrize("name", [*(path.stem for path in theme_files()), "ansi-dark", "ansi-light"])
async def test_every_theme_can_be_read_without_colour(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with running((80, 24)) as (app, pilot):
        app.theme = name
        await pilot.pause()
        segments = [segment for strip in app.screen._compositor.render_strips() for segment in strip]
        words = [(text, style) for text, style, _ in segments if style is not None and any(map(str.isalnum, text))]
        assert len(words) > 20
        assert [text for text, style in words if not readable(style)] == []


@pytest.mark.parametrize("path", theme_files(), ids=lambda path: path.stem)
async def test_every_theme_can_be_put_on(path: Path) -> None:
    async with running() as (app, pilot):
        app.theme = path.stem
        await pilot.pause()
        await pilot.press("f1")
        assert app.theme == path.stem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "not TOML"),
        ("name = " + "[" * 20_000, "not TOML"),
        ('name = "mine"', "primary"),
        ('name = "mine"\nprimary = "#12"', "primary: '#12' is no colour"),
        ('name = "mine"\nprimary = "#336699"\ncolour = "red"', "colour"),
        ('name = "mine"\nprimary = "#336699"\ndark = "yes"', "dark"),
        ('name = "My Theme"\nprimary = "#336699"', "name must be"),
        ('name = "mine"\nprimary = "#336699"\n[variables]\nborder = "greenish"', "variables.border"),
        ('name = "mine"\nprimary = "#336699"\n[variables]\nborder = "red much"', "percentage"),
        ('name = "mine"\nprimary = "#336699"\n[variables]\nlink-style = "fat"', "variables.link-style"),
    ],
)
def test_what_is_wrong_with_a_theme_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ThemeError) as caught:
        read_theme(path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


def test_a_file_that_is_not_text_or_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(ThemeError, match="can't read"):
        read_theme(path)
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(ThemeError, match="UTF-8"):
        read_theme(path)


def test_a_wrong_theme_keeps_no_other_from_being_read(tmp_path: Path) -> None:
    write(tmp_path, OWN.format(name='name = "good"'), "good.toml")
    write(tmp_path, OWN.format(name='name = "slmtui-dark"'), "instead.toml")
    write(tmp_path, "primary = 1", "bad.toml")
    themes, problems = read_themes(tmp_path, tmp_path / "missing")
    by_name = {theme.name: theme for theme in themes}
    assert by_name["good"].primary == "#336699"
    assert by_name["slmtui-dark"].primary == "#336699"
    assert len(problems) == 1
    assert "bad.toml" in problems[0]


async def test_a_theme_of_ones_own_is_offered_and_a_wrong_one_is_told_once() -> None:
    folder = Paths.find().user_themes
    write(folder, OWN.format(name='name = "mine"'))
    write(folder, 'name = "[bold]no"', "wrong.toml")
    async with running() as (app, pilot):
        assert "mine" in app.available_themes
        await until(pilot, lambda: notices(pilot))
        assert len([text for text in notices(pilot) if "wrong.toml" in text]) == 1


async def test_a_terminal_theme_without_textuals_own_variables_does_not_end_the_app() -> None:
    write(Paths.find().user_themes, 'name = "bare"\nprimary = "ansi_red"\nansi = true\ndark = false\n')
    async with running() as (app, pilot):
        app.theme = "bare"
        await pilot.pause()
        await pilot.press("f1")
        assert app.is_running
        assert app.theme == "bare"


async def test_a_chosen_theme_that_is_not_there_falls_back_and_says_so() -> None:
    paths = Paths.find()
    save_config(Config(theme="gone"), paths.config_file)
    async with running() as (app, pilot):
        assert app.theme == DEFAULT_THEME
        await until(pilot, lambda: any("no theme gone" in text for text in notices(pilot)))
    assert load_config(paths.config_file).theme == "gone", "only a choice is kept, not the fallback"


async def test_a_change_of_theme_is_kept_for_the_next_run() -> None:
    path = Paths.find().config_file
    async with running() as (app, pilot):
        assert not path.exists(), "starting the app is no choice"
        app.theme = "slmtui-light"
        await until(pilot, path.exists)
    assert load_config(path).theme == "slmtui-light"
    async with running(services=Services.open(strict=True)) as (app, _):
        assert app.theme == "slmtui-light"


async def test_a_theme_that_can_t_be_kept_is_used_all_the_same() -> None:
    path = Paths.find().config_file
    async with running() as (app, pilot):
        path.mkdir(parents=True)
        app.theme = "slmtui-light"
        await until(pilot, lambda: any("an't read" in text for text in notices(pilot)))
        assert app.theme == "slmtui-light"
