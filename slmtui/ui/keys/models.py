"""The commands of Models."""

from __future__ import annotations

from slmtui.ui.keys.command import Command

COMMANDS = (
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
        id="models.probe",
        place="models",
        key="p",
        action="probe",
        title="Probe",
        help="Ask the marked models, or else the highlighted one, tasks with and without examples.",
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
        id="models.filter",
        place="models",
        key="f",
        action="filter",
        title="Filter",
        help="Choose what is shown: place, fit, size, licence, thinking, format; esc shows all again.",
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
