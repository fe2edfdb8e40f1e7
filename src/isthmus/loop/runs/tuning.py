"""The step that searches parameters: first of the training, then of the policy that drives with its best model.

Both are judged on validation groups, never on the test groups that the gate looks at. The parameters in use are
the first trial of each search, so what is kept is never worse than they are there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from isthmus.core.errors import RunFailed
from isthmus.loop.forecasting.cluster import train_on
from isthmus.loop.forecasting.job import Trained, cost
from isthmus.loop.forecasting.release import load_forecaster
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.shape import CONFIG, WEIGHTS
from isthmus.loop.forecasting.shards import COLUMNS, scenes_in
from isthmus.loop.forecasting.tune import TRAINING_SPACE, Parameters, Range, Tuned, tune, tuned_training
from isthmus.loop.runs.folder import write_json
from isthmus.loop.runs.judging import drivable, drive
from isthmus.loop.runs.ledger import Run
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.loop.runs.training import job_of, record_attempt, shards_of, split_of
from isthmus.loop.scene import Scene
from isthmus.loop.simulators.policy import PolicySettings, search_space
from isthmus.warehouse.export import export
from isthmus.warehouse.idlist import IdList

MODE = "tune"


def tune_candidate(parts: Parts, run: Run) -> Outcome:
    """Search, keep what is better, and leave the best model as the candidate."""
    attempts = list(run.notes.get("attempts", ()))
    folder = parts.place(run).attempt(len(attempts) + 1, MODE)
    folder.mkdir(parents=True, exist_ok=True)
    train_now, policy_now = parts.parameters(run)
    begun = time.monotonic()
    training = _search_training(parts, run, folder, train_now)
    settings = tuned_training(train_now, training.parameters)
    trained = _trained(parts, run, folder, settings)
    for name in (WEIGHTS, CONFIG):
        shutil.copy2(trained.folder / name, folder / name)
    driving = _search_policy(parts, run, folder, policy_now)
    policy = dataclasses.replace(policy_now, **(driving.parameters if driving else {}))
    record_attempt(folder, MODE, settings, dataclasses.asdict(policy), trained, time.monotonic() - begun)
    searches = {"training": training, **({"policy": driving} if driving else {})}
    write_json(folder / "trials.json", {name: dataclasses.asdict(found) for name, found in searches.items()})
    told = "; ".join(
        f"{name}: {len(found.trials)} trials, {'better parameters found' if found.improved else 'nothing better'}"
        for name, found in searches.items()
    )
    tuned = {
        "train": {name: getattr(settings, name) for name in training.parameters},
        "policy": dict(driving.parameters) if driving else {},
    }
    return Outcome("tuned", told, {"attempts": [*attempts, MODE], "tuned": tuned})


def _search_training(parts: Parts, run: Run, folder: Path, base: TrainSettings) -> Tuned:
    space = parts.settings.tuning.training_space or TRAINING_SPACE

    def objective(parameters: Parameters) -> float:
        trained = _trained(parts, run, folder, tuned_training(base, parameters))
        return cost(trained.curves[trained.best_epoch])

    return tune(
        "training",
        space,
        objective,
        parts.settings.tuning.training,
        known=_known(dataclasses.asdict(base), space),
        storage=folder / "trials.sqlite",
        report=parts.report,
    )


def _trained(parts: Parts, run: Run, folder: Path, settings: TrainSettings) -> Trained:
    """Train with these settings where the pipeline trains, once: a trial that is done already is read."""
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True)
    place = folder / "trials" / hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    return train_on(parts.settings.cluster, job_of(parts, run, MODE, place, settings))


def _search_policy(parts: Parts, run: Run, folder: Path, base: PolicySettings) -> Tuned | None:
    """Search the policy's parameters for the highest mean score; None where nothing can be driven."""
    chosen = parts.settings.tuning
    scenes = _validation_scenes(parts, run)
    if parts.settings.simulation.policy == "replay" or not scenes:
        return None
    space = chosen.policy_space or {name: Range(low, high) for name, (low, high) in search_space().items()}
    forecaster = load_forecaster(folder, "candidate")

    def objective(parameters: Parameters) -> float:
        settings = dataclasses.replace(base, **parameters)
        scores = [episode.score for episode in drive(parts, scenes, settings, forecaster, ("log_replay",))]
        if not scores:
            raise RunFailed("the simulator drove no scene", "take longer scenes")
        return math.fsum(scores) / len(scores)

    return tune(
        "policy",
        space,
        objective,
        dataclasses.replace(chosen.policy, direction="maximize"),
        known=_known(dataclasses.asdict(base), space),
        storage=folder / "trials.sqlite",
        report=parts.report,
    )


def _validation_scenes(parts: Parts, run: Run) -> list[Scene]:
    table = parts.tables.scenes.at(run.notes["version"])
    batches = export(table, IdList.read(parts.place(run).ids), COLUMNS)
    found = (scene for batch in batches for scene in scenes_in(batch))
    split = split_of(parts, run, shards_of(parts, run, "ids", parts.parameters(run)[0]))
    wanted = (s for s in found if split.get(s.leak_group) == "validation" and drivable(s))
    return list(islice(wanted, parts.settings.tuning.scenes))


def _known(now: Mapping[str, Any], space: Mapping[str, Range]) -> dict[str, float]:
    """Return the values in use, moved into their ranges: only what lies there can be a trial."""
    return {name: min(max(now[name], range_.low), range_.high) for name, range_ in space.items()}
