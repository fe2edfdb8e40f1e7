"""Searches parameters with Optuna: of a policy, of a training, of anything that has an objective.

The best known parameters are tried first and only something better replaces them, so tuning never makes worse.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from isthmus.core.errors import InputError, IsthmusError, MissingExtra, RunFailed, UnknownName
from isthmus.core.progress import Progress, Report, silent
from isthmus.core.settings import setting
from isthmus.loop.forecasting.settings import TrainSettings

Parameters = dict[str, float]


@dataclass(frozen=True, slots=True)
class Range:
    """The range of one parameter, both ends included. Raises ValueError where it is empty or cannot be."""

    low: float = setting("least value")
    high: float = setting("greatest value")
    log: bool = setting("search its orders of magnitude rather than its values", default=False)
    whole: bool = setting("whole numbers only", default=False)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"the range {self.low:g} to {self.high:g} is empty")
        if self.log and self.low <= 0:
            raise ValueError("a range searched by orders of magnitude must begin above 0")


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How long to search. What is reached first ends it."""

    trials: int = setting("most trials, those of earlier attempts among them", default=20, minimum=1)
    seconds: float = setting("no trial begins after this time", default=600.0, minimum=0.0, unit="s")
    seed: int = setting("another seed, other trials", default=0, minimum=0)
    direction: Literal["minimize", "maximize"] = setting("which way is better", default="minimize")


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial. `value` is NaN where it failed, and `why` says so then."""

    number: int
    parameters: Mapping[str, float]
    value: float
    seconds: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best parameters, their value, and all trials. `improved`: whether they beat the known ones."""

    parameters: Mapping[str, float]
    value: float
    improved: bool
    trials: tuple[Trial, ...]


def tune(
    name: str,
    space: Mapping[str, Range],
    objective: Callable[[Parameters], float],
    settings: TuneSettings,
    *,
    known: Mapping[str, float] | None = None,
    storage: Path | None = None,
    report: Report = silent,
) -> Tuned:
    """Search `space` for what makes `objective` best (TPE; Bergstra et al., NeurIPS 2011).

    `known` are the parameters in use; they are the first trial. `storage` is an SQLite file: a study of this
    `name` in it is carried on. A trial whose objective raises IsthmusError, ArithmeticError or ValueError, or
    returns something not finite, is noted as failed and the search goes on. Raises RunFailed where all trials
    failed, InputError for an empty space, UnknownName for a known parameter outside of it, MissingExtra.
    """
    optuna = _optuna()
    if not space:
        raise InputError(f"tuning {name!r} has nothing to search", "give at least one parameter a range")
    for key in known or {}:
        if key not in space:
            raise UnknownName.among("parameter", key, space)
    study = optuna.create_study(
        study_name=name,
        storage=f"sqlite:///{storage}" if storage else None,
        sampler=optuna.samplers.TPESampler(seed=settings.seed, n_startup_trials=min(10, settings.trials // 2)),
        direction=settings.direction,
        load_if_exists=True,
    )
    finished = _drop_cut_short(optuna, study)
    if finished:  # the sampler begins anew: shift its seed, or it repeats the trials that are there
        study.sampler = optuna.samplers.TPESampler(seed=settings.seed + finished, n_startup_trials=10)
    elif known:
        study.enqueue_trial(dict(known), skip_if_exists=True)

    def attempt(trial: Any) -> float:
        parameters = {key: _suggest(trial, key, space[key]) for key in sorted(space)}
        try:
            value = float(objective(parameters))
        except (IsthmusError, ArithmeticError, ValueError) as error:
            trial.set_user_attr("why", " ".join(str(error).split()) or type(error).__name__)
            raise _Failed from error
        if not math.isfinite(value):
            trial.set_user_attr("why", f"the objective is {value}")
            raise _Failed
        return value

    def told(study: Any, trial: Any) -> None:
        done = [one for one in study.get_trials(deepcopy=False) if one.value is not None]
        best = f"best {study.best_value:.4g}" if done else "none succeeded yet"
        report(Progress("tune", trial.number + 1, settings.trials, "trials", best))

    left = settings.trials - finished
    if left > 0:
        study.optimize(attempt, n_trials=left, timeout=settings.seconds, callbacks=[told], catch=(_Failed,))
    return _tuned(name, study, known)


def tuned_training(base: TrainSettings, parameters: Mapping[str, float]) -> TrainSettings:
    """Put parameters of a search into training settings, whole numbers where the setting is one.

    Raises UnknownName for a parameter that training does not have.
    """
    changes: dict[str, Any] = {}
    for name, value in parameters.items():
        if name not in TrainSettings.__slots__:
            raise UnknownName.among("parameter of training", name, TrainSettings.__slots__)
        changes[name] = round(value) if isinstance(getattr(base, name), int) else value
    return replace(base, **changes)


TRAINING_SPACE: Mapping[str, Range] = {
    "learning_rate": Range(5e-4, 1e-2, log=True),
    "weight_decay": Range(1e-5, 1e-1, log=True),
    "dropout": Range(0.0, 0.3),
    "hidden": Range(96, 384, log=True, whole=True),
    "pool": Range(24, 96, log=True, whole=True),
}
"""What is searched of the training where the site says nothing else."""


class _Failed(Exception):
    """A trial failed in a way that the search goes on from."""


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra.named("Optuna", "train") from error
    optuna.logging.set_verbosity(logging.ERROR)
    return optuna


def _suggest(trial: Any, name: str, range_: Range) -> float:
    if range_.whole:
        return int(trial.suggest_int(name, math.ceil(range_.low), math.floor(range_.high), log=range_.log))
    return float(trial.suggest_float(name, range_.low, range_.high, log=range_.log))


def _drop_cut_short(optuna: Any, study: Any) -> int:
    """Mark trials that a killed process left running as failed; returns the number of all that ended."""
    state = optuna.trial.TrialState
    trials = study.get_trials(deepcopy=False)
    for trial in trials:
        if trial.state == state.RUNNING:
            study.tell(trial.number, state=state.FAIL)
    return sum(trial.state != state.WAITING for trial in trials)


def _tuned(name: str, study: Any, known: Mapping[str, float] | None) -> Tuned:
    trials = tuple(
        Trial(
            number=one.number,
            parameters=dict(one.params),
            value=float("nan") if one.value is None else float(one.value),
            seconds=one.duration.total_seconds() if one.duration else 0.0,
            why="" if one.value is not None else one.user_attrs.get("why", "cut short"),
        )
        for one in study.get_trials(deepcopy=False)
        if one.params
    )
    good = [one for one in trials if math.isfinite(one.value)]
    if not good:
        why = trials[-1].why if trials else "there was no time for one"
        raise RunFailed(f"tuning {name!r}: no trial succeeded; the last: {why}", "widen the ranges or the time")
    sign = 1 if study.direction.name == "MINIMIZE" else -1
    best = min(good, key=lambda one: (sign * one.value, one.number))
    return Tuned(best.parameters, best.value, not (known and _same(best.parameters, known)), trials)


def _same(left: Mapping[str, float], right: Mapping[str, float]) -> bool:
    return all(math.isclose(left[key], right[key], rel_tol=1e-9) for key in right)
