"""Training samples: what was seen of a scene's ego and its neighbours at one moment, and what came next."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import InputError
from isthmus.loop.forecast import HISTORY, HORIZON, STEP_S
from isthmus.loop.forecasting.frame import SLOTS, Floats, choose, localize
from isthmus.loop.scene import Scene, X, Y

SLOWDOWN_MPS = 3.0
"""A hard slow-down loses more speed than this within the horizon of 3 s."""


@dataclass(frozen=True, slots=True)
class Samples:
    """n moments of egos, each in the ego's own frame at its present step (x ahead, y left).

    `seen` is float32 (n, SLOTS, HISTORY, 5) as `frame.localize` makes it, the ego in slot 0; `size` is float32
    (n, SLOTS, 2); `future` is float32 (n, HORIZON, 2), the recorded path; `slowdown` is bool (n,): whether a
    hard slow-down begins; `step` is int32 (n,), the present step within the scene.
    """

    seen: Floats
    size: Floats
    future: Floats
    slowdown: NDArray[np.bool_]
    step: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.step)


ARRAYS = tuple(item.name for item in fields(Samples))
SHAPES: dict[str, tuple[tuple[int, ...], type]] = {
    "seen": ((SLOTS, HISTORY, 5), np.float32),
    "size": ((SLOTS, 2), np.float32),
    "future": ((HORIZON, 2), np.float32),
    "slowdown": ((), np.bool_),
    "step": ((), np.int32),
}
"""The shape of one sample and the type of each array."""


def moments(scene: Scene, stride: int) -> NDArray[np.int32]:
    """List the present steps of a scene's samples: every `stride`-th that has full history and future."""
    return np.arange(HISTORY - 1, scene.steps - HORIZON, stride, dtype=np.int32)


def samples_of(scene: Scene, stride: int = 1) -> Samples:
    """Cut the samples of one scene. Raises InputError where its steps are not STEP_S apart."""
    if abs(scene.dt - STEP_S) > 1e-6:
        raise InputError(
            f"scene {scene.scene_id} has steps of {scene.dt:g} s", f"extract it with steps of {STEP_S:g} s"
        )
    steps = moments(scene, stride)
    now = scene.states[:, steps, :2].transpose(1, 0, 2)
    chosen = choose(now, np.zeros(len(steps), np.intp))
    past = steps[:, None] + np.arange(1 - HISTORY, 1)
    raw = scene.states[chosen[:, :, None], past[:, None, :]]
    raw[chosen < 0] = np.nan
    seen, frame = localize(raw)
    ahead = steps[:, None] + np.arange(1, HORIZON + 1)
    dx, dy = (scene.ego[ahead, axis] - frame[:, axis, None] for axis in (X, Y))
    cosine, sine = frame[:, 2, None], frame[:, 3, None]
    size = scene.size[chosen]
    size[chosen < 0] = np.nan
    return Samples(
        seen=seen,
        size=size,
        future=np.stack([dx * cosine + dy * sine, dy * cosine - dx * sine], axis=-1).astype(np.float32),
        slowdown=scene.slowdown[steps] > SLOWDOWN_MPS,
        step=steps,
    )


def joined(parts: list[Samples]) -> Samples:
    """Put samples one after the other."""
    return Samples(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            if parts
            else np.zeros((0, *SHAPES[name][0]), SHAPES[name][1])
            for name in ARRAYS
        }
    )
