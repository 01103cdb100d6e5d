"""The sheet of tasks: those that come with the program, files of one's own, and a new one to fill in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, SelectionList, Static
from textual.widgets.selection_list import Selection

from slmtui.core.task import Task, TaskError
from slmtui.core.text import counted, one_line
from slmtui.sources.resources import ResourceError
from slmtui.sources.task_files import starter, write_task
from slmtui.sources.tasks import find_task, read_task, shipped_tasks
from slmtui.sources.textfile import expanded
from slmtui.ui.pages.probe_figures import percent


class TasksFound(Message):
    """Tasks were read, with what finds each again; or why one can't be."""

    def __init__(self, tasks: Sequence[tuple[str, Task]], problem: str = "", *, own: bool = False) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.problem = problem
        self.own = own


class Ticks(SelectionList[str]):
    """Space ticks, enter takes what is ticked."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "screen.apply", "Ask these", show=False)]


class TasksSheet(ModalScreen[tuple[str, ...] | None]):
    """Ticks for each task; the result are ids and paths, None for no change."""

    DEFAULT_CSS = """
    TasksSheet {
        align: center middle;
        & > .sheet { width: 90; height: 100%; max-height: 34; padding: 0 2; }
        & SelectionList { height: 1fr; scrollbar-size-vertical: 1; }
        & SelectionList { border: none; padding: 0; background: transparent; }
        & #about { height: 2; color: $text-muted; margin-top: 1; }
        & .row { height: 1; margin-top: 1; }
        & .row > Label { width: 10; }
        & .row > Input { width: 1fr; background: $panel; }
        & .row > Button { width: auto; min-width: 0; margin-left: 1; }
        & #problem { height: auto; color: $text-error; }
        & #buttons { height: 1; margin-top: 1; }
        & #buttons > Button { width: auto; min-width: 0; margin-right: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("ctrl+s", "apply", "Apply"),
    ]

    def __init__(self, chosen: Sequence[str]) -> None:
        super().__init__()
        self._chosen = tuple(chosen)
        self._tasks: dict[str, Task] = {}

    def compose(self) -> ComposeResult:
        """The list, the highlighted task in words, a field for one's own, buttons."""
        with Vertical(classes="sheet") as sheet:
            sheet.border_title = "Tasks to ask"
            sheet.border_subtitle = "space picks · enter asks these · esc cancels"
            yield Ticks(compact=True)
            yield Static(markup=False, id="about")
            with Horizontal(classes="row"):
                yield Label("your own")
                yield Input(placeholder="path of a .jsonl or .csv file of examples", compact=True)
                yield Button("Open", compact=True, id="open")
                yield Button("Begin new", compact=True, id="new")
            yield Static(markup=False, id="problem")
            with Horizontal(id="buttons"):
                yield Button("Ask these", variant="primary", compact=True, id="apply")
                yield Button("None", compact=True, id="none")
                yield Button("Cancel", compact=True, id="cancel")

    def on_mount(self) -> None:
        """Read the tasks in a thread."""
        self.read()

    @work(exclusive=True, group="tasks")
    async def read(self) -> None:
        """All tasks that come with the program, and those that are chosen by a path."""
        try:
            shipped = await asyncio.to_thread(shipped_tasks)
            known = {task.id for task in shipped}
            own = [(spec, await asyncio.to_thread(find_task, spec)) for spec in self._chosen if spec not in known]
            self.post_message(TasksFound([*((task.id, task) for task in shipped), *own]))
        except (TaskError, ResourceError) as error:
            self.post_message(TasksFound((), str(error)))

    @work(exclusive=True, group="tasks")
    async def read_own(self, typed: str) -> None:
        """A file of the person's."""
        try:
            self.post_message(TasksFound([await asyncio.to_thread(_read, typed)], own=True))
        except TaskError as error:
            self.post_message(TasksFound((), str(error)))

    @work(exclusive=True, group="tasks")
    async def write_new(self, typed: str) -> None:
        """Begin a task of the person's own."""
        try:
            head, items = await asyncio.to_thread(_begin, typed)
            said = f"Written: {head} and {items.name}. Fill both in with an editor, then open {items.name} here."
            self.post_message(TasksFound((), said))
        except TaskError as error:
            self.post_message(TasksFound((), str(error)))

    @on(TasksFound)
    def _found(self, message: TasksFound) -> None:
        tasks = self.query_one(SelectionList)
        self.query_one("#problem", Static).update(one_line(message.problem))
        for spec, task in message.tasks:
            if spec not in self._tasks:
                tasks.add_option(Selection(_line(task), spec, message.own or spec in self._chosen))
            self._tasks[spec] = task
        if message.tasks and not message.own:
            tasks.focus()

    @on(SelectionList.SelectionHighlighted)
    def _highlighted(self, event: SelectionList.SelectionHighlighted[str]) -> None:
        task = self._tasks.get(event.selection.value)
        if task is not None:
            example = task.example(task.items[0]).replace("\n", " ⏎ ")
            self.query_one("#about", Static).update(f"{one_line(task.description)}\n{one_line(example)}")

    @on(Button.Pressed, "#open")
    @on(Input.Submitted)
    def open(self) -> None:
        """Read the file that is named."""
        if typed := self.query_one(Input).value.strip():
            self.read_own(typed)

    @on(Button.Pressed, "#new")
    def new(self) -> None:
        """Write a template at the path that is named."""
        if typed := self.query_one(Input).value.strip():
            self.write_new(typed)
        else:
            self.query_one("#problem", Static).update("Name the new file first, such as my-task.jsonl.")
            self.query_one(Input).focus()

    @on(Button.Pressed, "#apply")
    def action_apply(self) -> None:
        """Return what is ticked."""
        picked = set(self.query_one(SelectionList).selected)
        self.dismiss(tuple(spec for spec in self._tasks if spec in picked))

    @on(Button.Pressed, "#none")
    def none(self) -> None:
        """Tick nothing."""
        self.query_one(SelectionList).deselect_all()

    @on(Button.Pressed, "#cancel")
    def cancel(self) -> None:
        """Change nothing."""
        self.dismiss(None)


def _read(typed: str) -> tuple[str, Task]:
    path = expanded(Path(typed)).absolute()
    return str(path), read_task(path)


def _begin(typed: str) -> tuple[Path, Path]:
    path = Path(typed)
    return write_task(path, *starter(path.stem, ()))


def _line(task: Task) -> Content:
    chance = f"chance {percent(task.chance_frac)}" if task.chance_frac is not None else "open"
    facts = f"{counted(len(task.items), 'item'):<10} {chance:<12} {task.language}"
    return Content.assemble((f"{one_line(task.id):<26}", ""), (facts, "$text-muted"))
