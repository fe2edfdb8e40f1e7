from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.int64 import Int64

from isthmus.gallery.oplog.engine import Outcome
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.mongoshake import recorded
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.record import Document, Held
from oplog_making import NS, UI, Site, change, command, delete, entry, insert, several, update
from samples import SAMPLES, needs_samples

OPLOGS = SAMPLES / "oplog"


def test_inserts_changes_replacements_and_deletes_make_the_set() -> None:
    site = Site()
    outcome = site.apply(
        insert({"_id": 1, "name": "An"}),
        insert({"_id": 2, "name": "Bo"}),
        insert({"_id": 3, "name": "Cy"}),
        change(1, {"u": {"name": "Ann"}}),
        update(2, {"_id": 2, "name": "Bob", "gate": 4}),
        delete(3),
    )
    assert outcome == Outcome(applied=6)
    assert site.all() == [{"_id": 1, "name": "Ann"}, {"_id": 2, "name": "Bob", "gate": 4}]


def test_an_insert_over_a_document_replaces_it_and_deleting_nothing_is_nothing() -> None:
    site = Site()
    outcome = site.apply(insert({"_id": 1, "old": True}), insert({"_id": 1, "new": True}), delete(9))
    assert outcome == Outcome(applied=2, skipped=1)
    assert site.all() == [{"_id": 1, "new": True}]


@pytest.mark.parametrize(
    "o", [{"$set": {"b": 2}}, {"$v": 1, "$set": {"b": 2}}, {"$v": 2, "diff": {"i": {"b": 2}}}, {"a": 1, "b": 2}]
)
def test_all_forms_of_update_are_understood(o: Document) -> None:
    site = Site()
    assert site.apply(insert({"_id": 1, "a": 1}), update(1, o)).refused == ()
    assert site.one() == {"_id": 1, "a": 1, "b": 2}


def test_a_change_of_a_missing_document_is_refused_with_its_reason_and_its_bytes() -> None:
    site = Site()
    raw = change(7, {"u": {"a": 1}})
    (refusal,) = site.apply(raw, insert({"_id": 1})).refused
    assert refusal.ns == NS and refusal.entry == raw and "is not there" in refusal.reason
    assert [one["_id"] for one in site.all()] == [1]


def test_a_replacement_of_a_missing_document_is_the_document() -> None:
    site = Site()
    assert site.apply(update(7, {"name": "Dee"})) == Outcome(applied=1)
    assert site.one(7) == {"_id": 7, "name": "Dee"}


def test_an_upsert_makes_the_document_that_it_changes() -> None:
    site = Site()
    assert site.apply(update(7, {"$set": {"a": 1}}, b=True)) == Outcome(applied=1)
    assert site.one(7) == {"_id": 7, "a": 1}


@pytest.mark.parametrize(
    "raw",
    [
        entry("i", NS, {"name": "no key"}),
        entry("i", NS, 5),
        entry("d", NS, {}),
        entry("u", NS, {"$set": {"a": 1}}),
        entry("u", NS, {"$set": {"a": 1}}, o2={}),
        update(1, {"$inc": {"a": 1}}),
        update(1, {"$v": 3, "diff": {"u": {"a": 1}}}),
        update(1, {"$v": 2}),
        change(1, {"u": {"_id": 2}}),
        change(1, {"d": {"_id": False}}),
        change(1, {"s_id": {"u": {"a": 1}}}),
        update(1, {"$set": {"_id": 2}}),
        update(1, {"$unset": {"_id": 1}}),
        update(1, {"$set": {"_id.a": 2}}),
        update(1, {"_id": 2, "a": 1}),
        entry("i", "nodot", {"_id": 1}),
        entry("i", "", {"_id": 1}),
        entry("i", "airport.", {"_id": 1}),
        entry("i", ".people", {"_id": 1}),
        entry("i", "airport.$cmd", {"_id": 1}),
        entry("x", NS, {"_id": 1}),
        bson.encode({}),
        bson.encode({"op": 5, "ns": [], "o": None}),
        command({"dance": 1}),
        command({}),
        command({"create": 5}),
        command({"renameCollection": 5, "to": "airport.b"}),
        command({"renameCollection": "airport.a"}),
        command({"convertToCapped": "people", "size": 10}),
        command({"applyOps": 5}),
        command({"applyOps": [5]}),
        command({"commitTransaction": 1}),
        command({"applyOps": [], "partialTxn": True}, lsid={"id": UI}, txnNumber="1"),
        command({"applyOps": 5, "partialTxn": True}, lsid={"id": UI}, txnNumber=1),
        entry("c", "", {"drop": "people"}),
        entry("c", 5, {"drop": "people"}),  # type: ignore[arg-type]
    ],
)
def test_an_operation_that_can_never_be_applied_is_set_aside_and_blocks_nothing(raw: bytes) -> None:
    site = Site()
    site.apply(insert({"_id": 1, "a": 0}))
    before = site.bytes()
    outcome = site.apply(raw)
    assert len(outcome.refused) == 1 and outcome.applied == 0
    assert outcome.refused[0].entry == raw and "\n" not in outcome.refused[0].reason
    assert site.bytes() == before
    assert site.apply(insert({"_id": 2})) == Outcome(applied=1)


def test_saying_the_key_again_changes_nothing() -> None:
    site = Site()
    outcome = site.apply(
        insert({"_id": 1}), update(1, {"$set": {"_id": 1, "a": 1}}), change(1, {"u": {"_id": 1, "a": 2}})
    )
    assert outcome == Outcome(applied=3)
    assert site.one() == {"_id": 1, "a": 2}


@pytest.mark.parametrize("key", [1, 1.0, Int64(1), "1", b"1", bson.ObjectId(bytes(12)), {"a": 1, "b": [2]}, None])
def test_a_key_may_be_of_any_type_and_each_is_its_own(key: Any) -> None:
    site = Site()
    site.apply(insert({"_id": key, "mine": True}), insert({"_id": "other"}))
    assert site.apply(change(key, {"u": {"mine": 5}}), delete("other")).refused == ()
    assert [one["mine"] for one in site.all()] == [5]
    assert site.apply(delete(key)).applied == 1 and site.all() == []


def test_an_image_is_replaced_by_a_change_and_kept_by_others() -> None:
    site = Site()
    site.apply(insert({"_id": 1, "url": "aW1hZ2U=", "gate": 1}), change(1, {"u": {"gate": 2}}))
    held = (site.one() or {})["url"]
    assert isinstance(held, Held) and site.documents.content[held.digest] == b"image" and held.size == 5
    site.apply(change(1, {"u": {"url": "b3RoZXI="}}))
    assert site.documents.content[(site.one() or {})["url"].digest] == b"other"


@pytest.mark.parametrize(
    "name",
    [
        "createIndexes",
        "dropIndexes",
        "deleteIndexes",
        "startIndexBuild",
        "commitIndexBuild",
        "abortIndexBuild",
        "collMod",
    ],
)
def test_commands_about_indexes_and_options_are_skipped_and_counted(name: str) -> None:
    assert Site().apply(command({name: "people", "v": 2})) == Outcome(skipped=1)


def test_collections_are_made_emptied_dropped_and_renamed() -> None:
    site = Site()
    site.apply(command({"create": "empty"}), command({"create": "view", "viewOn": "people", "pipeline": []}))
    assert site.documents.namespaces() == ["airport.empty"]
    site.apply(insert({"_id": 1}), insert({"_id": 2}, ns="airport.b"), insert({"_id": 3}, ns="port.c"))
    site.apply(command({"emptycapped": "b"}), command({"drop": "empty"}))
    assert site.documents.namespaces() == ["airport.b", NS, "port.c"] and site.all("airport.b") == []
    site.apply(command({"renameCollection": NS, "to": "airport.b", "dropTarget": True}))
    assert site.documents.namespaces() == ["airport.b", "port.c"] and site.all("airport.b") == [{"_id": 1}]
    assert site.apply(command({"renameCollection": NS, "to": "airport.b"})) == Outcome(skipped=1)
    site.apply(command({"dropDatabase": 1}))
    assert site.documents.namespaces() == ["port.c"]


def test_apply_ops_may_lie_within_apply_ops_but_not_without_end() -> None:
    site = Site()
    one = {"op": "i", "ns": NS, "o": {"_id": 1}}
    two = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [one, {"op": "n", "ns": "", "o": {}}]}}
    assert site.apply(several([two, {"op": "u", "ns": NS, "o": {"$set": {"a": 1}}, "o2": {"_id": 1}}])) == Outcome(
        2, 1
    )
    assert site.one() == {"_id": 1, "a": 1}
    for _ in range(20):
        two = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [two]}}
    assert "nested" in site.apply(several([two])).refused[0].reason


def test_a_bundle_with_an_operation_that_can_never_be_applied_is_refused_as_a_whole() -> None:
    site = Site()
    raw = several([{"op": "i", "ns": NS, "o": {"_id": 1}}, {"op": "i", "ns": NS, "o": {"name": "no key"}}])
    outcome = site.apply(raw)
    assert outcome.applied == 0 and outcome.refused[0].entry == raw and site.all() == []


def test_in_a_bundle_a_missing_document_holds_up_none_but_its_own_change() -> None:
    site = Site()
    outcome = site.apply(
        several(
            [
                {"op": "u", "ns": NS, "o": {"$set": {"a": 1}}, "o2": {"_id": 7}},
                {"op": "i", "ns": NS, "o": {"_id": 1}},
            ]
        )
    )
    assert outcome.applied == 1 and len(outcome.refused) == 1 and site.all() == [{"_id": 1}]


def test_what_the_store_does_not_take_is_set_aside() -> None:
    site = Site()

    def full(ns: str, document: Document) -> None:
        raise ValueError(f"too large\nfor {ns}")

    site.documents.put = full  # type: ignore[method-assign]
    (refusal,) = site.apply(insert({"_id": 1})).refused
    assert refusal.reason == f"insert: too large for {NS}"


def test_what_the_disk_does_not_take_stops_the_application() -> None:
    site = Site()

    def full(ns: str, document: Document) -> None:
        raise OSError(28, "No space left on device")

    site.documents.put = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="space"):
        site.apply(insert({"_id": 1}))


SYSTEM_TOO = Namespaces(allow=("*", "config.*", "*.system.*"))


@needs_samples
@pytest.mark.parametrize(
    ("name", "applied", "skipped", "left"),
    [
        ("collmod_commands", 1, 24, {}),
        ("commit_index_build", 2, 15, {"commit_index.test": 1}),
        ("hundred_inserts", 100, 0, {"test.op": 100}),
        ("inserts_and_applyops", 5, 0, {"db1.c1": 5}),
        ("inserts_deletes_creates", 12, 9, {"config.cache.test": 1, "config.system.sessions": 1, "db3.c1": 5}),
        ("linked_vectored_inserts", 5, 0, {"mongodump_test_db.coll1": 5}),
        ("noops", 2, 2, {"test.data": 1}),
    ],
)
def test_real_oplogs_apply_wholly_and_again(name: str, applied: int, skipped: int, left: dict[str, int]) -> None:
    content = (OPLOGS / f"{name}.bson").read_bytes()
    raws = [one.raw for one in recorded([content])]
    site = Site(SYSTEM_TOO)
    assert site.apply(*raws) == Outcome(applied, skipped)
    assert {ns: len(found) for ns, found in site.bytes().items()} == left
    before = site.bytes()
    assert site.apply(*raws).refused == () and site.bytes() == before
    assert b"".join(raws) == content


@needs_samples
def test_real_differences_of_time_series_build_up_their_buckets() -> None:
    ns = "timeseries_test.system.buckets.foo_ts"
    entries = list(recorded([(OPLOGS / "timeseries_v2_diffs.bson").read_bytes()]))
    keys = {str(one.o2["_id"]): one.o2["_id"] for one in entries}
    site = Site(SYSTEM_TOO)
    columns = ("ts", "measurement", "_id")
    for key in keys.values():
        bucket = {"_id": key, "control": {"max": {"_id": None, "ts": None, "measurement": 0}}}
        site.apply(insert({**bucket, "data": {name: {} for name in columns}}, ns=ns))
    assert site.apply(*(one.raw for one in entries)) == Outcome(applied=872)

    expected: dict[str, dict[str, dict[str, Any]]] = {key: {name: {} for name in columns} for key in keys}
    latest: dict[str, Any] = {}
    for one in entries:
        for column, diff in one.o["diff"]["sdata"].items():
            expected[str(one.o2["_id"])][column[1:]].update(diff["i"])
        latest[str(one.o2["_id"])] = one.o["diff"]["scontrol"]["smax"]["u"]["_id"]
    for bucket in site.all(ns):
        assert bucket["data"] == expected[str(bucket["_id"])]
        assert bucket["control"]["max"]["_id"] == latest[str(bucket["_id"])]
    before = site.bytes()
    site.apply(*(one.raw for one in entries[400:]))
    assert site.bytes() == before


@needs_samples
def test_differences_of_buckets_that_are_not_there_are_each_set_aside() -> None:
    entries = list(recorded([(OPLOGS / "timeseries_v2_diffs.bson").read_bytes()]))
    refused = Site(SYSTEM_TOO).apply(*(one.raw for one in entries)).refused
    assert [RawEntry(one.entry) for one in refused] == entries
