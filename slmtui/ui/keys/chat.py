"""The commands of Chat."""

from __future__ import annotations

from slmtui.ui.keys.command import Command

COMMANDS = (
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
        shy=True,
    ),
    Command(
        id="chat.reload",
        place="chat",
        key="ctrl+r",
        action="reload",
        title="Reload",
        help="Load again every model whose worker ended or that could not be loaded.",
        shy=True,
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
        id="chat.settings",
        place="chat",
        key="f8",
        action="settings",
        title="Settings",
        help="System prompt and sampling: temperature, top-k, top-p, min-p, repeat penalty, seed, limit.",
    ),
    Command(
        id="chat.order",
        place="chat",
        key="ctrl+o",
        action="order",
        title="Order",
        help="Let the models answer one after another (fair), or together (contended, and marked so).",
    ),
    Command(
        id="chat.exact",
        place="chat",
        key="f9",
        action="exact",
        title="Exact prompt",
        help="Show the exact text that each model read, and where its chat template comes from.",
    ),
    Command(
        id="chat.copy",
        place="chat",
        key="y",
        action="copy",
        title="Copy answer",
        help="Copy the last answer of the column that has the focus, or of the first one.",
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
)
