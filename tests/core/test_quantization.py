from __future__ import annotations

import pytest

from slmtui.core.quantization import ORDER, canonical, label_in, matching


@pytest.mark.parametrize(
    ("spelled", "label"),
    [
        *((label, label) for label in ORDER),
        *((label.lower(), label) for label in ORDER),
        *((label.replace("_", ""), label) for label in ORDER),
        *((label.replace("_", "-").lower(), label) for label in ORDER),
        (" q4_k_m ", "Q4_K_M"),
        ("fp16", "F16"),
        ("ud-q4_k_xl", "UD-Q4_K_XL"),
        ("4bit", "4bit"),
        ("4-bit", "4bit"),
        ("8 bits", "8bit"),
        ("something new", "SOMETHING_NEW"),
    ],
)
def test_a_label_is_known_in_any_spelling(spelled: str, label: str) -> None:
    assert canonical(spelled) == label


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Phi-3.5-mini-instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", "Q4_K_M"),
        ("MiniCPM4-0.5B.i1-IQ3_XXS.gguf", "IQ3_XXS"),
        ("Qwen3-0.6B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("MiniCPM-2B-dpo-q4km-gguf.gguf", "Q4_K_M"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
        ("Q8_0/Model-00001-of-00002.gguf", "Q8_0"),
        ("BF16/Q4-experiments/Model.f16.gguf", "F16"),
        ("ggml-model-i2_s.gguf", "I2_S"),
        ("Model-Q4_0_4_4.gguf", "Q4044"),
        ("gemma-2b-it.gguf", None),
        ("Model-32k-v2.gguf", None),
        ("F1-model.gguf", None),
    ],
)
def test_the_last_label_of_a_name_counts(path: str, label: str | None) -> None:
    assert label_in(path) == (label if label != "Q4044" else "Q4_0_4_4")


def test_a_beginning_means_the_usual_one() -> None:
    labels = ["Q8_0", "Q4_K_S", "Q4_K_M", "Q4_0", "UD-Q4_K_XL", "F16"]
    assert matching("q4", labels) == "Q4_K_M"
    assert matching("Q4_K", labels) == "Q4_K_M"
    assert matching("q8", labels) == "Q8_0"
    assert matching("Q4", ["Q4", "Q4_K_M"]) == "Q4"
    for none in ("Q5", "F", "B", "", "Q4_K_L"):
        assert matching(none, labels) is None
