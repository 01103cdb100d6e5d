from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from slmtui.core.diff import compare
from slmtui.core.intervals import Ratio
from slmtui.core.measurement import Session
from slmtui.core.results import cell_results
from slmtui.lab.services import Services
from slmtui.ui.app import SlmtuiApp
from slmtui.ui.screens.diff import DiffScreen
from slmtui.ui.screens.sessions import SessionsScreen
from slmtui.ui.widgets.diff_table import DiffTable, interval_bar, span
from slmtui.ui.widgets.fit_table import FitTable
from tests.samples import ENVIRONMENT, measurement, timing
from tests.ui.steps import notices, running, sheet_gone, shown, until

JITTER = (1.0, 0.99, 1.01, 0.995, 1.005)


def stored(
    services: Services, name: str, factor: float = 1.0, models: Sequence[str] = ("pocket-5m:Q8_0", "pocket-2m:Q8_0")
) -> Session:
    """A session in which decode takes `factor` times the usual time."""
    session = services.store.start_session(ENVIRONMENT)
    for model in models:
        for number, one in enumerate(JITTER):
            spent = timing(prefill_s=0.25 * one, decode_s=0.5 * factor * one, ttft_s=0.26 * one)
            services.store.add(measurement(number, session=session.id, model=model, name=model, timing=spent))
    services.store.rename_session(session.id, name)
    services.store.end_session(session.id)
    return session


def with_sessions(*factors: float) -> tuple[Services, list[Session]]:
    services = Services.open(strict=False)
    return services, [stored(services, f"session {number}", factor) for number, factor in enumerate(factors)]


def listed(app: SlmtuiApp) -> FitTable:
    return app.screen.query_one("#sessions > FitTable", FitTable)


async def opened(app: SlmtuiApp, pilot: Pilot[int]) -> None:
    await pilot.press("f6")
    await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and not app.screen.has_class("-unread"))


async def compared(app: SlmtuiApp, pilot: Pilot[int], a: Session, b: Session) -> DiffTable:
    await opened(app, pilot)
    for session in (a, b):
        listed(app).highlight(session.id)
        await pilot.press("space")
    await pilot.press("c")
    await until(pilot, lambda: isinstance(app.screen, DiffScreen))
    table = app.screen.query_one(DiffTable)
    await until(pilot, lambda: table.row_count)
    return table


def text_of(app: SlmtuiApp) -> str:
    return "\n".join(str(each.render()) for each in app.screen.query(Static).results())


async def test_marks_are_letters_and_two_at_most() -> None:
    services, sessions = with_sessions(1.0, 1.2, 1.4)
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        for session in sessions:
            listed(app).highlight(session.id)
            await pilot.press("space")
        await until(pilot, lambda: any("A and B are marked" in text for text in notices(pilot)))
        assert [listed(app).figure(session.id, "mark").text for session in sessions] == ["A", "B", "·"]
        listed(app).highlight(sessions[0].id)
        await pilot.press("space")
        assert [listed(app).figure(session.id, "mark").text for session in sessions] == ["·", "A", "·"]


async def test_the_key_is_grey_until_there_are_two_sessions_to_compare() -> None:
    services, (one, two) = with_sessions(1.0, 1.2)
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        screen = app.screen
        assert isinstance(screen, SessionsScreen)
        reason = screen.reason("diff")
        assert reason is not None
        assert "space" in reason
        listed(app).highlight(one.id)
        await pilot.press("space")
        assert screen.reason("diff"), "a session and itself"
        listed(app).highlight(two.id)
        await until(pilot, lambda: screen.reason("diff") is None)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, DiffScreen))
        assert "session 0" in text_of(app)
        assert "session 1" in text_of(app)


async def test_a_regression_is_told_in_words_and_signs() -> None:
    services, (before, after) = with_sessions(1.0, 1.25)
    async with running(services=services) as (app, pilot):
        table = await compared(app, pilot, before, after)
        assert "▼ B is slower by more than 5 % in 2 figures." in text_of(app)
        assert len(table.keys) == 6, "prefill, decode and first token of two models"
        decode = next(key for key in table.keys if table.figure(key, "figure").text.startswith("decode tg128"))
        assert table.figure(decode, "ratio").value == pytest.approx(0.8)
        assert table.figure(decode, "verdict").text == "▼ slower by more than 5 %"
        assert "●" in table.figure(decode, "bar").text
        prefill = next(key for key in table.keys if table.figure(key, "figure").text.startswith("prefill"))
        assert table.figure(prefill, "verdict").text == "= no difference shown, none over 5 %"
        table.highlight(decode)
        await until(pilot, lambda: "decode is 20 % slower" in shown(app, "#figure"))
        assert "5 repetitions" in shown(app, "#figure")
        await pilot.press("escape")
        await sheet_gone(pilot)


async def test_the_other_way_round_there_is_no_regression() -> None:
    services, (before, after) = with_sessions(1.0, 1.25)
    async with running(services=services) as (app, pilot):
        await compared(app, pilot, after, before)
        assert "= Nothing in B is shown to be slower by more than 5 %." in text_of(app)


async def test_sessions_without_a_common_cell_say_so() -> None:
    services = Services.open(strict=False)
    one, two = stored(services, "one", models=["a"]), stored(services, "two", models=["b"])
    async with running(services=services) as (app, pilot):
        await opened(app, pilot)
        for session in (one, two):
            listed(app).highlight(session.id)
            await pilot.press("space")
        await pilot.press("c")
        await until(pilot, lambda: any("nothing in common" in text for text in notices(pilot)))
        assert isinstance(app.screen, SessionsScreen)


async def test_what_is_only_in_one_session_is_listed() -> None:
    services = Services.open(strict=False)
    one, two = stored(services, "one", models=["a", "[b]both[/b]"]), stored(services, "two", models=["[b]both[/b]"])
    async with running(services=services) as (app, pilot):
        await compared(app, pilot, one, two)
        assert "only in A: a, pp512 tg128" in text_of(app)
        assert "[b]both[/b]" in shown(app, "#figure"), "never markup"


@pytest.mark.parametrize("size", [(80, 24), (60, 15), (200, 50)])
async def test_ratio_interval_and_verdict_fit_any_size(size: tuple[int, int]) -> None:
    services, (before, after) = with_sessions(1.0, 1.25)
    async with running(size, services) as (app, pilot):
        table = await compared(app, pilot, before, after)
        assert table.virtual_size.width <= table.size.width
        assert {"figure", "ratio", "interval", "verdict"} <= set(table.shown_columns)
        assert ("model" in table.shown_columns) == (size[0] >= 80)
        assert table.size.height >= 4
        assert app.screen.query_one("#figure").region.height > 1


def test_an_interval_is_drawn_about_one_on_a_logarithmic_scale() -> None:
    widest = math.log(2)
    assert interval_bar(Ratio(value=1.0), widest, 9) == "····●····"
    assert interval_bar(Ratio(value=2.0, low=math.sqrt(2), high=2.0), widest, 9) == "····│·──●"
    assert interval_bar(Ratio(value=0.5, low=0.5, high=1.0), widest, 9) == "●───┼····"
    assert interval_bar(Ratio(value=1.0, low=0.1, high=9.0), widest, 9) == "◂───●───▸"
    assert interval_bar(Ratio(value=9.0), widest, 9) == "····│···▸"
    assert interval_bar(Ratio(value=0.1, low=0.09, high=0.11), widest, 9) == "◂···│····"


def test_the_scale_has_room_for_the_tolerance_and_ends_at_two() -> None:
    same = cell_results([measurement(number) for number in range(3)])
    slow = cell_results([measurement(number, timing=timing(prefill_s=25, decode_s=50)) for number in range(3)])
    assert span(compare(same, same)) == pytest.approx(-math.log(0.9))
    assert span(compare(same, slow)) == pytest.approx(math.log(2))
