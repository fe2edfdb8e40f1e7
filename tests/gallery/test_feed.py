"""Foreign oplogs at set 1: what the rules take enters the stream, and set 2 needs no rules to come to the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import json_util
from bson.binary import Binary
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from gallery_making import STREAM, SteppingClock, carried, content, jpeg, sqlite_set, text_of
from isthmus.core.position import Position
from isthmus.gallery.feed import Fed, Feed
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.oplog.read import entries
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import SetTarget
from isthmus.state.audit import Audit
from samples import SAMPLES, needs_samples


class Relay:
    """Set 1, fed from elsewhere, and set 2 that follows it."""

    def __init__(self, folder: Path, namespaces: Namespaces | None = None) -> None:
        self.inner, self.outer = (
            sqlite_set(folder / "inner"),
            sqlite_set(folder / "outer", check=True, packed=True),
        )
        self.feed = Feed(self.inner, namespaces or Namespaces(), SteppingClock(), "mongo")
        self.source, self.target = OplogSource(self.inner), SetTarget(self.outer)

    def take(self, *raw: bytes) -> Fed:
        return self.feed.take(RawEntry(one) for one in raw)

    def follow(self, most_bytes: int = 1 << 30) -> None:
        while (cut := self.source.after(self.target.position(STREAM) or Position(1, 0), most_bytes)) is not None:
            self.target.apply(carried(self.source, cut))

    def assert_equal(self) -> None:
        assert (self.outer.position() or Position(1, 0)) == self.inner.position()
        assert documents(self.outer) == documents(self.inner)
        assert waiting(self.outer) == waiting(self.inner)

    def stream(self) -> list[dict[str, Any]]:
        cut = self.source.after(Position(1, 0), 1 << 30)
        return [] if cut is None else bson.decode_all(b"".join(cut.members["entries.bson"]()))


def documents(held: SqliteSet) -> dict[str, dict[bytes, Any]]:
    """Without the images' bytes: set 2 refuses what is no image, and set 1 keeps it."""
    found = {ns: {key: document for key, (document, _) in of.items()} for ns, of in content(held).items()}
    return {ns: of for ns, of in found.items() if of}


def waiting(held: SqliteSet) -> list[tuple[str, bytes]]:
    rows = held.store.rows("SELECT transaction_id, entry FROM waiting ORDER BY number")
    return [(row["transaction_id"], row["entry"]) for row in rows]


def entry(n: int, op: str, ns: str, o: Any, **more: Any) -> bytes:
    return bson.encode({"ts": Timestamp(100, n), "t": 1, "v": 2, "op": op, "ns": ns, "o": o, **more})


@pytest.fixture
def relay(tmp_path: Path) -> Relay:
    return Relay(tmp_path)


def test_entries_enter_byte_for_byte_with_their_images_apart(relay: Relay) -> None:
    text = text_of(jpeg(1))
    raw = [
        entry(1, "i", "a.b", {"_id": 1, "url": text}),
        entry(2, "u", "a.b", {"$v": 2, "diff": {"u": {"url": f"data:image/jpeg;base64,{text_of(jpeg(2))}"}}},
              o2={"_id": 1}),
        entry(3, "c", "admin.$cmd", {"applyOps": [
            {"op": "i", "ns": "a.b", "o": {"_id": 2, "url": text_of(jpeg(3))}},
            {"op": "i", "ns": "a.b", "o": {"_id": 3, "url": text_of(jpeg(4))}}]}),
    ]  # fmt: skip
    assert relay.take(*raw) == Fed(entries=3, applied=4)
    cut = relay.source.after(Position(1, 0), 1 << 30)
    assert cut is not None
    assert b"".join(cut.members["entries.bson"]()) == b"".join(raw)
    bodies = b"".join(row["body"] for row in relay.inner.store.rows("SELECT body FROM entry"))
    assert all(text_of(jpeg(n)).encode() not in bodies for n in (1, 2, 3, 4))
    relay.follow()
    relay.assert_equal()


def test_what_a_feed_changes_stands_in_the_audit_log_with_the_change(relay: Relay) -> None:
    insert = {"op": "i", "ns": "faces.g", "o": {"_id": 1}, "ts": Timestamp(5, 1), "t": 1, "v": 2}
    relay.take(bson.encode(insert))
    relay.take(bson.encode({**insert, "op": "n", "ns": "", "o": {}, "ts": Timestamp(6, 1)}))
    told = [(entry.who, entry.act, entry.detail) for entry in Audit(relay.inner.store, SteppingClock()).entries()]
    assert told == [("mongo", "feed", "1 operations up to Timestamp(5, 1)")]


def test_rules_are_kept_where_the_stream_begins(tmp_path: Path) -> None:
    relay = Relay(tmp_path, Namespaces(allow=("shop", "old"), deny=("shop.secret",), rename={"old": "faces"}))
    relay.take(
        entry(1, "i", "shop.a", {"_id": 1}),
        entry(2, "i", "shop.secret", {"_id": 1}),
        entry(3, "i", "old.x", {"_id": 1}),
        entry(4, "i", "other.x", {"_id": 1}),
        entry(5, "c", "admin.$cmd", {"applyOps": [
            {"op": "i", "ns": "shop.secret", "o": {"_id": 2}},
            {"op": "i", "ns": "old.x", "o": {"_id": 2}},
            {"op": "c", "ns": "other.$cmd", "o": {"create": "y"}},
            {"op": "c", "ns": "old.$cmd", "o": {"create": "y"}}]}),
        entry(6, "c", "admin.$cmd", {"applyOps": [{"op": "i", "ns": "shop.secret", "o": {"_id": 3}}]}),
        entry(7, "c", "old.$cmd", {"renameCollection": "old.y", "to": "old.z"}),
        entry(8, "c", "other.$cmd", {"drop": "x"}),
        entry(9, "n", "", {"msg": "periodic noop"}),
    )  # fmt: skip
    told = json.dumps(relay.stream(), default=str)
    assert "secret" not in told
    assert "other" not in told
    assert "old" not in told
    assert [item["ts"].inc for item in relay.stream()] == [1, 3, 5, 7]
    relay.follow()
    relay.assert_equal()
    assert sorted(stat.gallery for stat in relay.outer.galleries()) == ["faces.x", "faces.z", "shop.a"]


def test_how_far_it_came_is_kept_with_what_it_brought(relay: Relay, tmp_path: Path) -> None:
    assert relay.feed.resume() is None
    relay.take(entry(1, "i", "a.b", {"_id": 1}), entry(2, "n", "", {"msg": "x"}))
    assert relay.feed.resume() == Timestamp(100, 2)
    with pytest.raises(RuntimeError):
        relay.feed.take(_failing(entry(3, "i", "a.b", {"_id": 2})))
    assert relay.feed.resume() == Timestamp(100, 2)
    assert len(documents(relay.inner)["a.b"]) == 1
    other = Feed(relay.inner, Namespaces(), SteppingClock(), "another server")
    assert other.resume() is None


def _failing(raw: bytes) -> Any:
    yield RawEntry(raw)
    raise RuntimeError("the server went away")


def test_an_operation_that_cannot_be_applied_is_set_aside_at_both_sides(relay: Relay) -> None:
    fed = relay.take(
        entry(1, "u", "a.b", {"$v": 2, "diff": {"u": {"x": 1}}}, o2={"_id": 1}),
        entry(2, "i", "a.b", {"_id": 1}),
    )
    assert (fed.applied, fed.refused) == (1, 1)
    relay.follow()
    relay.assert_equal()
    assert [len(held.quarantined()) for held in (relay.inner, relay.outer)] == [1, 1]


SESSION = {"id": Binary(b"0123456789abcdef", 4), "uid": b"u"}


def part(n: int, previous: int, ops: list[dict[str, Any]], **more: Any) -> bytes:
    before = {"ts": Timestamp(100, previous) if previous else Timestamp(0, 0), "t": 1 if previous else -1}
    return entry(n, "c", "admin.$cmd", {"applyOps": ops, **more}, lsid=SESSION, txnNumber=7, prevOpTime=before)


@pytest.mark.parametrize("way", ["increments", "snapshot"])
def test_a_transaction_that_is_undecided_at_a_cut_is_decided_after_it(relay: Relay, way: str) -> None:
    insert = [{"op": "i", "ns": "a.b", "o": {"_id": n, "url": text_of(jpeg(n))}} for n in range(3)]
    relay.take(entry(1, "i", "a.b", {"_id": 9}), part(2, 0, insert[:2], partialTxn=True))
    relay.take(entry(3, "c", "a.$cmd", {"renameCollection": "a.c", "to": "a.d"}, ui=Binary(b"u" * 16, 4)))
    if way == "increments":
        relay.follow(1)
    else:
        relay.target.apply(carried(relay.source, relay.source.snapshot()))
    relay.assert_equal()
    assert len(documents(relay.outer)["a.b"]) == 1
    relay.take(part(4, 2, insert[2:]))
    relay.follow(1)
    relay.assert_equal()
    assert len(documents(relay.outer)["a.b"]) == 4
    assert [key for key, _ in waiting(relay.outer)] == [key for key, _ in waiting(relay.inner)]


def test_a_transaction_of_which_a_part_is_left_out_is_applied_for_the_rest(tmp_path: Path) -> None:
    relay = Relay(tmp_path, Namespaces(deny=("a.secret",), rename={"b": "c"}))
    ops = [{"op": "i", "ns": ns, "o": {"_id": n}} for n, ns in enumerate(("a.secret", "b.x", "a.secret", "a.x"))]
    relay.take(part(1, 0, ops[:1], partialTxn=True), part(2, 1, ops[1:3], partialTxn=True))
    relay.take(part(3, 2, ops[3:], count=4))
    relay.follow()
    relay.assert_equal()
    assert {ns: len(found) for ns, found in documents(relay.outer).items()} == {"a.x": 1, "c.x": 1}
    assert "secret" not in json.dumps(relay.stream(), default=str)


def test_changes_by_hand_and_from_elsewhere_make_one_stream(relay: Relay) -> None:
    site = InnerSite(relay.inner, SteppingClock(), "anna")
    site.add("a.b", "p", jpeg(1))
    future = bson.encode({"ts": Timestamp(2**31, 1), "op": "c", "ns": "a.$cmd", "ui": Binary(b"u" * 16, 4),
                          "o": {"renameCollection": "a.b", "to": "a.c"}})  # fmt: skip
    relay.take(future)
    site.add("a.c", "q", jpeg(2))
    site.add("a.b", "r", jpeg(3))
    relay.follow()
    relay.assert_equal()
    assert {ns: len(found) for ns, found in documents(relay.outer).items()} == {"a.b": 1, "a.c": 2}


@pytest.mark.parametrize("rename", [{}, {"a.b": "y.b"}, {"a": "z"}])
def test_entries_that_come_again_after_a_rename_find_their_collection(
    tmp_path: Path, rename: dict[str, str]
) -> None:
    relay = Relay(tmp_path, Namespaces(rename=rename))
    ui, other = Binary(b"u" * 16, 4), Binary(b"v" * 16, 4)
    raw = [
        entry(1, "i", "a.b", {"_id": 1, "url": text_of(jpeg(1))}, ui=ui),
        entry(2, "c", "a.$cmd", {"renameCollection": "a.b", "to": "a.c"}, ui=ui),
        entry(3, "u", "a.c", {"_id": 1, "x": 1}, ui=ui, o2={"_id": 1}),
        entry(4, "i", "a.b", {"_id": 2}, ui=other),
    ]
    relay.take(*raw)
    relay.follow(1)
    relay.assert_equal()
    relay.take(*raw)
    relay.take(*raw[2:])
    relay.follow(1)
    relay.assert_equal()
    assert sum(len(found) for found in documents(relay.outer).values()) == 2


@needs_samples
@pytest.mark.parametrize("name", sorted(path.name for path in (SAMPLES / "oplog").glob("*.bson")))
def test_real_oplogs_come_out_alike_on_both_sides(relay: Relay, name: str) -> None:
    whole = (SAMPLES / "oplog" / name).read_bytes()
    fed = relay.feed.take(entries([whole]))
    assert fed.entries == len(bson.decode_all(whole))
    relay.follow(5000)
    relay.assert_equal()
    relay.feed.take(entries([whole]))
    relay.follow()
    relay.assert_equal()
    relay.target.apply(carried(relay.source, relay.source.snapshot()))
    relay.assert_equal()


@needs_samples
def test_real_transactions_come_out_alike_on_both_sides(tmp_path: Path) -> None:
    cases = json_util.loads((SAMPLES / "oplog" / "transactions.json").read_text())
    cases = list(cases.values()) if isinstance(cases, dict) else cases
    for number, case in enumerate(cases):
        ops = next(value for value in case.values() if isinstance(value, list) and value and "ts" in value[0])
        relay = Relay(tmp_path / str(number))
        relay.take(*(bson.encode(op) for op in ops))
        relay.follow(500)
        relay.assert_equal()


KEYS = st.integers(0, 4)
OPS = st.one_of(
    st.builds(
        lambda k, v: ("i", "a.b", {"_id": k, "v": v, "url": text_of(jpeg(v))}, None), KEYS, st.integers(0, 5)
    ),
    st.builds(lambda k: ("d", "a.b", {"_id": k}, None), KEYS),
    st.builds(lambda k, v: ("u", "a.b", {"$v": 2, "diff": {"u": {"v": v}}}, {"_id": k}), KEYS, st.integers(0, 5)),
    st.builds(lambda k, v: ("u", "x.y", {"_id": k, "v": v}, {"_id": k}), KEYS, st.integers(0, 5)),
    st.sampled_from(
        [
            ("c", "a.$cmd", {"drop": "b"}, None),
            ("c", "a.$cmd", {"renameCollection": "a.b", "to": "x.y"}, None),
            ("c", "x.$cmd", {"dropDatabase": 1}, None),
            ("c", "a.$cmd", {"create": "b"}, None),
        ]
    ),
)


@settings(max_examples=examples(8), deadline=None)
@given(
    st.lists(st.tuples(OPS, st.sampled_from(["", "", "follow", "snapshot"])), max_size=20), st.integers(1, 4000)
)
def test_whatever_comes_from_elsewhere_set_2_comes_to_the_same(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, str]], most_bytes: int
) -> None:
    relay = Relay(tmp_path_factory.mktemp("relay"))
    for number, ((op, ns, o, o2), then) in enumerate(steps, 1):
        relay.take(entry(number, op, ns, o, **({"o2": o2} if o2 else {})))
        if then == "follow":
            relay.follow(most_bytes)
            relay.assert_equal()
        elif then == "snapshot":
            relay.target.apply(carried(relay.source, relay.source.snapshot()))
            relay.assert_equal()
    relay.follow(most_bytes)
    relay.assert_equal()
    assert documents(relay.outer) == {ns: of for ns, of in documents(relay.inner).items() if of}
