"""Trains a network from shards: `full` from nothing, or `incremental` from a champion with old data replayed.

One thread for each process: on two cores more threads were slower. The same job on the same machine gives the
same weights bit for bit, also where it was killed and carried on from its last epoch.
"""

from __future__ import annotations

from pathlib import Path

from isthmus.core.errors import MissingExtra
from isthmus.core.progress import Progress, Report, silent
from isthmus.loop.forecasting.job import Alone, Team, Trained, TrainJob


def train(job: TrainJob, *, team: Team | None = None, report: Report = silent) -> Trained:
    """Train, or carry on where the last attempt was killed; returns the best epoch's weights and the curves.

    Raises RunFailed where there is nothing to train on or the loss stops being a number, MissingExtra without
    PyTorch, Corrupt for broken shards, weights or checkpoints.
    """
    try:
        from isthmus.loop.forecasting.epochs import Training
    except ImportError as error:
        raise MissingExtra.named("PyTorch", "train") from error
    team = team or Alone()
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    training = Training(job, team)
    settings = job.settings
    while not training.finished:
        curve = training.epoch()
        if team.rank == 0:
            note = f"ADE {curve.ade:.2f} m, FDE {curve.fde:.2f} m on validation groups"
            report(Progress("train", curve.epoch + 1, settings.epochs, "epochs", note))
    return training.result(folder)
