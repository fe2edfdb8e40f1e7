from __future__ import annotations

import math
from pathlib import Path

import pytest

from isthmus.core.errors import InputError, RunFailed, UnknownName
from isthmus.core.progress import Progress
from isthmus.loop.forecasting.settings import TrainSettings
from isthmus.loop.forecasting.tune import TRAINING_SPACE, Parameters, Range, TuneSettings, tune, tuned_training

pytest.importorskip("optuna")

SPACE = {"x": Range(-4, 4), "y": Range(0.01, 100, log=True)}


def bowl(at: Parameters) -> float:
    return (at["x"] - 1) ** 2 + math.log10(at["y"]) ** 2


def test_the_search_finds_better_than_what_was_known_and_tells_every_trial() -> None:
    told: list[Progress] = []
    found = tune("bowl", SPACE, bowl, TuneSettings(trials=30), known={"x": -3, "y": 50}, report=told.append)
    assert found.improved
    assert found.value < 1.0 < found.trials[0].value
    assert dict(found.trials[0].parameters) == {"x": -3, "y": 50}
    assert bowl(dict(found.parameters)) == pytest.approx(found.value)
    assert [progress.done for progress in told] == list(range(1, 31))


def test_what_is_known_stays_where_nothing_beats_it() -> None:
    found = tune("bowl", SPACE, bowl, TuneSettings(trials=8), known={"x": 1, "y": 1})
    assert not found.improved
    assert dict(found.parameters) == {"x": 1, "y": 1}


def test_the_same_seed_searches_the_same_way_and_greater_can_be_better() -> None:
    up = TuneSettings(trials=12, direction="maximize", seed=3)
    first, second = (tune("hill", SPACE, lambda at: -bowl(at), up) for _ in range(2))
    assert [trial.parameters for trial in first.trials] == [trial.parameters for trial in second.trials]
    assert first.value == max(trial.value for trial in first.trials)


def test_failing_trials_are_noted_and_the_search_goes_on() -> None:
    def moody(at: Parameters) -> float:
        if at["x"] < 0:
            raise RunFailed("training diverged", "lower it")
        return math.nan if at["y"] > 10 else bowl(at)

    found = tune("moody", SPACE, moody, TuneSettings(trials=20))
    failed = [trial for trial in found.trials if math.isnan(trial.value)]
    assert {trial.why for trial in failed} == {"training diverged; lower it", "the objective is nan"}
    assert len(found.trials) == 20
    assert math.isfinite(found.value)


def test_where_every_trial_fails_the_run_fails_with_the_last_reason() -> None:
    def never(at: Parameters) -> float:
        raise ValueError("no such thing")

    with pytest.raises(RunFailed, match="no such thing"):
        tune("never", SPACE, never, TuneSettings(trials=3))


def test_a_search_that_was_killed_is_carried_on_with_new_trials(tmp_path: Path) -> None:
    tried: list[float] = []

    def dies(at: Parameters) -> float:
        tried.append(at["x"])
        if len(tried) == 4:
            raise KeyboardInterrupt
        return bowl(at)

    with pytest.raises(KeyboardInterrupt):
        tune("bowl", SPACE, dies, TuneSettings(trials=9), storage=tmp_path / "tune.db")
    found = tune("bowl", SPACE, dies, TuneSettings(trials=9), storage=tmp_path / "tune.db")
    assert len(tried) == 9
    assert len(set(tried)) == 9
    assert len(found.trials) == 9
    assert [trial.why for trial in found.trials if math.isnan(trial.value)] == ["cut short"]


def test_no_trial_begins_after_the_time() -> None:
    with pytest.raises(RunFailed, match="no time for one"):
        tune("late", SPACE, bowl, TuneSettings(trials=50, seconds=0.0))


def test_ranges_and_names_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Range(2, 1)
    with pytest.raises(ValueError, match="above 0"):
        Range(0, 1, log=True)
    with pytest.raises(InputError, match="nothing to search"):
        tune("none", {}, bowl, TuneSettings())
    with pytest.raises(UnknownName, match="'x'"):
        tune("bowl", SPACE, bowl, TuneSettings(), known={"xx": 1.0})


def test_parameters_of_training_become_its_settings() -> None:
    base = TrainSettings()
    tuned = tuned_training(base, {"learning_rate": 1e-2, "hidden": 97.0})
    assert (tuned.learning_rate, tuned.hidden, tuned.epochs) == (1e-2, 97, base.epochs)
    assert all(hasattr(base, name) for name in TRAINING_SPACE)
    with pytest.raises(UnknownName, match="learning_rate"):
        tuned_training(base, {"learning_rat": 1.0})
