"""The inner site: each change with its entry, checked images, cuts that come again, and what removal reaches."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import bson
import pytest

from gallery_making import SteppingClock, content, hostile_images, jpeg, sqlite_set, text_of
from isthmus.core.digest import Digest
from isthmus.core.errors import Corrupt, InputError, UnknownName
from isthmus.core.position import Position
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.log import Retention
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.state.audit import Audit

GALLERY = "faces.staff"


@pytest.fixture
def held(tmp_path: Path) -> SqliteSet:
    return sqlite_set(tmp_path)


@pytest.fixture
def site(held: SqliteSet) -> InnerSite:
    return InnerSite(held, SteppingClock(), "anna")


def entries_of(source: OplogSource, since: Position, most: int = 1 << 30) -> list[dict[str, object]]:
    cut = source.after(since, most)
    return [] if cut is None else bson.decode_all(b"".join(cut.members["entries.bson"]()))


def start() -> Position:
    return Position(1, 0, Digest())


def test_every_change_is_an_oplog_entry_as_mongodb_writes_it(held: SqliteSet, site: InnerSite) -> None:
    site.add(GALLERY, "p1", jpeg(1), {"name": "Ann"})
    site.replace(GALLERY, "p1", jpeg(2))
    site.replace(GALLERY, "p1", attributes={"name": "Anne"})
    site.remove(GALLERY, "p1")
    first, second, third, last = entries_of(OplogSource(held), start())
    assert (first["op"], first["ns"], first["o"]) == (
        "i", GALLERY, {"_id": "p1", "name": "Ann", "url": text_of(jpeg(1))},
    )  # fmt: skip
    assert (second["op"], second["o2"], second["o"]) == (
        "u", {"_id": "p1"}, {"_id": "p1", "name": "Ann", "url": text_of(jpeg(2))},
    )  # fmt: skip
    assert third["o"] == {"_id": "p1", "name": "Anne", "url": text_of(jpeg(2))}
    assert (last["op"], last["o"]) == ("d", {"_id": "p1"})
    times = [entry["ts"] for entry in (first, second, third, last)]
    assert times == sorted(set(times))  # type: ignore[type-var]
    assert all(entry["v"] == 2 and entry["ui"] == first["ui"] and entry["wall"] for entry in (first, last))


def test_the_digest_of_an_empty_set_comes_back_when_all_is_removed(held: SqliteSet, site: InnerSite) -> None:
    before = held.position()
    site.add(GALLERY, "p1", jpeg(1))
    site.add("faces.other", "p1", jpeg(1))
    middle = held.position()
    site.remove(GALLERY, "p1")
    site.remove("faces.other", "p1")
    after = held.position()
    assert before and middle and after
    assert before.digest == after.digest == Digest()
    assert middle.digest != Digest()
    assert after.seq == 4


def test_an_id_that_is_taken_a_record_that_is_missing_and_odd_names_are_refused(site: InnerSite) -> None:
    site.add(GALLERY, "p1", jpeg(1))
    with pytest.raises(InputError, match="already"):
        site.add(GALLERY, "p1", jpeg(2))
    with pytest.raises(UnknownName, match="no record"):
        site.replace(GALLERY, "p2", jpeg(2))
    with pytest.raises(UnknownName, match="no record"):
        site.remove(GALLERY, "p2")
    with pytest.raises(InputError, match="no name of a gallery"):
        site.add("staff", "p1", jpeg(1))
    with pytest.raises(InputError, match="no id"):
        site.add(GALLERY, "", jpeg(1))
    with pytest.raises(InputError, match="attribute"):
        site.add(GALLERY, "p3", jpeg(1), {"url": "x"})
    with pytest.raises(InputError, match="cannot be written"):
        site.add(GALLERY, "p3", jpeg(1), {"x": object()})
    assert [stat.records for stat in site.stat()] == [1]


@pytest.mark.parametrize("name", sorted(hostile_images()))
def test_a_hostile_image_does_not_enter(site: InnerSite, held: SqliteSet, name: str) -> None:
    with pytest.raises(InputError, match="refused"):
        site.add(GALLERY, "p1", hostile_images()[name])
    position = held.position()
    assert position is not None
    assert position.seq == 0


def test_an_image_that_is_too_large_for_an_entry_is_refused(site: InnerSite, held: SqliteSet) -> None:
    padded = jpeg(1) + bytes(13_000_000)
    with pytest.raises(InputError, match="entry of"):
        site.add(GALLERY, "p1", padded)
    assert not content(held).get(GALLERY)


def test_each_change_is_in_the_audit_log_with_its_author(held: SqliteSet, site: InnerSite) -> None:
    site.add(GALLERY, "p1", jpeg(1))
    site.replace(GALLERY, "p1", jpeg(2))
    site.remove(GALLERY, "p1")
    with pytest.raises(UnknownName):
        site.remove(GALLERY, "p1")
    notes = Audit(held.store, SteppingClock()).entries()
    assert [(note.who, note.act, note.gallery, note.subject) for note in notes] == [
        ("anna", act, GALLERY, "p1") for act in ("add", "replace", "remove")
    ]


def test_records_are_listed_page_by_page(site: InnerSite) -> None:
    for number in range(5):
        site.add(GALLERY, f"p{number}", jpeg(number), {"n": number})
    first = site.list(GALLERY, most=3)
    second = site.list(GALLERY, after=first[-1].id, most=3)
    assert [item.id for item in (*first, *second)] == [f"p{number}" for number in range(5)]
    assert first[1].attributes == {"n": 1}
    assert first[1].size == len(jpeg(1))
    with pytest.raises(UnknownName, match=r"did you mean 'faces\.staff'"):
        site.list("faces.stuff")


def test_a_cut_comes_again_with_the_same_bounds_and_bytes(held: SqliteSet, site: InnerSite) -> None:
    source = OplogSource(held)
    for number in range(4):
        site.add(GALLERY, f"p{number}", jpeg(number))
    one = source.after(start(), 1 << 30)
    assert one is not None
    site.add(GALLERY, "late", jpeg(9))
    again = source.after(start(), 100)
    assert again is not None
    assert (again.since, again.until, again.counts) == (one.since, one.until, {"entries": 4})
    opened = [b"".join(cut.members["entries.bson"]()) for cut in (one, one, again)]
    assert opened[0] == opened[1] == opened[2]
    rest = source.after(one.until, 1 << 30)
    assert rest is not None
    assert rest.until == held.position() == source.position()
    assert source.after(rest.until, 100) is None


def test_a_cut_is_about_as_large_as_asked_and_has_one_change_at_least(held: SqliteSet, site: InnerSite) -> None:
    source, position, sizes = OplogSource(held), start(), []
    for number in range(6):
        site.add(GALLERY, f"p{number}", jpeg(number))
    while (cut := source.after(position, 2500)) is not None:
        size = len(b"".join(cut.members["entries.bson"]()))
        assert size <= 2500 or cut.counts["entries"] == 1
        sizes.append(cut.counts["entries"])
        position = cut.until
    assert sum(sizes) == 6
    assert len(sizes) > 1
    alone = source.after(Position(1, 1, _digest_at(held, 1)), 1)
    assert alone is not None
    assert alone.counts == {"entries": 1} or alone.until.seq in (2, *_ends(sizes))


def _digest_at(held: SqliteSet, seq: int) -> Digest:
    return Digest(held.store.rows("SELECT digest FROM entry WHERE seq = ?", (seq,))[0]["digest"])


def _ends(sizes: list[int]) -> list[int]:
    return [sum(sizes[: number + 1]) for number in range(len(sizes))]


def test_a_position_that_never_was_is_refused(held: SqliteSet, site: InnerSite) -> None:
    source = OplogSource(held)
    site.add(GALLERY, "p1", jpeg(1))
    for position in (Position(2, 0), Position(1, 5), Position(1, 1), Position(1, 0, Digest(b"\1" * 32))):
        with pytest.raises(InputError, match="snapshot"):
            source.after(position, 100)


def test_entries_beyond_the_retention_are_forgotten_and_readers_told(tmp_path: Path) -> None:
    held, clock = sqlite_set(tmp_path), SteppingClock()
    site = InnerSite(held, clock, "anna")
    source = OplogSource(held)
    for number in range(5):
        site.add(GALLERY, f"p{number}", jpeg(number))
    site.tidy(Retention(entries=2))
    with pytest.raises(InputError, match="no longer kept"):
        source.after(start(), 100)
    cut = source.after(Position(1, 3, _floor_digest(held)), 1 << 30)
    assert cut is not None
    assert [entry["o"]["_id"] for entry in bson.decode_all(b"".join(cut.members["entries.bson"]()))] == [
        "p3",
        "p4",
    ]
    assert len(content(held)[GALLERY]) == 5
    clock.time += timedelta(days=40)
    site.tidy()
    assert held.store.rows("SELECT count(*) AS n FROM entry")[0]["n"] == 0
    assert all(image for _, image in content(held)[GALLERY].values())


def _floor_digest(held: SqliteSet) -> Digest:
    return Digest(held.store.rows("SELECT floor_digest FROM stream_set")[0]["floor_digest"])


def test_a_removed_image_leaves_the_disk_when_the_stream_lets_it_go(tmp_path: Path) -> None:
    held, clock = sqlite_set(tmp_path), SteppingClock()
    site = InnerSite(held, clock, "anna")
    site.add(GALLERY, "p1", jpeg(1))
    site.add(GALLERY, "p2", jpeg(2))
    digest = bytes.fromhex(site.list(GALLERY)[0].image or "")
    held.put_vectors("m", [(digest, b"vector")])
    site.remove(GALLERY, "p1")
    assert held.vector(digest, "m") is None
    file = held.files.path(digest)
    site.tidy()
    assert file.exists(), "an entry that may still be asked for has it"
    clock.time += timedelta(days=2)
    site.tidy()
    assert not file.exists()
    assert jpeg(1) not in (tmp_path / "state.db").read_bytes()
    assert [item.id for item in site.list(GALLERY)] == ["p2"]
    with pytest.raises(InputError, match="snapshot"):
        OplogSource(held).after(start(), 100)


def test_an_image_that_rotted_on_the_disk_is_never_sent(held: SqliteSet, site: InnerSite) -> None:
    site.add(GALLERY, "p1", jpeg(1))
    path = next(path for path in held.files.folder.rglob("*") if len(path.name) == 64)
    spoilt = bytearray(path.read_bytes())
    spoilt[100] ^= 1
    path.write_bytes(spoilt)
    source = OplogSource(held)
    for cut in (source.after(start(), 1 << 30), source.snapshot()):
        assert cut is not None
        with pytest.raises(Corrupt, match="changed on the disk"):
            b"".join(cut.members["entries.bson"]())


def test_a_snapshot_is_of_one_moment_whatever_is_changed_while_it_is_read(
    held: SqliteSet, site: InnerSite
) -> None:
    for number in range(3):
        site.add(GALLERY, f"p{number}", jpeg(number))
    before = held.position()
    cut = OplogSource(held).snapshot()
    whole = b"".join(cut.members["entries.bson"]())
    reading = cut.members["entries.bson"]()
    first = next(reading)
    for number in range(3):
        site.remove(GALLERY, f"p{number}")
    site.tidy(Retention(entries=0, removed_s=-1e9))
    assert first + b"".join(reading) == whole == b"".join(cut.members["entries.bson"]())
    assert cut.until == before
    files = [path for path in held.files.folder.rglob("*") if len(path.name) == 64]
    assert len(files) == 3, "nothing goes while the snapshot is held"
    del cut, reading
    held.tidy()
    assert not [path for path in held.files.folder.rglob("*") if len(path.name) == 64]


def test_tidying_tells_how_many_images_went(held: SqliteSet, site: InnerSite) -> None:
    for number in range(3):
        site.add(GALLERY, f"p{number}", jpeg(number))
    site.remove(GALLERY, "p0")
    site.remove(GALLERY, "p1")
    assert site.tidy(Retention(entries=0, removed_s=-1e9)) == 2
    assert site.tidy(Retention(entries=0, removed_s=-1e9)) == 0


def test_a_folder_is_imported_once_however_often_it_is_asked_for(
    held: SqliteSet, site: InnerSite, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for number in range(3):
        (folder / f"p{number}.jpg").write_bytes(jpeg(number))
    (folder / "deep" / "x.JPEG").write_bytes(jpeg(5))
    (folder / "bad.jpg").write_bytes(hostile_images()["eps named .jpg"])
    (folder / "notes.txt").write_text("no image")
    told: list[int] = []
    site.add(GALLERY, "p0", jpeg(9), {"name": "kept"})
    first = site.import_folder(GALLERY, folder, lambda progress: told.append(progress.done))
    assert (first.added, first.replaced, first.unchanged) == (3, 1, 0)
    assert [path.name for path, _ in first.refused] == ["bad.jpg"]
    assert told[-1] == 5
    assert [item.id for item in site.list(GALLERY)] == ["p0", "p1", "p2", "deep/x"]
    assert site.list(GALLERY)[0].attributes == {"name": "kept"}
    before = held.position()
    again = site.import_folder(GALLERY, folder)
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 4)
    assert held.position() == before
    (folder / "p1.jpg").write_bytes(jpeg(7))
    assert site.import_folder(GALLERY, folder).replaced == 1


def test_two_files_with_one_id_and_a_folder_that_is_none_are_refused(site: InnerSite, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "a.png").write_bytes(jpeg(1))
    with pytest.raises(InputError, match="one id"):
        site.import_folder(GALLERY, tmp_path)
    with pytest.raises(InputError, match="no folder"):
        site.import_folder(GALLERY, tmp_path / "none")
