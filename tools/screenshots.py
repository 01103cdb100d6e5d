"""Makes the pictures in `docs/` from the running app, with the bundled models really loaded and measured.

python tools/screenshots.py [FOLDER]

Needs `resvg-py` (extra `dev`) and a monospaced system font, DejaVu Sans Mono for the same pictures. Nothing of your own
files is shown: the app runs in a temporary SLMTUI_HOME.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from textual.pilot import Pilot  # noqa: E402

from slmtui.core.probe_presets import ProbeGrid  # noqa: E402
from slmtui.lab.services import Services  # noqa: E402
from slmtui.ui.app import SlmtuiApp  # noqa: E402
from slmtui.ui.screens.compare import CompareScreen  # noqa: E402
from slmtui.ui.screens.probe import ProbeScreen  # noqa: E402
from slmtui.ui.screens.sessions import SessionsScreen  # noqa: E402

SIZE = (120, 36)
FONT = "DejaVu Sans Mono"
SCALE = 2
PATIENCE_S = 180.0
MODELS = ("pocket-2m:Q8_0", "pocket-5m:Q8_0")
COMPARED = ("pocket-2m:Q8_0", "pocket-5m:Q4_K_M", "pocket-5m:Q8_0", "pocket-5m:F16")


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs")
    folder: Path = parser.parse_args().folder
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(SLMTUI_HOME=home, TEXTUAL_ANIMATIONS="none")
        asyncio.run(take_all(folder))


async def take_all(folder: Path) -> None:
    """Walk through the app as a person would and take a picture of each screen."""
    services = Services.open(strict=True)
    await services.machine()
    app = SlmtuiApp(services)
    async with app.run_test(size=SIZE) as pilot:
        app.marked = tuple(services.find(name) for name in COMPARED)
        await pilot.press("f5")
        await measure(pilot)
        await take(pilot, folder / "compare.png")
        for page in ("speed", "size", "memory"):
            await pilot.press("n")
            await take(pilot, folder / f"compare-{page}.png")
        app.marked = tuple(services.find(name) for name in MODELS)
        await go_to(pilot, "results")
        await pilot.press("p", "p", "p", "p")
        await until(pilot, lambda: "against depth" in shown(app))
        await measure(pilot)
        await go_to(pilot, "depth")
        await take(pilot, folder / "compare-depth.png")
        await pilot.press("f2")
        await until(pilot, lambda: "all models" in shown(app) and "KV cache" in shown(app))
        await take(pilot, folder / "models.png")
        app.marked = tuple(services.find(name) for name in MODELS)
        await ask(pilot)
        await pilot.press("n")
        await take(pilot, folder / "probe.png")
        await pilot.press("f3")
        await until(pilot, lambda: shown(app).count("ready  loaded") == len(MODELS))
        for question in ("What is the kv cache?", "Tell me a story."):
            await pilot.press(*question, "enter")
            await until(pilot, lambda: shown(app).count("done ") == len(MODELS))
        await take(pilot, folder / "chat.png")
        await pilot.press("f6")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await take(pilot, folder / "sessions.png")
        app.theme = "slmtui-light"
        await pilot.press("f3")
        await take(pilot, folder / "light.png")
    await services.close()


async def measure(pilot: Pilot[object]) -> None:
    """Run the plan that Compare shows, to its end."""
    screen = compare(pilot)
    await until(pilot, lambda: screen.outlook is not None)
    await pilot.press("r")
    await until(pilot, lambda: not screen.running and not screen.old)


async def ask(pilot: Pilot[object]) -> None:
    """Ask the marked models the tasks that suit them, with up to eight examples."""
    await pilot.press("f4")
    screen = pilot.app.screen
    if not isinstance(screen, ProbeScreen):
        raise TypeError(f"{type(screen).__name__} is shown, not Probe")
    screen.changes = ProbeGrid(shots=(0, 1, 2, 4, 8), seeds=2, questions=60)
    screen.think()
    await until(pilot, lambda: screen.outlook is not None)
    await pilot.press("r")
    await until(pilot, lambda: not screen.running and not screen.old)


async def go_to(pilot: Pilot[object], page: str) -> None:
    """Turn the pages of Compare."""
    while compare(pilot).pages.page != page:
        await pilot.press("n")


def compare(pilot: Pilot[object]) -> CompareScreen:
    """The Compare screen that is shown."""
    screen = pilot.app.screen
    if not isinstance(screen, CompareScreen):
        raise TypeError(f"{type(screen).__name__} is shown, not Compare")
    return screen


async def until(pilot: Pilot[object], holds: Callable[[], bool]) -> None:
    """Wait until the screen shows what is waited for."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await pilot.pause(0.1)


def shown(app: SlmtuiApp) -> str:
    """The text on the screen."""
    width, height = app.size
    lines = app.screen._compositor.render_strips()  # there is no public way to read the text on the screen
    return "\n".join(strip.text[:width] for strip in lines[:height])


async def take(pilot: Pilot[object], path: Path) -> None:
    """Let timers and figures settle, then write the screen as PNG."""
    import resvg_py

    app = pilot.app
    for _ in range(10):
        await pilot.pause(0.1)
    svg = app.export_screenshot(title="slmtui").replace("Fira Code", FONT)
    image = resvg_py.svg_to_bytes(svg_string=svg, zoom=SCALE, font_family=FONT, monospace_family=FONT)
    await asyncio.to_thread(path.write_bytes, bytes(image))
    print(path)


if __name__ == "__main__":
    main()
