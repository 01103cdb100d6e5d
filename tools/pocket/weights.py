"""A trained model from a checkpoint or a GGUF file, to be evaluated."""

from __future__ import annotations

from pathlib import Path

import torch
from model import ModelShape, PocketModel


def load_model(path: Path, device: str = "cpu") -> PocketModel:
    """Model in ``path``; the weights of a quantized GGUF file are those that llama.cpp computes with, in F32."""
    model = read_gguf(path) if path.suffix == ".gguf" else read_checkpoint(path)
    return model.to(device).eval()


def read_checkpoint(path: Path) -> PocketModel:
    """Model in what ``train.py`` wrote."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = PocketModel(ModelShape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model


def read_gguf(path: Path) -> PocketModel:
    """Model in what ``convert.py`` wrote."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    tensors = {
        tensor.name: torch.tensor(dequantize(tensor.data, tensor.tensor_type)).float()
        for tensor in GGUFReader(path).tensors
    }
    model = PocketModel(ModelShape(layers=sum("attn_norm" in name for name in tensors)))
    model.load_state_dict(tensors)
    return model
