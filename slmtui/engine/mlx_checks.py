"""What MLX does not take, refused before it would do something else, and what its failures mean for a person."""

from __future__ import annotations

import re

from slmtui.core import text
from slmtui.core.events import FailureKind, MemoryPart, total_bytes
from slmtui.core.offload import ALL, FIT
from slmtui.engine.backends import EngineError
from slmtui.engine.mlx_files import ModelFolder
from slmtui.engine.protocol import Load

KV_TYPE = "f16"
"""What a load may name; MLX keeps keys and values in the numbers of the model's own activations."""
_MOST_FILES = 4096
_NO_ROOM = ("malloc", "unable to allocate", "attempting to allocate", "insufficient memory", "out of memory")
_UNKNOWN_TYPE = re.compile(r"Model type .* not supported|has no attribute 'Model")
"""What mlx-lm says of a model type that it has no module for, or one that holds no model."""
_FROM_READING = ("[load_safetensors]", "[read]")
"""How what MLX says of a file of weights begins."""


def check_settings(request: Load) -> None:
    """Refuse settings that MLX has no counterpart of.

    Raises:
        EngineError: names the setting.
    """
    if {request.type_k, request.type_v} != {KV_TYPE}:
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"MLX keeps its KV cache in the model's own numbers, so {request.type_k} and {request.type_v} cannot be "
            f"had. Leave both at {KV_TYPE}.",
        )
    if request.flash_attention not in ("auto", "on"):
        raise EngineError(
            FailureKind.BAD_REQUEST, "MLX has one kind of attention, which is fused. Leave flash attention at auto."
        )
    if request.gpu_layers not in (0, ALL, FIT):
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"MLX runs a whole model on one device, so {request.gpu_layers} layers cannot be offloaded. "
            "Give all or none.",
        )
    if request.gpu_layers == 0 and request.device.strip().casefold() != "cpu":
        raise EngineError(
            FailureKind.BAD_REQUEST,
            f"MLX runs a whole model on one device, so on {text.one_line(request.device)} all layers are there. For "
            "none, choose the device cpu.",
        )
    if request.tensor_split or request.split_mode not in ("layer", "none"):
        raise EngineError(
            FailureKind.BAD_REQUEST, "MLX runs a whole model on one GPU. Leave the split at layer, and give no shares."
        )


def too_few_files() -> str | None:
    """Why mlx-lm cannot be imported where the system lets a process open few files, and what to do; None where it can.

    Importing it sets the same limits, which fails where the hard one is lower.
    """
    import resource  # there is none on Windows, which has no MLX either

    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, _MOST_FILES))
    except ValueError:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return (
            f"mlx-lm wants to be allowed {_MOST_FILES:,} open files, and the system's hard limit is {most:,}. Raise it "
            f"before slmtui starts: `ulimit -n {_MOST_FILES}` as root, or nofile in /etc/security/limits.conf."
        )
    return None


def check_working_set(planned: tuple[MemoryPart, ...], working_set_bytes: int | None) -> None:
    """Refuse what macOS does not let the GPU keep in memory; None where there is no such limit.

    Raises:
        EngineError: says what is needed, what there is, and what would need less.
    """
    needed = total_bytes(planned)
    if working_set_bytes is not None and needed > working_set_bytes:
        raise EngineError(
            FailureKind.OUT_OF_MEMORY,
            f"It needs {text.memory(needed)}, and macOS lets the GPU keep {text.memory(working_set_bytes)} in memory. "
            "Choose a smaller context or a smaller variant, or raise the limit: sudo sysctl iogpu.wired_limit_mb=N.",
        )


def load_failure(error: Exception, folder: ModelFolder) -> tuple[FailureKind, str]:
    """Why mlx-lm did not open the model."""
    why, shown = _why(error), folder.name
    if _UNKNOWN_TYPE.search(why):
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"This version of mlx-lm does not know the model type {folder.model_type} of {shown}. "
            "Update slmtui and mlx-lm, or choose another model.",
        )
    if why.endswith("not supported.") and not why.startswith("["):  # MLX's own errors begin with the operation
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"This version of mlx-lm does not run {shown} ({why}). Update slmtui and mlx-lm, or choose another model.",
        )
    if "trust_remote_code" in why:
        return (
            FailureKind.UNSUPPORTED_ARCHITECTURE,
            f"{shown} wants to run Python code that comes with it, which slmtui does not do. Choose another model.",
        )
    if _is_out_of_memory(why, error):
        return FailureKind.OUT_OF_MEMORY, f"{shown} does not fit into memory ({why}). Choose a smaller variant."
    if why.startswith(_FROM_READING) or isinstance(error, OSError):
        return FailureKind.BAD_FILE, f"{shown} is damaged or incomplete ({why}). Download or copy it again."
    return (
        FailureKind.BAD_FILE,
        f"The weights of {shown} are not what its config.json describes ({why}). Download or copy it again.",
    )


def evaluation_failure(error: Exception) -> tuple[FailureKind, str]:
    """Why MLX could not evaluate."""
    why = _why(error)
    if _is_out_of_memory(why, error):
        return (
            FailureKind.OUT_OF_MEMORY,
            f"Memory ran out while MLX was evaluating ({why}). Load the model with a smaller context, or a smaller "
            "variant.",
        )
    return FailureKind.INTERNAL, f"MLX could not evaluate a batch ({why}). Load the model again."


def _is_out_of_memory(why: str, error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in why.lower() for words in _NO_ROOM)


def _why(error: Exception) -> str:
    return text.shorten(text.one_line(str(error)), 300) or type(error).__name__
