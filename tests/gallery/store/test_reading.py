"""What readers of a set are told: counts, changes, removals, vectors."""

from __future__ import annotations

from pathlib import Path

import pytest
from blake3 import blake3

from gallery_making import SteppingClock, alter, held_of, jpeg, lying, sqlite_set, text_of
from isthmus.core.digest import new_key
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.record import Record, Removed
from isthmus.gallery.store.bounds import Bounds
from isthmus.gallery.store.codec import key_of
from isthmus.gallery.store.mongo import MongoSet
from isthmus.gallery.store.sqlite import SqliteSet

G = "faces.staff"


@pytest.fixture(params=["sqlite", "sqlite, packed", "mongo", "mongo, packed"])
def held(tmp_path: Path, request: pytest.FixtureRequest) -> SqliteSet | MongoSet:
    made: SqliteSet | MongoSet
    kind, _, packed = request.param.partition(", ")
    if kind == "mongo":
        client = pytest.importorskip("mongomock").MongoClient()
        made = MongoSet(
            client,
            tmp_path,
            "set1",
            check=False,
            packed=bool(packed),
            transactions=False,
            codec=None,
            bounds=Bounds(removals=3),
        )
    else:
        made = sqlite_set(tmp_path, packed=bool(packed), bounds=Bounds(removals=3))
    with made.changing() as change:
        change.begin_stream(new_key())
        for number in range(5):
            change.put(G, {"_id": number, "url": text_of(jpeg(number))})
    return made


def delete(held: SqliteSet | MongoSet, *numbers: int) -> None:
    with held.changing() as change:
        for number in numbers:
            assert change.delete(G, number)


def test_changes_tell_each_key_once_in_the_order_of_change(held: SqliteSet | MongoSet) -> None:
    with held.changing() as change:
        change.put(G, {"_id": 1, "url": text_of(jpeg(1)), "x": 1})
        change.put(G, {"_id": 0, "url": text_of(jpeg(9))})
    delete(held, 3)
    told = list(held.changes(G, 5) or ())
    assert [(type(item), item.key, item.changed) for item in told] == [
        (Record, key_of(1), 6),
        (Record, key_of(0), 7),
        (Removed, key_of(3), 8),
    ]
    assert held.change(G) == 8
    assert list(held.changes(G, 8) or ()) == []
    assert len(list(held.changes(G, 0) or ())) == 5


def test_a_put_that_changes_nothing_is_no_change(held: SqliteSet | MongoSet) -> None:
    with held.changing() as change:
        change.put(G, {"_id": 1, "url": text_of(jpeg(1))})
    assert held.change(G) == 5


def test_forgotten_removals_and_changes_never_counted_are_answered_with_none(held: SqliteSet | MongoSet) -> None:
    delete(held, 0, 1, 2, 3)
    assert held.changes(G, 5) is None
    assert [item.key for item in held.changes(G, 6) or ()] == [key_of(1), key_of(2), key_of(3)]
    assert held.changes(G, 1000) is None
    assert held.changes("no.gallery", 0) is None
    assert held.change("no.gallery") == 0


def test_a_gallery_that_was_dropped_and_came_again_goes_on_counting(held: SqliteSet | MongoSet) -> None:
    with held.changing() as change:
        change.drop(G)
    assert held.galleries() == []
    with held.changing() as change:
        change.put(G, {"_id": 1, "url": text_of(jpeg(1))})
    assert held.change(G) == 7
    assert held.changes(G, 5) is None
    assert len(list(held.changes(G, 6) or ())) == 1


def test_a_record_that_comes_back_is_no_longer_told_as_removed(held: SqliteSet | MongoSet) -> None:
    delete(held, 1)
    with held.changing() as change:
        change.put(G, {"_id": 1})
    assert [(type(item), item.key) for item in held.changes(G, 5) or ()] == [(Record, key_of(1))]


def test_records_are_read_on_from_behind_a_key(held: SqliteSet | MongoSet) -> None:
    keys = [record.key for record in held.records(G)]
    assert len(keys) == 5
    assert [record.key for record in held.records(G, keys[1])] == keys[2:]
    assert list(held.records(G, keys[-1])) == []


def test_refused_images_are_told_with_their_reason_and_no_more_than_asked_for(tmp_path: Path) -> None:
    made = sqlite_set(tmp_path, check=True)
    with made.changing() as change:
        change.begin_stream(new_key())
        for gallery, number in (("g.b", 2), ("g.a", 1), ("g.a", 3)):
            change.put(gallery, {"_id": number, "url": text_of(b"GIF89a" + bytes([number]) * 40)})
        change.put("g.a", {"_id": 4, "url": text_of(jpeg(4))})
    found = made.refused(10)
    assert [(gallery, key) for gallery, key, _ in found] == [
        ("g.a", key_of(1)),
        ("g.a", key_of(3)),
        ("g.b", key_of(2)),
    ]
    assert {why for _, _, why in found} == {"the content is GIF"}
    assert made.refused(1) == found[:1]
    assert made.refused(0) == []


def test_vectors_are_by_image_and_a_new_one_is_a_change_of_its_records(held: SqliteSet | MongoSet) -> None:
    with held.changing() as change:
        change.put("faces.other", {"_id": "same", "url": text_of(jpeg(1))})
    first, second = held_of(jpeg(1)).digest, held_of(jpeg(2)).digest
    assert len(held.without_vector("m", 100)) == 5
    assert len(held.without_vector("m", 2)) == 2
    held.put_vectors("m", [(first, b"v1"), (second, None), (bytes(32), b"of nothing")])
    assert set(held.without_vector("m", 100)) == {held_of(jpeg(n)).digest for n in (0, 3, 4)}
    assert len(held.without_vector("other", 100)) == 5
    assert held.vector(first, "m") == b"v1"
    assert held.vector(second, "m") is None
    assert held.vector(bytes(32), "m") is None
    assert [(stat.gallery, stat.vectors, stat.changed) for stat in held.galleries()] == [
        ("faces.other", 1, 2),
        (G, 1, 7),
    ]
    changed = [item for item in held.changes(G, 5) or () if isinstance(item, Record)]
    assert [(item.key, item.vector_of) for item in changed] == [(key_of(1), "m"), (key_of(2), None)]


def test_vectors_go_with_the_last_record_that_has_their_image(held: SqliteSet | MongoSet, tmp_path: Path) -> None:
    digest, secret = held_of(jpeg(1)).digest, b"a vector that nobody may find again"
    with held.changing() as change:
        change.put("faces.other", {"_id": "same", "url": text_of(jpeg(1))})
    held.put_vectors("m", [(digest, secret)])
    delete(held, 1)
    assert held.vector(digest, "m") == secret
    assert held.image(digest) is not None
    with held.changing() as change:
        change.drop("faces.other")
    assert held.vector(digest, "m") is None
    assert held.image(digest) is None
    assert not held.files.image(digest).there()
    held.tidy()
    assert all(secret not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_images_that_were_looked_at_are_not_gone_through_again(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    with held.changing() as change:
        change.begin_stream(bytes(32))
        for number in range(300):
            change.put(G, {"_id": number, "url": text_of(number.to_bytes(2, "big") * 40)})
    held.put_vectors("m", [(digest, b"v") for digest in held.without_vector("m", 300)])
    assert held.without_vector("m", 16) == []
    steps = [0]
    held.store._connection.set_progress_handler(lambda: steps.__setitem__(0, steps[0] + 1), 10)
    assert held.without_vector("m", 16) == []
    assert steps[0] < 20  # tens of instructions, not some for each image


def test_an_image_that_only_entries_had_is_looked_at_again_with_its_next_record(tmp_path: Path) -> None:
    held, digest = sqlite_set(tmp_path), held_of(jpeg(1)).digest
    site = InnerSite(held, SteppingClock(), "somebody")
    site.add(G, "a", jpeg(1))
    held.put_vectors("m", [(digest, b"v")])
    assert held.without_vector("m", 16) == []
    site.remove(G, "a")
    site.add(G, "b", jpeg(2))
    assert held.without_vector("m", 16) == [held_of(jpeg(2)).digest]
    held.put_vectors("m", [(held_of(jpeg(2)).digest, b"v")])
    assert held.without_vector("m", 16) == []
    site.add(G, "c", jpeg(1))
    assert held.without_vector("m", 16) == [digest]


def test_an_image_that_comes_again_has_to_be_looked_at_again(held: SqliteSet | MongoSet) -> None:
    digest = held_of(jpeg(1)).digest
    held.put_vectors("m", [(digest, b"v")])
    delete(held, 1)
    with held.changing() as change:
        change.put(G, {"_id": 7, "url": text_of(jpeg(1))})
    assert digest in held.without_vector("m", 100)
    image = held.image(digest)
    assert image is not None
    assert image.read() == jpeg(1)


@pytest.mark.parametrize("hurt", [None, b"", b"\0" * len(jpeg(1))], ids=["gone", "cut off", "altered"])
def test_an_image_whose_file_was_damaged_is_whole_when_it_comes_again(
    held: SqliteSet | MongoSet, hurt: bytes | None
) -> None:
    digest = held_of(jpeg(1)).digest
    alter(held, digest, hurt)
    before = held.galleries()
    with held.changing() as change:
        for key in (1, 0):
            change.put(G, {"_id": key, "url": text_of(jpeg(key))})
    assert held.files.read(digest) == jpeg(1) and held.galleries() == before
    assert lying(held.files.folder) == {held_of(jpeg(number)).digest.hex() for number in range(5)}


@pytest.mark.parametrize("images", [1, 100])
def test_images_can_be_read_as_soon_as_they_were_placed(held: SqliteSet | MongoSet, images: int) -> None:
    contents = [jpeg(78) + bytes(n) for n in range(images)]
    with held.changing() as change:
        for n, content in enumerate(contents):
            change.put(G, {"_id": f"z{n}", "url": text_of(content)})
        assert [held.files.read(blake3(content).digest()) for content in contents] == contents
    assert [held.files.read(blake3(content).digest()) for content in contents] == contents


@pytest.mark.parametrize("images", [1, 100])
def test_a_full_disk_leaves_everything_as_it_was(
    held: SqliteSet | MongoSet, monkeypatch: pytest.MonkeyPatch, images: int
) -> None:
    if isinstance(held, MongoSet):
        pytest.skip("mongomock has no transactions to roll back")
    before = held.galleries()

    def full(handle: int, *content: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write" if held.files._pack is None else "os.pwritev", full)
    with pytest.raises(OSError, match="No space"), held.changing() as change:
        change.put(G, {"_id": "x"})
        for n in range(images):
            change.put(G, {"_id": f"y{n}", "url": text_of(jpeg(77) + bytes(20_000 + n))})
    monkeypatch.undo()
    assert held.galleries() == before
    assert not list((held.files.folder / "incoming").iterdir())
    held.tidy()
    assert len(lying(held.files.folder)) == 5
    with held.changing() as change:
        for n in range(images):
            change.put(G, {"_id": f"y{n}", "url": text_of(jpeg(77) + bytes(20_000 + n))})
    assert len(lying(held.files.folder)) == 5 + images
