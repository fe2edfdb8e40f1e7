from __future__ import annotations

import datetime
import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.clock import SystemClock
from isthmus.core.errors import Busy, Corrupt
from isthmus.core.progress import Progress
from isthmus.loop.extract import ExtractSettings
from isthmus.loop.ingest.journal import Journal
from isthmus.loop.ingest.run import Ingest
from isthmus.loop.ingest.work import Source
from isthmus.loop.record import Record, Reject
from isthmus.loop.tables import LoopTables
from isthmus.state.lock import held
from isthmus.state.store import Store
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.olap import Olap
from loop.ingest.scripted import ScriptedJob, record

DAY = datetime.date(2026, 11, 20)
NEXT = datetime.date(2026, 11, 21)

Days = Mapping[datetime.date, Mapping[str, Sequence[Record | Reject]]]


class Bench:
    """A warehouse, an OLAP and an ingest in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = LoopTables(Catalog(folder / "warehouse"), Olap(folder / "olap.duckdb"))
        self.store = Store(folder / "state.sqlite")
        self.seen: list[Progress] = []
        self.ingest = Ingest(
            self.tables,
            Journal(self.store, SystemClock()),
            folder / "staging",
            ExtractSettings(),
            0,
            self.seen.append,
        )

    def bring(self, days: Days, day: datetime.date = DAY, name: str = "cars") -> Any:
        return self.ingest(Source(name, "scripted", ScriptedJob(name, days=days)), day)

    def ids(self) -> list[str]:
        inside = sorted(
            x for b in self.tables.scenes.scan(columns=["scene_id"]) for x in b["scene_id"].to_pylist()
        )
        level = self.tables.olap.query("SELECT scene_id FROM scenes ORDER BY 1")["scene_id"].to_pylist()
        assert inside == level
        return inside

    def reasons(self) -> list[tuple[str, str]]:
        found = self.tables.olap.query("SELECT record_id, reason FROM rejects ORDER BY reject_id").to_pylist()
        return [(row["record_id"], row["reason"]) for row in found]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_agent_of_every_record_becomes_a_scene_in_both_databases(bench: Bench) -> None:
    done = bench.bring({DAY: {"one": [record("a")], "two": [record("b", agents=1)]}})
    assert (done.units, done.scenes, done.rejects) == (2, 3, 0)
    assert bench.ids() == ["cars.20261120.a.0.0", "cars.20261120.a.1.0", "cars.20261120.b.0.0"]
    assert bench.seen[-1].stage == "level the OLAP"


def test_the_same_source_and_day_again_replaces_and_never_doubles(bench: Bench) -> None:
    bench.bring({DAY: {"one": [record("a"), record("b")]}, NEXT: {"n": [record("z", agents=1)]}}, NEXT)
    bench.bring({DAY: {"one": [record("a"), record("b")]}})
    bench.bring({DAY: {"one": [record("a"), record("b")]}})
    assert len(bench.ids()) == 5
    bench.bring({DAY: {"one": [record("b", agents=1)]}})
    assert bench.ids() == ["cars.20261120.b.0.0", "cars.20261121.z.0.0"]


def test_days_and_sources_do_not_touch_each_other(bench: Bench) -> None:
    for name in ("cars", "vans"):
        for day in (DAY, NEXT):
            bench.bring({day: {"one": [record("a", agents=1)]}}, day, name)
    bench.bring({DAY: {"one": [record("a", agents=2)]}}, DAY, "vans")
    assert len(bench.ids()) == 5


def test_a_bad_record_is_set_aside_with_its_reason_and_the_rest_goes_in(bench: Bench) -> None:
    bad = Reject("torn", "unreadable", "torn.bag", "it ends in the middle")
    nan = record("nan", agents=1)
    nan.tracks[0].v[3] = float("nan")
    done = bench.bring({DAY: {"one": [bad, record("a", agents=1)], "two": [nan]}})
    assert (done.scenes, done.rejects) == (1, 2)
    assert sorted(bench.reasons()) == [("nan", "not_finite"), ("torn", "unreadable")]
    assert dict(done.reasons) == {"unreadable": 1, "not_finite": 1}


def test_a_record_that_comes_twice_is_taken_once(bench: Bench) -> None:
    done = bench.bring({DAY: {"one": [record("a", agents=1)] * 2, "two": [record("a", agents=2), record("b")]}})
    assert bench.ids() == ["cars.20261120.a.0.0", "cars.20261120.b.0.0", "cars.20261120.b.1.0"]
    assert bench.reasons() == [("a", "duplicate"), ("a", "duplicate")]
    assert done.scenes == 3


def test_an_empty_day_says_so_and_keeps_what_was_there(bench: Bench) -> None:
    bench.bring({DAY: {"one": [record("a", agents=1)]}})
    done = bench.bring({})
    assert (done.kept, done.scenes, dict(done.reasons)) == (True, 0, {"empty": 1})
    assert bench.ids() == ["cars.20261120.a.0.0"]
    assert bench.reasons() == [("", "empty")]


def test_a_day_is_ingested_by_one_process_at_a_time(bench: Bench) -> None:
    with (
        held(bench.folder / "staging" / "cars" / "2026-11-20.lock", "the other"),
        pytest.raises(Busy, match="the ingest of cars for 2026-11-20 is already under way"),
    ):
        bench.bring({DAY: {"one": [record("a")]}})


def test_a_full_disk_loses_nothing_and_the_next_run_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {DAY: {"one": [record("a", agents=1)], "two": [record("b", agents=1)]}}
    bench.bring({DAY: {"old": [record("old", agents=1)]}})
    sync = "isthmus.state.files.os.fsync"
    calls: list[int] = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sync, full)
        with pytest.raises(OSError, match="No space left"):
            bench.bring(days)
    assert bench.ids() == ["cars.20261120.old.0.0"]
    done = bench.bring(days)
    assert (done.resumed, bench.ids()) == (True, ["cars.20261120.a.0.0", "cars.20261120.b.0.0"])


def test_staging_is_empty_after_an_ingest(bench: Bench) -> None:
    bench.bring({DAY: {"one": [record("a")]}})
    assert [path.name for path in (bench.folder / "staging" / "cars").iterdir()] == ["2026-11-20.lock"]


def test_a_broken_part_file_is_found_and_read_anew(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    days = {DAY: {"one": [record("a", agents=1)]}}
    move = Journal.move

    def break_when_staged(journal: Journal, source: str, day: datetime.date, event: str, *rest: Any) -> str:
        if event == "extracted":
            part = next((bench.folder / "staging" / source / str(day)).glob("*.arrow"))
            part.write_bytes(part.read_bytes()[:-40])
        return move(journal, source, day, event, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "move", break_when_staged)
        with pytest.raises(Corrupt, match="staged part"):
            bench.bring(days)
    assert bench.bring(days).scenes == 1
