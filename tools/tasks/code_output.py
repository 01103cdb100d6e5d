"""Items of `code-output`: short Python programs of one printed line; the target is what running them prints."""

from __future__ import annotations

import contextlib
import io
import random
from itertools import cycle

from made import Draw, Made, draw_each, words

_WORDS = words("apple bread cloud dance eagle flame grape horse image jelly kite lemon mango night ocean piano")
# Upper-case words stand for what is drawn: N M K numbers, W V words, L a list of numbers, S a list of words.
_PROGRAMS: dict[str, tuple[str, ...]] = {
    "numbers": (
        "print(N * M + K)",
        "a = N\nb = M\na, b = b, a\nprint(a - b)",
        "print(N // K, N % K)",
        "x = N\nx += M\nx *= 2\nprint(x)",
        "print(max(N, M, K) - min(N, M, K))",
    ),
    "strings": (
        'word = "W"\nprint(word[1:4])',
        'word = "W"\nprint(word[::-1])',
        'print("W".upper() + "!" * K)',
        'print("-".join(["W", "V"]))',
        'print("W".replace("a", "o"))',
        'print(len("W") + len("V V"))',
    ),
    "lists": (
        "numbers = L\nprint(sorted(numbers)[0])",
        "numbers = L\nprint(sum(numbers))",
        "numbers = L\nnumbers.append(N)\nprint(len(numbers))",
        "numbers = L\nprint(numbers[-1] + numbers[0])",
        "print([n * 2 for n in L])",
        "print([n for n in L if n > K])",
    ),
    "loops": (
        "total = 0\nfor n in range(K):\n    total += n\nprint(total)",
        "count = 0\nfor n in L:\n    if n % 2 == 0:\n        count += 1\nprint(count)",
        "n = N\nsteps = 0\nwhile n > 1:\n    n = n // 2\n    steps += 1\nprint(steps)",
        'text = ""\nfor word in S:\n    text += word[0]\nprint(text)',
    ),
    "conditions": (
        'n = N\nif n > M:\n    print("W")\nelse:\n    print("V")',
        'n = N\nprint("even" if n % 2 == 0 else "odd")',
        'words = S\nprint("W" in words)',
        "print(N > M and K > 4)",
    ),
    "dictionaries": (
        'stock = {"W": N, "V": M}\nprint(stock["V"])',
        'stock = {"W": N, "V": M}\nstock["W"] -= K\nprint(stock["W"])',
        'stock = {"W": N}\nprint(stock.get("V", K))',
        'stock = {"W": N, "V": M}\nprint(sum(stock.values()))',
    ),
    "functions": (
        "def f(x):\n    return x * K + 1\n\nprint(f(M))",
        "def f(a, b=K):\n    return a - b\n\nprint(f(N))",
        "def f(x):\n    return x if x < 2 else x + f(x - 1)\n\nprint(f(K))",
        'def greet(name):\n    return "Hi, " + name\n\nprint(greet("W"))',
    ),
}


def items(rng: random.Random) -> list[Made]:
    """The items, in mixed order."""
    return draw_each(rng, {kind: _drawer(programs) for kind, programs in _PROGRAMS.items()}, 18)


def _drawer(programs: tuple[str, ...]) -> Draw:
    turns = cycle(programs)

    def draw(rng: random.Random) -> tuple[str, str]:
        program = _filled(next(turns), rng)
        return program, printed(program)

    return draw


def _filled(program: str, rng: random.Random) -> str:
    first, second = rng.sample(_WORDS, 2)
    values = {
        "N": str(rng.randint(5, 40)),
        "M": str(rng.randint(2, 20)),
        "K": str(rng.randint(2, 7)),
        "W": first,
        "V": second,
        "L": str([rng.randint(1, 12) for _ in range(rng.randint(3, 5))]),
        "S": str(_three_words(first, rng)).replace("'", '"'),
    }
    return "".join(values.get(char, char) for char in program)


def _three_words(word: str, rng: random.Random) -> list[str]:
    """Three words, one time in two `word` among them."""
    others = rng.sample([other for other in _WORDS if other != word], 3)
    return rng.sample([word, *others[1:]] if rng.random() < 0.5 else others, 3)


def printed(program: str) -> str:
    """What a program prints, without the last line break."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(program, {})
    return output.getvalue().removesuffix("\n")
