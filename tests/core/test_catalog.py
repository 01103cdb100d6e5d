from __future__ import annotations

import tomllib
from typing import Any

import pytest

from slmtui.core.catalog import CatalogError, ModelCard, Variant, parse_catalog


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
        [[model.variants]]
        quantization = "F16"
        file = "tiny-f16.gguf"
        [[model.variants]]
        quantization = "Q4_K_M"
        file = "tiny-q4.gguf"
        size_bytes = 7
    """)
    (card,) = parse_catalog(document, "catalog")
    assert (card.id, card.parameters, card.licence, card.demo) == ("tiny-1b", 1_000_000_000, None, False)
    assert card.default_variant == Variant(quantization="Q4_K_M", file="tiny-q4.gguf", size_bytes=7)


def test_the_bare_id_means_the_first_variant_when_no_default_is_named() -> None:
    variants = [{"quantization": "F16", "file": "a.gguf"}, {"quantization": "Q8_0", "file": "b.gguf"}]
    (card,) = parse_catalog({"model": [entry(variants=variants)]}, "catalog")
    assert card.default_variant is card.variants[0]
    assert ModelCard(id="x", name="X", family="X", developer="X").default_variant is None


def test_an_empty_catalog_is_one() -> None:
    assert parse_catalog({}, "catalog") == ()


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
        ({"model": [entry(), entry()]}, r"model 2: id 'tiny-1b' is used twice"),
        ({"model": [entry(default="Q8_0")]}, r"default 'Q8_0' is none of its variants"),
        (
            {"model": [entry(variants=[{"quantization": "F16", "file": name} for name in "ab"])]},
            r"two variants have the same quantization",
        ),
        (
            {"model": [entry(variants=[{"quantization": "F16", "file": "a", "format": "ONNX"}])]},
            r"Invalid enum value 'ONNX' .*variants\[0\]\.format",
        ),
    ],
)
def test_a_wrong_entry_is_named(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CatalogError, match=complaint):
        parse_catalog(document, "catalog")
