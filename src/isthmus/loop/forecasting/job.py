"""What one training is, what it leaves behind, and who takes part; plain values without PyTorch."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from isthmus.core.errors import RunFailed
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.state.files import replacing

CURVES = "curves.json"
SO_FAR = "so_far.json"
"""The curves of a training that goes on, for who watches; what it takes up after a kill is its checkpoint."""


@dataclass(frozen=True, slots=True)
class TrainJob:
    """One training. Folders are paths that every host of a cluster sees.

    `shards` is a complete folder of shards, `parts` says for each leak group whether it trains or validates
    (groups that are not named, or that test, are not touched), `folder` takes the checkpoint and the result.
    `start` is a folder of weights to begin from (incremental), `replay` the shards of the old data, of which
    each epoch shows `settings.replay_fraction`.
    """

    shards: str
    parts: Mapping[str, str]
    folder: str
    settings: TrainSettings = field(default_factory=TrainSettings)
    start: str | None = None
    replay: str | None = None

    def write(self, path: Path) -> None:
        """Write the job as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> TrainJob:
        """Read it back."""
        found = json.loads(path.read_text())
        return cls(**(found | {"settings": TrainSettings(**found["settings"])}))

    def identity(self, world: int) -> str:
        """Name all that decides the result, for the checkpoint."""
        told = asdict(self)
        told.pop("folder")
        told["shards asked"] = (Path(self.shards) / "index.json").read_text()
        text = json.dumps([told, world], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class EpochCurve:
    """What was measured after one epoch; distances in metres, of the averaged weights on validation groups."""

    epoch: int
    train_loss: float
    loss: float
    ade: float
    fde: float
    min_ade: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: the folder with the best epoch's weights, and the curves."""

    folder: Path
    best_epoch: int
    curves: tuple[EpochCurve, ...]

    def write(self) -> None:
        """Write the curves beside the weights."""
        told = {"best_epoch": self.best_epoch, "curves": [asdict(curve) for curve in self.curves]}
        (self.folder / CURVES).write_text(json.dumps(told, indent=1))

    @classmethod
    def read(cls, folder: Path) -> Trained:
        """Read a finished training."""
        told = json.loads((folder / CURVES).read_text())
        return cls(folder, told["best_epoch"], tuple(EpochCurve(**curve) for curve in told["curves"]))


def note_so_far(job: TrainJob, curves: Sequence[EpochCurve]) -> None:
    """Leave the curves of the epochs that are done in the job's folder, in place of those before."""
    told = {"epochs": job.settings.epochs, "curves": [asdict(curve) for curve in curves]}
    with replacing(Path(job.folder) / SO_FAR) as file:
        file.write(json.dumps(told).encode())


class Team(Protocol):
    """The processes that train together."""

    rank: int
    world: int

    def wrap(self, network: Any) -> Any:
        """Return the network so that gradients are averaged over the team."""
        ...

    def sum(self, values: Any) -> Any:
        """Return the sum of a tensor over the team."""
        ...


class Alone:
    """A team of one."""

    rank = 0
    world = 1

    def wrap(self, network: Any) -> Any:
        """Return the network itself."""
        return network

    def sum(self, values: Any) -> Any:
        """Return the values themselves."""
        return values


def cost(curve: EpochCurve) -> float:
    """Return what chooses the best epoch: errors of the most probable and of the nearest mode, in metres."""
    return curve.ade + 0.25 * curve.fde + 0.5 * curve.min_ade


def must_be_finite(loss: float, epoch: int, settings: TrainSettings) -> None:
    """Raise RunFailed where the training has diverged."""
    if not math.isfinite(loss):
        raise RunFailed(
            f"training diverged in epoch {epoch + 1}: the loss is {loss}",
            f"lower learning_rate (now {settings.learning_rate:g})",
        )
