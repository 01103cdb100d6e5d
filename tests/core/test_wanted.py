from __future__ import annotations

from pathlib import Path

import pytest

from slmtui.core.catalog import LocalModel, ModelCard, Variant
from slmtui.core.offers import Offer, first_choice, offers
from slmtui.core.wanted import Traits, Wanted, parse_count, terms

TRAITS = Traits(
    text="qwen3-0.6b qwen3 0.6b alibaba apache-2.0",
    parameters=596_049_920,
    licence="Apache-2.0",
    thinking=True,
    here=False,
    formats=("GGUF", "MLX"),
    fits="tight",
)
UNKNOWN = Traits(text="mystery")


@pytest.mark.parametrize(
    ("wanted", "admits"),
    [
        (Wanted(), True),
        (Wanted(words="QWEN ali"), True),
        (Wanted(words="qwen gemma"), False),
        (Wanted(here=False), True),
        (Wanted(here=True), False),
        (Wanted(fits=True), True),
        (Wanted(fits=False), False),
        (Wanted(most_parameters=600_000_000), True),
        (Wanted(most_parameters=500_000_000), False),
        (Wanted(terms="open"), True),
        (Wanted(terms="own"), False),
        (Wanted(thinking=True), True),
        (Wanted(thinking=False), False),
        (Wanted(format="MLX"), True),
        (Wanted(words="qwen", thinking=True, most_parameters=10**9, format="GGUF", fits=True), True),
        (Wanted(words="qwen", thinking=True, most_parameters=10**9, format="GGUF", fits=True, here=True), False),
    ],
)
def test_every_wish_must_be_met(wanted: Wanted, admits: bool) -> None:
    assert wanted.admits(TRAITS) is admits
    assert wanted.anything is (wanted == Wanted())


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(fits=True),
        Wanted(fits=False),
        Wanted(most_parameters=10**12),
        Wanted(thinking=True),
        Wanted(thinking=False),
        Wanted(terms="open"),
        Wanted(format="GGUF"),
    ],
)
def test_what_is_not_known_is_never_what_is_looked_for(wanted: Wanted) -> None:
    assert not wanted.admits(UNKNOWN)
    assert Wanted(terms="unknown").admits(UNKNOWN)


@pytest.mark.parametrize(
    ("licence", "kind"),
    [
        ("Apache-2.0", "open"),
        ("mit", "open"),
        ("Gemma", "own"),
        ("CC-BY-NC-4.0", "own"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_kinds_of_licences(licence: str | None, kind: str) -> None:
    assert terms(licence) == kind


@pytest.mark.parametrize(
    ("text", "count"),
    [("135M", 135_000_000), ("1.5b", 1_500_000_000), (" 2 B", 2 * 10**9), ("<=300k", 300_000), ("7", 7)],
)
def test_numbers_of_parameters_as_people_write_them(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "B", "1.5 X", "1,5B", "-1B", "nan"])
def test_what_is_no_number_of_parameters(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 500M or 1\.5B"):
        parse_count(text)


def card(key: str, *variants: Variant) -> ModelCard:
    return ModelCard(
        id=key, name=key.upper(), family="F", developer="D", licence="MIT", parameters=9, variants=variants
    )


Q8, Q4 = Variant(quantization="Q8_0", file="q8.gguf", size_bytes=8), Variant(quantization="Q4_K_M", about_bytes=4)
MLX = Variant(quantization="4bit", format="MLX")


def test_what_is_here_comes_first_and_is_not_offered_again() -> None:
    both, none, other = card("both", Q8, Q4), card("none"), card("other", MLX, Q4)
    local = LocalModel(
        id="both:Q4_K_M", name="BOTH Q4_K_M", path=Path("/m/q4.gguf"), size_bytes=5, card=both, variant=Q4
    )
    own = LocalModel(id="/m/own.gguf", name="own", path=Path("/m/own.gguf"), size_bytes=6)
    found = offers([both, none, other], [local, own])
    assert [offer.id for offer in found] == ["both:Q4_K_M", "/m/own.gguf", "none", "other"]
    assert [offer.name for offer in found] == ["BOTH", "own", "NONE", "OTHER"]
    assert [offer.size_bytes for offer in found] == [5, 6, None, 4]
    assert [offer.formats for offer in found] == [("GGUF",), ("GGUF",), (), ("MLX", "GGUF")]
    assert [offer.traits().here for offer in found] == [True, True, False, False]


def test_the_first_choice_is_one_that_can_run_here() -> None:
    assert first_choice(card("a", Q8, Q4)) is Q8
    assert first_choice(card("a", MLX, Q4)) is Q4
    assert first_choice(card("a", MLX, Q4), ("GGUF", "MLX")) is MLX
    assert first_choice(card("a", MLX)) is MLX, "better than none: it can run elsewhere"
    assert first_choice(card("a")) is None


def test_a_file_is_found_by_what_its_header_says() -> None:
    own = LocalModel(id="/m/own.gguf", name="own", path=Path("/m/own.gguf"), size_bytes=6)
    traits = Offer(local=own).traits(parameters=3, licence="Apache-2.0", more="Q6_K llama")
    assert (traits.parameters, traits.licence, traits.thinking) == (3, "Apache-2.0", None)
    assert Wanted(words="q6 LLAMA /m/").admits(traits)
