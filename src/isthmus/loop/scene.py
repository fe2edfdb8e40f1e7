"""A scene: some seconds around one ego agent, as dense arrays, and how it is packed into one binary field."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.warehouse.complex import decode, encode

X, Y, HEADING, V, A = range(5)
STATES = ("x", "y", "heading", "v", "a")


@dataclass(frozen=True, slots=True)
class Scene:
    """The states of an ego and the agents near it, in A agents × T steps.

    `states` is float32 (A, T, 5): x, y, heading, v, a; NaN in all five where the agent is absent. Agent 0 is the
    ego and is present at every step. Positions are relative to `origin`, which is float64 (2,) in the record's
    frame. `size` is float32 (A, 2): length and width. `lane` is int16 (A, T), −1 where unknown or absent.
    `lanes` are map hints near the ego, polylines float32 (k, 2) relative to `origin`.
    `slowdown` is float32 (T,): the most speed in m/s that the ego loses within the next 3 s of the scene.
    """

    scene_id: str
    source: str
    day: datetime.date
    record_id: str
    leak_group: str
    tags: tuple[str, ...]
    dt: float
    agent_ids: tuple[str, ...]
    kinds: tuple[str, ...]
    origin: NDArray[np.float64]
    states: NDArray[np.float32]
    size: NDArray[np.float32]
    lane: NDArray[np.int16]
    slowdown: NDArray[np.float32]
    lanes: tuple[NDArray[np.float32], ...] = ()

    @property
    def steps(self) -> int:
        """The number of steps T."""
        return int(self.states.shape[1])

    @property
    def ego(self) -> NDArray[np.float32]:
        """The ego's states, (T, 5)."""
        ego: NDArray[np.float32] = self.states[0]
        return ego

    def pack(self) -> bytes:
        """Pack all that the simple fields do not hold into the complex field."""
        return encode(
            {
                "dt": self.dt,
                "agent_ids": list(self.agent_ids),
                "kinds": list(self.kinds),
                "origin": self.origin,
                "states": self.states,
                "size": self.size,
                "lane": self.lane,
                "slowdown": self.slowdown,
                "lane_points": np.concatenate(self.lanes) if self.lanes else np.zeros((0, 2), np.float32),
                "lane_lengths": np.array([len(line) for line in self.lanes], np.int32),
            }
        )

    @classmethod
    def unpack(cls, simple: Mapping[str, Any], packed: bytes | memoryview) -> Scene:
        """Make the scene from a row's simple fields and its complex field. Raises Corrupt on bad bytes."""
        parts = decode(packed)
        ends = np.cumsum(parts["lane_lengths"])
        lanes = tuple(np.split(parts["lane_points"], ends[:-1])) if len(ends) else ()
        return cls(
            scene_id=simple["scene_id"],
            source=simple["source"],
            day=simple["day"],
            record_id=simple["record_id"],
            leak_group=simple["leak_group"],
            tags=tuple(simple["tags"]),
            dt=parts["dt"],
            agent_ids=tuple(parts["agent_ids"]),
            kinds=tuple(parts["kinds"]),
            origin=parts["origin"],
            states=parts["states"],
            size=parts["size"],
            lane=parts["lane"],
            slowdown=parts["slowdown"],
            lanes=lanes,
        )
