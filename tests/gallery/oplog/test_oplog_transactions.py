from __future__ import annotations

import copy
import json
from typing import Any

import bson
import pytest
from bson import json_util
from bson.binary import Binary
from bson.int64 import Int64
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from isthmus.gallery.memory import MemoryWaiting
from isthmus.gallery.oplog.engine import Outcome
from isthmus.gallery.oplog.entry import RawEntry
from isthmus.gallery.oplog.renames import KEPT_UNDER
from isthmus.gallery.oplog.transaction import transaction_name
from isthmus.gallery.oplog.undecided import MOST_WAIT_S, Undecided
from oplog_making import NS, Site, command, delete, entry, insert
from samples import SAMPLES, needs_samples

CASES = SAMPLES / "oplog" / "transactions.json"
SESSION = {"id": Binary(bytes(16), 4), "uid": b"u" * 32}


def cases() -> dict[str, Any]:
    return dict(json.loads(CASES.read_text())) if CASES.is_file() else {}


def part(
    keys: list[int], number: int, previous: int = 0, session: dict[str, Any] = SESSION, **marks: Any
) -> bytes:
    operations = [{"op": "i", "ns": NS, "o": {"_id": key}} for key in keys]
    linked = {"ts": Timestamp(1_700_000_000 if previous else 0, previous), "t": Int64(1 if previous else -1)}
    return entry(
        "c",
        "admin.$cmd",
        {"applyOps": operations, **marks},
        number,
        lsid=session,
        txnNumber=Int64(4),
        prevOpTime=linked,
    )


def verdict(name: str, number: int, session: dict[str, Any] = SESSION) -> bytes:
    return command({name: 1}, number, "admin", lsid=session, txnNumber=Int64(4))


def keys(site: Site) -> list[int]:
    return [one["_id"] for one in site.all()]


@needs_samples
@pytest.mark.parametrize("name", list(cases()) or ["missing"])
def test_recorded_transactions_give_the_documents_that_they_gave_in_mongodb(name: str) -> None:
    case = cases()[name]
    raws = [bson.encode(one) for one in json_util.loads(json.dumps(case["ops"]))]
    site = Site()
    for _ in range(2):
        assert site.apply(*raws).refused == ()
        if "postimage" in case:
            assert site.all(case["ns"]) == case["postimage"]
        else:
            assert site.all("test.foo") == [{"_id": 4, "x": -20, "y": 4}, {"_id": 5, "x": -30, "y": 11}]
        assert site.waiting.transactions() == []


def test_there_are_twelve_recorded_cases() -> None:
    assert not CASES.is_file() or len(cases()) == 12


def test_nothing_of_a_transaction_is_done_before_it_is_decided() -> None:
    site = Site()
    assert site.apply(part([1, 2], 1, partialTxn=True)) == Outcome()
    assert site.apply(part([3], 2, 1, partialTxn=True), insert({"_id": 9}, 3)) == Outcome(applied=1)
    assert keys(site) == [9]
    assert site.apply(part([4], 4, 2, count=4)) == Outcome(applied=4)
    assert keys(site) == [1, 2, 3, 4, 9] and site.waiting.transactions() == []


def test_a_prepared_transaction_waits_for_its_commit_and_an_abort_undoes_nothing_but_it() -> None:
    other = {"id": Binary(b"1" * 16, 4)}
    site = Site()
    site.apply(
        part([1], 1, partialTxn=True), part([7], 2, session=other, prepare=True), part([2], 3, 1, prepare=True)
    )
    assert keys(site) == [] and len(site.waiting.transactions()) == 2
    assert site.apply(verdict("abortTransaction", 4, other)) == Outcome()
    assert site.apply(verdict("commitTransaction", 5)) == Outcome(applied=2)
    assert keys(site) == [1, 2] and site.waiting.transactions() == []


def test_a_transaction_whose_parts_come_twice_is_applied_once() -> None:
    site = Site()
    first, second, last = part([1], 1, partialTxn=True), part([2], 2, 1, partialTxn=True), part([3], 3, 2, count=3)
    site.apply(first, second)
    site.apply(second)
    site.apply(first, second)
    assert site.apply(second, last) == Outcome(applied=3)
    assert keys(site) == [1, 2, 3]


@pytest.mark.parametrize("missing", [0, 1])
def test_a_transaction_that_lacks_a_part_is_refused_as_a_whole_with_all_its_entries(missing: int) -> None:
    raws = [part([1], 1, partialTxn=True), part([2], 2, 1, partialTxn=True), part([3], 3, 2)]
    del raws[missing]
    site = Site()
    outcome = site.apply(*raws, insert({"_id": 9}))
    assert [refusal.entry for refusal in outcome.refused] == raws and "never came" in outcome.refused[0].reason
    assert keys(site) == [9] and site.waiting.transactions() == []


def test_a_count_that_does_not_hold_refuses_the_transaction() -> None:
    site = Site()
    outcome = site.apply(part([1], 1, partialTxn=True), part([2], 2, 1, count=3))
    assert (
        len(outcome.refused) == 2 and "2 operations, not the 3" in outcome.refused[0].reason and keys(site) == []
    )


def test_a_commit_of_nothing_or_of_what_was_not_prepared_is_refused() -> None:
    site = Site()
    assert "never came" in site.apply(verdict("commitTransaction", 1)).refused[0].reason
    outcome = site.apply(part([1], 1, partialTxn=True), verdict("commitTransaction", 2))
    assert len(outcome.refused) == 2 and "not prepared" in outcome.refused[0].reason and keys(site) == []


def test_an_operation_that_can_never_be_applied_refuses_its_transaction_as_a_whole() -> None:
    bad = {"op": "u", "ns": NS, "o": {"$v": 2, "diff": {}}, "o2": {"_id": 1}}
    linked = {"ts": Timestamp(1_700_000_000, 1), "t": Int64(1)}
    last = entry("c", "admin.$cmd", {"applyOps": [bad]}, 2, lsid=SESSION, txnNumber=Int64(4), prevOpTime=linked)
    site = Site()
    first = part([1], 1, partialTxn=True)
    outcome = site.apply(first, last)
    assert [refusal.entry for refusal in outcome.refused] == [first, last] and keys(site) == []
    assert "as a whole" in outcome.refused[0].reason and outcome.refused[0].ns == NS


def test_a_session_is_the_same_in_whatever_order_its_fields_are_written() -> None:
    turned = dict(reversed(list(SESSION.items())))
    assert transaction_name(SESSION, 4) == transaction_name(turned, Int64(4))
    assert transaction_name(SESSION, 4) != transaction_name(SESSION, 5)
    assert transaction_name(SESSION, 4) != transaction_name({"id": Binary(b"1" * 16, 4), "uid": b"u" * 32}, 4)


def test_retryable_writes_of_a_session_are_applied_at_once_though_they_are_linked() -> None:
    site = Site()
    linked = {"ts": Timestamp(1_700_000_000, 1), "t": Int64(1)}
    assert site.apply(part([1], 1, multiOpType=1)) == Outcome(applied=1)
    later = entry(
        "c", "admin.$cmd", {"applyOps": [{"op": "i", "ns": NS, "o": {"_id": 2}}]}, 2,
        lsid=SESSION, txnNumber=Int64(4), prevOpTime=linked, multiOpType=1,
    )  # fmt: skip
    assert site.apply(later, delete(1, lsid=SESSION, txnNumber=Int64(5), prevOpTime=linked)) == Outcome(applied=2)
    assert keys(site) == [2]


def at(raw: bytes, time: int) -> bytes:
    return bson.encode({**bson.decode(raw), "ts": Timestamp(time, 1)})


def test_a_transaction_that_is_not_decided_within_a_day_of_entries_is_refused() -> None:
    site = Site()
    assert site.apply(part([1], 1, partialTxn=True)).refused == ()
    day_later = 1_700_000_000 + MOST_WAIT_S
    assert site.apply(at(insert({"_id": 8}), day_later)).refused == ()
    outcome = site.apply(at(insert({"_id": 9}), day_later + 1))
    assert [refusal.reason for refusal in outcome.refused] == [
        "command: its transaction was not decided within 86400 s"
    ]
    assert outcome.applied == 1
    assert site.waiting.held() == []
    late = site.apply(verdict("commitTransaction", 9))
    assert "never came" in late.refused[0].reason
    assert keys(site) == [8, 9]


def test_of_transactions_that_hold_too_much_the_oldest_is_refused() -> None:
    waiting = MemoryWaiting()
    for number in range(3):
        waiting.add(f"{number:040x}", at(part([number], 1, partialTxn=True), 1_700_000_000 + number))
    held = sum(size for _, size, _ in waiting.held())
    bounded = Undecided(waiting, most_bytes=held - 1)
    entry = RawEntry(at(insert({"_id": 9}), 1_700_000_009))
    (gone,) = bounded.refused(entry)
    assert [one.ts.time for one in gone.entries] == [1_700_000_000]
    assert gone.reason == f"transactions that are not decided hold more than {held - 1} bytes"
    assert bounded.refused(entry) == []
    assert len(waiting.held()) == 2


def test_what_is_remembered_of_renames_is_no_transaction_that_waits() -> None:
    waiting = MemoryWaiting()
    waiting.add(KEPT_UNDER, b"anything")
    assert Undecided(waiting, most_bytes=1).refused(RawEntry(insert({"_id": 9}))) == []
    assert waiting.entries(KEPT_UNDER) == [b"anything"]


class Counted(MemoryWaiting):
    """Counts how often all that waits is read."""

    reads = 0

    def held(self) -> list[tuple[str, int, bytes]]:
        self.reads += 1
        return super().held()


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["begin", "more", "commit", "abort", "plain"]))))
def test_what_waits_is_read_once_and_counted_as_reading_it_again_would(steps: list[tuple[int, str]]) -> None:
    waiting = Counted()
    counting, time = Undecided(waiting, most_wait_s=20, most_bytes=1_000), 1_700_000_000
    for number, step in steps:
        time += 3
        now = RawEntry(at(insert({"_id": 1}), time))
        name = f"{number:040x}"
        found = Undecided(copy.deepcopy(waiting), most_wait_s=20, most_bytes=1_000).refused(now)
        assert [(one.reason, [part.raw for part in one.entries]) for one in counting.refused(now)] == [
            (one.reason, [part.raw for part in one.entries]) for one in found
        ]
        if step in ("begin", "commit", "abort"):
            counting.forget(name)
        if step in ("begin", "more"):
            counting.add(name, at(part([number], number, partialTxn=True), time))
    assert waiting.reads == min(1, len(steps))
