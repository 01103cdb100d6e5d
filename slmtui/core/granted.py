"""Settings that an engine does not have: of its models a plan neither varies nor claims them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from slmtui.core.catalog import Format
from slmtui.core.offload import ALL, FIT
from slmtui.core.plan import Grid, Setup


class _Lack(NamedTuple):
    """A field of `Grid` that means nothing to an engine."""

    setting: str
    why: str
    granted: Collection[object] = ()
    """Values that name what the engine does anyway."""


_MLX: Mapping[str, _Lack] = {
    "threads": _Lack("the number of threads", "how many threads MLX uses cannot be set"),
    "micro_batches": _Lack("the micro-batch size", "on the CPU MLX reads a prompt in steps of its own"),
    "kv_types": _Lack("its type", "MLX keeps its KV cache in the model's own numbers", [("f16", "f16")]),
    "flash_attention": _Lack("flash attention", "MLX has one kind of attention, which is fused", ["auto", "on"]),
    "gpu_layers": _Lack("the number of layers", "MLX runs a whole model on one device", [0, ALL, FIT]),
    "split_modes": _Lack("the split", "MLX runs a whole model on one GPU", ["layer", "none"]),
    "tensor_splits": _Lack("the shares", "MLX runs a whole model on one GPU", [()]),
}


def own_setup(setup: Setup, form: Format) -> Setup:
    """What a setup comes to for a model of this format: None stands for what its engine does not have.

    In MLX a model of which no layer is on the GPU runs on the CPU.
    """
    if form != "MLX":
        return setup
    on_cpu = setup.device == "cpu" or setup.gpu_layers == 0
    return Setup(
        batch=setup.batch,
        micro_batch=None if on_cpu else setup.micro_batch,
        type_k=None,
        type_v=None,
        flash_attention=None,
        device="cpu" if on_cpu else setup.device,
        gpu_layers=0 if on_cpu else ALL,
        split_mode=None,
        context=setup.context,
    )


def refusal(asked: Grid, formats: Collection[Format], devices: tuple[str, ...] = ("cpu",)) -> str | None:
    """Why what a person asked for cannot be had of any model of these formats on these devices; None if it can.

    Beside models whose engine has the setting the others are measured, each once, as their engine does it anyway.
    """
    if set(formats) != {"MLX"}:
        return None
    for name, lack in _MLX.items():
        values = getattr(asked, name)
        if values is None or (name == "micro_batches" and devices != ("cpu",)):
            continue
        told_apart = set(Grid(devices=devices, **{name: values}).setups())
        if not set(values) <= set(lack.granted) or len({own_setup(each, "MLX") for each in told_apart}) < len(
            told_apart
        ):
            return f"{lack.why}; leave {lack.setting} out"
    return None
