from __future__ import annotations

import random
from functools import partial

import pytest
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.widgets import Markdown
from textual.widgets.markdown import MarkdownBlock

from slmtui.core.events import Tokens
from slmtui.ui.widgets.draft import Draft, add_wrapped
from slmtui.ui.widgets.reply import Reply, Thought
from tests.ui.steps import steered, until

DOCUMENT = (
    "# Title\n\nIntro with [bold]no markup[/].\n\n"
    "```python\ndef f(x):\n    return x\n\nprint(f(2))\n```\n\n- one\n- two **bold**\n\n1. x\n2. y\n\nThe end.\n"
)


class Host(App[None]):
    def __init__(self, *, inside_thought: bool = False) -> None:
        super().__init__()
        self.reply = Reply()
        self.reply.begin(inside_thought=inside_thought)

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield self.reply
            yield Markdown(id="reference")

    async def finish(self, remark: str = "") -> None:
        """To the very end, as a painter does it."""
        self.reply.finish(remark)
        while await self.reply.typeset():
            pass


def is_as_high_as_its_text(draft: Draft, width: int) -> bool:
    lines: list[str] = [""]
    add_wrapped(lines, "word " * 40, draft.size.width)
    return draft.app.size.width == width and draft.size.height == len(lines)


def token(text: str, at_s: float = 0.0) -> Tokens:
    return Tokens(text=text, count=1, at_s=(at_s,))


def blocks(markdown: Markdown) -> list[tuple[str, str]]:
    return [(type(block).__name__, str(block.render())) for block in markdown.query(MarkdownBlock)]


async def feed(pilot: Pilot[None], reply: Reply, text: str, seed: int) -> None:
    chance = random.Random(seed)
    at = 0
    while at < len(text):
        size = chance.randint(1, 12)
        reply.feed(token(text[at : at + size]))
        at += size
        if chance.random() < 0.3:
            reply.paint()
            await pilot.pause(0.01)


@pytest.mark.parametrize("seed", range(4))
async def test_the_finished_answer_is_that_of_one_update(seed: int) -> None:
    app = Host()
    async with steered(app, (80, 60)) as pilot:
        await feed(pilot, app.reply, DOCUMENT, seed)
        await app.finish("12 tokens")
        await pilot.pause()
        reference = app.query_one("#reference", Markdown)
        await reference.update(DOCUMENT.strip("\n"))
        assert app.reply.shown == DOCUMENT.strip("\n") == app.reply.answer
        assert blocks(app.reply.query_one(Markdown)) == blocks(reference)


async def test_nothing_is_painted_twice_when_the_end_follows_at_once() -> None:
    app = Host()
    async with steered(app) as pilot:
        app.reply.feed(token("All at once."))
        await app.finish()
        await pilot.pause()
        assert app.reply.shown == "All at once."


async def test_what_has_come_is_painted_together() -> None:
    app = Host()
    async with steered(app):
        app.reply.feed(token("One"))
        app.reply.paint()
        assert app.reply.shown == "One"
        for word in (" two", " three", " four"):
            app.reply.feed(token(word))
        assert app.reply.shown == "One"
        app.reply.paint()
        assert app.reply.shown == "One two three four"


async def test_foreign_text_can_not_act() -> None:
    app = Host()
    async with steered(app, (60, 12)):
        for piece in ("safe \x1b", "[2J\x1b[3", "1mred ", "[bold]not bold[/] <b>kept</b> \u202e"):
            app.reply.feed(token(piece))
            app.reply.paint()
        assert app.reply.shown == "safe red [bold]not bold[/] <b>kept</b> "
        await app.finish()
        assert app.reply.answer == "safe red [bold]not bold[/] <b>kept</b> "
        assert "<b>kept</b>" in str(app.reply.query(MarkdownBlock).first().render())


async def test_thoughts_are_folded_and_counted_apart() -> None:
    app = Host()
    async with steered(app) as pilot:
        pieces = ("<think>", "first", " this", "</think>", "Answer")
        for index, piece in enumerate(pieces):
            app.reply.feed(token(piece, at_s=1 + index * 0.5))
        await app.finish()
        await pilot.pause()
        thought = app.query_one(Thought)
        assert app.reply.shown == "Answer"
        assert thought.display
        assert str(thought.render()) == "▸ thought for 4 tokens, 1.5 s"
        thought.focus()
        await pilot.press("enter")
        assert str(thought.render()).endswith("first this")


async def test_a_model_that_does_not_think_has_no_such_line() -> None:
    app = Host()
    async with steered(app) as pilot:
        app.reply.feed(token("Answer"))
        await app.finish("1 token")
        await pilot.pause()
        assert not app.query_one(Thought).display


async def test_a_thought_opened_by_the_prompt_is_one() -> None:
    app = Host(inside_thought=True)
    async with steered(app) as pilot:
        app.reply.feed(token("so</think>"))
        app.reply.feed(token("Yes"))
        await app.finish()
        await pilot.pause()
        assert app.reply.shown == "Yes"
        assert app.query_one(Thought).tokens == 1


async def test_another_width_leaves_neither_a_gap_under_the_text_nor_cuts_it() -> None:
    app = Host()
    async with steered(app, (60, 30)) as pilot:
        app.reply.feed(token("word " * 40))
        app.reply.paint()
        app.reply.finish("40 tokens")
        await app.reply.typeset()
        draft = app.reply.query_one(Draft)
        for width in (20, 60, 30, 110):
            await pilot.resize_terminal(width, 30)
            await until(pilot, partial(is_as_high_as_its_text, draft, width))
