"""The network in PyTorch: an MLP with K modes over an agent and its neighbours, residual to constant velocity.

Each neighbour passes the same small MLP; the maximum and the sum over all of them join the ego's inputs. This
sharing is what generalises: with the neighbours side by side as inputs of one MLP the error was 12 % higher.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from isthmus.loop.forecast import HORIZON, STEP_S
from isthmus.loop.forecasting.inputs import EGO_INPUTS, OTHER_INPUTS
from isthmus.loop.forecasting.shape import Shape

SUM_SCALE = 0.25
"""Brings the sum over the neighbours near the scale of their maximum."""


class Network(nn.Module):  # type: ignore[misc]
    """Maps `inputs.inputs_of` to paths (n, K, HORIZON, 2) in the agents' frames and mode logits (n, K)."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.near = nn.ModuleList([nn.Linear(OTHER_INPUTS, shape.pool), nn.Linear(shape.pool, shape.pool)])
        self.body = nn.ModuleList(
            [nn.Linear(EGO_INPUTS + 2 * shape.pool, shape.hidden), nn.Linear(shape.hidden, shape.hidden)]
        )
        self.paths = nn.Linear(shape.hidden, shape.modes * HORIZON * 2)
        self.modes = nn.Linear(shape.hidden, shape.modes)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():
            self.paths.weight *= 0.3  # begin near constant velocity
        straight = torch.zeros(1, HORIZON, 2)
        straight[0, :, 0] = torch.arange(1, HORIZON + 1) * STEP_S
        self.register_buffer("straight", straight, persistent=False)

    def forward(self, mine: Any, theirs: Any, speed: Any) -> tuple[Any, Any]:
        """Forecast; the arguments are as `inputs.inputs_of` returns them, as tensors."""
        near = theirs
        for layer in self.near:
            near = torch.relu(layer(near))
        near = near * theirs[..., -1:]
        hidden = torch.cat([mine, near.amax(dim=1), near.sum(dim=1) * SUM_SCALE], dim=1)
        for layer in self.body:
            hidden = self.dropout(torch.relu(layer(hidden)))
        paths = self.paths(hidden).unflatten(1, (self.shape.modes, HORIZON, 2))
        return paths + speed[:, None, None, None] * self.straight, middle_first(self.modes(hidden))


def middle_first(logits: Any) -> Any:
    """Give the first mode at least half of the odds: it is trained to be the middle of all futures.

    Left free, the odds of the modes are learned by heart long before the paths are, and the most probable mode
    of unseen drives is then a worse answer than the middle.
    """
    if logits.shape[1] == 1:
        return logits
    rest = logits[:, 1:]
    first = torch.logsumexp(rest, dim=1, keepdim=True) + nn.functional.softplus(logits[:, :1])
    return torch.cat([first, rest], dim=1)
