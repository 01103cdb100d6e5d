"""Which questions a probe asks and which examples it shows: drawn by seeds, balanced, the same for every model."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from slmtui.core.probe import Labels
from slmtui.core.task import Item, Task

WORDS = (
    "table", "river", "garden", "window", "paper", "stone", "bottle", "market", "winter", "copper", "button", "forest",
    "ladder", "candle", "pocket", "harbor", "mirror", "basket", "island", "feather", "hammer", "ribbon", "saddle",
)  # fmt: skip
"""Labels that have nothing to do with any task; a task may have half as many labels as there are words."""
_POOL = 20
"""Examples are drawn from at least so many items."""


def questions(task: Task) -> tuple[int, ...]:
    """All items in the order in which they are asked; each beginning has about as many of every label."""
    return tuple(_balanced(task, range(len(task.items)), random.Random(f"questions of {task.id}")))


class Examples:
    """The examples of one task that one seed draws; fewer shots are the beginning of more.

    They come from the fifth of the items that is asked last, so that examples are hardly ever asked themselves and most
    questions have the very same ones, which then are read once.
    """

    def __init__(self, task: Task, seed: int) -> None:
        self._task = task
        draw, order = random.Random(f"examples of {task.id}, {seed}"), questions(task)
        others = max(0, len(order) - max(_POOL, len(order) // 5))
        self._order = (*_balanced(task, order[others:], draw), *_balanced(task, order[:others], draw))

    def shown(self, shots: int, question: int | None = None) -> tuple[int, ...]:
        """Places of the items to show before a question, which is never among them; None asks none of the task's.

        In its place stands the next item of its label, so that what most questions share stays the same.
        """
        chosen, rest = self._order[:shots], self._order[shots:]
        if question not in chosen:
            return chosen
        label = _label(self._task, self._task.items[question])
        same = [place for place in rest if _label(self._task, self._task.items[place]) == label]
        substitute = (same or rest)[0]
        return tuple(substitute if place == question else place for place in chosen)


def answers(task: Task, shown: Sequence[int], labels: Labels, seed: int) -> tuple[str, ...]:
    """What stands as the answer of each item that is shown."""
    items = [task.items[place] for place in shown]
    match labels:
        case "shuffled":
            return _shuffled(task, items, random.Random(f"shuffled {task.id}, {seed}"))
        case "flipped":
            flipped = flips(task)
            return tuple(flipped[item.target] for item in items)
        case "true" | "unrelated":
            return tuple(item.target for item in items)


def flips(task: Task) -> Mapping[str, str]:
    """Each label and the one that a flipped example has in its place."""
    return dict(zip(task.labels, (*task.labels[1:], *task.labels[:1]), strict=True))


def with_words(task: Task, seed: int) -> Task:
    """The task with words that have nothing to do with it as labels.

    Raises:
        ValueError: it has more labels than there are words, or none.
    """
    draw = random.Random(f"words of {task.id}, {seed}")
    free = [word for word in WORDS if word not in {label.casefold() for label in task.labels}]
    word = dict(zip(task.labels, draw.sample(free, len(task.labels)), strict=True))
    items = tuple(msgspec.structs.replace(item, target=word[item.target]) for item in task.items)
    return msgspec.structs.replace(task, labels=tuple(word.values()), items=items)


def _balanced(task: Task, places: Iterable[int], draw: random.Random) -> list[int]:
    """The places in rounds that have one of each label, as long as there are any."""
    waiting: dict[str, list[int]] = defaultdict(list)
    for place in sorted(places):
        waiting[_label(task, task.items[place])].append(place)
    for own in waiting.values():
        draw.shuffle(own)
    order: list[int] = []
    while waiting:
        labels = sorted(waiting)
        draw.shuffle(labels)
        order += [waiting[label].pop() for label in labels]
        waiting = {label: own for label, own in waiting.items() if own}
    return order


def _label(task: Task, item: Item) -> str:
    """What is balanced: the answer where all items share the options, otherwise the category."""
    return item.target if task.labels else item.category or ""


def _shuffled(task: Task, items: Sequence[Item], draw: random.Random) -> tuple[str, ...]:
    """Answers that tell nothing.

    Where there are labels, examples of one label have all labels in turn, as evenly as their number allows: drawing at
    random would leave a hint, one way or the other, in most draws. An open question has another's answer, one with
    options of its own any of these.
    """
    if task.labels:
        begin = dict(zip(task.labels, draw.sample(range(len(task.labels)), len(task.labels)), strict=True))
        seen: dict[str, int] = defaultdict(int)
        found = []
        for item in items:
            found.append(task.labels[(begin[item.target] + seen[item.target]) % len(task.labels)])
            seen[item.target] += 1
        return tuple(found)
    return tuple(_another(task, item, draw) for item in items)


def _another(task: Task, item: Item, draw: random.Random) -> str:
    options = item.options or tuple(sorted({each.target for each in task.items} - {item.target}))
    return draw.choice(options) if options else item.target
