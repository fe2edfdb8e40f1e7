from __future__ import annotations

import datetime
import errno
import shutil
from pathlib import Path

import lance
import pytest

from cutting import cuts_under_commits
from isthmus.core.errors import Busy, InputError
from isthmus.recovery import capture as capturing
from isthmus.recovery.capture import Capture, Published
from isthmus.recovery.cut import collect, look, newest
from isthmus.transfer.memory import MemoryCarrier
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from primary_site import A, B, Primary, batch, carried, filled, same_rows
from transfer_doubles import HandClock

NOW = datetime.timedelta(0)


def inodes(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(file.relative_to(folder)): (file.stat().st_ino, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file() and "_refs" not in file.parts
    }


def test_a_cut_over_several_tables_is_consistent_while_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(told := cuts_under_commits(tmp_path, monkeypatch, cuts=80))
    assert told.inconsistent == 0
    assert told.once > 5, "the writer must have been able to come between"


def test_reading_again_goes_on_until_two_readings_agree(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    table = filled(catalog, A)
    left = 3

    def published() -> list[Published]:
        nonlocal left
        if left:
            left -= 1
            table.append([batch([1000 + left])])
        return [Published(str(A))]

    assert collect(tmp_path, published, HandClock()).tries == 3
    left = 50
    with pytest.raises(Busy, match="changed during each of 5 readings"):
        collect(tmp_path, published, HandClock(), most_tries=5)


def test_a_table_put_in_the_place_of_another_is_another_reading(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    filled(catalog, A)
    before = look(tmp_path, [Published(str(A))])
    catalog.drop(A)
    assert look(tmp_path, [Published(str(A))]) == ()
    filled(catalog, A)
    after = look(tmp_path, [Published(str(A))])
    assert before != after
    assert before[0].version == after[0].version


def test_versions_are_read_from_the_names_of_manifests_of_either_kind(tmp_path: Path) -> None:
    versions = tmp_path / "_versions"
    assert newest(tmp_path) is None
    versions.mkdir()
    assert newest(tmp_path) is None
    for name in ("9.manifest", "11.manifest", "d18446744073709551600.manifest", "latest_version_hint.json"):
        (versions / name).touch()
    assert (newest(tmp_path) or ())[:2] == (11, "11.manifest")
    (versions / f"{2**64 - 1 - 12}.manifest").touch()
    assert (newest(tmp_path) or ())[0] == 12


def test_a_pinned_version_outlives_compaction_and_cleanup_and_an_unpinned_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {True: 0, False: 0}
    for pinned in (True, False):
        site = Primary(tmp_path / str(pinned), most_tries=1)
        table = filled(site.catalog, A)

        def clean(told: str, at: str = "backup pinned", site: Primary = site) -> None:
            if told == at:
                own = site.catalog.open(A)
                own.compact()
                own.cleanup(NOW)

        if not pinned:
            monkeypatch.setattr("isthmus.warehouse.table.Table.pin", lambda self, tag: None)
        site.step = clean
        for number in range(5):
            table.refresh()
            table.append([batch(range(100 + number * 10, 105 + number * 10))])
            try:
                site.backup.round()
            except Busy:
                failed[pinned] += 1
    print(
        f"captures that failed under compaction and cleanup: pinned {failed[True]}, unpinned {failed[False]} of 5"
    )
    assert failed[True] == 0
    assert failed[False] == 5


def test_a_version_cleaned_up_before_it_was_pinned_is_cut_again(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    told_once: list[str] = []

    def clean(told: str) -> None:
        if told == "backup cut" and not told_once:
            told_once.append(told)
            table.append([batch(range(50, 55))])
            table.cleanup(NOW)

    site.step = clean
    found = site.backup.round()
    assert found is not None
    assert found.tries == 2
    assert found.rows == 25


@pytest.mark.parametrize("at", ["backup cut", "backup pinned", "backup linked"])
def test_a_table_that_vanishes_during_a_round_is_no_error(tmp_path: Path, at: str) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    filled(site.catalog, B)

    def drop(told: str) -> None:
        if told == at and B in site.catalog.names():
            site.catalog.drop(B)

    site.step = drop
    found = site.backup.round()
    assert found is not None
    assert found.tables == 1
    assert site.tags() == [f"recovery-{found.key}"]


def test_a_table_renamed_during_a_round_leaves_no_tag_behind(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    lance_place = tmp_path / "tables" / "db" / "s"

    def rename(told: str) -> None:
        if told == "backup pinned" and (lance_place / "a.lance").exists():
            (lance_place / "a.lance").rename(lance_place / "c.lance")

    site.step = rename
    found = site.backup.round()
    assert found is not None
    assert [table.name for table in (site.backup.barrier() or pytest.fail("none")).tables.values()] == ["db.s.c"]
    assert site.tags() == [f"recovery-{found.key}"]
    site.backup.confirm(site.backup.source.position())
    assert site.tags() == []


def test_only_the_newest_version_is_captured(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    for number in range(6):
        table.append([batch([100 + number])])
    site.backup.round()
    barrier = site.backup.barrier()
    assert barrier is not None
    files = barrier.files[table.identity]
    assert [path for path in files if path.startswith("_versions/")] == [barrier.tables[table.identity].manifest]
    assert sum(path.startswith("_transactions/") for path in files) <= 1
    assert barrier.tables[table.identity].version == table.version


def test_a_shallow_clone_is_refused_with_the_reason(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    table.dataset.tags.create("here", table.version)
    table.dataset.shallow_clone(site.catalog.uri(B).removeprefix("file://"), "here")
    with pytest.raises(InputError, match="clone"):
        site.backup.round()
    assert site.tags() == ["here"]
    assert site.staged() == []
    site.published = lambda: [Published(str(A))]
    assert site.backup.round() is not None


def test_a_copied_folder_is_refused_because_both_have_one_identity(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    filled(site.catalog, A)
    tables = tmp_path / "tables" / "db" / "s"
    shutil.copytree(tables / "a.lance", tables / "b.lance")
    with pytest.raises(InputError, match="one identity"):
        site.backup.round()


def test_a_table_that_no_catalogue_made_is_refused(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    lance.write_dataset(batch(range(3)), str(tmp_path / "tables" / "db" / "s" / "a.lance"))
    with pytest.raises(InputError, match="cannot be replicated"):
        site.backup.round()


def test_a_root_on_no_file_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="file system"):
        Capture(Catalog("s3://bucket/tables"), tmp_path, "recovery", HandClock())


def test_only_new_files_are_proven_unless_all_are_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven: list[str] = []
    own = capturing._digest
    monkeypatch.setattr(capturing, "_digest", lambda file: (proven.append(file.name), own(file))[1])
    site = Primary(tmp_path)
    table = filled(site.catalog, A, 200)
    site.backup.round()
    first = site.backup.barrier()
    assert first is not None
    assert {path.rpartition("/")[2] for path in first.files[table.identity]} <= set(proven)
    proven.clear()
    site.backup.round()
    assert proven == [first.tables[table.identity].manifest.rpartition("/")[2]]
    site = Primary(tmp_path, prove_all=True)
    proven.clear()
    site.backup.round()
    assert len(set(proven)) == len(first.files[table.identity])


def test_a_manifest_replaced_under_the_same_version_is_found_and_all_files_proven_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    place = tmp_path / "tables" / "db" / "s" / "a.lance"
    shutil.copytree(place, tmp_path / "older")
    table.append([batch(range(50, 60))])
    first = site.backup.round()
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "older", place)
    catalog = Catalog(tmp_path / "tables")
    again = catalog.open(A)
    again.append([batch(range(70, 75))])  # version 3 once more, of another content
    assert again.version == table.version
    proven: list[str] = []
    own = capturing._digest
    monkeypatch.setattr(capturing, "_digest", lambda file: (proven.append(file.name), own(file))[1])
    second = site.backup.round()
    assert first is not None
    assert second is not None
    assert second.notes == "db.s.a was put back to another state"
    assert second.rows == 25
    barrier = site.backup.barrier()
    assert barrier is not None
    assert {path.rpartition("/")[2] for path in barrier.files[table.identity]} <= set(proven)


def test_a_file_damaged_here_does_not_become_what_the_standby_should_hold(tmp_path: Path) -> None:
    site = Primary(tmp_path, prove_all=True)
    table = filled(site.catalog, A)
    site.backup.round()
    before = site.backup.barrier()
    damaged = next((tmp_path / "tables" / "db" / "s" / "a.lance" / "data").iterdir())
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged.write_bytes(raw)
    found = site.backup.round()
    after = site.backup.barrier()
    assert before is not None
    assert after is not None
    assert found is not None
    assert after.files == before.files
    assert f"damaged on this site's disk: db.s.a: data/{damaged.name}" in found.notes
    assert table.count() == 20


def test_where_no_link_is_possible_files_are_copied_and_known_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    first = site.backup.round()
    table.append([batch(range(50, 60))])
    second = site.backup.round()
    assert first is not None
    assert second is not None
    barrier = site.backup.barrier()
    assert barrier is not None
    lying = [file for file in (tmp_path / "recovery" / "staged" / second.key).rglob("*") if file.is_file()]
    assert len(lying) == second.files < len(barrier.files[table.identity])
    assert all(file.stat().st_nlink == 1 for file in lying)
    sender, receiver = site.pair(MemoryCarrier())
    assert carried(sender, receiver, site.backup) == []
    assert same_rows(site.target.restore(tmp_path / "out")[str(A)], table)


def test_what_lies_aside_are_links_and_letting_go_of_them_leaves_the_table_alone(tmp_path: Path) -> None:
    site = Primary(tmp_path)
    table = filled(site.catalog, A)
    place = tmp_path / "tables" / "db" / "s" / "a.lance"
    before = inodes(place)
    found = site.backup.round()
    assert found is not None
    lying = tmp_path / "recovery" / "staged" / found.key / table.identity
    assert {path: before[path] for path in inodes(lying)} == inodes(lying)
    site.backup.confirm(site.backup.source.position())
    assert site.staged() == []
    assert inodes(place) == before


def test_each_reading_asks_anew_what_is_published(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    filled(catalog, A)
    filled(catalog, B)
    lists = iter([[A], [A, B], [B], [B, TableName("db", "s", "gone")]])

    def published() -> list[Published]:
        return [Published(str(name)) for name in next(lists)]

    found = collect(tmp_path, published, HandClock())
    assert [sight.published.name for sight in found.tables] == [str(B)]
    assert found.tries == 3
