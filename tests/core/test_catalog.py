from __future__ import annotations

import tomllib
from typing import Any

import msgspec
import pytest

from slmtui.core.catalog import Architecture, CatalogError, ModelCard, Training, Variant
from slmtui.core.catalog_file import extended, parse_catalog


def entry(**changes: object) -> dict[str, object]:
    base: dict[str, object] = {"id": "tiny-1b", "name": "Tiny 1B", "family": "Tiny", "developer": "Somebody"}
    return {**base, **changes}


def test_reads_the_documented_shape() -> None:
    document = tomllib.loads("""
        [[model]]
        id = "tiny-1b"
        name = "Tiny 1B"
        family = "Tiny"
        developer = "Somebody"
        parameters = 1_000_000_000
        default = "Q4_K_M"
        architecture = { name = "llama", attention = "GQA", layers = 16, window_layers_frac = 0.5 }
        training = { tokens = 2_000_000_000_000 }
        sources = { parameters = "hub", architecture = "config" }
        inferred = ["norm"]
        repositories = [
          { id = "somebody/tiny-GGUF", quantizations = ["F16", "Q4_K_M"] },
          { id = "somebody/tiny-4bit", format = "MLX" },
        ]
        variants = [
          { quantization = "F16", file = "tiny-f16.gguf", about_bytes = 2_000_000_000 },
          { quantization = "Q4_K_M", repository = "other/tiny", file = "q4/tiny-q4.gguf", size_bytes = 7 },
          { quantization = "4bit", format = "MLX" },
        ]
    """)
    (card,) = parse_catalog(document, "catalog")
    assert (card.id, card.parameters, card.licence, card.demo) == ("tiny-1b", 1_000_000_000, None, False)
    assert card.default_variant == Variant(
        quantization="Q4_K_M", repository="other/tiny", file="q4/tiny-q4.gguf", size_bytes=7
    )
    assert [variant.repository for variant in card.variants] == [
        "somebody/tiny-GGUF",
        "other/tiny",
        "somebody/tiny-4bit",
    ]
    assert [variant.hint_bytes for variant in card.variants] == [2_000_000_000, 7, None]
    assert card.formats == ("GGUF", "MLX")
    assert card.architecture == Architecture(name="llama", attention="GQA", layers=16, window_layers_frac=0.5)
    known = {fact: card.source_of(fact) for fact in ("parameters", "layers", "norm", "tokens")}
    assert known == {
        "parameters": "hub",
        "layers": "config",
        "norm": "family",
        "tokens": "catalog",
    }


def test_the_bare_id_means_the_first_variant_when_no_default_is_named() -> None:
    variants = [{"quantization": "F16", "file": "a.gguf"}, {"quantization": "Q8_0", "file": "b.gguf"}]
    (card,) = parse_catalog({"model": [entry(variants=variants, repositories=[{"id": "a/b"}])]}, "catalog")
    assert card.default_variant is card.variants[0]
    assert ModelCard(id="x", name="X", family="X", developer="X").default_variant is None


def test_cards_can_be_put_into_sets() -> None:
    card = ModelCard(id="x", name="X", family="X", developer="X", architecture=Architecture(), training=Training())
    assert len({card, msgspec.structs.replace(card)}) == 1


def test_an_empty_catalog_is_one() -> None:
    assert parse_catalog({}, "catalog") == ()


def test_another_catalog_changes_only_the_keys_that_it_names() -> None:
    cards = parse_catalog({"model": [entry(licence="MIT", sources={"licence": "hub"}), entry(id="two")]}, "catalog")
    own = {"model": [{"id": "tiny-1b", "licence": "Apache-2.0"}, entry(id="three")]}
    first, second, third = extended(cards, own, "own")
    assert first == msgspec.structs.replace(cards[0], licence="Apache-2.0")
    assert second is cards[1]
    assert third.id == "three"
    with pytest.raises(CatalogError, match=r"own: model 1 \(tiny-1b\): .*parameters"):
        extended(cards, {"model": [{"id": "tiny-1b", "parameters": -0.5}]}, "own")


def variant(**changes: object) -> dict[str, object]:
    """An entry with one variant on the hub."""
    return entry(variants=[{"quantization": "F16", "file": "a.gguf", "repository": "a/b", **changes}])


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"model": {}}, r"catalog: `model` must be an array of tables"),
        ({"model": ["tiny"]}, r"catalog: model 1: Expected `object`"),
        ({"model": [{"id": "tiny"}]}, r"model 1 \(tiny\): .*missing required field `name`"),
        ({"model": [entry(colour="red")]}, r"model 1 \(tiny-1b\): .*unknown field `colour`"),
        (
            {"model": [entry(parameters="many")]},
            r"\(tiny-1b\): Expected `int \| null`, got `str` .*parameters",
        ),
        ({"model": [entry(id="Tiny 1B")]}, r"id must be lower-case"),
        ({"model": [entry(id="a:b")]}, r"id must be lower-case"),
        ({"model": [entry(), entry()]}, r"model 2 \(tiny-1b\): id 'tiny-1b' is used twice"),
        ({"model": [entry(default="Q8_0")]}, r"default 'Q8_0' is none of its variants"),
        ({"models": []}, r"catalog: unknown key `models`"),
        ({"model": [entry(released="May 2024")]}, r"\(tiny-1b\): released must be YYYY"),
        ({"model": [entry(sources={"colour": "hub"})]}, r"unknown field `colour` .*sources"),
        ({"model": [entry(sources={"licence": "hearsay"})]}, r"Invalid enum value 'hearsay'.*sources"),
        ({"model": [entry(inferred=["colour"])]}, r"inferred names no fact: 'colour'"),
        ({"model": [entry(architecture={"layer": 3})]}, r"unknown field `layer` .*architecture"),
        ({"model": [entry(architecture={"attention": "SSM"})]}, r"Invalid enum value 'SSM' .*architecture\.attention"),
        ({"model": [entry(repositories=[{"id": "tiny"}])]}, r"repositories\[0\]\.id must be owner/name, not 'tiny'"),
        (
            {"model": [entry(repositories=[{"id": "a/b"}], variants=[{"quantization": q} for q in ("bf16", "BF16")])]},
            r"two variants have the same quantization",
        ),
        ({"model": [variant(format="ONNX")]}, r"Invalid enum value 'ONNX' .*variants\[0\]\.format"),
        ({"model": [variant(repository=None)]}, r"variants\[0\]: needs a `repository`"),
        ({"model": [variant(repository="../b")]}, r"variants\[0\]\.repository must be owner/name"),
        ({"model": [variant(sha256="ABC")]}, r"variants\[0\]\.sha256 must be 64"),
        *(
            ({"model": [variant(file=name)]}, r"variants\[0\]\.file must be a path inside the repository")
            for name in ("/etc/passwd", "../a.gguf", "a/../../b", "a\\b", "C:a", "a\0b", "\x1b[2J", "", ".")
        ),
        ({"model": [entry(bundled=True, variants=[{"quantization": "F16"}])]}, r"bundled variant needs its `file`"),
    ],
)
def test_a_wrong_entry_is_named(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint):
        parse_catalog(document, "catalog")
