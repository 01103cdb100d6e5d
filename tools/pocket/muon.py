"""Muon, the optimizer of the hidden matrices (Jordan 2024, https://kellerjordan.github.io/posts/muon)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

Stack = list[nn.Parameter]


def orthogonalized(matrices: Tensor, steps: int = 5) -> Tensor:
    """About the nearest semi-orthogonal matrix to each of ``matrices`` [count, rows, columns], by Newton-Schulz."""
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if tall else x


class StackedMuon(torch.optim.Optimizer):
    """Muon that treats matrices of one shape as one stack: torch's own launches some 20 kernels for each matrix."""

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float) -> None:
        """One parameter group for each shape among ``matrices``."""
        stacks: dict[torch.Size, Stack] = {}
        for matrix in matrices:
            stacks.setdefault(matrix.shape, []).append(matrix)
        groups = [{"params": stack} for stack in stacks.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix once, with Nesterov momentum."""
        for group in self.param_groups:
            self._update(group)

    def _update(self, group: dict[str, Any]) -> None:
        """Update the matrices of one shape."""
        stack: Stack = group["params"]
        state = self.state[stack[0]]
        gradient = torch.stack([matrix.grad for matrix in stack if matrix.grad is not None])
        if "average" not in state:
            state["average"] = torch.zeros_like(gradient)
        average = state["average"]
        average.lerp_(gradient, 1 - group["momentum"])
        update = orthogonalized(gradient.lerp(average, group["momentum"]))
        rows, columns = stack[0].shape
        rate = group["lr"] * max(1.0, rows / columns) ** 0.5
        matrices = [matrix.data for matrix in stack]
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, list(update.float().unbind()), alpha=-rate)
