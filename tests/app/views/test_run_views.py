"""What is seen of runs and models: of those that ended, and of one that goes on or stands still."""

from __future__ import annotations

from pathlib import Path

import pytest

from isthmus.app.views.models import list_models, list_reigns, show_model
from isthmus.app.views.runs import find_report, list_pipelines, list_runs, measures, show_run
from isthmus.core.errors import Corrupt, UnknownName
from isthmus.state.lock import held
from loop_site import Runs, made_runs, ready_site


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ready_site(tmp_path_factory.mktemp("loop"))


@pytest.fixture(scope="module")
def runs(toml: Path) -> Runs:
    return made_runs(toml)


def test_runs_come_newest_first_a_part_at_a_time(toml: Path, runs: Runs) -> None:
    whole = list_runs(toml)
    assert [one.id for one in whole] == [runs.training, runs.kept, runs.released]
    assert list_runs(toml, limit=1) == whole[:1]
    assert list_runs(toml, before=runs.training, limit=1) == whole[1:2]
    assert list_runs(toml, before=runs.released) == ()
    assert list_runs(toml, "second") == ()
    assert list_pipelines(toml) == ("forecast", "second")
    with pytest.raises(UnknownName, match="did you mean 'forecast'"):
        list_runs(toml, "forcast")
    training, kept, released = whole
    assert (training.state, training.open, training.going, training.scenes) == ("training", True, False, 56)
    assert (kept.state, kept.rule, kept.where, dict(kept.settings)) == (
        "kept",
        "slow",
        "agents > 2",
        {"speed": "9"},
    )
    assert (released.state, released.model) == ("released", runs.champion)


def test_a_run_is_going_while_a_process_holds_its_pipeline(toml: Path, runs: Runs) -> None:
    with held(toml.parent / "state" / "runs" / "forecast.lock", "a run of forecast"):
        assert show_run(toml, runs.training).run.going
        assert not show_run(toml, runs.released).run.going
    assert not show_run(toml, runs.training).run.going


def test_the_curves_of_a_training_are_seen_while_it_goes_on(toml: Path, runs: Runs) -> None:
    details = show_run(toml, runs.training)
    (training,) = details.trainings
    assert (training.mode, training.epochs, training.over, training.best) == ("incremental", 8, False, None)
    assert len(training.train_loss) == len(training.loss) == len(training.ade) == 3
    assert details.steps[-1] == "releasing"
    assert (details.offline, details.decision, details.report) == ((), None, False)
    with pytest.raises(UnknownName, match="no report yet"):
        find_report(toml, runs.training)


def test_a_run_that_ended_shows_figures_decision_and_failures(toml: Path, runs: Runs) -> None:
    details = show_run(toml, runs.kept)
    assert details.champion == runs.champion
    assert details.decision is not None
    assert (details.decision.verdict, [one.status for one in details.decision.reasons]) == (
        "keep",
        ["broken", "held"],
    )
    first = details.decision.reasons[0]
    assert (first.value, first.baseline, first.unit, first.blocks) == (1.4, 1.0, "m", True)
    (training,) = details.trainings
    assert (training.best, training.seconds, len(training.loss), training.over) == (2, 12.5, 4, True)
    by_place = {(one.part, one.model): one for one in details.offline}
    assert by_place["overall", "candidate"].value == 1.4
    assert by_place["tag:none", "candidate"].value is None
    assert len(measures(details.offline)) == len(details.offline)
    assert [one.scene_id for one in details.failures] == ["cars.20261120.drive-004.0.0"], "copies are told once"
    assert (details.steps[-1], details.passed[-1].state) == ("kept", "kept")
    assert find_report(toml, runs.kept).name == "report.html"


def test_models_show_where_they_come_from_and_what_came_of_them(toml: Path, runs: Runs) -> None:
    newest, champion = list_models(toml)
    assert (newest.id, newest.state, newest.parent) == (runs.rejected, "rejected", runs.champion)
    assert (champion.state, champion.run, champion.scenes) == ("champion", runs.released, 56)
    assert list_models(toml, before=runs.rejected) == (champion,)
    details = show_model(toml, runs.rejected)
    assert [one.id for one in details.ancestors] == [runs.champion]
    assert [one.target for one in details.events] == ["candidate", "rejected"]
    assert [one.id for one in show_model(toml, runs.champion).children] == [runs.rejected]
    assert details.settings == {"epochs": 4}
    forecast, second = list_reigns(toml)
    assert (forecast.champion, forecast.before) == (runs.champion, "")
    assert (second.champion, second.before) == ("", "")
    for name in ("nosuch", "", "../x", "a" * 10_000, "\0"):
        with pytest.raises(UnknownName):
            show_model(toml, name)
        with pytest.raises(UnknownName):
            show_run(toml, name)


def test_a_site_without_state_has_no_run_and_gets_no_file(tmp_path: Path) -> None:
    toml = tmp_path / "isthmus.toml"
    toml.write_text('[site]\nname = "new"\n[pipeline.forecast]\n')
    assert (list_runs(toml), list_models(toml)) == ((), ())
    assert [one.pipeline for one in list_reigns(toml)] == ["forecast"]
    with pytest.raises(UnknownName):
        show_run(toml, "forecast-20261120-1")
    with pytest.raises(UnknownName):
        show_model(toml, "forecast-20261120-1")
    assert [one.name for one in tmp_path.iterdir()] == ["isthmus.toml"]


def test_a_file_of_a_run_that_is_broken_is_told(tmp_path: Path) -> None:
    toml = ready_site(tmp_path)
    run = made_runs(toml).kept
    (tmp_path / "state" / "runs" / run / "attempts" / "1-full" / "curves.json").write_text("{")
    with pytest.raises(Corrupt, match=r"curves\.json"):
        show_run(toml, run)
