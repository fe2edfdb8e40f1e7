"""Runs while ingests go on, settings change, plugins fail and sites move."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.site import Site
from isthmus.core.errors import InputError, RunFailed
from isthmus.loop.forecasting.shards import Shards
from isthmus.loop.runs import finishing, judging, pipeline, selecting
from isthmus.loop.runs.ledger import Ask, Run
from isthmus.loop.runs.parts import Outcome, Parts
from isthmus.loop.runs.states import DECIDING, EVALUATING, SELECTING, TRAINING
from isthmus.loop.runs.training import split_of
from isthmus.warehouse.export import export
from isthmus.warehouse.idlist import IdList
from loop.runs.test_pipeline import NEXT, opened
from traffic import DAY, bring, write_day


class Killed(BaseException):
    """Stands for a kill: nothing in the product catches it."""


def write_and_bring(site: Site, folder: Path, day: datetime.date, seeds: range) -> None:
    write_day(folder, str(day), seeds)
    bring(site, day)


def test_an_ingest_during_the_selection_does_not_reach_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path)
    mine = selecting.mine

    def mine_then_ingest(*args: Any, **more: Any) -> Any:
        found = mine(*args, **more)
        write_and_bring(site, tmp_path, NEXT, range(30, 60))
        return found

    monkeypatch.setattr(selecting, "mine", mine_then_ingest)
    run = site.ledger.begin("forecast", "by hand", Ask())
    selecting.select(site.pipeline("forecast").parts, run)
    test = IdList.read(site.run_folder(run.id).test)
    pinned = site.tables.scenes.at(test.version)
    assert sum(batch.num_rows for batch in export(pinned, test, ["scene_id"])) == test.count


def test_a_run_reads_its_own_version_though_its_scenes_are_replaced_compacted_and_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path)
    evaluate = judging.evaluate_offline

    def replaced_meanwhile(parts: Parts, run: Run) -> Outcome:
        write_and_bring(site, tmp_path, DAY, range(80, 83))
        site.tables.scenes.compact()
        site.tables.scenes.cleanup(datetime.timedelta(0))
        return evaluate(parts, run)

    monkeypatch.setitem(pipeline.STEPS, EVALUATING, replaced_meanwhile)  # type: ignore[arg-type]
    run = site.pipeline("forecast").run("by hand", Ask())
    champion = site.registry.champion("forecast")
    assert champion is not None
    assert run.state == "released"
    ade = {m.slice: m.count for m in champion.card.measures if (m.metric, m.model) == ("ADE", "candidate")}
    assert ade["source:cars"] == ade["overall"] > 0, "the slices are those of the version, too"
    assert "56" in site.run_folder(run.id).report.read_text()
    with pytest.raises(InputError, match="no version"):
        site.tables.scenes.at(f"run-{run.id}")


def test_a_step_that_fails_names_the_plugin_and_the_run_goes_on_once_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path)
    runs = site.pipeline("forecast")

    class Broken:
        name, unit, better, count = "broken", "m", "lower", 0

        def __init__(self, settings: Any = None) -> None: ...

        def update(self, batch: Any) -> None:
            raise ValueError("no such\ncolumn")

        def episodes(self, *_: Any) -> Any:
            raise KeyError("road")

    with monkeypatch.context() as patch:
        patch.setattr(judging, "metrics", lambda chosen: {"broken": Broken})
        with pytest.raises(RunFailed, match="metric 'broken' failed: ValueError: no such column"):
            runs.run("by hand", Ask())
    (run,) = site.ledger.runs()
    assert (run.state, run.error.partition(";")[0]) == (
        "evaluating",
        "metric 'broken' failed: ValueError: no such column",
    )
    with monkeypatch.context() as patch:
        patch.setattr(judging, "made", lambda name, table: Broken(table))
        with pytest.raises(RunFailed, match="simulator 'log_replay' failed: KeyError: 'road'"):
            runs.resume(run.id)
    with monkeypatch.context() as patch:

        def fail(parts: Parts, run: Run) -> Outcome:
            raise ZeroDivisionError("division by zero")

        patch.setitem(pipeline.STEPS, DECIDING, fail)  # type: ignore[arg-type]
        with pytest.raises(RunFailed, match=f"run {run.id} stopped while deciding: ZeroDivisionError"):
            runs.resume(run.id)
    assert site.ledger.get(run.id).error == "ZeroDivisionError: division by zero"
    ended = runs.resume(run.id)
    assert (ended.state, ended.error) == ("released", "")


def test_an_open_run_that_fails_twice_alike_does_not_keep_the_next_ones_from_happening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path)
    runs = site.pipeline("forecast")
    diverged = True

    def select(parts: Parts, run: Run) -> Outcome:
        if diverged:
            raise RunFailed("training diverged in epoch 3")
        return Outcome("nothing", "no scene fits")

    monkeypatch.setitem(pipeline.STEPS, SELECTING, select)  # type: ignore[arg-type]
    for _ in range(2):  # the second takes the first on, gives it up, and begins its own
        with pytest.raises(RunFailed, match="diverged"):
            runs.fire("nightly", Ask())
    newer, older = site.ledger.runs()
    assert (older.state, newer.state) == ("cancelled", "selecting")
    assert "failed twice: training diverged" in site.ledger.steps(older.id)[-1].why
    diverged = False
    assert runs.fire("nightly", Ask()).id == newer.id


def test_a_split_changed_in_the_middle_of_a_run_counts_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = opened(tmp_path)
    with monkeypatch.context() as patch:

        def die(parts: Parts, run: Run) -> Outcome:
            raise Killed

        patch.setitem(pipeline.STEPS, TRAINING, die)  # type: ignore[arg-type]
        with pytest.raises(Killed):
            site.pipeline("forecast").run("by hand", Ask())
    (run,) = site.ledger.runs()
    shards = Shards.open(site.run_folder(run.id).shards("ids"))
    before = split_of(site.pipeline("forecast").parts, run, shards)
    toml = tmp_path / "isthmus.toml"
    toml.write_text(toml.read_text() + "[pipeline.forecast.split]\nseed = 99\nvalidation = 0.4\n")
    again = Site.open(toml)
    assert split_of(again.pipeline("forecast").parts, run, shards) == before


def test_a_site_that_was_moved_goes_on_where_it_was(tmp_path: Path) -> None:
    site = opened(tmp_path / "here")
    first = site.pipeline("forecast").run("by hand", Ask())
    site.store.close()
    shutil.move(tmp_path / "here", tmp_path / "there")
    moved = Site.open(tmp_path / "there" / "isthmus.toml")
    write_and_bring(moved, tmp_path / "there", NEXT, range(20, 28))
    second = moved.pipeline("forecast").run("by hand", Ask())
    assert (second.notes["attempts"], second.notes["fresh"], second.notes["old"]) == (["incremental"], 32, 56)
    moved.releases.rollback("forecast")
    champion = moved.releases.promote(first.notes["model"])
    assert champion.folder.startswith((tmp_path / "there").as_uri())


def test_a_model_is_released_right_after_its_site_was_moved(tmp_path: Path) -> None:
    site = opened(tmp_path / "here")
    run = site.pipeline("forecast").run("by hand", Ask())
    shutil.copytree(tmp_path / "here", tmp_path / "copy")
    shutil.rmtree(tmp_path / "here")
    copied = Site.open(tmp_path / "copy" / "isthmus.toml")
    assert copied.releases.promote(run.notes["model"]).folder.startswith((tmp_path / "copy").as_uri())
    assert copied.releases.reconcile().clean


def test_the_card_and_the_report_tell_the_rule_that_chose_though_the_catalogue_changed_since(
    tmp_path: Path,
) -> None:
    site = opened(tmp_path)
    (tmp_path / "rules.toml").write_text(RULE.format(condition="speed_max > least and day >= since"))
    toml = tmp_path / "isthmus.toml"
    toml.write_text(toml.read_text() + '[rules]\nfiles = ["rules.toml"]\n')
    site = Site.open(toml)
    run = site.ledger.begin("forecast", "by hand", Ask("brisk", {"least": "1"}))
    outcome = selecting.select(site.pipeline("forecast").parts, run)
    run = site.ledger.move(run.id, outcome.event, outcome.why, outcome.notes)
    (rule,) = run.notes["rules"]
    assert rule["parameters"] == {"brisk.least": 1.0, "brisk.since": "2026-01-01"}
    (before,) = finishing._rules(site.pipeline("forecast").parts, run)
    assert {(p.name, p.unit) for p in before.parameters} == {("least", "m/s"), ("since", "")}
    for changed in (RULE.format(condition="speed_max > 2 * least and day >= since"), ""):
        (tmp_path / "rules.toml").write_text(changed)
        parts = Site.open(toml).pipeline("forecast").parts
        (after,) = finishing._rules(parts, run)
        assert (after.name, after.expression) == ("brisk", rule["expression"])
        assert {p.name: p.value for p in after.parameters} == rule["parameters"]


RULE = """
[rule.brisk]
about = "drives fast"
when = "{condition}"
[rule.brisk.parameters.least]
default = 3.0
unit = "m/s"
about = "speed"
[rule.brisk.parameters.since]
default = 2026-01-01
about = "first day"
"""
