from __future__ import annotations

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.digest import Digest
from isthmus.core.header import BundleName
from isthmus.core.position import Position
from isthmus.transfer.arrival import Do, Noticed, Room, looked, missing, needs_snapshot, rank, to_evict, units
from isthmus.transfer.patience import Waited, due
from transfer_doubles import BEGIN

SETTLE_S = 30.0


def name(seq: int, ending: str = "tar") -> BundleName:
    return BundleName("faces", 1, seq, ending)


def looks(*stamps: str, taken: bool = True) -> list[Do]:
    """Look at these stamps, ten seconds apart; nothing ever verifies."""
    before: Noticed | None = None
    found = []
    for number, stamp in enumerate(stamps):
        before, do = looked(before, stamp, BEGIN + timedelta(seconds=10 * number), SETTLE_S)
        if do is not Do.WAIT and taken:
            before = Noticed("growing", before.stamp, before.stamp, before.waited)
        found.append(do)
    return found


def test_a_file_is_taken_at_first_sight_and_again_only_when_it_has_stopped_growing() -> None:
    wait, take, last = Do.WAIT, Do.TAKE, Do.LAST
    assert looks("a", "b", "c", "c", "c", "c") == [take, wait, wait, take, wait, last]
    assert looks("a", "a", "a", "a") == [take, wait, wait, last]


def test_what_was_dealt_with_is_looked_at_again_only_where_another_copy_lies_there() -> None:
    for state in ("applied", "duplicate", "noted", "quarantined"):
        ended = Noticed(state, "a", "a", Waited(BEGIN))
        later = BEGIN + timedelta(days=1)
        assert looked(ended, "a", later, SETTLE_S)[1] is Do.WAIT
        after, do = looked(ended, "b", later, SETTLE_S)
        assert (after.state, do) == ("seen", Do.TAKE)


@given(st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=3))
def test_no_jump_of_the_clock_ends_a_wait_within_three_looks(jumps: list[float]) -> None:
    waited, now = Waited(BEGIN), BEGIN
    for jump in jumps[:2]:
        now += timedelta(seconds=jump)
        waited = waited.again(now, SETTLE_S)
        assert not waited.enough(SETTLE_S)


def test_a_cadence_is_due_after_its_time_and_when_the_clock_was_set_back() -> None:
    later = BEGIN + timedelta(seconds=60)
    assert due(None, BEGIN, 60)
    assert due(BEGIN, later, 60)
    assert not due(BEGIN, later, 61)
    assert due(later, BEGIN, 60)
    assert not due(None, BEGIN, 0)


@given(st.sets(st.integers(1, 30)), st.integers(0, 30))
def test_missing_is_exactly_what_is_neither_applied_nor_staged(staged: set[int], standing: int) -> None:
    pieces = [(Position(1, seq - 1), Position(1, seq)) for seq in staged]
    found = missing(Position(1, standing), pieces, Position(1, 30))
    told = {seq for one in found for seq in range(one.since + 1, one.until + 1)}
    assert told == {seq for seq in range(standing + 1, 31) if seq not in staged}
    assert all(before.until < after.since for before, after in itertools.pairwise(found))


def test_a_new_epoch_needs_a_snapshot() -> None:
    assert needs_snapshot(Position(1, 5), Position(2, 0))
    assert needs_snapshot(None, Position(2, 0, Digest(b"\1" * 32)))
    assert not needs_snapshot(None, Position(1, 5))
    assert not needs_snapshot(Position(1, 5), Position(1, 9))


def test_the_files_of_one_bundle_are_put_together_in_order_of_position() -> None:
    plain = ["faces-000001-000000000002.manifest.bson", "faces-000001-000000000002.bson"]
    others = ["faces-000001-000000000001.tar", "things-000001-000000000001.tar", "faces.txt", "faces-1-1.tar"]
    found = units([*plain, *others], "faces")
    assert [(unit.name.seq, unit.whole, len(unit.files)) for unit in found] == [(1, True, 1), (2, True, 2)]
    assert not units(plain[:1], "faces")[0].whole


@given(st.permutations(range(1, 9)), st.integers(1, 4))
def test_room_is_made_by_the_last_for_the_first(order: list[int], most: int) -> None:
    staged: list[tuple[BundleName, int]] = []
    for seq in order:
        evicted = to_evict((name(seq), 1), staged, Room(most, 1000))
        if evicted is None:
            assert all(rank(one) < rank(name(seq)) for one, _ in staged)
            continue
        staged = [*(one for one in staged if str(one[0]) not in evicted), (name(seq), 1)]
        assert len(staged) <= most
    assert sorted(one.seq for one, _ in staged) == list(range(1, 9))[:most]


def test_a_snapshot_always_finds_room_and_a_heartbeat_takes_none() -> None:
    staged = [(name(seq), 10) for seq in (1, 2, 3)]
    assert to_evict((name(9, "snapshot.tar"), 10), staged, Room(3, 1000)) == [str(name(3))]
    beat = BundleName("faces", 1, 9, "heartbeat.tar", 4)
    assert to_evict((beat, 10), staged, Room(3, 1000)) == []
    assert to_evict((name(1), 10_000), [], Room(3, 1000)) == []
