from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import psutil
import pytest
from textual.widgets import Button, Checkbox, Input

from slmtui.core.probe_presets import PRESETS, ProbeGrid
from slmtui.core.probe_results import cell_scores, levels
from slmtui.lab import probe
from slmtui.ui.screens.probe_questions import QuestionsScreen
from slmtui.ui.screens.probe_sheet import ProbeSheet
from slmtui.ui.screens.probe_tasks import TasksSheet, Ticks
from slmtui.ui.widgets.choice import Choice
from slmtui.ui.widgets.empty import NothingMarked
from slmtui.ui.widgets.page_table import PageTable
from slmtui.ui.widgets.pick import ExportSheet
from slmtui.ui.widgets.plot_chart import PlotChart
from slmtui.ui.widgets.unfinished import UnfinishedOffer
from tests.samples import measurement
from tests.ui.probe_steps import LARGE, SMALL, Asking, asking, make_small
from tests.ui.steps import notices, sheet_gone, shown, until


@pytest.fixture(autouse=True)
def small_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)


def is_chosen(choice: Choice, wanted: str) -> bool:
    return choice.value == wanted


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


async def press_while_asked(found: Asking, key: str) -> None:
    """Press a key while the worker stands still: the demo models answer faster than a test can press one."""
    cell = found.screen.probing.asking
    assert cell is not None
    (pid,) = (each.pid for each in found.app.services.loaded if each.ready)
    assert pid is not None
    worker = psutil.Process(pid)
    worker.suspend()
    await found.pilot.press(key)
    worker.resume()
    await until(found.pilot, lambda: found.screen.probing.asking != cell)


async def sheet_of(found: Asking, key: str, kind: type) -> None:
    await found.pilot.press(key)
    await until(found.pilot, lambda: isinstance(found.app.screen, kind))


async def test_without_a_mark_models_are_offered_that_can_be_asked() -> None:
    async with asking() as found:
        offer = found.screen.query_one(NothingMarked)
        assert offer.display
        assert found.screen.reason("run") == "Mark a model and choose a task first."
        await found.pilot.click(offer.query_one(Button))
        await until(found.pilot, lambda: found.app.marked)
        await found.planned()
        assert not offer.display
        assert "pocket-judgements" in shown(found.app, "#outlook")


async def test_a_probe_fills_the_grid_with_what_is_stored_and_every_question_can_be_read() -> None:
    async with asking(SMALL, LARGE) as found:
        await found.planned()
        assert "2 models × 1 task · 32 questions" in shown(found.app, "#outlook")
        assert found.screen.reason("look") == "Nothing was answered in this row yet."
        await found.run()
        assert found.states == ["done"] * 4
        assert len(found.screen.pages.rows) == 2
        kept = (await probe.kept(found.app.services))[0]
        stored = levels(cell_scores(await probe.batches(found.app.services, kept.plan.id)))
        for level in stored:
            row = f"{level.model}\n{level.task}\n{level.labels}"
            assert found.table.figure(row, f"shots {level.shots}").value == level.accuracy.value
        said = shown(found.app, "#said")
        assert "With 2 shots: " in said
        assert "Pocket 2M Q8_0 · pocket-judgements" in said

        await found.screen.go_to_page("curves")
        plot = found.screen.query_one("#page-curves PlotChart", PlotChart).plot
        assert plot is not None
        assert [each.label for each in plot.series] == ["Pocket 2M Q8_0", "Pocket 5M Q8_0", "chance"]
        await found.screen.go_to_page("costs")
        assert "No decode speed was measured here" in shown(found.app, "#page-costs .page--note")
        await found.pilot.press("t")
        assert len(found.screen.pages.table) == 2
        await found.screen.go_to_page("grid")

        found.table.focus()
        await sheet_of(found, "enter", QuestionsScreen)
        questions = found.app.screen.query_one(PageTable)
        assert len(questions) == 8
        first = shown(found.app, "#verdict")
        assert "Pocket 2M Q8_0 · 0 shots" in first
        assert "nats" in first
        scores = found.screen.probing.scores
        place = int(questions.highlighted or "")
        assert shown(found.app, "#prompt") == scores[0].batches[0].prompt(scores[0].answers[place])
        await found.pilot.press("right")
        assert "2 shots · seed 1" in shown(found.app, "#verdict")
        assert shown(found.app, "#prompt") == scores[1].batches[0].prompt(scores[1].answers[place])
        await found.pilot.press("right", "right", "right", "left", "left")
        assert "Pocket 5M Q8_0 · 0 shots" in shown(found.app, "#verdict")
        choice = found.app.screen.query_one(Choice)
        right = {shots: scores[number].right for number, shots in enumerate((0, 2))}
        for wanted, before, after in (("gained", {0}, {1}), ("lost", {1}, {0}), ("wrong", {0, 1}, {0})):
            await found.pilot.press("f")
            await until(found.pilot, partial(is_chosen, choice, wanted))
            expected = [str(place) for place in right[0] if right[0][place] in before and right[2][place] in after]
            assert sorted(questions.keys) == sorted(expected)
        await found.pilot.press("escape")
        await until(found.pilot, lambda: found.app.screen is found.screen)


async def test_what_was_answered_is_exported_with_a_row_for_each_question() -> None:
    async with asking(SMALL) as found:
        services = found.app.services
        assert found.screen.reason("export") == "Nothing was measured yet."
        await found.run()
        assert services.session is not None
        folder, name = services.paths.exports, f"slmtui-{services.session.id}"
        await sheet_of(found, "e", ExportSheet)
        rows = found.app.screen.query_one("#rows", Choice)
        assert rows.region.height == 0, "it holds nothing else"
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "✓ Written" in shown(found.app, ".outcome"))
        answers = rows_of(folder / f"{name}-answers.csv")
        assert [(row["shots"], row["question"]) for row in answers] == [
            (str(score.shots), str(place)) for score in found.screen.probing.scores for place in sorted(score.answers)
        ]
        assert all(row["prompt"] and row["answer"] for row in answers)

        await found.pilot.press("escape")
        await sheet_gone(found.pilot)
        services.store.add(measurement(session=services.session.id))
        await sheet_of(found, "e", ExportSheet)
        rows = found.app.screen.query_one("#rows", Choice)
        await until(found.pilot, lambda: (rows.region.height, rows.value) == (1, "questions"))
        rows.focus()
        await found.pilot.press("right")
        field = found.app.screen.query_one(Input)
        await until(found.pilot, lambda: field.value == str(folder / f"{name}.csv"))
        field.focus()
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "✓ Written" in shown(found.app, ".outcome"))
        assert len(rows_of(folder / f"{name}.csv")) == 1


async def test_esc_stops_and_the_probe_goes_on_later_with_what_it_has() -> None:
    async with asking(SMALL) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        await found.answered(20)
        assert found.screen.reason("tasks") == "The running probe keeps its plan."
        await found.pilot.press("escape")
        await found.ended()
        done = found.screen.probing.done
        assert done >= 20
        assert "stopped" in found.states or "planned" in found.states
        assert not [each for each in found.app.services.loaded if each.ready]
    async with asking() as found:
        offer = found.screen.query_one(UnfinishedOffer)
        await until(found.pilot, lambda: offer.display)
        await found.pilot.press("c")
        await found.answered(done + 1)
        assert not offer.display
        assert found.screen.probing.done > done
        await found.pilot.press("escape")
        await found.ended()
        (kept,) = await probe.kept(found.app.services)
        assert kept.answered == found.screen.probing.done
        await until(found.pilot, lambda: offer.display)
        await found.pilot.press("d")
        await until(found.pilot, lambda: not offer.display)
        await until(found.pilot, lambda: "dropped" in notices(found.pilot)[-1])


async def test_a_skipped_cell_is_left_out_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # Cells that take a second: the app hears of one before it is over, on a busy machine too.
    monkeypatch.setitem(PRESETS, "standard", ProbeGrid(shots=(8,), seeds=40, questions=120, threads=1))
    async with asking(LARGE) as found:
        found.screen.query_one(Choice).value = "standard"
        await found.pilot.press("r")
        while "skipped" not in found.states:  # a cell may end while the key is on its way; then the next one is tried
            await until(found.pilot, lambda: found.screen.probing.asking)
            await press_while_asked(found, "x")
        skipped = found.states.index("skipped")
        state = list(found.screen.probing.states.values())[skipped]
        assert state.done < state.of
        await until(found.pilot, lambda: any(word in ("asking", "done") for word in found.states[skipped + 1 :]))
        await found.answered()  # with no answer at all, the plan to come would be shown instead of this one
        await found.pilot.press("escape")
        await found.ended()
        assert found.states[skipped] == "skipped"
        assert found.states.count("skipped") == 1


async def test_the_plan_sheet_changes_the_plan_and_says_what_is_wrong() -> None:
    async with asking(SMALL) as found:
        await found.planned()
        await sheet_of(found, "f8", ProbeSheet)
        sheet = found.app.screen
        sheet.query_one("#shots", Input).value = "0, x"
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "Shots: 0, x is not made of whole numbers." in shown(found.app, "#problem"))
        sheet.query_one("#shots", Input).value = "0, -2"
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "must be at least 0, not -2" in shown(found.app, "#problem"))
        sheet.query_one("#shots", Input).value = "0, 1, 4"
        sheet.query_one("#seeds", Input).value = "2"
        for label in ("true", "shuffled"):
            sheet.query_one(f"#{label}", Checkbox).value = label == "shuffled"
        sheet.query_one("#shuffled", Checkbox).value = False
        await found.pilot.press("ctrl+s")
        await until(found.pilot, lambda: "at least one" in shown(found.app, "#problem"))
        sheet.query_one("#shuffled", Checkbox).value = True
        await found.pilot.press("ctrl+s")
        await until(found.pilot, lambda: found.app.screen is found.screen)
        assert found.screen.changes == ProbeGrid(shots=(0, 1, 4), seeds=2, labels=("shuffled",))
        await found.planned()
        assert "changed: shots 0, 1, 4 · 2 seeds · labels shuffled" in shown(found.app, "#outlook")
        await sheet_of(found, "f8", ProbeSheet)
        await found.pilot.click("#defaults")
        await until(found.pilot, lambda: found.screen.changes is None)


async def test_a_file_of_one_s_own_is_begun_read_and_asked(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    async with asking(SMALL) as found:
        await sheet_of(found, "a", TasksSheet)
        sheet = found.app.screen
        ticks = sheet.query_one(Ticks)
        await until(found.pilot, lambda: ticks.option_count >= 12)
        assert ticks.selected == ["pocket-judgements"]
        field = sheet.query_one(Input)
        await found.pilot.click("#new")
        await until(found.pilot, lambda: "Name the new file first" in shown(found.app, "#problem"))
        field.value = str(tmp_path / "none.jsonl")
        field.focus()
        await found.pilot.press("enter")
        await until(found.pilot, lambda: "none.jsonl" in shown(found.app, "#problem"))
        field.value = str(path)
        await found.pilot.click("#new")
        await until(found.pilot, lambda: "Written: " in shown(found.app, "#problem"))
        path.write_text(path.read_text("utf-8") + "{\n", "utf-8")
        await found.pilot.click("#open")
        await until(found.pilot, lambda: "line " in shown(found.app, "#problem"))
        items = [f'{{"input": "a {number}", "target": "{"yes" if number % 2 else "no"}"}}' for number in range(6)]
        path.write_text("\n".join(items), "utf-8")
        field.focus()
        await found.pilot.press("enter")
        await until(found.pilot, lambda: str(path) in ticks.selected)
        await found.pilot.click("#none")
        ticks.select(str(path))
        ticks.focus()
        await found.pilot.press("enter")
        await until(found.pilot, lambda: found.app.screen is found.screen)
        assert found.screen.tasks == (str(path),)
        await found.run()
        assert found.states == ["done", "done"]
        await sheet_of(found, "a", TasksSheet)
        again = found.app.screen.query_one(Ticks)
        await until(found.pilot, lambda: again.selected == [str(path)])


async def test_a_task_that_is_gone_is_a_sentence_not_a_plan() -> None:
    async with asking(SMALL) as found:
        found.screen.chosen = ("no-such-task",)
        found.screen.think()
        await until(found.pilot, lambda: "no-such-task" in found.screen.problem)
        assert "There is no such probe" in shown(found.app, "#outlook")
        found.screen.chosen = ()
        found.screen.think()
        await until(found.pilot, lambda: "none: a chooses some" in shown(found.app, "#outlook"))
        assert found.screen.reason("run") == "Mark a model and choose a task first."


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_everything_fits_a_small_terminal(size: tuple[int, int]) -> None:
    async with asking(SMALL, size=size) as found:
        await found.run()
        assert found.table.size.height > found.table.header_height, "a row is to be seen"
        for page in ("curves", "costs", "grid"):
            await found.screen.go_to_page(page)
        for key, kind in (("a", TasksSheet), ("f8", ProbeSheet)):
            await sheet_of(found, key, kind)
            await found.pilot.pause()
            button = found.app.screen.query_one("#cancel", Button)
            assert found.app.screen.region.contains_region(button.region)
            assert not found.app.screen.query(Ticks) or found.app.screen.query_one(Ticks).size.height >= 3
            await found.pilot.click(button)
            await until(found.pilot, lambda: found.app.screen is found.screen)
