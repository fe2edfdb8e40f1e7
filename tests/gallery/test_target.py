"""The outer side: what was cut at set 1 makes set 2 equal, all of it or nothing."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import bson
import pytest
from bson.timestamp import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from gallery_making import (
    STREAM,
    Carried,
    SteppingClock,
    carried,
    content,
    delivery,
    hostile_images,
    jpeg,
    lying,
    sqlite_set,
    text_of,
)
from isthmus.core.digest import Digest, new_key
from isthmus.core.errors import Corrupt, Diverged, InputError, Refused
from isthmus.core.header import Header, Kind
from isthmus.core.position import Position
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.record import Record, Removed
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.bounds import Bounds
from isthmus.gallery.store.mongo import MongoSet
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import SetTarget

G = "faces.staff"


class Pair:
    """An inner site and a set that follows it."""

    def __init__(
        self, folder: Path, *, check: bool = True, packed: bool = True, bounds: Bounds | None = None
    ) -> None:
        self.inner = sqlite_set(folder / "inner")
        self.site = InnerSite(self.inner, SteppingClock(), "anna")
        self.source = OplogSource(self.inner)
        self.outer = sqlite_set(folder / "outer", check=check, packed=packed, bounds=bounds)
        self.target = SetTarget(self.outer)

    def follow(self, most_bytes: int = 1 << 30) -> int:
        """Carry everything over; return how many bundles it took."""
        count = 0
        while (cut := self.source.after(self.target.position(STREAM) or Position(1, 0), most_bytes)) is not None:
            self.target.apply(carried(self.source, cut, chunk=777))
            count += 1
        return count

    def assert_equal(self) -> None:
        assert (self.outer.position() or Position(1, 0)) == self.inner.position()
        assert content(self.outer) == content(self.inner)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_what_was_added_changed_and_removed_arrives(pair: Pair) -> None:
    for number in range(5):
        pair.site.add(G, f"p{number}", jpeg(number), {"n": number})
    pair.site.replace(G, "p1", jpeg(11))
    pair.site.remove(G, "p2")
    assert pair.target.position(STREAM) is None
    assert pair.follow() == 1
    pair.assert_equal()
    assert sorted(bson.decode(key)["_id"] for key in content(pair.outer)[G]) == ["p0", "p1", "p3", "p4"]
    assert pair.target.seen(STREAM, 1, 7) == str(pair.source.position().digest)
    assert pair.target.seen(STREAM, 1, 6) is None


def test_a_digest_that_does_not_agree_leaves_everything_as_it_was(pair: Pair) -> None:
    pair.site.add(G, "p0", jpeg(0))
    pair.follow()
    before = content(pair.outer)
    pair.site.add(G, "p1", jpeg(1))
    cut = pair.source.after(pair.target.position(STREAM) or Position(1, 0), 1 << 30)
    assert cut is not None
    good = carried(pair.source, cut)
    until = Position(1, 2, Digest(b"\1" * 32))
    with pytest.raises(Diverged, match="nothing was applied"):
        pair.target.apply(dataclasses.replace(good, header=dataclasses.replace(good.header, until=until)))
    assert content(pair.outer) == before
    assert pair.outer.position() == cut.since
    pair.outer.tidy()
    assert len(lying(pair.outer.files.folder)) == 1
    pair.target.apply(good)
    pair.assert_equal()


def test_entries_that_end_early_leave_everything_as_it_was(pair: Pair) -> None:
    pair.site.add(G, "p0", jpeg(0))
    pair.site.add(G, "p1", jpeg(1))
    cut = pair.source.after(Position(1, 0), 1 << 30)
    assert cut is not None
    good = carried(pair.source, cut)
    short = Carried(good.header, {"entries.bson": good.members["entries.bson"][:-10]})
    with pytest.raises(Corrupt):
        pair.target.apply(short)
    assert pair.outer.position() is None
    assert content(pair.outer) == {}


def test_another_stream_another_key_and_heartbeats_are_refused(pair: Pair) -> None:
    pair.site.add(G, "p0", jpeg(0))
    pair.follow()
    pair.site.add(G, "p1", jpeg(1))
    cut = pair.source.after(pair.target.position(STREAM) or Position(1, 0), 1 << 30)
    assert cut is not None
    good = carried(pair.source, cut)
    for change, error in (
        ({"stream": "other"}, InputError),
        ({"key": new_key()}, Refused),
        ({"kind": Kind.HEARTBEAT}, InputError),
    ):
        with pytest.raises(error):
            pair.target.apply(dataclasses.replace(good, header=dataclasses.replace(good.header, **change)))
    assert pair.outer.position() == cut.since


@pytest.mark.parametrize("name", sorted(hostile_images()))
def test_a_hostile_image_is_refused_and_blocks_nothing(tmp_path: Path, name: str) -> None:
    outer = sqlite_set(tmp_path / "outer", check=True)
    reference = sqlite_set(tmp_path / "reference")
    key = new_key()
    documents = [
        {"_id": 1, "url": text_of(jpeg(1))},
        {"_id": 2, "url": text_of(hostile_images()[name])},
        {"_id": 3, "url": f"data:image/jpeg;base64,{text_of(jpeg(3))}"},
        {"_id": 4, "url": "http://elsewhere/x.jpg"},
        {"_id": 5, "name": "without"},
    ]
    entries = b"".join(
        bson.encode({"ts": Timestamp(1, n), "t": 1, "v": 2, "op": "i", "ns": G, "o": document})
        for n, document in enumerate(documents, 1)
    )
    with reference.changing() as change:
        change.begin_stream(key)
        for document in documents:
            change.put(G, document)
        digest = change.digest
    header = Header(STREAM, Kind.INCREMENT, Position(1, 0), Position(1, 5, digest), "in", datetime.now(UTC), key)
    applied = SetTarget(outer).apply(delivery(entries, header))
    assert (applied.changes, applied.refused) == (5, 0)
    records = {bson.decode(record.key)["_id"]: record for record in outer.records(G)}
    assert [number for number, record in records.items() if record.usable] == [1, 3]
    assert records[2].refused
    assert records[2].image is not None
    assert outer.image(records[2].image.digest) is None
    assert lying(outer.files.folder) == {r.image.digest.hex() for r in records.values() if r.usable and r.image}
    assert records[4].image is None
    assert outer.galleries()[0].refused == 1
    assert len(outer.without_vector("m", 10)) == 2


def test_an_operation_that_cannot_be_applied_is_set_aside_without_its_image(tmp_path: Path) -> None:
    outer = sqlite_set(tmp_path)
    text = text_of(jpeg(1, 64))
    entries = b"".join(
        (
            bson.encode({"ts": Timestamp(1, 1), "op": "i", "ns": G, "o": {"url": text, "name": "no id"}}),
            bson.encode({"ts": Timestamp(1, 2), "op": "u", "ns": G, "o2": {"_id": 9},
                         "o": {"$v": 2, "diff": {"u": {"url": text}}}}),
        )
    )  # fmt: skip
    header = Header(STREAM, Kind.INCREMENT, Position(1, 0), Position(1, 2), "in", datetime.now(UTC), new_key())
    applied = SetTarget(outer).apply(delivery(entries, header))
    assert (applied.changes, applied.refused) == (0, 2)
    rows = outer.quarantined()
    assert "_id" in rows[0]["reason"]
    assert "not there" in rows[1]["reason"]
    assert all(text.encode() not in row["entry"] for row in rows)
    assert outer.position() == header.until


def test_devices_hear_of_true_differences_only_after_a_snapshot(pair: Pair) -> None:
    for number in range(6):
        pair.site.add(G, f"p{number}", jpeg(number))
    pair.site.add("faces.gone", "x", jpeg(1))
    pair.follow()
    before = pair.outer.change(G)
    pair.site.replace(G, "p1", jpeg(20))
    pair.site.remove(G, "p2")
    pair.site.add(G, "p11", jpeg(21))
    with pair.inner.changing() as change:  # no such command at an inner site: as a foreign oplog has it
        change.drop("faces.gone")
        change.create("faces.empty")
    pair.target.apply(carried(pair.source, pair.source.snapshot()))
    pair.assert_equal()
    told = list(pair.outer.changes(G, before) or ())
    assert sorted((type(item), bson.decode(item.key)["_id"]) for item in told if isinstance(item, Removed)) == [
        (Removed, "p2")
    ]
    assert sorted(bson.decode(item.key)["_id"] for item in told if isinstance(item, Record)) == ["p1", "p11"]
    assert [stat.gallery for stat in pair.outer.galleries()] == ["faces.empty", G]


def test_a_snapshot_out_of_order_or_with_odd_entries_is_refused(pair: Pair) -> None:
    for number in range(3):
        pair.site.add(G, f"p{number}", jpeg(number))
    good = carried(pair.source, pair.source.snapshot())
    entries = bson.decode_all(good.members["entries.bson"])
    for odd in (
        entries[::-1],
        [*entries, entries[-1]],
        [*entries, {**entries[0], "op": "u"}],
        [{"op": "n", "o": {}}],
    ):
        spoilt = Carried(good.header, {"entries.bson": b"".join(bson.encode(entry) for entry in odd)})
        with pytest.raises(Corrupt):
            pair.target.apply(spoilt)
    assert pair.outer.position() is None
    pair.target.apply(good)
    pair.assert_equal()


def test_a_new_epoch_with_a_new_key_begins_with_a_snapshot(pair: Pair, tmp_path: Path) -> None:
    for number in range(3):
        pair.site.add(G, f"p{number}", jpeg(number))
    pair.follow()
    vectors = pair.outer.without_vector("m", 1)
    pair.outer.put_vectors("m", [(vectors[0], b"v")])
    pair.inner.store.rows("UPDATE stream_set SET epoch = 2, seq = 0")
    with pair.inner.changing() as change:
        change.begin_stream(new_key())
        change.position = Position(2, 0, change.digest)
    source = OplogSource(pair.inner)
    pair.target.apply(carried(source, source.snapshot()))
    pair.assert_equal()
    assert pair.outer.vector(vectors[0], "m") == b"v"


@pytest.mark.parametrize("packed", [False, True], ids=["files", "packed"])
def test_a_set_in_mongodb_follows_too(tmp_path: Path, packed: bool) -> None:
    client = pytest.importorskip("mongomock").MongoClient()
    pair = Pair(tmp_path)
    outer = MongoSet(client, tmp_path / "mongo", STREAM, check=True, packed=packed, transactions=False, codec=None)
    target = SetTarget(outer)
    for number in range(4):
        pair.site.add(G, f"p{number}", jpeg(number), {"n": number})
    pair.site.remove(G, "p1")
    cut = pair.source.after(Position(1, 0), 1 << 30)
    assert cut is not None
    target.apply(carried(pair.source, cut))
    assert outer.position() == pair.inner.position()
    assert content(outer) == content(pair.inner)
    assert client["faces"]["staff"].find_one({"_id": "p2"})["url"] == text_of(jpeg(2))
    pair.site.replace(G, "p2", jpeg(20))
    pair.site.remove(G, "p3")
    target.apply(carried(pair.source, pair.source.snapshot()))
    assert outer.position() == pair.inner.position()
    assert content(outer) == content(pair.inner)
    assert target.seen(STREAM, 1, 7) == str(pair.source.position().digest)
    outer.tidy()
    assert len(lying(outer.files.folder)) == 2


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from("abcdef"), st.sampled_from([None, 1, 2, 3, 4])),
        st.tuples(st.just("remove"), st.sampled_from("abcdef"), st.none()),
        st.tuples(st.just("carry"), st.integers(1, 3000), st.none()),
        st.tuples(st.just("snapshot"), st.none(), st.none()),
    ),
    max_size=14,
)


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.booleans())
def test_whatever_happens_at_set_1_set_2_comes_to_the_same(
    steps: list[tuple[str, object, int | None]], packed: bool
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:  # noqa: PTH112
        pair = Pair(Path(folder), packed=packed)
        held: set[str] = set()
        for what, name, image in steps:
            gallery = G if name in ("a", "b", "c") else "faces.other"
            if what == "put":
                content_of = None if image is None else jpeg(image)
                if name in held:
                    pair.site.replace(gallery, str(name), content_of, {"n": image})
                else:
                    pair.site.add(gallery, str(name), content_of, {"n": image})
                    held.add(str(name))
            elif what == "remove" and name in held:
                pair.site.remove(gallery, str(name))
                held.discard(str(name))
            elif what == "carry":
                pair.follow(int(str(name)))
                pair.assert_equal()
            elif what == "snapshot":
                pair.target.apply(carried(pair.source, pair.source.snapshot()))
                pair.assert_equal()
        pair.follow()
        pair.assert_equal()
        _assert_counts_hold(pair.outer)


def _assert_counts_hold(held: SqliteSet) -> None:
    """The counts kept are those counted, and no image is there that no record has."""
    used = set()
    for stat in held.galleries():
        records = list(held.records(stat.gallery))
        images = [record.image for record in records if record.usable and record.image]
        used.update(image.digest.hex() for image in images)
        assert stat.records == len(records)
        assert stat.image_bytes == sum(image.size for image in images)
    assert lying(held.files.folder) == used
