"""Comparing ranges finds exactly what differs."""

from __future__ import annotations

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import Refused
from isthmus.gallery.sync import reconcile
from isthmus.gallery.sync.comparing import Comparing
from isthmus.gallery.sync.index import View
from isthmus.gallery.sync.messages import Differ, Leaves, Ranges

Records = dict[int, int]
# many hashes that share their first bits, so that deep ranges matter
hashes = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 500), st.integers(2**64 - 500, 2**64 - 1))
# lanes are of a keyed hash: chosen freely, some would cancel each other out in a sum
lanes_of = st.integers(0, 2**64 - 1).map(
    lambda number: int.from_bytes(blake3(number.to_bytes(8, "big")).digest(8), "big")
)
records = st.dictionaries(hashes, lanes_of, max_size=60)


def arrays(found: Records) -> tuple[np.ndarray, np.ndarray]:
    order = sorted(found)
    return np.array(order, np.uint64), np.array([found[place] for place in order], np.uint64)


def view(found: Records) -> View:
    places, lanes = arrays(found)
    wide = np.zeros((len(lanes), 4), np.uint64)
    wide[:, 0] = lanes
    return View(1, places, wide, np.array([str(place) for place in places], object), b"")


def compared(server: Records, device: Records, level: int, deeper: int) -> tuple[set[int], set[int]]:
    """Compare as a device does, from a level down by some rounds."""
    comparing = Comparing(view(server))
    places, lanes = arrays(device)
    under = np.zeros(0, np.uint32)
    for _ in range(deeper + 1):
        prefixes = reconcile.below(under) if len(under) else reconcile.every(level)
        told = reconcile.sums(places, lanes, level, prefixes).tobytes()
        found = []
        for differ in comparing.ranges(Ranges(level, under.tobytes(), told)):
            assert isinstance(differ, Differ)
            below = reconcile.below(reconcile.u32(differ.prefixes))
            found.append(below[reconcile.sums(places, lanes, level + 1, below) != reconcile.u64(differ.sums)])
        under = np.concatenate(found)
        level += 2
        if not len(under) or level >= 8:
            break
    at = reconcile.within(places, level - 1, under)
    pairs = reconcile.pairs(places[at], lanes[at])
    answer = comparing.leaves(Leaves(level - 1, under.tobytes(), pairs))
    assert answer is not None
    return {int(comparing.view.hashes[place]) for place in answer[0]}, {int(place) for place in answer[1]}


@settings(max_examples=examples(50), deadline=None)
@given(records, records, records, st.integers(0, 3), st.integers(0, 2))
def test_exactly_the_records_that_differ_are_found(
    common: Records, ours: Records, theirs: Records, level: int, deeper: int
) -> None:
    server, device = common | ours, common | theirs
    told, removed = compared(server, device, level, deeper)
    assert told == {place for place, lane in server.items() if device.get(place) != lane}
    assert removed == device.keys() - server.keys()


def test_records_that_cancel_each_other_out_in_a_sum_are_left_to_the_digest_of_the_whole() -> None:
    server = {0: 1, 1: 2**64 - 1}
    assert compared(server, {}, level=0, deeper=1) == (set(), set())
    assert compared(server | {2: 5}, {}, level=0, deeper=0)[0] == {0, 1, 2}, "a range that differs is listed whole"


@settings(max_examples=examples(40), deadline=None)
@given(records, st.integers(0, 4))
def test_sums_of_ranges_are_those_of_their_records(found: Records, level: int) -> None:
    places, lanes = arrays(found)
    some = np.arange(0, 16**level, max(1, 16**level // 64), dtype=np.uint32)
    for prefix, total in zip(some, reconcile.sums(places, lanes, level, some), strict=True):
        inside = [lane for place, lane in found.items() if place >> (64 - 4 * level) == prefix]
        assert int(total) == sum(inside) % 2**64


def test_the_first_level_keeps_the_sums_in_one_message() -> None:
    assert [reconcile.start_level(count) for count in (0, 1, 256, 257, 4096, 70_000, 1_000_000, 10**9)] == [
        0, 0, 0, 1, 1, 3, 3, 3,
    ]  # fmt: skip
    assert reconcile.is_leaf(1_000_000, 4) and not reconcile.is_leaf(10_000_000, 4)


def test_the_number_of_changes_is_estimated_from_ranges() -> None:
    rng = np.random.default_rng(1)
    for changes in (10, 100, 3000):
        differing = len(np.unique(rng.integers(0, 4096, changes)))
        assert 0.8 * changes < reconcile.likely_changed(differing, 4096) < 1.2 * changes


def test_a_device_cannot_have_the_same_ranges_listed_again_and_again() -> None:
    comparing = Comparing(view(dict.fromkeys(range(1000), 1)))
    everything = Leaves(0, np.zeros(1, np.uint32).tobytes(), b"", more=True)
    assert comparing.leaves(everything) is None
    with pytest.raises(Refused, match="again and again"):
        comparing.leaves(everything)


def test_messages_that_tell_little_are_bounded_too() -> None:
    comparing = Comparing(view(dict.fromkeys(range(1000), 1)))
    one = Ranges(0, b"", np.zeros(1, np.uint64).tobytes())
    with pytest.raises(Refused, match="more than a gallery of this size can need"):
        for _ in range(2000):
            list(comparing.ranges(one))
