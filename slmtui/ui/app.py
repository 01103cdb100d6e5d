"""The terminal app: its screens, its theme, and what every screen can ask for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any, ClassVar

import msgspec
from textual import on, work
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter
from textual.reactive import var
from textual.screen import Screen
from textual.theme import Theme, ThemeProvider

from slmtui.core.catalog import LocalModel
from slmtui.core.machine import Machine
from slmtui.lab.services import Services
from slmtui.sources.config import ConfigError
from slmtui.ui.commands import COMMANDS, Place, bindings, key_words
from slmtui.ui.endings import has_terminal, obeying_signals
from slmtui.ui.messages import LiveSampled, MachineDetected, Problem
from slmtui.ui.themes import DEFAULT_THEME, read_themes
from slmtui.ui.widgets.strip import Live, Strip

MOUNT_LOOKS = 200
"""How often quitting looks whether a screen that is being opened is there, every 10 ms."""
LIVE_S = 2.0
"""Seconds between two looks at the machine's free memory."""


def _models() -> Screen[None]:
    from slmtui.ui.screens.models import ModelsScreen

    return ModelsScreen()


def _chat() -> Screen[None]:
    from slmtui.ui.screens.chat import ChatScreen

    return ChatScreen()


def _probe() -> Screen[None]:
    from slmtui.ui.screens.probe import ProbeScreen

    return ProbeScreen()


def _compare() -> Screen[None]:
    from slmtui.ui.screens.compare import CompareScreen

    return CompareScreen()


def _sessions() -> Screen[None]:
    from slmtui.ui.screens.sessions import SessionsScreen

    return SessionsScreen()


class SlmtuiApp(App[int], inherit_bindings=False):
    """Small language models on this machine, side by side."""

    TITLE = "slmtui"
    # The first screen's style sheet is read with the app's own: apart, Textual would parse everything once more.
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "screens/models.tcss"]
    DEFAULT_CSS = """
    .sheet {
        width: 72;
        max-width: 100%;
        height: auto;
        max-height: 100%;
        padding: 1 2;
        background: $surface;
        border: round $border;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $text-muted;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings("app"),
        Binding("ctrl+c", "help_quit", show=False, system=True),
    ]
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "models": _models,
        "chat": _chat,
        "probe": _probe,
        "compare": _compare,
        "sessions": _sessions,
    }
    DEFAULT_MODE = "models"

    marked: var[tuple[LocalModel, ...]] = var(())
    """The models that are marked for Chat, Probe and Compare, in the order of marking."""
    machine: var[Machine] = var(Machine())
    """What has been detected so far."""
    live: var[Live] = var(Live())
    """Free memory and the loaded models' memory."""

    def __init__(self, services: Services) -> None:
        super().__init__()
        self.services = services
        self._leaving = False
        self._theme_problems = self._use_themes()

    def on_mount(self) -> None:
        """Start what needs no answer before the first frame."""
        self.theme_changed_signal.subscribe(self, self._keep_theme)
        self.call_after_refresh(self._look_around)

    def _look_around(self) -> None:
        for problem in (*self.services.notices, *self._theme_problems):
            self.notify(problem, severity="warning", markup=False, timeout=12)
        self.detect_machine()
        self.sample_live()
        self.set_interval(LIVE_S, self.sample_live)

    @work(exclusive=True, group="detect")
    async def detect_machine(self) -> None:
        """Find out what the machine is: first what is quick, then everything."""
        self.post_message(MachineDetected(await self.services.quick_machine()))
        self.post_message(MachineDetected(await self.services.machine()))

    @work(exclusive=True, group="live")
    async def sample_live(self) -> None:
        """Look at the memory once, and whether anybody can still see it."""
        if not (self.is_headless or has_terminal()):
            self.call_later(self.leave, 1)
            return
        memory = await self.services.memory_now()
        loaded = tuple(
            (each.model.name, each.process_memory.charged_bytes if each.process_memory else None)
            for each in self.services.loaded
            if each.ready
        )
        self.post_message(LiveSampled(Live(memory=memory, loaded=loaded)))

    @on(MachineDetected)
    def _take_machine(self, message: MachineDetected) -> None:
        self.machine = message.machine

    @on(LiveSampled)
    def _take_live(self, message: LiveSampled) -> None:
        self.live = message.live

    @on(Problem)
    def _say_problem(self, message: Problem) -> None:
        self.notify(message.text[:1].upper() + message.text[1:], severity="error", markup=False, timeout=12)

    @on(Strip.Chosen)
    async def _go_to_tab(self, message: Strip.Chosen) -> None:
        await self.action_go(message.mode)

    async def action_go(self, mode: str) -> None:
        """Show another screen, and wait until it is there; not while the app is leaving."""
        if not self._leaving:
            await self.switch_mode(mode)

    def action_help(self) -> None:
        """Show the keys of the current screen."""
        from slmtui.ui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self._place(self.screen)))

    def action_command_palette(self) -> None:
        """Show every command by name."""
        from slmtui.ui.screens.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search_themes(self) -> None:
        """Show every theme by name; one that is chosen is put on."""
        from slmtui.ui.screens.palette import Palette

        self.push_screen(Palette(providers=[ThemeProvider], placeholder="Search for themes…"))

    async def action_quit(self) -> None:
        """End every worker, then leave; the terminal is restored by Textual."""
        await self.leave(0)

    async def leave(self, code: int) -> None:
        """End every worker, then leave with this exit code."""
        self._leaving = True
        await self._end_all()
        # A screen that was opened by a key typed just before would be mounted without its widgets.
        for _ in range(MOUNT_LOOKS):
            if self.screen.is_mounted:
                break
            await asyncio.sleep(0.01)
        self.exit(return_code=code)

    async def on_unmount(self) -> None:
        """End every worker in whatever way the app ended."""
        await self._end_all()

    async def _end_all(self) -> None:
        """Stop what the app does, wait until it has put its things in order, and end the models' workers."""
        tasks = tuple(self.workers)
        for task in tasks:
            # A second cancel would interrupt a task that is about to end its model's process.
            if not task.is_cancelled:
                task.cancel()
        await asyncio.gather(*(task.wait() for task in tasks), return_exceptions=True)
        await self.services.close()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every command that can act now, here or everywhere."""
        here = self._place(screen)
        for command in COMMANDS:
            target: DOMNode = self if command.place == "app" else screen
            if command.action == "command_palette" or command.place not in ("app", here):
                continue
            if target.check_action(_name(command.action), ()):
                run = partial(self.run_action, command.action, target)
                yield SystemCommand(command.title, f"{key_words(command.key)} · {command.help}", run)
        save = partial(self.set_timer, 0.1, self.deliver_screenshot)
        yield SystemCommand("Screenshot", "Save this screen as an SVG file.", save)

    def get_driver_class(self) -> type[Driver]:
        """Textual's driver; on Unix one that outlives its terminal."""
        driver = super().get_driver_class()
        if sys.platform == "win32":
            return driver
        from textual.drivers.linux_driver import LinuxDriver

        from slmtui.ui.driver import OutlivingDriver

        return OutlivingDriver if driver is LinuxDriver else driver

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's filters, but for NO_COLOR: Textual chooses how to heed it before a theme is put on."""
        filters = super().get_line_filters()
        if not (self.no_color and self.native_ansi_color):
            return filters
        from slmtui.ui.no_color import without_colours

        return without_colours(filters)

    def _place(self, screen: Screen[Any]) -> Place:
        from slmtui.ui.base import LabScreen

        return screen.PLACE if isinstance(screen, LabScreen) else "app"

    def _use_themes(self) -> list[str]:
        """Register all themes and put on the chosen one; return a sentence for each problem."""
        themes, problems = read_themes(self.services.paths.user_themes)
        for theme in themes:
            self.register_theme(theme)
        wanted = self.services.config.theme
        if wanted not in self.available_themes:
            problems.append(f"There is no theme {wanted}; {DEFAULT_THEME} it is. ctrl+t chooses another.")
            wanted = DEFAULT_THEME
        self.theme = wanted
        return problems

    def _keep_theme(self, theme: Theme) -> None:
        if theme.name != self.services.config.theme:
            self.keep_theme(theme.name)

    @work(exclusive=True, group="config")
    async def keep_theme(self, name: str) -> None:
        """Remember the theme for the next run."""
        try:
            await self.services.change_config(lambda config: msgspec.structs.replace(config, theme=name))
        except ConfigError as error:
            self.post_message(Problem(str(error)))


def _name(action: str) -> str:
    return action.partition("(")[0]


def run_app(services: Services) -> int:
    """Open the app on the terminal until the person leaves it; the exit code."""
    app = SlmtuiApp(services)  # before asyncio takes ctrl+c for a wish to cancel, which would break off the first frame

    async def run() -> int:
        with obeying_signals(partial(app.call_later, app.leave)):
            await app.run_async()
        return app.return_code or 0

    return asyncio.run(run())
