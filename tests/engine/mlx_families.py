"""Makes small models with random weights in mlx-lm's other architectures: `python mlx_families.py POCKET TARGET`.

They share Pocket's tokenizer, and their numbers have 32 bits, so that hardly anything is rounded.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

COMMON = {"vocab_size": 2048, "max_position_embeddings": 512, "num_attention_heads": 4, "eos_token_id": 0}
FAMILIES: dict[str, dict[str, Any]] = {
    "gemma3_text": {
        "hidden_size": 64, "num_hidden_layers": 4, "intermediate_size": 96, "head_dim": 16, "num_key_value_heads": 2,
        "query_pre_attn_scalar": 16, "sliding_window": 8, "sliding_window_pattern": 2,
    },
    "lfm2": {
        "hidden_size": 64, "num_hidden_layers": 4, "num_key_value_heads": 2, "norm_eps": 1e-5, "conv_bias": False,
        "conv_L_cache": 3, "block_dim": 64, "block_ff_dim": 96, "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False,
        "layer_types": ["conv", "full_attention", "conv", "full_attention"],
    },
    "qwen3_moe": {
        "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_experts": 8,
        "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": [], "moe_intermediate_size": 32,
        "rms_norm_eps": 1e-6, "num_key_value_heads": 2, "head_dim": 16, "rope_theta": 10000.0,
        "tie_word_embeddings": False, "norm_topk_prob": True,
    },
}  # fmt: skip


def main() -> None:
    """Write one folder a family."""
    import mlx.core as mx
    from mlx.utils import tree_flatten, tree_map

    pocket, target = map(Path, sys.argv[1:])
    mx.random.seed(3)
    for name, own in FAMILIES.items():
        module = importlib.import_module(f"mlx_lm.models.{name}")
        config = {"model_type": name, "torch_dtype": "float32", **COMMON, **own}
        model = module.Model(module.ModelArgs.from_dict(config))
        weights = tree_map(lambda array: mx.random.normal(array.shape) * 0.2, model.parameters())
        folder = target / name
        folder.mkdir()
        mx.save_safetensors(str(folder / "model.safetensors"), dict(tree_flatten(weights)), {"format": "mlx"})
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        for file in ("tokenizer.json", "tokenizer_config.json"):
            (folder / file).symlink_to(pocket / file)


if __name__ == "__main__":
    main()
