"""Estimates from a card or from a measurement's facts, beside those from a header."""

from __future__ import annotations

import math

import msgspec
import pytest

from slmtui.core.catalog import Architecture, ModelCard, Variant
from slmtui.core.estimate import Cache
from slmtui.core.estimate_card import HEADER_TOKEN_BYTES, anatomy_of_card, anatomy_of_facts, mix_of
from slmtui.core.estimate_memory import (
    Host,
    Setup,
    memory_parts,
    process_bytes,
)
from slmtui.core.estimate_speed import speed
from slmtui.core.events import ModelFacts
from tests.core.estimates import AMX, RATES, SHORT, WEIGHTS, anatomy, sizes

SHAPE = Architecture(
    name="llama", layers=8, hidden_size=1024, heads=16, kv_heads=4, ffn="gated", ffn_size=2560, vocabulary=32_768,
    context=8192, tied_embeddings=True,
)  # fmt: skip


FILE_BYTES = WEIGHTS // 32 * 34 + HEADER_TOKEN_BYTES[False] * 32_768


def card(shape: Architecture | None = SHAPE, parameters: int | None = WEIGHTS) -> ModelCard:
    return ModelCard(
        id="any", name="Any", family="any", developer="any", parameters=parameters, architecture=shape,
        variants=(Variant(quantization="Q8_0", size_bytes=FILE_BYTES, file="any.gguf"),),
    )  # fmt: skip


def test_a_card_says_what_a_header_does() -> None:
    made = anatomy_of_card(card(), card().variants[0])
    assert made is not None
    assert made.doubts == ()
    for setup, host in ((SHORT, Host()), (Setup(context=8192, type_k="q8_0", type_v="q8_0"), Host(packing=AMX))):
        ours, theirs = (process_bytes(memory_parts(one, setup, host)) for one in (made, anatomy()))
        assert ours == pytest.approx(theirs, rel=0.01)
    decode = [speed(one, SHORT, Host(), RATES).decode_tps for one in (made, anatomy())]
    assert decode[0] is not None
    assert decode[1] is not None
    assert decode[0].likely == pytest.approx(decode[1].likely, rel=0.01)


def test_what_a_card_does_not_say_is_told_or_doubted() -> None:
    bare = msgspec.structs.replace(SHAPE, ffn_size=None, tied_embeddings=None, ffn=None)
    made = anatomy_of_card(card(bare), card().variants[0])
    assert made is not None
    assert made.tied
    assert made.width == pytest.approx(anatomy().width, rel=0.08)
    assert any("feed-forward" in doubt for doubt in made.doubts)
    headless = msgspec.structs.replace(SHAPE, heads=None, kv_heads=None)
    made = anatomy_of_card(card(headless), card().variants[0])
    assert made is not None
    assert made.caches == ()
    assert any("KV cache" in doubt for doubt in made.doubts)
    mlx = Variant(quantization="4bit", format="MLX")
    for shape, variant in ((None, card().variants[0]), (SHAPE, mlx), (SHAPE, Variant(quantization="odd"))):
        assert anatomy_of_card(card(shape), variant) is None


def test_untied_embeddings_are_seen_in_the_parameters() -> None:
    shape = msgspec.structs.replace(SHAPE, tied_embeddings=None)
    made = anatomy_of_card(card(shape, WEIGHTS + 1024 * 32_768), card().variants[0])
    assert made is not None
    assert not made.tied


def test_windows_latent_attention_and_hybrids() -> None:
    windowed = msgspec.structs.replace(SHAPE, window=512, window_layers_frac=0.75)
    made = anatomy_of_card(card(windowed), card().variants[0])
    assert made is not None
    assert made.caches == (Cache(2, 256, 256, None), Cache(6, 256, 256, 512))
    latent = msgspec.structs.replace(SHAPE, latent_size=288)
    made = anatomy_of_card(card(latent), card().variants[0])
    assert made is not None
    assert made.caches == (Cache(8, 288, 0, None),)
    hybrid = msgspec.structs.replace(SHAPE, attention="hybrid", attention_layers=2)
    made = anatomy_of_card(card(hybrid), card().variants[0])
    assert made is not None
    assert made.caches == (Cache(2, 256, 256, None),)
    assert made.weights_bytes == pytest.approx(WEIGHTS // 32 * 34, rel=0.001)
    assert any("state" in doubt for doubt in made.doubts)
    assert not any("How many" in doubt for doubt in made.doubts)
    sized = anatomy_of_card(card(hybrid, parameters=None), card().variants[0])
    assert sized is not None
    assert sum(math.prod(group.tensor.shape) * group.times for group in sized.groups) == pytest.approx(
        WEIGHTS, rel=0.001
    )


@pytest.mark.parametrize(
    ("unsaid", "doubt"), [({"attention": "hybrid"}, "How many of its layers"), ({"window_layers_frac": 0.5}, "How far")]
)
def test_layers_that_a_card_does_not_tell_apart_all_count(unsaid: dict[str, object], doubt: str) -> None:
    made = anatomy_of_card(card(msgspec.structs.replace(SHAPE, **unsaid)), card().variants[0])
    assert made is not None
    assert made.caches == (Cache(8, 256, 256, None),)
    assert any(said.startswith(doubt) for said in made.doubts)


def test_repacked_weights_of_a_card_grow_with_the_file() -> None:
    def packed(size_bytes: int) -> float:
        made = anatomy_of_card(card(parameters=None), Variant(quantization="Q8_0", size_bytes=size_bytes))
        assert made is not None
        return sizes(memory_parts(made, SHORT, Host(packing=AMX)))["repacked weights"] / made.weights_bytes

    assert packed(2 * FILE_BYTES) == pytest.approx(packed(FILE_BYTES)) == pytest.approx(38 / 34)


def test_facts_of_a_measurement() -> None:
    facts = ModelFacts(
        architecture="llama", quantization="Q8_0", parameters=WEIGHTS, weights_bytes=WEIGHTS // 32 * 34, layers=8,
        hidden_size=1024, heads=16, kv_heads=4, vocabulary=32_768, trained_context=8192, head_size=64,
    )  # fmt: skip
    made = anatomy_of_facts(facts)
    assert made is not None
    assert made.source == "measurement"
    assert process_bytes(memory_parts(made, SHORT, Host())) == pytest.approx(
        process_bytes(memory_parts(anatomy(), SHORT, Host())), rel=0.01
    )
    assert anatomy_of_facts(ModelFacts()) is None
    each = 4 * 16 * 64
    some = anatomy_of_facts(msgspec.structs.replace(facts, attention_flops=2 * each))
    assert some is not None
    assert some.caches == (Cache(2, 256, 256, None),)
    whole = anatomy_of_facts(msgspec.structs.replace(facts, attention_flops=8 * each))
    assert whole is not None
    assert whole.doubts == made.doubts
    assert anatomy_of_facts(msgspec.structs.replace(facts, prefill_flops=1)) is None, "some look at windows"
    assert anatomy_of_facts(msgspec.structs.replace(facts, kv_heads=None)) is None, "the first layer has no attention"
    more = msgspec.structs.replace(facts, parameters=WEIGHTS + 1024 * 32_768, weights_bytes=150_000_000)
    untied = anatomy_of_facts(msgspec.structs.replace(more, decode_read_bytes=120_000_000))
    assert untied is not None
    assert not untied.tied
    assert untied.width == made.width
    assert [one.name for one in untied.ends[0]] == ["output.weight"]


@pytest.mark.parametrize(
    ("label", "most", "output"),
    [
        ("Q4_K_M", "q4_K", "q6_K"),
        ("Q4_0", "q4_0", "q6_K"),
        ("q8_0", "q8_0", "q8_0"),
        ("Q6_K", "q6_K", "q6_K"),
        ("IQ4_XS", "iq4_xs", "q6_K"),
        ("IQ3_M", "iq3_s", "q6_K"),
        ("Q3_K_L", "q3_K", "q6_K"),
        ("BF16", "bf16", "bf16"),
        ("UD-Q4_K_XL", "q4_K", "q6_K"),
    ],
)
def test_types_of_a_label(label: str, most: str, output: str) -> None:
    assert mix_of(label) == (most, output)


def test_a_label_of_no_type() -> None:
    for label in ("", "4bit", "Q", "XQ4_K"):
        assert mix_of(label) is None
