"""What a user may set about training. The defaults were chosen on validation groups, never on test groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isthmus.core.settings import setting
from isthmus.loop.forecasting.shape import Shape


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Settings of one training. Raises ValueError where they contradict each other."""

    epochs: int = setting("passes over the samples", default=24, minimum=1, maximum=10_000)
    batch: int = setting("samples of one step, for each process", default=256, minimum=2, maximum=65_536)
    learning_rate: float = setting("greatest learning rate", default=3e-3, minimum=1e-6, maximum=1.0)
    weight_decay: float = setting("pull of the weights towards zero", default=1e-3, minimum=0.0, maximum=1.0)
    hidden: int = setting("units of each hidden layer", default=192, minimum=4, maximum=4096)
    pool: int = setting("units that each neighbour becomes", default=48, minimum=4, maximum=1024)
    modes: int = setting("futures that are told apart", default=6, minimum=1, maximum=64)
    dropout: float = setting("share of hidden units left out in a step", default=0.1, minimum=0.0, maximum=0.9)
    mirror: bool = setting("show drives mirrored half of the time", default=True)
    forget: float = setting("share of samples shown with a shortened past", default=0.1, minimum=0.0, maximum=1.0)
    average: float = setting("how slowly the averaged weights follow", default=0.99, minimum=0.0, maximum=0.9999)
    patience: int = setting("epochs without a better one before it ends", default=16, minimum=1)
    stride: int = setting("every how many steps a sample is cut", default=2, minimum=1, unit="steps of 0.1 s")
    replay_fraction: float = setting(
        "share of the old samples shown again in each epoch of an incremental training",
        default=0.3,
        minimum=0.0,
        maximum=1.0,
    )
    seed: int = setting("another seed, another model", default=0, minimum=0, maximum=2**31 - 1)
    device: Literal["cpu", "cuda"] = setting("where it computes", default="cpu")

    @property
    def shape(self) -> Shape:
        """The network's shape."""
        return Shape(self.modes, self.hidden, self.pool)
