"""What tests of MLX ask of its worker."""

from __future__ import annotations

from pathlib import Path

from slmtui.engine.protocol import Load, Question

ONCE = "Once upon a time"
LONG = ONCE + " there was a dog and a cat. " * 30
QUESTIONS = tuple(
    Question(prompt=f"A story.\n\n{ONCE}, {who}", options=(" lived near a river.", " was", " zuki"))
    for who in ("Tom", "Lily")
)


def request(path: Path, **changes: object) -> Load:
    """Load this folder."""
    return Load(path=str(path), engine="MLX", **changes)  # type: ignore[arg-type]
