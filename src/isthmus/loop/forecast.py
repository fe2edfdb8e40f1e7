"""What a forecaster is: it looks at 2 s of every agent's past and says where each may be for the next 3 s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from isthmus.loop.scene import HEADING, V, X, Y

STEP_S = 0.1
HISTORY = 21
"""Steps that a forecaster sees: 2 s and the present one, which is the last."""
HORIZON = 30
"""Steps that it forecasts: 3 s."""
NEIGHBOURS = 8


@dataclass(frozen=True, slots=True)
class Forecast:
    """K possible futures for each of m agents: `paths` float32 (m, K, HORIZON, 2) in the frame of the states
    that were handed in, `probability` float32 (m, K), each row summing to 1."""

    paths: NDArray[np.float32]
    probability: NDArray[np.float32]

    def best(self) -> NDArray[np.float32]:
        """The most probable future of each agent, (m, HORIZON, 2)."""
        likely: NDArray[np.float32] = self.paths[np.arange(len(self.paths)), self.probability.argmax(axis=1)]
        return likely


class Forecaster(Protocol):
    """Forecasts agents of one moment. Must be deterministic."""

    name: str

    def __call__(self, states: NDArray[np.float32], size: NDArray[np.float32], of: NDArray[np.intp]) -> Forecast:
        """Forecast the agents with the indices `of`, each of which is present at the last step.

        `states` is float32 (A, HISTORY, 5) as in Scene, NaN where absent (also before an agent appeared);
        `size` is float32 (A, 2).
        """
        ...


class ConstantVelocity:
    """Every agent keeps its present speed and heading: the baseline that a model must beat."""

    name = "constant velocity"

    def __call__(self, states: NDArray[np.float32], size: NDArray[np.float32], of: NDArray[np.intp]) -> Forecast:
        """Forecast one future for each agent (K = 1)."""
        now = states[of, -1]
        ahead = np.arange(1, HORIZON + 1, dtype=np.float32) * np.float32(STEP_S)
        direction = np.stack([np.cos(now[:, HEADING]), np.sin(now[:, HEADING])], axis=-1)
        way = now[:, V, None, None] * ahead[None, :, None] * direction[:, None, :]
        paths = now[:, None, [X, Y]] + way
        return Forecast(paths[:, None].astype(np.float32), np.ones((len(of), 1), np.float32))
