"""One table of commands: keys, palette, footer, help and the README's table all come from here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["app", "models", "chat", "compare", "sessions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something that a person can ask for, wherever they ask for it."""

    id: str
    """Stable name, `place.verb`; users remap keys by it."""
    place: Place
    key: str
    """Textual key names, alternatives separated by commas."""
    action: str
    """Action method, without `action_`, of the app or of the screen."""
    title: str
    """One or two words for the footer."""
    help: str
    """A sentence for palette and help."""
    footer: bool = True
    priority: bool = False
    """Whether the key acts even where a focused widget would take it."""

    def binding(self) -> Binding:
        """The Textual binding of this command."""
        return Binding(
            self.key,
            self.action,
            self.title,
            show=self.footer,
            tooltip=self.help,
            id=self.id,
            priority=self.priority,
        )


_APP = (
    Command(
        id="app.models",
        place="app",
        key="f2,1",
        action="go('models')",
        title="Go to Models",
        help="The models on this machine: what fits, how fast, which to try.",
        footer=False,
    ),
    Command(
        id="app.chat",
        place="app",
        key="f3,2",
        action="go('chat')",
        title="Go to Chat",
        help="Talk to the marked models, side by side.",
        footer=False,
    ),
    Command(
        id="app.compare",
        place="app",
        key="f4,3",
        action="go('compare')",
        title="Go to Compare",
        help="Measure speed and memory of the marked models.",
        footer=False,
    ),
    Command(
        id="app.sessions",
        place="app",
        key="f5,4",
        action="go('sessions')",
        title="Go to Sessions",
        help="Everything measured so far: look again, name, export, delete.",
        footer=False,
    ),
    Command(
        id="app.help",
        place="app",
        key="f1,question_mark",
        action="help",
        title="Help",
        help="The keys of this screen, and what the words mean.",
    ),
    Command(
        id="app.palette",
        place="app",
        key="ctrl+p",
        action="command_palette",
        title="Commands",
        help="Every command by name.",
        priority=True,
    ),
    Command(
        id="app.theme",
        place="app",
        key="ctrl+t",
        action="change_theme",
        title="Theme",
        help="Choose other colours; the choice is kept.",
        footer=False,
    ),
    Command(
        id="app.quit",
        place="app",
        key="ctrl+q",
        action="quit",
        title="Quit",
        help="End every model's worker, restore the terminal and leave.",
        priority=True,
    ),
)

_MODELS = (
    Command(
        id="models.mark",
        place="models",
        key="space",
        action="mark",
        title="Mark",
        help="Mark or unmark the model; up to four go to Chat and Compare together.",
    ),
    Command(
        id="models.unmark_all",
        place="models",
        key="u",
        action="unmark_all",
        title="Unmark all",
        help="Take the marks from all models.",
        footer=False,
    ),
    Command(
        id="models.card",
        place="models",
        key="enter",
        action="card",
        title="Card",
        help="Everything known about the model, with the source of each fact.",
    ),
    Command(
        id="models.chat",
        place="models",
        key="c",
        action="chat",
        title="Chat",
        help="Chat with the marked models, or else with the highlighted one.",
    ),
    Command(
        id="models.compare",
        place="models",
        key="b",
        action="compare",
        title="Compare",
        help="Measure the marked models, or else the highlighted one.",
    ),
    Command(
        id="models.find",
        place="models",
        key="slash",
        action="find",
        title="Find",
        help="Show only the models that match what you type; esc shows all again.",
    ),
    Command(
        id="models.sort",
        place="models",
        key="s",
        action="sort",
        title="Sort",
        help="Sort by the next column; a click on a column's head sorts by it.",
        footer=False,
    ),
    Command(
        id="models.reverse",
        place="models",
        key="S",
        action="reverse",
        title="Reverse",
        help="Reverse the order of the rows.",
        footer=False,
    ),
    Command(
        id="models.add",
        place="models",
        key="a",
        action="add",
        title="Add",
        help="Add a .gguf file that is already on this machine.",
    ),
)

_SESSIONS = (
    Command(
        id="sessions.open",
        place="sessions",
        key="enter",
        action="open",
        title="Open",
        help="Show every measurement of the highlighted session.",
    ),
    Command(
        id="sessions.mark",
        place="sessions",
        key="space",
        action="mark",
        title="Mark",
        help="Mark or unmark the session: the first marked is A, the second B.",
    ),
    Command(
        id="sessions.diff",
        place="sessions",
        key="c",
        action="diff",
        title="Compare",
        help="Compare B with A, figure by figure: ratio, 95 % interval, verdict. B may be the highlighted session.",
    ),
    Command(
        id="sessions.export",
        place="sessions",
        key="e",
        action="export",
        title="Export",
        help="Write the session to a file: CSV, JSON, Parquet or Markdown.",
    ),
    Command(
        id="sessions.import",
        place="sessions",
        key="i",
        action="import",
        title="Import",
        help="List what llama-bench (JSON, JSONL, CSV) or slmtui elsewhere (JSON) measured beside ours.",
    ),
    Command(
        id="sessions.rename",
        place="sessions",
        key="r",
        action="rename",
        title="Rename",
        help="Give the session a name that you will recognize.",
        footer=False,
    ),
    Command(
        id="sessions.delete",
        place="sessions",
        key="delete,d",
        action="delete",
        title="Delete",
        help="Delete the session and its measurements, after asking.",
        footer=False,
    ),
)

_CHAT = (
    Command(
        id="chat.stop",
        place="chat",
        key="escape",
        action="stop",
        title="Stop",
        help="Stop everything that runs; answers stay as far as they came.",
    ),
    Command(
        id="chat.stop_one",
        place="chat",
        key="x",
        action="stop_column",
        title="Stop one",
        help="Stop only the model whose column has the focus.",
        footer=False,
    ),
    Command(
        id="chat.order",
        place="chat",
        key="ctrl+o",
        action="order",
        title="Order",
        help="Let the models answer one after another (fair), or together (contended, and marked so).",
        footer=False,
    ),
    Command(
        id="chat.settings",
        place="chat",
        key="f8",
        action="settings",
        title="Settings",
        help="System prompt and sampling: temperature, top-k, top-p, min-p, repeat penalty, seed, limit.",
    ),
    Command(
        id="chat.exact",
        place="chat",
        key="f9",
        action="exact",
        title="Exact prompt",
        help="Show the exact text that each model read, and where its chat template comes from.",
        footer=False,
    ),
    Command(
        id="chat.again",
        place="chat",
        key="ctrl+g",
        action="again",
        title="Again",
        help="Take the last answers back and put the same question once more.",
    ),
    Command(
        id="chat.copy",
        place="chat",
        key="y",
        action="copy",
        title="Copy answer",
        help="Copy the last answer of the column that has the focus, or of the first one.",
        footer=False,
    ),
    Command(
        id="chat.save",
        place="chat",
        key="ctrl+s",
        action="save",
        title="Save",
        help="Save the conversation as Markdown or JSON.",
    ),
    Command(
        id="chat.clear",
        place="chat",
        key="ctrl+l",
        action="clear",
        title="Clear",
        help="Begin a new conversation with the same models.",
    ),
    Command(
        id="chat.reload",
        place="chat",
        key="ctrl+r",
        action="reload",
        title="Reload",
        help="Load again every model whose worker ended or that could not be loaded.",
    ),
)

_COMPARE = (
    Command(
        id="compare.run",
        place="compare",
        key="r",
        action="run",
        title="Run",
        help="Measure the marked models: warm-up, then repetitions in turn, one model at a time.",
    ),
    Command(
        id="compare.stop",
        place="compare",
        key="escape",
        action="stop",
        title="Stop",
        help="Stop the benchmark; finished repetitions are kept, and the plan can be continued.",
    ),
    Command(
        id="compare.skip",
        place="compare",
        key="x",
        action="skip",
        title="Skip",
        help="Leave out the cell that runs now; the rest goes on.",
        footer=False,
    ),
    Command(
        id="compare.resume",
        place="compare",
        key="c",
        action="resume",
        title="Continue",
        help="Go on with a plan that an earlier run did not finish.",
        footer=False,
    ),
    Command(
        id="compare.drop",
        place="compare",
        key="delete,d",
        action="drop",
        title="Drop plan",
        help="Forget the unfinished plan; what it measured stays in its session.",
        footer=False,
    ),
    Command(
        id="compare.again",
        place="compare",
        key="a",
        action="again",
        title="Again",
        help="Measure the noisy cells again: more repetitions for each of them.",
        footer=False,
    ),
    Command(
        id="compare.preset",
        place="compare",
        key="p",
        action="preset",
        title="Preset",
        help="Change to the next preset: quick, standard, survey, localscore, sweep.",
        footer=False,
    ),
    Command(
        id="compare.plan",
        place="compare",
        key="f8",
        action="plan",
        title="Plan",
        help="A plan of your own: lengths, depths, threads, batches, KV cache, device, repetitions.",
    ),
    Command(
        id="compare.page",
        place="compare",
        key="n",
        action="page(1)",
        title="Page",
        help="Show the next page: results, and each of the charts.",
    ),
    Command(
        id="compare.page_back",
        place="compare",
        key="N",
        action="page(-1)",
        title="Page back",
        help="Show the page before.",
        footer=False,
    ),
    Command(
        id="compare.table",
        place="compare",
        key="t",
        action="table",
        title="Table",
        help="Change between a chart and its table.",
    ),
    Command(
        id="compare.pick",
        place="compare",
        key="v",
        action="pick",
        title="View",
        help="Pick the models, tests and figures that charts and tables show.",
        footer=False,
    ),
    Command(
        id="compare.find",
        place="compare",
        key="slash",
        action="find",
        title="Find",
        help="Show only the rows of the table that match what you type; esc shows all again.",
        footer=False,
    ),
    Command(
        id="compare.sort",
        place="compare",
        key="s",
        action="sort",
        title="Sort",
        help="Sort the table by the next column; a click on a column's head sorts by it.",
        footer=False,
    ),
    Command(
        id="compare.reverse",
        place="compare",
        key="S",
        action="reverse",
        title="Reverse",
        help="Turn the table's order round.",
        footer=False,
    ),
    Command(
        id="compare.export",
        place="compare",
        key="e",
        action="export",
        title="Export",
        help="Write everything measured in this session to a file: CSV, JSON, Parquet or Markdown.",
    ),
)

COMMANDS: tuple[Command, ...] = (*_APP, *_MODELS, *_CHAT, *_COMPARE, *_SESSIONS)


def bindings(place: Place) -> list[BindingType]:
    """The bindings of one screen, or of the app."""
    return [command.binding() for command in COMMANDS if command.place == place]


def commands_of(*places: Place) -> tuple[Command, ...]:
    """The commands of these places, in the order of the table."""
    return tuple(command for command in COMMANDS if command.place in places)


def markdown_table() -> str:
    """The table of all keys that stands in the README, without a line break at its end."""
    rows = [
        f"| {'everywhere' if command.place == 'app' else command.place.capitalize()} "
        f"| {' '.join(f'`{_key_cap(key)}`' for key in command.key.split(','))} | {command.help} |"
        for command in COMMANDS
    ]
    return "\n".join(["| where | key | what |", "| --- | --- | --- |", *rows])


def _key_cap(key: str) -> str:
    """A key as it is written on keyboards: `ctrl+p` is Ctrl+P, `S` is Shift+S."""
    *modifiers, name = key.split("+")
    if len(name) == 1 and name.isupper():
        modifiers.append("shift")
    symbol = {"question_mark": "?", "slash": "/", "escape": "esc", "delete": "del"}.get(name, name)
    if len(symbol) > 1 or modifiers:
        symbol = symbol.capitalize()
    return "+".join([*(modifier.capitalize() for modifier in modifiers), symbol])
