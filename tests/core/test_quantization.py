from __future__ import annotations

import pytest

from slmtui.core.quantization import ORDER, by_config, canonical, label_in, matching

FP8 = {"quant_method": "fp8", "scale_fmt": "ue8m0"}


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


def test_the_nearest_spelling_is_meant() -> None:
    labels = ["BF16", "F16", "bf16", "fp16", "Q4_0", "4bit"]
    for label in labels:
        assert matching(f" {label} ", labels) == label
    assert matching("Fp16", labels) == "fp16"
    assert matching("Bf16", ["Q4_0", "bf16"]) == "bf16"
    assert matching("fp16", ["F16", "Q4_0"]) == "F16"
    assert matching("f16", ["fp16"]) == "fp16"


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ({"quantization": {"bits": 4, "group_size": 64}, "torch_dtype": "bfloat16"}, "4bit"),
        ({"quantization": {"bits": 6, "mode": "affine"}, "quantization_config": {"bits": 6}}, "6bit"),
        ({"quantization": {"bits": 4, "mode": "mxfp4"}}, "mxfp4"),
        ({"quantization": None, "dtype": "float16"}, "fp16"),
        ({"quantization": 3, "torch_dtype": "bfloat16"}, None),
        ({"quantization": {"group_size": 64}}, None),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}, "torch_dtype": "float16"}, "4bit"),
        ({"quantization_config": {"quant_method": "gptq"}}, "4bit"),
        ({"quantization_config": {"quant_method": "mxfp4"}, "torch_dtype": "bfloat16"}, "mxfp4"),
        ({"text_config": {"quantization_config": {"quant_method": "mxfp8"}}, "dtype": "bfloat16"}, "mxfp8"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized"}}, "4bit"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}}, "nvfp4"),
        ({"quantization_config": {"quant_method": "compressed-tensors", "format": "x"}}, "compressed-tensors"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "nvfp4"),
        ({"quantization_config": FP8 | {"weight_block_size": [32, 32]}}, "mxfp8"),
        ({"quantization_config": FP8 | {"weight_block_size": [128, 128]}, "torch_dtype": "bfloat16"}, "bf16"),
        ({"quantization_config": {"quant_method": "fp8"}, "torch_dtype": "bfloat16"}, "bf16"),
        ({"quantization_config": {"quant_method": "bit\x1bnet"}, "torch_dtype": "bfloat16"}, "bitnet"),
        ({"quantization_config": {"bits": 4}, "torch_dtype": "bfloat16"}, None),
        ({"quantization_config": None, "torch_dtype": "float32"}, "fp32"),
        ({"torch_dtype": ["bfloat16"]}, None),
        ({}, None),
    ],
)
def test_the_label_of_a_model_in_mlx_s_format(config: dict[str, object], label: str | None) -> None:
    assert by_config(config) == label
    if label is not None:
        for spelled in (label, label.upper(), canonical(label)):
            assert matching(spelled, ["Q4_K_M", label]) == label
