"""An ingest among others, after kills, with sources that change or misbehave."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.core.errors import Busy, SourceError
from isthmus.loop.extract import ExtractSettings
from isthmus.loop.ingest.journal import Journal
from isthmus.loop.ingest.work import Source
from isthmus.loop.record import Record, Reject, Unit
from isthmus.state.lock import held
from loop.ingest.scripted import ScriptedJob, record
from loop.ingest.test_run import DAY, Bench, Days

OLD: Days = {DAY: {"one": [record("a", agents=1)], "two": [record("b", agents=1)]}}
NEW: Days = {DAY: {"one": [record("a", agents=1)], "two": [record("c", agents=1)]}}


class Killed(BaseException):
    """Stands for a kill: nothing in the product catches it."""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def killed_before(bench: Bench, event: str, days: Days, patch: pytest.MonkeyPatch) -> None:
    """Bring days in and die when `event` is about to be written into the journal."""
    move = Journal.move

    def die(journal: Journal, source: str, day: Any, happens: str, *rest: Any) -> str:
        if happens == event:
            raise Killed
        return move(journal, source, day, happens, *rest)

    with patch.context() as inner:
        inner.setattr(Journal, "move", die)
        with pytest.raises(Killed):
            bench.bring(days)


@pytest.mark.parametrize("event", ["extracted", "written", "levelled"])
def test_a_source_that_changed_while_the_ingest_lay_killed_is_read_as_it_is_now(
    bench: Bench, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(bench, event, OLD, monkeypatch)
    bench.bring(NEW)
    assert bench.ids() == ["cars.20261120.a.0.0", "cars.20261120.c.0.0"]


@pytest.mark.parametrize("event", ["written", "levelled"])
def test_what_was_staged_goes_in_though_its_source_is_out_of_reach_now(
    bench: Bench, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(bench, event, OLD, monkeypatch)
    done = bench.ingest(Source("cars", "scripted", Unreachable("cars")), DAY)
    assert (done.resumed, done.scenes) == (True, 2)
    assert bench.ids() == ["cars.20261120.a.0.0", "cars.20261120.b.0.0"]


@pytest.mark.parametrize("event", ["extracted", "written"])
def test_a_killed_ingest_goes_on_with_other_settings_without_mixing_two_kinds_of_scenes(
    bench: Bench, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(bench, event, OLD, monkeypatch)
    shorter = dataclasses.replace(bench.ingest, extract=ExtractSettings(scene_s=3.0))
    shorter(Source("cars", "scripted", ScriptedJob("cars", days=OLD)), DAY)
    lengths = bench.tables.olap.query("SELECT DISTINCT duration_s < 4 AS short FROM scenes")["short"].to_pylist()
    assert lengths == [True]


def test_a_killed_ingest_reads_again_only_what_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_before(bench, "written", OLD, monkeypatch)
    seen: list[str] = []
    read = ScriptedJob.read

    def watched(job: ScriptedJob, unit: Unit) -> Iterator[Record | Reject]:
        seen.append(unit.key)
        return read(job, unit)

    monkeypatch.setattr(ScriptedJob, "read", watched)
    bench.bring(OLD)
    assert seen == []


def test_two_ingests_that_meet_at_the_table_both_go_in(bench: Bench) -> None:
    other = Bench(bench.folder)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            lock.__exit__(None, None, None)

    bench.tables.scenes  # noqa: B018 - make the table, so that there is something to hold
    lock = other.tables.scenes.writing()
    lock.__enter__()
    tables = dataclasses.replace(bench.tables, pause=pause)
    done = dataclasses.replace(bench.ingest, tables=tables)(
        Source("cars", "scripted", ScriptedJob("cars", days=OLD)), DAY
    )
    assert (done.scenes, len(pauses)) == (2, 3)
    assert [p.note for p in bench.seen if p.stage == "wait"], "it is said what is waited for"


def test_an_ingest_that_waited_in_vain_keeps_what_it_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with Bench(bench.folder).tables.scenes.writing(), pytest.raises(Busy):
        impatient = dataclasses.replace(bench.tables, patience_s=1.0, pause=lambda seconds: None)
        dataclasses.replace(bench.ingest, tables=impatient)(
            Source("cars", "scripted", ScriptedJob("cars", days=OLD)), DAY
        )

    def unread(job: ScriptedJob, unit: Unit) -> Iterator[Record | Reject]:
        raise AssertionError("it was read already")

    monkeypatch.setattr(ScriptedJob, "read", unread)
    done = bench.bring(OLD)
    assert (done.resumed, done.scenes, done.rejects) == (True, 2, 0)


def test_a_staging_folder_removed_by_hand_is_read_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_before(bench, "written", OLD, monkeypatch)
    shutil.rmtree(bench.folder / "staging")
    assert bench.bring(OLD).scenes == 2
    assert len(bench.ids()) == 2


def test_one_who_reads_does_not_wait_for_one_who_levels(bench: Bench) -> None:
    bench.bring(OLD)
    bench.tables.scenes.delete("record_id = 'a'")
    with held(bench.folder / ".olap.duckdb.lock", "an update of the OLAP"):
        bench.tables.level_unless_busy()
        assert bench.tables.olap.query("SELECT count(*) AS n FROM scenes")["n"].to_pylist() == [2]
    bench.tables.level_unless_busy()
    assert len(bench.ids()) == 1


class Unreachable(ScriptedJob):
    """A job whose source is gone."""

    def discover(self, day: Any) -> list[Unit]:
        raise FileNotFoundError(2, "No such file or directory", "/mnt/fleet")


class Doubled(ScriptedJob):
    """A job that gives two units one key."""

    def discover(self, day: Any) -> list[Unit]:
        return [Unit("one", "1"), Unit("one", "2")]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Unreachable("cars"), r"source 'cars' \(job type 'scripted'\) cannot list 2026-11-20: FileNotFoundError"),
        (Doubled("cars"), "lists the unit 'one' twice"),
    ],
)
def test_a_job_type_that_lists_badly_is_named(bench: Bench, job: ScriptedJob, said: str) -> None:
    bench.bring(OLD)
    with pytest.raises(SourceError, match=said):
        bench.ingest(Source("cars", "scripted", job), DAY)
    assert len(bench.ids()) == 2
