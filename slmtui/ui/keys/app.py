"""The commands that work everywhere."""

from __future__ import annotations

from slmtui.ui.keys.command import Command

COMMANDS = (
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
        id="app.probe",
        place="app",
        key="f4,3",
        action="go('probe')",
        title="Go to Probe",
        help="Ask the marked models tasks, to see whether they learn from examples.",
        footer=False,
    ),
    Command(
        id="app.compare",
        place="app",
        key="f5,4",
        action="go('compare')",
        title="Go to Compare",
        help="Measure speed and memory of the marked models.",
        footer=False,
    ),
    Command(
        id="app.sessions",
        place="app",
        key="f6,5",
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
