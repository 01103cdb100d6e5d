from __future__ import annotations

import json

from slmtui.core.chat import Message
from slmtui.core.transcript import JSON_VERSION, Side, Transcript, as_json, as_markdown
from tests.samples import measurement

TRANSCRIPT = Transcript(
    saved_at="2026-01-02T03:04:05+00:00",
    sides=(
        Side(
            model="pocket-5m:Q8_0",
            name="Pocket 5M Q8_0",
            demo=True,
            messages=(Message("user", "hi"), Message("assistant", "\x1b[31mhello\x1b[0m\n")),
            measurements=(measurement(0, kind="chat", together=True),),
        ),
        Side(model="x", name="Ex"),
    ),
)


def test_markdown_has_a_chapter_for_each_model() -> None:
    text = as_markdown(TRANSCRIPT)
    assert "## Pocket 5M Q8_0 (demo)" in text
    assert "## Ex" in text
    assert "**assistant**\n\nhello\n" in text
    assert "\x1b" not in text
    assert "(contended)" in text


def test_json_has_everything() -> None:
    document = json.loads(as_json(TRANSCRIPT))
    assert document["version"] == JSON_VERSION
    side = document["sides"][0]
    assert side["messages"][0] == {"role": "user", "content": "hi"}
    assert side["measurements"][0]["kind"] == "chat"
