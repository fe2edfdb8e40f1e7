from __future__ import annotations

import contextlib
import shutil
from datetime import timedelta
from pathlib import Path

import lance
import pytest
from blake3 import blake3
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from full_disk import Disk
from isthmus.core.errors import Corrupt
from isthmus.core.position import Position
from isthmus.recovery.contents import Contents
from isthmus.recovery.holding import Holding
from isthmus.recovery.part import parted
from isthmus.state.store import Store
from isthmus.warehouse import fence
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.fence import Fence
from recovery_damages import followed, level, published_damages, staged_damages
from recovery_rounds import A, B, Maker, content, folder, latest, raw_append, read, rows
from small_disk import small_disk
from transfer_doubles import HandClock

NUMBER = 60


def test_what_others_wrote_to_a_replica_is_set_aside_and_can_be_read_there(tmp_path: Path) -> None:
    maker, standby = followed(tmp_path)
    shown = read(standby)
    version = raw_append(standby.root, A, [900, 901], 5)
    assert version == standby.fence.tables["db.s.a"].version + 1
    assert read(standby) == shown  # the version that is shown is pinned
    (told,) = standby.landing.tidy()
    assert "rogue: db.s.a: somebody wrote to the replica" in told
    (aside,) = (standby.folder / "landing" / "rogue").iterdir()
    found = {row["id"]: row["value"] for row in lance.dataset(str(aside)).to_table().to_pylist()}
    assert found == {**shown["db.s.a"], "k0900": 5, "k0901": 5}
    assert latest(standby.root) == version - 1
    assert standby.landing.tidy() == []
    assert [one.name for one in standby.landing.holding.findings()] == ["db.s.a"]
    level(maker, standby)


def test_a_foreign_write_with_the_number_of_the_next_version_does_not_get_in(tmp_path: Path) -> None:
    maker, standby = followed(tmp_path)
    version = raw_append(standby.root, A, [900], 5)
    maker.catalog.open(A).append([rows([100], 6)])
    assert maker.catalog.open(A).version == version
    maker.put(maker.round(), standby.gate)
    assert standby.alarms() == []
    assert len(list((standby.folder / "landing" / "rogue").iterdir())) == 1
    level(maker, standby)
    assert latest(standby.root) == version
    assert content(Catalog(standby.root).open(A))["k0100"] == 6


def test_a_shown_manifest_that_was_replaced_or_removed_is_put_back(tmp_path: Path) -> None:
    maker, standby = followed(tmp_path)
    barrier = standby.landing.barrier()
    assert barrier is not None
    table = next(table for table in barrier.tables.values() if table.name == "db.s.a")
    manifest = folder(standby.root) / table.manifest
    right = manifest.read_bytes()
    manifest.unlink()
    manifest.write_bytes(right + b"!")
    assert len(standby.landing.tidy()) == 2
    assert manifest.read_bytes() == right
    manifest.unlink()
    assert len(standby.landing.tidy()) == 1
    level(maker, standby)


@pytest.mark.parametrize("hard", [False, True])
def test_files_that_no_manifest_names_yet_survive_a_cleanup_of_the_replica(tmp_path: Path, hard: bool) -> None:
    maker, standby = followed(tmp_path)
    cleaned = []

    def clean(told: str) -> None:
        if told in ("landing data synced", "landing manifests kept") and cleaned.count(told) < 1:
            cleaned.append(told)
            table = lance.dataset(str(folder(standby.root)))
            table.cleanup_old_versions(timedelta(0), delete_unverified=hard)

    maker.catalog.open(A).append([rows([100], 6)])
    maker.put(maker.round(), standby.gate)
    assert maker.standby(standby.folder, step=clean).alarms() == []
    assert len(cleaned) == 2
    level(maker, standby)


def test_files_go_only_when_two_barriers_do_not_need_them_and_the_grace_is_over(tmp_path: Path) -> None:
    maker, standby = followed(tmp_path, grace_s=30.0)
    table, versions = maker.catalog.open(A), []
    for number in range(4):
        versions.append(table.version)
        table.replace([rows(range(40), number + 1)], "value >= 0")
        table.compact()
        maker.put(maker.round(), standby.gate)
        assert standby.alarms() == []
        assert standby.landing.tidy() == []
    for version in versions:
        assert content(Catalog(standby.root).open(A).at(version)) != {}
    standby.clock.forward(-3600)  # a clock that jumps ends no grace
    standby.landing.tidy()
    standby.clock.forward(7200)
    assert standby.landing.tidy() == []
    gone = []
    for _ in range(4):
        standby.clock.forward(20)
        gone += standby.landing.tidy()
    assert gone
    kept = [path.name for path in (folder(standby.root) / "_versions").glob("*.manifest")]
    assert len(kept) == 2
    assert content(Catalog(standby.root).open(A).at(versions[-1])) != {}
    assert not list((standby.folder / "landing" / "contents").glob("*/*"))
    assert len(list((standby.folder / "landing" / "manifests").iterdir())) == 3
    level(maker, standby)


def test_every_damage_to_a_published_file_is_found_and_only_that_file_replaced(tmp_path: Path) -> None:
    assert published_damages(tmp_path, NUMBER) == NUMBER
    print(f"{NUMBER} damages of published files, all found, {NUMBER} files replaced and no other")


def test_every_damage_to_a_staged_content_is_found_before_anything_is_shown(tmp_path: Path) -> None:
    assert staged_damages(tmp_path, NUMBER) == NUMBER
    print(f"{NUMBER} damages of staged contents, all found, none shown")


def test_a_full_round_brings_what_is_missing_and_mends_the_files(tmp_path: Path) -> None:
    maker, standby = followed(tmp_path)
    holding = standby.landing.holding
    path = sorted((folder(standby.root) / "data").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert holding.repair(lambda digest: None) == []
    (missing,) = standby.landing.missing()
    maker.put(maker.round(full=True, known=holding.inventory()), standby.gate)
    assert standby.alarms() == []
    assert standby.landing.missing() == []
    assert standby.landing.rounds()[-1].files == 1
    assert blake3(path.read_bytes()).digest() == missing
    level(maker, standby)


def test_a_full_disk_at_any_write_is_one_alarm_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, standby = followed(tmp_path)
    disk = Disk(monkeypatch)
    fulls = 0
    for number in range(4):
        maker.catalog.open(A).append([rows([100 + number], 6)])
        maker.put(maker.round(), standby.gate)
        left = number
        while True:
            disk.left = left
            with contextlib.suppress(OSError):  # not even the end of an alarm can be written down
                standby.take()
            assert read(standby) in list(maker.shown.values())[-2:]
            if disk.left >= 0:
                break
            fulls, left = fulls + 1, left + 3
        disk.left = None
        standby.take()
        assert standby.inbound.status().alarms == ()
        level(maker, standby)
    assert fulls > 20
    print(f"the disk was full {fulls} times")


def test_too_little_room_is_told_before_a_byte_is_staged(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 4) as disk:
        maker = Maker(tmp_path / "north")
        maker.table(A, range(40))
        standby = maker.standby(tmp_path / "small" / "south")
        maker.put(maker.round(), standby.gate)
        assert standby.alarms() == []
        before = read(standby)
        maker.catalog.open(A).append([rows([1000], 7)])
        maker.put(maker.round(), standby.gate)
        standby = maker.standby(standby.folder, least_free_bytes=4 << 20)
        (alarm,) = [one for one in standby.alarms() if "bytes here" in one]
        assert "must stay so; make room" in alarm
        assert not list((standby.folder / "landing" / "contents").glob("*/*"))
        assert read(standby) == before
        standby = maker.standby(standby.folder)
        disk.fill()
        standby.take()
        assert read(standby) == before
        disk.empty()
        standby.take()
        assert standby.inbound.status().alarms == ()
        level(maker, standby)


def test_another_disk_than_that_of_the_tables_gets_copies(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 8):
        maker = Maker(tmp_path / "north")
        maker.table(A, range(40))
        standby = maker.standby(tmp_path / "south", apart=tmp_path / "small" / "landing")
        for name in (A, B):
            if name == B:
                maker.catalog.rename(A, B)
                maker.catalog.open(B).append([rows([500])])
            maker.put(maker.round(), standby.gate)
            assert standby.alarms() == []
            level(maker, standby)
        raw_append(standby.root, B, [9], 9)
        standby.landing.tidy()
        level(maker, standby)


def test_a_site_that_begins_to_follow_keeps_what_lies_there(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A, range(40))
    standby = maker.standby(tmp_path / "south", grace_s=0.0)
    shutil.copytree(maker.folder / "tables", standby.root, dirs_exist_ok=True)
    raw_append(standby.root, A, [900], 5)  # a fork: kept aside by whoever judges forks, and now only in the way
    barrier = maker.cut()
    standby.landing.adopt(barrier, Position(2, 0))
    assert standby.landing.position("recovery") == Position(2, 0)
    shown = {"db.s.a": fence.Shown(barrier.tables[next(iter(barrier.tables))].version, "")}
    fence.write(standby.root, Fence("standby", 2, tables=shown))
    maker.barrier = barrier
    maker.sent = set(barrier.contents())
    maker.standing = Position(2, 0)
    standby.landing.tidy()
    assert read(standby) == maker.shown[barrier.key]
    maker.catalog.open(A).append([rows([300], 3)])
    for number in range(3):
        maker.put(maker.round(full=number == 1, known=standby.landing.holding.inventory()), standby.gate)
        assert standby.alarms() == []
        standby.landing.tidy()
        level(maker, standby)
    assert standby.landing.rounds()[0].files < 6
    assert standby.landing.holding.findings() == []
    assert len(list((folder(standby.root) / "_versions").iterdir())) == 1


def test_a_table_of_the_same_identity_is_taken_over_and_kept_aside(tmp_path: Path) -> None:
    maker = Maker(tmp_path / "north")
    maker.table(A, range(40))
    standby = maker.standby(tmp_path / "south")
    shutil.copytree(maker.folder / "tables", standby.root, dirs_exist_ok=True)
    raw_append(standby.root, A, [900], 5)
    maker.catalog.open(A).append([rows([300], 3)])
    maker.put(maker.round(), standby.gate)
    assert standby.alarms() == []
    level(maker, standby)
    (finding,) = standby.landing.holding.findings()
    assert finding.kind == "kept"
    (aside,) = (standby.folder / "landing" / "rogue").iterdir()
    assert lance.dataset(str(aside)).count_rows("id = 'k0900'") == 1


def test_rewound_tables_can_be_written_and_know_nothing_of_what_came_after(tmp_path: Path) -> None:
    maker, standby = followed(tmp_path)
    shown = read(standby)
    raw_append(standby.root, B, [900], 5)
    maker.catalog.open(A).append([rows([100], 6)])
    maker.part_bytes = 500
    maker.put(maker.round()[:-1], standby.gate)
    standby.take()
    assert any("rogue" in told for told in standby.landing.holding.rewind())
    assert standby.landing.holding.rewind() == []
    fence.write(standby.root, Fence("primary", 2))
    assert read(standby) == shown
    for name in (A, B):
        Catalog(standby.root).open(name).append([rows([7000], 1)])
        assert content(Catalog(standby.root).open(name)) == {**shown[str(name)], "k7000": 1}
    assert [row.state for row in standby.landing.rounds()] == ["CONFIRM", "DROPPED"]
    assert not list((standby.folder / "landing" / "contents").glob("*/*"))


@settings(max_examples=20)
@drawn(st.lists(st.binary(max_size=60), min_size=1, unique=True), st.integers(1, 50), st.data())
def test_contents_come_out_whole_however_they_are_cut_and_repeated(
    tmp_path_factory: pytest.TempPathFactory, found: list[bytes], most: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("contents")
    store = Store(Path(":memory:"))
    contents = Contents(store, folder)
    raw = {blake3(one).digest(): one for one in found}
    for pieces in parted([(digest, len(one)) for digest, one in raw.items()], most):
        stretch = b"".join(raw[one.digest][one.offset : one.offset + one.length] for one in pieces)
        for again in (True, False) if data.draw(st.booleans()) else (False,):
            assert contents.judge(pieces, 60) >= 0
            contents.take(pieces, iter([stretch[:3], stretch[3:]]))
            if not again:
                with store.transaction() as connection:
                    contents.note(connection, pieces)
        with pytest.raises(Corrupt):
            contents.take(pieces, iter([stretch + b"!"]))
        if stretch:
            with pytest.raises(Corrupt):
                contents.take(pieces, iter([stretch[:-1]]))
    assert contents.whole() == {digest: len(one) for digest, one in raw.items()}
    assert all(contents.proven(digest, len(one)) for digest, one in raw.items())


def test_a_standby_needs_a_local_folder() -> None:
    with pytest.raises(Exception, match="no local folder"):
        Holding(Store(Path(":memory:")), "s3://bucket/root", Path("/nowhere"), HandClock())
