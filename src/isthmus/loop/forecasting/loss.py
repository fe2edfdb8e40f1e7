"""What training makes small, and what it watches."""

from __future__ import annotations

from typing import Any

import torch

END_WEIGHT = 0.25
"""How much the final step counts beside the mean over all steps."""

BEST_WEIGHT, ODDS_WEIGHT = 0.5, 0.2


def costs(paths: Any, future: Any) -> tuple[Any, Any]:
    """Return the mean and the final distance in metres of each mode, each (n, K).

    Distances, not squares: what is judged later is the mean distance, and the noisy tail of the recorded
    positions would rule the squares. The small constant keeps the gradient finite at zero.
    """
    away = (paths - future[:, None]).square().sum(dim=-1).add(1e-4).sqrt()
    return away.mean(dim=-1), away[..., -1]


def loss_of(paths: Any, logits: Any, future: Any) -> Any:
    """Return the loss of a batch, a scalar tensor.

    Three parts. The first mode is drawn to the middle of all futures; of all modes the nearest is drawn to
    what happened (winner takes all), so that the others spread; the odds learn which mode that was.
    """
    mean, end = costs(paths, future)
    cost = mean + END_WEIGHT * end
    nearest, winner = cost.min(dim=1)
    odds = torch.nn.functional.cross_entropy(logits, winner)
    return cost[:, 0].mean() + BEST_WEIGHT * nearest.mean() + ODDS_WEIGHT * odds


def watched(paths: Any, logits: Any, future: Any) -> Any:
    """Sum over a batch what validation watches: loss, ADE and FDE of the most probable mode, minADE, (4,)."""
    mean, end = costs(paths, future)
    likely = logits.argmax(dim=1, keepdim=True)
    return torch.stack(
        [
            loss_of(paths, logits, future) * len(future),
            mean.gather(1, likely).sum(),
            end.gather(1, likely).sum(),
            mean.amin(dim=1).sum(),
        ]
    )
