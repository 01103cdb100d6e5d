"""Chat templates: what they may do, what they may not, and how long."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import psutil
import pytest

from slmtui.core.chat import Message
from slmtui.core.events import FailureKind, StopReason
from slmtui.engine import template as template_module
from slmtui.engine.protocol import Load
from slmtui.engine.template import CLOSE, OPEN, Rendered, Renderer, TemplateError
from tests.engine.conftest import Build
from tests.engine.gguf_files import Gguf
from tests.engine.support import ask, descendants, done, failed, lives, loaded, prompted, run, tell, until

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Make = Callable[..., Renderer]


@pytest.fixture
def make() -> Iterator[Make]:
    renderers: list[Renderer] = []

    def make_one(template: str, time_limit_s: float = 2.0) -> Renderer:
        renderers.append(Renderer(template, "<s>", "</s>", time_limit_s))
        return renderers[-1]

    yield make_one
    for renderer in renderers:
        renderer.close()
    assert not psutil.Process().children()


class Here(Renderer):
    """Renders in this process, which is quicker than starting a child for each template."""

    def _ask(self, messages: Sequence[Message]) -> str:
        asked = {**self._fixed, "messages": msgspec.to_builtins(messages)}
        answer = template_module._answer(json.dumps(asked).encode())
        if "error" in answer:
            raise TemplateError(answer["error"])
        return answer["text"]


def here(template: str) -> Renderer:
    return Here(template, "<s>", "</s>")


def user(text: str) -> list[Message]:
    return [Message("user", text)]


def test_chatml(make: Make) -> None:
    rendered = make(CHATML).render([Message("system", "S"), Message("user", " a\nb ")])
    assert (
        rendered.text == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n a\nb <|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered.pieces == (
        ("<|im_start|>system\n", False),
        ("S", True),
        ("<|im_end|>\n<|im_start|>user\n ", False),
        ("a\nb", True),
        (" <|im_end|>\n<|im_start|>assistant\n", False),
    )


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "<s>Hi</s>"),
        ("{% for m in messages %}{% if true %}{% break %}{% endif %}x{% endfor %}y", "y"),
        ("{% for i in range(3) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}", "02"),
        ("{{ {'a': 'ü<>&', 'b': [1, none]} | tojson }}", '{"a": "ü<>&", "b": [1, null]}'),
        ("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}'),
        ("{{ [1] | tojson(ensure_ascii=False, separators=(',', ':'), sort_keys=True) }}", "[1]"),
        ("{{ strftime_now('%Y') | length }}", "4"),
        ("{% generation %}{{ messages[0].content }}{% endgeneration %}!", "Hi!"),
        ("{% if tools %}x{% elif tools is defined and tools %}y{% else %}z{% endif %}", "z"),
        ("{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}", "1"),
        ("{% macro f(x) %}[{{ x }}]{% endmacro %}{{ f(messages[0]['content']) }}", "[Hi]"),
        ("{%- if enable_thinking is defined and enable_thinking is false %}no{% endif %}ok", "ok"),
        ("a\n  {% if true %}\n  b\n  {% endif %}\nc", "a\n  b\nc"),
        ("{{ messages[-1].content.split('H') | last | upper }}", "I"),
        ("{{ '%s' % messages[0].role }}", "user"),
    ],
)
def test_what_templates_use(template: str, text: str) -> None:
    assert here(template).render(user("Hi")).text == text


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('Only one system message, please') }}", "Only one system message, please"),
        ("{% if %}", "Expected an expression"),
        ("{{ nobody.knows }}", "nobody"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ messages[0]['content'] + 1 }}", "str"),
        ("{{ {}['a'].b }}", "a"),
        ("{{ [].pop() }}", ""),
        ("{{ ''.join([1]) }}", "str"),
        ("{{ 'a' | attr('nothing') | foo }}", "foo"),
        ("{% include 'x' %}", ""),
        ("{{ strftime_now(5) }}", ""),
        ("{{ messages | map('foo') | list }}", "foo"),
        ("{{ messages.0.content.encode('x') }}", "x"),
        ("{{ namespace(1) }}", ""),
        ("{% for x in 5 %}{% endfor %}", "int"),
        ("{{ (1).foo() }}", "foo"),
        ("{{ {} | tojson(indent=object()) }}", "object"),
        ("{{ range(99999999999) }}", ""),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
        ("{{ ('(' * 100) | int | string | float | list }}", ""),
    ],
)
def test_a_template_that_fails_says_why(template: str, words: str) -> None:
    with pytest.raises(TemplateError) as caught:
        here(template).render(user("Hi"))
    assert str(caught.value)
    assert words in str(caught.value)


def test_a_template_that_fails_did_not_take_long(make: Make) -> None:
    with pytest.raises(TemplateError, match=r"^unknown encoding: x$"):
        make("{{ messages[0].content.encode('x') }}").render(user("Hi"))


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ lipsum.__globals__['os'].getpid() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
        "{{ ('{0.__class__.__init__' ~ '.__globals__}').format(raise_exception) }}",
        "{{ '{0.__class__}' | attr('format')(raise_exception) }}",
        "{{ 'a'.format_map({}).__class__.__mro__ }}",
        "{{ strftime_now.__globals__ }}",
        "{{ raise_exception.__code__.co_consts[0] }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ joiner.__init__.__globals__ }}",
        "{% set x = {}.__class__.__base__ %}{{ x.__subclasses__() }}",
        "{{ dict.mro()[0] }}{{ dict.__base__.__subclasses__()[0] }}",
        "{{ [1] | map(attribute='__class__.__base__') | first }}",
    ],
)
def test_templates_do_not_get_out_of_the_sandbox(template: str) -> None:
    try:
        text = here(template).render(user("Hi")).text
    except TemplateError:
        return
    assert "class" not in text
    assert str(os.getpid()) not in text


BOMBS = [
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "{{ messages[0].content * 10**9 }}",
    "{{ 'a' * 10**9 }}",
    "{{ (10**(10**8)) > 1 }}",
    "{{ 'a' | center(900000000) }}",
    "{{ ('a' | list * 99999999) | join('b' * 99) }}",
    "{{ range(99999) | map('string') | join | list | join('x' * 99999) }}",
    "{{ 'x' * 300000000 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ 'a' | replace('', 'b' * 99999) | replace('b', 'c' * 99999) }}",
    "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(300) }}",
    "{{ lipsum(n=99999) }}",
    "{{ 'a b ' * 3000000 }}",
]
BOMB_LATER = f"{{% if messages | length > 1 %}}{BOMBS[0]}{{% endif %}}ok"
"""Harmless while a conversation has one message."""


@pytest.mark.parametrize("template", BOMBS)
def test_bombs_are_stopped(make: Make, template: str) -> None:
    renderer = make(template, 0.4)
    with pytest.raises(TemplateError) as caught:
        renderer.render(user("Hi"))
    assert str(caught.value)


def test_memory_runs_out_before_the_time_does(make: Make) -> None:
    with pytest.raises(TemplateError, match="MemoryError"):
        make("{{ messages[0].content * 2000000000 }}", 30).render(user("x"))


def test_a_slow_conversation_is_not_a_slow_template(make: Make) -> None:
    renderer = make(BOMB_LATER, 0.3)
    assert renderer.render(user("a")).text == "ok"
    with pytest.raises(TemplateError, match=r"0\.3 s"):
        renderer.render([*user("a"), *user("b")])
    assert renderer.render(user("a")).text == "ok", "a new child renders on"


def test_a_child_that_was_killed_is_replaced(make: Make) -> None:
    renderer = make(CHATML)
    renderer.render(user("a"))
    for child in psutil.Process().children():
        child.kill()
        child.wait()
    assert "<|im_start|>user\nb<" in renderer.render(user("b")).text


def test_a_long_conversation_is_rendered(make: Make) -> None:
    messages = [Message("assistant" if turn % 2 else "user", "word " * 20_000) for turn in range(21)]
    rendered = make(CHATML).render(messages)
    assert len(rendered.text) > 2_000_000
    assert rendered.pieces is not None


@pytest.mark.parametrize(
    "content",
    [f"a {OPEN} b", f"{CLOSE}", f"{OPEN}<|im_end|>{CLOSE}", f"{CLOSE}<|im_end|>{OPEN}", OPEN * 3],
)
def test_contents_that_contain_the_marks_are_not_cut(content: str) -> None:
    rendered = here(CHATML).render(user(content))
    assert content in rendered.text
    assert rendered.pieces is None


@pytest.mark.parametrize(
    ("template", "content", "foreign"),
    [
        ("[{{ messages[0].content }}]", "Hi", ["Hi"]),
        ("[{{ messages[0].content | trim }}]", "  Hi \n", ["Hi"]),
        ("[{{ messages[0].content | trim }}]", "   ", []),
        ("[{{ messages[0].content }}]", "", []),
        ("[{{ messages[0].content.strip('\n') }}]", "\n\nHi\n", ["Hi"]),
        ("[{{ messages[0].content }}|{{ messages[0].content }}]", "Hi", ["Hi", "Hi"]),
        ("[{{ messages[0].content[:1] }}]", "Hi", None),
        ("[{{ messages[0].content.split('</t>')[-1] }}]", "<t>x</t>Hi", None),
        ("[{{ messages[0].content | length }}]", "Hi", None),
        ("[{{ messages[0].content | tojson }}]", "Hi\n", ["Hi"]),
        ("{% if messages[0].content.startswith('H') %}!{% endif %}{{ messages[0].content }}", "Hi", None),
        ("[{{ messages[0].content | reverse }}]", "Hi", None),
        ("nothing of it", "Hi", []),
    ],
)
def test_how_contents_are_told_from_the_templates_own_text(
    template: str, content: str, foreign: list[str] | None
) -> None:
    rendered = here(template).render(user(content))
    if foreign is None:
        assert rendered.pieces is None
    else:
        assert rendered.pieces is not None
        assert [piece for piece, is_foreign in rendered.pieces if is_foreign] == foreign
        assert "".join(piece for piece, _ in rendered.pieces) == rendered.text


def test_warming_up_compiles_in_the_child_that_renders_later(make: Make) -> None:
    renderer = make(CHATML)
    renderer.warm_up()
    (child,) = psutil.Process().children()
    before = child.cpu_times().user
    assert before > 0, "the child has imported Jinja by now"
    assert isinstance(renderer.render(user("a")), Rendered)
    assert psutil.Process().children() == [child]


def test_warming_up_a_broken_template_waits_with_its_complaint(make: Make) -> None:
    renderer = make("{% broken")
    renderer.warm_up()
    with pytest.raises(TemplateError):
        renderer.render(user("a"))


def test_closing_ends_the_child_and_starting_twice_starts_one(make: Make) -> None:
    renderer = make(CHATML)
    renderer.start()
    renderer.start()
    (child,) = psutil.Process().children()
    renderer.close()
    renderer.close()
    assert not child.is_running()
    assert isinstance(renderer.render(user("a")), Rendered)


@pytest.mark.parametrize("bomb", BOMBS[:3], ids=["loops", "doubling", "memory"])
async def test_a_worker_survives_a_bomb(tmp_path: Path, build: Build, pocket: Gguf, bomb: str) -> None:
    template = f"{{% if messages | length > 1 %}}{bomb}{{% endif %}}<|im_start|>user\n{{{{ messages[0].content }}}}"
    path = build(f"bomb-{sum(map(ord, bomb))}.gguf", pocket.with_template(template))
    async with loaded(tmp_path / "log", Load(path=str(path), threads=1)) as client:
        done(await run(client, ask("Hello", tokens=2, ignore_end=True)), StopReason.LIMIT)
        failure = failed(await run(client, ask("Hello", "So?", "Now", tokens=2)), FailureKind.BAD_REQUEST)
        assert "chat template" in failure.message
        done(await run(client, tell("Once", 2, ignore_end=True)), StopReason.LIMIT)
        assert prompted(await run(client, ask("Hello", tokens=2))).text == "<|im_start|>user\nHello"
        children = descendants(client.pid)
        assert len(children) == 1
        assert await client.close() == 0
        await until(lambda: not any(lives(pid) for pid in children))


ORPHAN = f"""
import os, threading, time
import psutil
from slmtui.core.chat import Message
from slmtui.engine.template import Renderer

renderer = Renderer({BOMB_LATER!r}, "", "", 1.0)
hello = Message("user", "x")
renderer.render([hello])
child = psutil.Process(renderer._process.pid)
before = child.cpu_times().user
threading.Thread(target=renderer.render, args=([hello, hello],), daemon=True).start()
while child.is_running() and child.cpu_times().user < before + 0.1:
    time.sleep(0.01)
print(child.pid, flush=True)
os._exit(0)
"""


async def test_the_child_ends_when_its_parent_is_gone_even_in_a_bomb() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", ORPHAN, stdout=asyncio.subprocess.PIPE)
    shown, _ = await parent.communicate()
    await until(lambda: not lives(int(shown)))
