"""Labels of quantizations, in any spelling, and where they stand in the names of files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slmtui.core.text import one_line

ORDER = (
    "Q4_K_M", "Q4_K_S", "Q4_K", "Q4_0", "IQ4_NL", "IQ4_XS", "Q4_1", "Q4_K_L", "Q4_K_XL", "Q5_K_M", "Q5_K_S", "Q5_K",
    "Q5_0", "Q5_1", "Q5_K_L", "Q5_K_XL", "Q6_K", "Q6_K_L", "Q6_K_XL", "Q8_0", "Q8_K_XL", "Q3_K_M", "Q3_K_L",
    "Q3_K_XL", "Q3_K_S", "Q3_K", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "Q2_K_L", "Q2_K_XL", "Q2_K_S",
    "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "TQ2_0", "TQ1_0", "MXFP4", "MXFP4_MOE", "NVFP4", "I2_S",
    "BF16", "F16", "F32",
)  # fmt: skip
"""The labels of llama.cpp and of large publishers, in the order in which one is taken when nothing else decides."""
_FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21:
    "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29:
    "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
}  # fmt: skip
"""`enum llama_ftype` (llama.h): what a GGUF header says of the whole file."""
_NUMBERS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_METHODS = {"awq": "4bit", "gptq": "4bit", "mxfp4": "mxfp4", "mxfp8": "mxfp8", "modelopt": "nvfp4"}
"""What mlx-lm (`utils.load_model`) makes of others' quantizations, by their `quant_method`."""
_PACKED = {"pack-quantized": "4bit", "mxfp4-pack-quantized": "mxfp4", "nvfp4-pack-quantized": "nvfp4"}
"""The same by the format of `compressed-tensors`."""
_BY_LETTERS = {label.replace("_", ""): label for label in ORDER} | {"FP16": "F16", "FP32": "F32"}
_LABEL = re.compile(
    r"(?<![A-Za-z0-9])(?P<ud>UD[-_])?"
    r"(?P<label>I?Q[1-8](?:[_-]?K)?(?:[_-]?(?:XXL|XXS|XL|XS|NL|[LMS01]))?(?:_[48]_[48])?"
    r"|TQ[12][_-]?0|BF16|FP?16|FP?32|MXFP4(?:[_-]MOE)?|NVFP4|I2[_-]S)(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_BITS = re.compile(r"(\d)[-_ ]?bits?", re.IGNORECASE)
_DYNAMIC = re.compile(r"UD[-_ ]", re.IGNORECASE)


def canonical(label: str) -> str:
    """The label as llama.cpp prints it: `q4-k-m`, `Q4KM` and ` Q4_K_M` are Q4_K_M; unknown ones in capitals.

    `UD-` (Unsloth's mixtures) stays in front; MLX's labels keep their usual form: `4-bit` is 4bit.
    """
    label = label.strip()
    if bits := _BITS.fullmatch(label):
        return f"{bits[1]}bit"
    dynamic = _DYNAMIC.match(label)
    rest = label[dynamic.end() :] if dynamic else label
    letters = re.sub(r"[-_ ]", "", rest).upper()
    return ("UD-" if dynamic else "") + _BY_LETTERS.get(letters, re.sub(r"[- ]", "_", rest).upper())


def by_file_type(number: int) -> str | None:
    """The label for `general.file_type` of a GGUF header; None for a number that is not known."""
    return _FILE_TYPES.get(number)


def by_config(config: Mapping[str, Any]) -> str | None:
    """The label of a model in MLX's format (4bit, mxfp4, bf16) by its `config.json`; None where that does not say."""
    own = config.get("quantization")
    if own is not None:
        return _own_label(own)
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, dict) else {}):
        if isinstance(others := part.get("quantization_config"), dict):
            return _others_label(others, config)
    return _number_label(config)


def _own_label(quantization: object) -> str | None:
    if not isinstance(quantization, dict):
        return None
    mode, bits = quantization.get("mode", "affine"), quantization.get("bits")
    if mode != "affine":
        return one_line(str(mode))
    return f"{bits}bit" if isinstance(bits, int) else None


def _others_label(quantization: Mapping[str, Any], config: Mapping[str, Any]) -> str | None:
    method = str(quantization.get("quant_method"))
    if method == "compressed-tensors":
        return _PACKED.get(str(quantization.get("format")), method)
    if method == "fp8":  # packed where its scales are powers of two over such blocks, else as the other numbers
        packed = quantization.get("scale_fmt") == "ue8m0" and quantization.get("weight_block_size") == [32, 32]
        return "mxfp8" if packed else _number_label(config)
    return _METHODS.get(method, one_line(method)) if "quant_method" in quantization else None


def _number_label(config: Mapping[str, Any]) -> str | None:
    return _NUMBERS.get(str(config.get("torch_dtype") or config.get("dtype")))


def label_in(path: str) -> str | None:
    """The label in a file's path on the hub: the last one in its name, or else in its folder's; None without one."""
    folder, _, name = path.rpartition("/")
    found = list(_LABEL.finditer(name)) or list(_LABEL.finditer(folder))
    return canonical((found[-1]["ud"] or "") + found[-1]["label"]) if found else None


def matching(wanted: str, labels: list[str]) -> str | None:
    """The label that a person means: the same in the nearest spelling, or the first of `ORDER` that begins so (Q4).

    llama.cpp's BF16 and MLX's bf16 are two labels; each is meant by its own spelling, and by the other's without it.
    """
    asked = canonical(wanted)
    for spelling in (str.strip, str.casefold, canonical):
        for label in labels:
            if spelling(label) == spelling(wanted.strip()):
                return label
    beginning = [label for label in ORDER if label in labels and label.startswith(asked)]
    return beginning[0] if beginning and re.fullmatch(r"I?Q\d(_K)?|TQ\d", asked) else None
