"""The steps that make a candidate: export the complex fields into shards, train, and search parameters."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any

from isthmus.core.errors import RunFailed
from isthmus.core.progress import Progress
from isthmus.loop.forecasting.cluster import train_on
from isthmus.loop.forecasting.job import Trained, TrainJob
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shards import COLUMNS, Shards, write_shards
from isthmus.loop.forecasting.split import parts_of
from isthmus.loop.runs.folder import ATTEMPT, write_json
from isthmus.loop.runs.ledger import Run
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.warehouse.export import export
from isthmus.warehouse.idlist import IdList, stored_digest


def export_samples(parts: Parts, run: Run) -> Outcome:
    """Cut the samples of the scenes that were asked for."""
    train_settings, _ = parts.parameters(run)
    try:
        shards = shards_of(parts, run, "ids", train_settings)
    except RunFailed as error:
        return Outcome("nothing", str(error))
    split = split_of(parts, run, shards)
    counts = dict.fromkeys(("train", "validation", "test"), 0)
    for group, count in shards.group_counts.items():
        counts[split[group]] += count
    if not counts["train"] or not counts["validation"]:
        return Outcome("nothing", f"too few leak groups to train and validate: {counts}", {"samples": counts})
    event = "tune" if run.notes["mode"] == "tune" else "exported"
    return Outcome(event, f"{len(shards)} samples of {len(shards.scenes)} scenes", {"samples": counts})


def train_candidate(parts: Parts, run: Run) -> Outcome:
    """Train by the run's present mode and write what came of it."""
    attempts = list(run.notes.get("attempts", ()))
    mode = run.notes["mode"]
    settings, policy = parts.parameters(run)
    folder = parts.place(run).attempt(len(attempts) + 1, mode)
    job = job_of(parts, run, mode, folder, settings)
    begun = time.monotonic()
    trained = train_on(parts.settings.cluster, job, report=parts.report)
    record_attempt(folder, mode, job.settings, dataclasses.asdict(policy), trained, time.monotonic() - begun)
    best = trained.curves[trained.best_epoch]
    return Outcome(
        "trained",
        f"{mode}: epoch {trained.best_epoch + 1} of {len(trained.curves)} is best, ADE {best.ade:.2f} m",
        {"attempts": [*attempts, mode]},
    )


def record_attempt(
    folder: Path, mode: str, settings: TrainSettings, policy: dict[str, Any], trained: Trained, seconds: float
) -> None:
    """Write what the report and the card say of one training."""
    write_json(
        folder / ATTEMPT,
        {
            "mode": mode,
            "settings": dataclasses.asdict(settings),
            "policy": policy,
            "best_epoch": trained.best_epoch,
            "train_loss": [curve.train_loss for curve in trained.curves],
            "validation_loss": [curve.loss for curve in trained.curves],
            "seconds": seconds,
        },
    )


def job_of(parts: Parts, run: Run, mode: str, folder: Path, settings: TrainSettings) -> TrainJob:
    """Say what a training of this mode reads; cuts samples that are missing.

    `incremental` starts from the champion with what is new to it, and replays what it has seen; the other modes
    train on the scenes that were asked for, from nothing.
    """
    shards = shards_of(parts, run, "ids", settings)
    start: str | None = None
    old: Shards | None = None
    if mode == "incremental":
        start = str(parts.champion_folder(run))
        if run.notes.get("fresh"):
            shards = shards_of(parts, run, "fresh", settings, otherwise=shards)
        if run.notes.get("old"):
            old = shards_of(parts, run, "old", settings, otherwise=shards)
        champion = parts.champion(run)
        if champion is not None:  # the weights only fit a network of the champion's shape
            was = champion.card.settings
            settings = dataclasses.replace(
                settings, **{key: was[key] for key in ("hidden", "pool", "modes") if key in was}
            )
    if {"train", "validation"} - set(split_of(parts, run, shards).values()):
        shards = shards_of(parts, run, "ids", settings)  # what is new is too little to train and validate on
    split = split_of(parts, run, shards, *([old] if old else []))
    return TrainJob(str(shards.folder), split, str(folder), settings, start, str(old.folder) if old else None)


def shards_of(
    parts: Parts, run: Run, name: str, settings: TrainSettings, otherwise: Shards | None = None
) -> Shards:
    """Cut the samples of one of the run's lists, or take them where they lie complete.

    Raises RunFailed where no scene is long enough, unless there is something to take `otherwise`.
    """
    place = parts.place(run)
    ids = IdList.read(getattr(place, name))
    table = parts.tables.scenes.at(run.notes["version"])
    parts.report(Progress("samples", 0, None, "scenes"))
    try:
        return write_shards(
            export(table, ids, COLUMNS),
            place.shards(name),
            stride=settings.stride,
            asked={"ids": stored_digest(getattr(place, name)), "version": run.notes["version"]},
            report=parts.report,
        )
    except RunFailed:
        if otherwise is None:
            raise
        return otherwise


def split_of(parts: Parts, run: Run, *cut: Shards) -> dict[str, str]:
    """Say for each leak group of some shards whether it trains, validates or tests.

    What tests was settled for the whole table when the run began; only the rest is parted here.
    """
    test = parts.place(run).test_groups()
    sizes: Counter[str] = Counter()
    for shards in cut:
        sizes.update(shards.group_counts)
    rest = {group: size for group, size in sizes.items() if group not in test}
    split = parts_of(rest, dataclasses.replace(parts.split(run), test=0.0))
    return {**split, **dict.fromkeys(sizes.keys() & test, "test")}
