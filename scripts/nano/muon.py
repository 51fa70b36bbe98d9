"""Muon: momentum made orthogonal, for the matrices of the transformer blocks.

PyTorch's own works in bfloat16, which is slow on a CPU without matrix units; this one keeps float32 and
treats matrices of one shape together.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Return the nearest (roughly) orthogonal matrix to each of a stack, by Newton-Schulz iteration."""
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    result: torch.Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Steps as large as AdamW's, so both may share a learning rate."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        """Take two-dimensional parameters only."""
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # noqa: ANN401
        """Move every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            ready = [parameter for parameter in group["params"] if parameter.grad is not None]
            ready.sort(key=lambda parameter: tuple(parameter.shape))
            for shape, same in itertools.groupby(ready, key=lambda parameter: tuple(parameter.shape)):
                self._move(list(same), group, 0.2 * max(shape) ** 0.5)

    def _move(self, parameters: list[torch.nn.Parameter], group: dict[str, Any], scale: float) -> None:
        """Move parameters of one shape."""
        pushes = []
        for parameter in parameters:
            gradient = parameter.grad
            assert gradient is not None  # noqa: S101 - the caller chose those that have one
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(gradient, 1 - group["momentum"])
            pushes.append(gradient.lerp(state["momentum"], group["momentum"]))
        for parameter, push in zip(parameters, orthogonal(torch.stack(pushes)), strict=True):
            parameter.add_(push, alpha=-group["lr"] * scale)
