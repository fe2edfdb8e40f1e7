from __future__ import annotations

import datetime
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Busy, Corrupt, InputError, Refused, UnknownName
from isthmus.state.lock import held
from isthmus.warehouse import fence
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence, Shown
from isthmus.warehouse.name import TableName
from isthmus.warehouse.olap import Olap
from isthmus.warehouse.table import Table
from warehouse_rows import NAME, SMALL, batches, keys, row, small

OTHER = TableName("loop", "drive", "other")
LOCK = "loop/drive/.small.lock"
WRITES: dict[str, Callable[[Table], object]] = {
    "append": lambda table: table.append(batches([row("n", 1)])),
    "replace": lambda table: table.replace(batches([row("n", 1)]), "slot = 1"),
    "delete": lambda table: table.delete("slot = 1"),
    "compact": lambda table: table.compact(),
    "cleanup": lambda table: table.cleanup(datetime.timedelta(0)),
    "pin": lambda table: table.pin("tag"),
    "unpin": lambda table: table.unpin("tag"),
}
FENCES = st.builds(
    Fence,
    role=st.sampled_from(["independent", "primary", "yielding", "standby", "fenced"]),
    epoch=st.integers(1, 2**40),
    primary=st.text(max_size=5),
    held=st.text(max_size=5),
    barrier=st.text(max_size=5),
    tables=st.dictionaries(st.text(max_size=5), st.builds(Shown, st.integers(1, 2**40), st.text(max_size=5))),
    hidden=st.lists(st.text(max_size=5), max_size=3).map(tuple),
)


def standby(root: Path, **shown: int) -> Fence:
    tables = {f"loop.drive.{name}": Shown(version, "ab" * 32) for name, version in shown.items()}
    state = Fence("standby", 1, "north", barrier="20261120_120000", tables=tables)
    fence.write(root, state)
    return state


@given(FENCES)
def test_any_fence_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, state: Fence) -> None:
    root = tmp_path_factory.getbasetemp() / "any"
    fence.write(root, state)
    assert fence.read(root) == fence.read(root.as_uri()) == state


def test_a_root_without_a_fence_is_independent_and_takes_every_write(tmp_path: Path) -> None:
    assert fence.read(tmp_path) == fence.read(tmp_path / "not there") == Fence()
    table = small(tmp_path, 2)
    for name, write in WRITES.items():
        assert name and write(table) is not NotImplemented
    assert not (tmp_path / fence.NAME).exists()


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff", b'{"format": 2}', b'{"format": 1, "role": "king"}'])
def test_a_fence_that_cannot_be_read_stops_readers_and_writers(tmp_path: Path, text: bytes) -> None:
    table = small(tmp_path, 2)
    (tmp_path / fence.NAME).write_bytes(text)
    for step in (lambda: fence.read(tmp_path), lambda: Catalog(tmp_path).open(NAME), lambda: table.delete("true")):
        with pytest.raises(Corrupt, match=r"\.fence\.json cannot be read"):
            step()
    assert table.count() == 2


def test_a_folder_in_the_place_of_a_fence_is_told(tmp_path: Path) -> None:
    (tmp_path / fence.NAME).mkdir()
    with pytest.raises(Corrupt, match="is a folder"):
        fence.read(tmp_path)


def test_a_fence_that_did_not_change_is_not_read_again_and_a_changed_one_always_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / fence.NAME
    fence.write(tmp_path, Fence(epoch=1))
    old = time.time_ns() - 10**12
    os.utime(path, ns=(old, old))
    read: list[Path] = []
    true_read = Path.read_bytes

    def counted(self: Path) -> bytes:
        read.append(self)
        return true_read(self)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert [fence.read(tmp_path).epoch for _ in range(5)] == [1] * 5
    assert read == [path]
    fence.write(tmp_path, Fence(epoch=2))
    assert fence.read(tmp_path).epoch == 2
    path.unlink()
    assert fence.read(tmp_path) == Fence()


def test_fences_that_follow_each_other_within_one_tick_of_the_clock_are_told_apart(tmp_path: Path) -> None:
    path, tick = tmp_path / fence.NAME, time.time_ns()
    for epoch in (101, 102, 103):
        path.write_text(json.dumps(Fence(epoch=epoch).to_json()))
        os.utime(path, ns=(tick, tick))  # the same time, size and inode each time
        assert fence.read(tmp_path).epoch == epoch


def test_a_fence_in_an_object_store_is_written_and_read(tmp_path: Path) -> None:
    root = f"memory://fences-{os.getpid()}"
    assert fence.read(root) == Fence()
    fence.write(root, Fence("primary", 3))
    assert fence.read(root) == Fence("primary", 3)
    assert Catalog(root).fence().epoch == 3


def test_readers_in_other_threads_see_an_old_or_a_new_fence_never_a_part(tmp_path: Path) -> None:
    tables = {f"a.b.t{n}": Shown(1, "00" * 32) for n in range(300)}
    fence.write(tmp_path, Fence("standby", 1, tables=tables))
    seen: set[tuple[int, int]] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            found = fence.read(tmp_path)
            seen.add((found.epoch, len(found.tables)))

    reader = threading.Thread(target=look)
    reader.start()
    for epoch in range(2, 40):
        fence.write(tmp_path, Fence("standby", epoch, tables=tables if epoch % 2 else {}))
    ended.set()
    reader.join()
    assert seen <= {(epoch, 300 if epoch % 2 else 0) for epoch in range(1, 40)}


def test_a_standby_shows_exactly_the_version_of_its_barrier(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    shown = table.version
    table.append(batches([row("later", 1)]))
    standby(tmp_path, small=shown)
    opened = Catalog(tmp_path).open(NAME)
    assert opened.version == shown and opened.count() == 3
    assert Catalog(tmp_path).create(NAME, SMALL).version == shown
    assert table.refresh() == shown and keys(table) == {"r0", "r1", "r2"}
    assert table.at(shown + 1).count() == 4


def test_refresh_follows_the_barrier_and_after_a_failover_the_latest_version(tmp_path: Path) -> None:
    table = small(tmp_path, 3)
    first = table.version
    table.append(batches([row("x", 1)]))
    table.append(batches([row("y", 1)]))
    standby(tmp_path, small=first)
    opened = Catalog(tmp_path).open(NAME)
    assert opened.refresh() == first
    standby(tmp_path, small=first + 1)
    assert opened.count() == 3  # until it is asked to move
    assert opened.refresh() == first + 1 and opened.count() == 4
    fence.write(tmp_path, Fence("primary", 2))
    assert opened.refresh() == first + 2 and opened.count() == 5
    assert opened.delete("id = 'y'") == 1
    assert opened.at(first).refresh() == first + 3


def test_a_version_number_that_came_to_mean_another_content_is_read_anew(tmp_path: Path) -> None:
    table = small(tmp_path / "one", 3)
    standby(tmp_path / "one", small=table.version)
    opened = Catalog(tmp_path / "one").open(NAME)
    other = small(tmp_path / "two")
    other.append(batches([row("else", 1)]))
    assert other.version == opened.version
    place = tmp_path / "one/loop/drive/small.lance"
    place.rename(tmp_path / "aside")
    (tmp_path / "two/loop/drive/small.lance").rename(place)
    fence.write(
        tmp_path / "one", Fence("standby", 1, tables={"loop.drive.small": Shown(other.version, "cd" * 32)})
    )
    assert opened.refresh() == other.version
    assert keys(opened) == {"else"} and opened.identity == other.identity


@pytest.mark.parametrize("write", WRITES, ids=str)
def test_a_replica_takes_no_write_at_its_standby(tmp_path: Path, write: str) -> None:
    table = small(tmp_path, 2)
    table.pin("tag")
    before = sorted(tmp_path.rglob("*.lance/**/*"))
    standby(tmp_path, small=table.version)
    with pytest.raises(Refused, match="replicated from north and read-only here; write there"):
        WRITES[write](table)
    assert sorted(tmp_path.rglob("*.lance/**/*")) == before


def test_the_other_tables_of_a_standby_take_every_write(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    standby(tmp_path, other=1)
    for write in WRITES.values():
        write(table)
    Catalog(tmp_path).rename(NAME, TableName("loop", "drive", "mine"))
    Catalog(tmp_path).drop(TableName("loop", "drive", "mine"))
    assert len(keys(small(tmp_path, 2))) == 2


def test_a_replica_is_neither_dropped_nor_renamed_nor_made_at_its_standby(tmp_path: Path) -> None:
    small(tmp_path, 2)
    catalog = Catalog(tmp_path)
    standby(tmp_path, small=2, other=7)
    mine = catalog.create(TableName("loop", "drive", "mine"), SMALL)
    for step in (
        lambda: catalog.drop(NAME),
        lambda: catalog.rename(NAME, TableName("loop", "drive", "new")),
        lambda: catalog.rename(TableName("loop", "drive", "mine"), OTHER),
        lambda: catalog.create(OTHER, SMALL),
    ):
        with pytest.raises(Refused, match="replicated from north"):
            step()
    assert catalog.open(NAME).count() == 2 and mine.count() == 0


def test_a_table_that_no_barrier_shows_yet_is_not_there_for_readers(tmp_path: Path) -> None:
    small(tmp_path, 2)
    catalog = Catalog(tmp_path)
    fence.write(tmp_path, Fence("standby", 1, "north", hidden=(str(NAME),)))
    assert catalog.names() == []
    with pytest.raises(UnknownName):
        catalog.open(NAME)
    for step in (lambda: catalog.create(NAME, SMALL), lambda: catalog.drop(NAME)):
        with pytest.raises(Refused):
            step()


def test_a_replica_whose_files_are_missing_is_told_as_corrupt(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    standby(tmp_path, small=9)
    for step in (lambda: Catalog(tmp_path).open(NAME), table.refresh):
        with pytest.raises(Corrupt, match="lacks version 9, which this standby shows"):
            step()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (Fence("fenced", 4), "another site took over from this one, primary of epoch 4"),
        (Fence("yielding", 1, held="a switchover is under way"), "not written now: a switchover is under way"),
    ],
    ids=["outranked", "yielding"],
)
def test_an_outranked_or_yielding_primary_writes_nothing_but_reads_and_pins(
    tmp_path: Path, state: Fence, words: str
) -> None:
    table = small(tmp_path, 2)
    fence.write(tmp_path, state)
    catalog = Catalog(tmp_path)
    for step in (
        lambda: table.delete("true"),
        lambda: catalog.create(OTHER, SMALL),
        lambda: catalog.drop(NAME),
        lambda: catalog.rename(NAME, OTHER),
    ):
        with pytest.raises(Refused, match=words):
            step()
    table.pin("last-round")
    table.unpin("last-round")
    assert table.refresh() == 2 and table.count() == 2
    assert table.refusal() is not None


def test_the_fence_is_asked_inside_the_lock_so_that_draining_leaves_no_writer(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    with held(tmp_path / LOCK, "it"), pytest.raises(Busy):
        table.delete("true")  # not Refused: the lock comes first
    inside, go, done = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        with Catalog(tmp_path).open(NAME).writing():
            inside.set()
            go.wait(60)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert inside.wait(60)
    fence.write(tmp_path, Fence("yielding", 1, held="a switchover is under way"))
    with pytest.raises(Busy):
        Catalog(tmp_path).drain(for_s=0)
    go.set()
    Catalog(tmp_path).drain()
    assert done.is_set() or done.wait(60)
    writer.join()
    with pytest.raises(Refused):
        table.delete("true")


def test_a_table_that_was_dropped_or_renamed_is_told_to_who_still_holds_it(tmp_path: Path) -> None:
    table = small(tmp_path, 2)
    Catalog(tmp_path).rename(NAME, OTHER)
    for step in (table.refresh, lambda: table.delete("true"), lambda: table.append(batches([row("n", 1)]))):
        with pytest.raises(InputError, match="is gone; it was dropped or renamed"):
            step()
    assert Catalog(tmp_path).names() == [OTHER]


def test_after_a_failover_the_olap_does_not_trust_versions_of_the_other_line(tmp_path: Path) -> None:
    table = small(tmp_path / "site", 3)
    olap = Olap(tmp_path / "olap.duckdb")
    olap.follow(table, "small")
    place, fork = tmp_path / "site/loop/drive/small.lance", tmp_path / "fork"
    shutil.copytree(place, fork)
    table.replace(batches([row("r1", 1, 5)]), "id = 'r1'")
    olap.follow(table, "small")
    shutil.rmtree(place)
    fork.rename(place)
    Catalog(tmp_path / "site").open(NAME).replace(batches([row("r1", 1, 8)]), "id = 'r1'")
    fence.write(tmp_path / "site", Fence("primary", 2))
    again = Catalog(tmp_path / "site").open(NAME)
    assert again.version == table.version
    assert olap.follow(again, "small").from_version is None
    assert olap.query("SELECT speed FROM small WHERE id = 'r1'")["speed"].to_pylist() == [2.0]
