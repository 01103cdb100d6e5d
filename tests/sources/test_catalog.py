from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from slmtui.core.catalog import Architecture, CatalogError
from slmtui.sources.catalog import read_catalog, shipped_catalog, with_own
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
    [
        ("[[model]", "is not TOML"),
        ("model = " + "[" * 20_000, "is not TOML"),
        ('[[model]]\nid = "x"', r"model 1 \(x\)"),
        (None, "can't read"),
    ],
)
def test_a_wrong_catalog_is_named(tmp_path: Path, content: str | None, complaint: str) -> None:
    path = tmp_path / "catalog.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CatalogError, match=complaint) as caught:
        read_catalog(path)
    assert str(path) in str(caught.value)


def test_the_shipped_catalog_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = tmp_path / "shipped.toml", tmp_path / "cache" / "catalog.msgpack"
    file.write_text('[[model]]\nid = "a"\nname = "A"\nfamily = "A"\ndeveloper = "A"\n')
    monkeypatch.setattr("slmtui.sources.catalog.catalog_file", lambda: file)
    (card,) = shipped_catalog(cache)
    monkeypatch.setattr("slmtui.sources.catalog.parse_catalog", None)
    assert shipped_catalog(cache) == (card,), "no parser was asked"
    monkeypatch.undo()
    monkeypatch.setattr("slmtui.sources.catalog.catalog_file", lambda: file)
    file.write_text(file.read_text() + 'licence = "MIT"\n')
    assert [card.licence for card in shipped_catalog(cache)] == ["MIT"], "another file is parsed anew"


@pytest.mark.parametrize("content", [b"", b"\xc1", b"\x92\xa1x\x91\x01", None])
def test_a_damaged_cache_of_the_catalog_is_done_without(tmp_path: Path, content: bytes | None) -> None:
    cache = tmp_path / "catalog.msgpack"
    if content is None:
        cache.mkdir()
    else:
        cache.write_bytes(content)
    assert shipped_catalog(cache) == CARDS
    assert shipped_catalog(cache) == CARDS


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


def test_a_hundred_models_can_be_had() -> None:
    assert sum(bool(card.variants) for card in CARDS) >= 100
    for card in CARDS:
        assert card.base or card.bundled, card.id
        for variant in card.variants:
            assert variant.repository is not None or card.bundled, card.id
            assert variant.file or variant.format == "MLX", card.id


def test_what_the_catalog_says_about_a_shape_agrees_with_itself() -> None:
    for card in CARDS:
        shape = card.architecture or Architecture()
        if shape.heads and shape.kv_heads:
            assert shape.heads % shape.kv_heads == 0, card.id
            kinds = {"MHA": shape.kv_heads == shape.heads, "MQA": shape.kv_heads == 1}
            assert kinds.get(shape.attention or "", True), card.id
        if shape.layers and shape.attention_layers:
            parallel = "parallel" in (shape.attention_detail or "")
            assert (shape.attention_layers == shape.layers) == parallel, card.id
            assert shape.attention_layers <= shape.layers, card.id
        if shape.window is not None:
            assert shape.window_layers_frac is not None, card.id


def test_a_hybrid_that_can_be_run_says_how_many_of_its_layers_keep_a_cache() -> None:
    hybrids = [
        card for card in CARDS if card.variants and card.architecture and card.architecture.attention == "hybrid"
    ]
    missing = [card.id for card in hybrids if card.architecture and card.architecture.attention_layers is None]
    assert hybrids and not missing


def test_the_sizes_of_files_go_with_the_numbers_of_parameters() -> None:
    # Small models keep their big vocabulary at more bits: BLOOM 560M has 8.03 a weight in Q4_K_M; and some files hold
    # shared embeddings twice. Where what sees pictures is counted, which is not in the file, it looks like fewer.
    bits = {"Q3_K_M": (2.9, 7.5), "Q4_0": (3.8, 7.8), "Q4_K_M": (4.2, 8.1), "Q8_0": (7.0, 12.7), "F16": (13, 21)}
    for card in CARDS:
        for variant in card.variants:
            if card.parameters and variant.hint_bytes and variant.quantization in bits:
                low, high = bits[variant.quantization]
                found = variant.hint_bytes * 8 / card.parameters
                assert low <= found <= high, f"{card.id}:{variant.quantization} has {found:.2f} bits a weight"
