from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from slmtui.core.catalog import CatalogError
from slmtui.sources.catalog import read_catalog, with_own
from slmtui.sources.resources import pocket_folder

CARDS = read_catalog()


def test_the_bundled_models_come_first() -> None:
    bundled = [card.id for card in CARDS if card.bundled]
    assert bundled == ["pocket-2m", "pocket-5m"]
    assert [card.id for card in CARDS[: len(bundled)]] == bundled


def test_the_catalog_tells_the_truth_about_the_bundled_files() -> None:
    bundled = [card for card in CARDS if card.bundled]
    named = set()
    for card in bundled:
        assert card.demo
        assert card.licence == "MIT"
        for variant in card.variants:
            path = pocket_folder() / (variant.file or "")
            assert path.stat().st_size == variant.size_bytes
            assert hashlib.sha256(path.read_bytes()).hexdigest() == variant.sha256
            named.add(variant.file)
    assert named == {path.name for path in pocket_folder().glob("*.gguf")}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("[[model]", "is not TOML"), ('[[model]]\nid = "x"', r"model 1 \(x\)"), (None, "can't read")],
)
def test_a_wrong_catalog_is_named(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "catalog.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CatalogError, match=complaint) as caught:
        read_catalog(path)
    assert str(path) in str(caught.value)


def test_the_person_s_own_catalog_adds_and_corrects(tmp_path: Path) -> None:
    own = tmp_path / "model_catalog.toml"
    assert with_own(CARDS, own) == CARDS
    own.write_text("""
        [[model]]
        id = "pocket-5m"
        licence = "MIT-0"
        [[model]]
        id = "mine"
        name = "Mine"
        family = "Mine"
        developer = "me"
    """)
    cards = {card.id: card for card in with_own(CARDS, own)}
    assert list(cards)[: len(CARDS)] == [card.id for card in CARDS]
    assert list(cards)[-1] == "mine"
    assert cards["pocket-5m"].licence == "MIT-0"
    assert cards["pocket-5m"].variants == next(card for card in CARDS if card.id == "pocket-5m").variants
