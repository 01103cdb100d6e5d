"""Chat templates rendered in a process of their own: sandboxed, with a time limit and a memory limit.

A template is a program that came with a model file. Jinja's sandbox keeps it from Python; it does not keep it
from nesting loops or growing strings without end, so a child process renders and is killed when it takes too long.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import IO, TYPE_CHECKING, Any

import msgspec

from slmtui.core.chat import Message

if TYPE_CHECKING:
    from jinja2 import Template

TIME_LIMIT_S = 2.0
MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024
LENGTH_LIMIT = 1_000_000
"""Characters that a template may write besides four times what the messages hold; tokenizing more takes seconds."""
OPEN, CLOSE = "\ue0b0", "\ue0b1"
"""Private-use characters that mark where a message's content begins and ends."""
_RAISED_BY_TEMPLATES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    StopIteration,
    SyntaxError,
    TypeError,
    ValueError,
)
"""Python's errors that an expression in a template, or compiling it, can end with."""


class TemplateError(Exception):
    """A chat template cannot be rendered; the message says why."""


class Rendered(msgspec.Struct, frozen=True):
    """A prompt as text, cut into pieces: (text, whether a person or model wrote it)."""

    text: str
    pieces: tuple[tuple[str, bool], ...] | None
    """None when the template changes contents so that they cannot be told from its own text."""


class Renderer:
    """A child process that renders one model's template; started early, restarted after a time-out."""

    def __init__(self, template: str, bos: str, eos: str, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._fixed = {"template": template, "bos_token": bos, "eos_token": eos}
        self._time_limit_s = time_limit_s
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the child without waiting for it."""
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "slmtui.engine.template", str(self._time_limit_s)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )

    def warm_up(self) -> None:
        """Start the child and let it compile the template, so that the first answer does not wait for that."""
        with contextlib.suppress(TemplateError):  # said again when a conversation is rendered
            self._ask([Message("user", "")])

    def render(self, messages: Sequence[Message]) -> Rendered:
        """Render the conversation with the opening of the model's answer.

        Raises:
            TemplateError: the template is broken, refuses these messages, or takes too long.
        """
        text = self._ask(messages)
        if any(mark in text for mark in (OPEN, CLOSE)):
            return Rendered(text, None)
        marked = self._ask([Message(message.role, _marked(message.content)) for message in messages])
        return Rendered(text, _pieces(text, marked))

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._process = None

    def _ask(self, messages: Sequence[Message]) -> str:
        self.start()
        assert self._process is not None
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        question = {**self._fixed, "messages": [msgspec.to_builtins(message) for message in messages]}
        # The child ends itself by an alarm; this timer is for systems without alarms and allows for its start.
        timer = threading.Timer(self._time_limit_s + 5, self._process.kill)
        timer.start()
        try:
            stdin.write(json.dumps(question).encode() + b"\n")
            stdin.flush()
            line = stdout.readline()
        except OSError:
            line = b""
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            self.close()
            raise TemplateError(f"it took longer than {self._time_limit_s:g} s or too much memory, and was stopped")
        answer: dict[str, str] = json.loads(line)
        if "error" in answer:
            raise TemplateError(answer["error"])
        return answer["text"]


def _marked(content: str) -> str:
    """Marks inside the outer white space, because many templates trim contents."""
    stripped = content.strip()
    if not stripped:
        return content
    start = content.index(stripped)
    return content[:start] + OPEN + stripped + CLOSE + content[start + len(stripped) :]


def _pieces(text: str, marked: str) -> tuple[tuple[str, bool], ...] | None:
    """Cut `marked` at its marks; None unless what is left is exactly `text` and the marks alternate."""
    if marked.replace(OPEN, "").replace(CLOSE, "") != text:
        return None
    pieces: list[tuple[str, bool]] = []
    for number, part in enumerate(marked.split(OPEN)):
        content, mark, literal = part.partition(CLOSE)
        if bool(mark) != bool(number) or CLOSE in literal:
            return None
        pieces += [(content, bool(number)), (literal, False)]
    return tuple((piece, foreign) for piece, foreign in pieces if piece)


def render_template(question: dict[str, Any]) -> str:
    """Render one template in the sandbox; runs in the child.

    Raises:
        jinja2.TemplateError: the template is broken, refuses the messages, or writes too much.
    """
    messages = question["messages"]
    text = _compiled(question["template"]).render(
        messages=messages,
        bos_token=question["bos_token"],
        eos_token=question["eos_token"],
        add_generation_prompt=True,
    )
    if len(text) > LENGTH_LIMIT + 4 * sum(len(message["content"]) for message in messages):
        _refuse(f"it writes {len(text):,} characters")
    return text


@cache
def _compiled(template: str) -> Template:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _generation_tag()]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    return environment.from_string(template)


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> None:
    from jinja2 import TemplateError as Refused

    raise Refused(message)


def _generation_tag() -> type:
    """Jinja extension that lets `{% generation %}` blocks pass; training code uses them for masks."""
    from jinja2 import Environment, nodes
    from jinja2.ext import Extension
    from jinja2.parser import Parser

    class Generation(Extension):
        def __init__(self, environment: Environment) -> None:
            super().__init__(environment)
            self.tags = {"generation"}

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return Generation


def _answer(line: bytes) -> dict[str, str]:
    """The text, or why there is none; anything but what a template can raise ends the child."""
    from jinja2 import TemplateError as Refused

    try:
        return {"text": render_template(json.loads(line))}
    except (Refused, *_RAISED_BY_TEMPLATES) as error:
        return {"error": str(error) or type(error).__name__}


def serve(requests: IO[bytes], answers: IO[bytes], time_limit_s: float) -> None:
    """Answer one JSON line with another until the input ends; an alarm ends this process when one takes too long."""
    render_template({"template": "", "messages": [], "bos_token": "", "eos_token": ""})  # import before an alarm
    alarm = getattr(signal, "setitimer", None)
    for line in requests:
        if alarm:
            alarm(signal.ITIMER_REAL, time_limit_s)
        answer = _answer(line)
        if alarm:
            alarm(signal.ITIMER_REAL, 0)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


if __name__ == "__main__":
    _limit_memory()
    serve(sys.stdin.buffer, sys.stdout.buffer, float(sys.argv[1]))
