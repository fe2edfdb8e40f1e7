from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError
from isthmus.recovery.prepare import Check, Side, checks, prepare, table, well
from isthmus.recovery.shards import ALL, BUCKETS, Shards, bucketed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HERE = Side(
    name="north",
    peer="south",
    stream="recovery",
    role="primary",
    epoch=3,
    reaches="",
    key="ed25519:n",
    trusts=("ed25519:s",),
    clock=NOW,
    free=10**10,
    needs=10**9,
    links=True,
    versions={"isthmus": "0.1.0", "lance": "14.0.2", "format": "1"},
)
THERE = replace(
    HERE,
    name="south",
    peer="north",
    role="standby",
    key="ed25519:s",
    trusts=("ed25519:n",),
    clock=NOW + timedelta(seconds=2),
    versions={"isthmus": "0.1.1", "lance": "14.1.0", "format": "1"},
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[int, int]:
    small = draw(st.integers(1, 64))
    sides = [small, small * draw(st.integers(1, 16))]
    return (sides[0], sides[1]) if draw(st.booleans()) else (sides[1], sides[0])


@given(pairs())
def test_every_bucket_is_on_exactly_one_shard_at_each_side_and_they_are_even(pair: tuple[int, int]) -> None:
    shards = prepare(*pair)
    for count, of in ((shards.local, shards.here), (shards.remote, shards.there)):
        loads = Counter(of(bucket) for bucket in range(BUCKETS))
        assert all(len(place) == 1 and 0 <= place[0] < count for place in loads)
        assert len(loads) == count
        assert max(loads.values()) - min(loads.values()) <= 1
        assert of(ALL) == tuple(range(count))


@given(pairs())
def test_each_shard_of_the_larger_side_deals_with_one_of_the_smaller(pair: tuple[int, int]) -> None:
    shards = prepare(*pair)
    lanes = Counter((shards.here(bucket)[0], shards.there(bucket)[0]) for bucket in range(BUCKETS))
    assert {(lane.local, lane.remote): lane.buckets for lane in shards.lanes()} == lanes
    assert len(lanes) == max(pair)
    back = {(lane.remote, lane.local): lane.buckets for lane in shards.swapped().lanes()}
    assert back == lanes


@given(pairs())
def test_no_layout_that_is_as_even_keeps_more_buckets_on_shards_of_one_number(pair: tuple[int, int]) -> None:
    shards = prepare(*pair)
    here = Counter(shards.here(bucket)[0] for bucket in range(BUCKETS))
    there = Counter(shards.there(bucket)[0] for bucket in range(BUCKETS))
    stay = sum(shards.here(bucket) == shards.there(bucket) for bucket in range(BUCKETS))
    assert stay == sum(min(here[shard], there[shard]) for shard in here)  # more do not fit


@given(st.integers(1, 300), st.integers(1, 300))
def test_only_multiples_are_accepted_and_others_are_told_what_would_fit(one: int, other: int) -> None:
    if max(one, other) % min(one, other) == 0:
        assert prepare(one, other) == Shards(one, other)
        return
    with pytest.raises(InputError) as caught:
        prepare(one, other)
    small = min(one, other)
    fits = [int(word) for word in caught.value.hint.replace(",", "").split() if word.isdigit()]
    assert fits[0] == small and len(fits) == 3
    for fit in fits[1:]:
        prepare(small, fit)


@pytest.mark.parametrize(("one", "other"), [(0, 3), (3, 0), (-6, 3), (1, 5000)])
def test_numbers_that_no_site_has_are_refused(one: int, other: int) -> None:
    with pytest.raises(InputError, match="-dn-num is"):
        prepare(one, other)


PATHS = st.sets(st.integers(0, 500).map(lambda number: f"data/{number}.lance"), max_size=60)


@given(st.sampled_from(["hash(id)", "roundrobin", "replicated"]), st.lists(PATHS, min_size=1, max_size=5))
def test_a_file_never_leaves_its_bucket_whatever_comes_and_goes(distribution: str, rounds: list[set[str]]) -> None:
    known: dict[str, int] = {}
    for paths in rounds:
        now = bucketed(distribution, "a" * 32, paths, known)
        assert set(now) == paths
        assert all(now[path] == known[path] for path in paths & set(known))
        if distribution == "replicated":
            assert set(now.values()) <= {ALL}
        else:
            assert all(0 <= bucket < BUCKETS for bucket in now.values())
        known = now


def test_files_in_turn_fill_buckets_evenly_and_tables_begin_at_different_ones() -> None:
    paths = [f"data/{number:05}.lance" for number in range(3 * BUCKETS + 5)]
    found = bucketed("roundrobin", "a" * 32, paths)
    loads = Counter(found.values())
    assert set(loads.values()) == {3, 4} and len(loads) == BUCKETS
    later = bucketed("roundrobin", "a" * 32, [*paths, "data/z.lance"], found)
    assert loads[later["data/z.lance"]] == 3
    firsts = {bucketed("roundrobin", f"{number:032x}", ["data/a"])["data/a"] for number in range(50)}
    assert len(firsts) > 40


def test_the_hash_of_a_file_is_the_same_in_every_release() -> None:
    paths = ["data/a.lance", "data/b.lance"]
    assert bucketed("hash(id)", "0" * 32, paths) == {"data/a.lance": 867, "data/b.lance": 3462}
    assert bucketed("hash(id)", "1" * 32, paths) != bucketed("hash(id)", "0" * 32, paths)
    assert bucketed("hash(day)", "0" * 32, paths) != bucketed("hash(id)", "0" * 32, paths)


def wrong(here: Side, there: Side | None) -> list[str]:
    return [check.what for check in checks(here, there) if check.well is False]


def test_two_sites_that_fit_have_nothing_wrong() -> None:
    found = checks(HERE, THERE)
    assert well(found)
    assert {check.well for check in found} == {True}
    assert table(found, only_wrong=True) == []
    assert len(table(found)) == len(found)


@pytest.mark.parametrize(
    ("here", "there", "what"),
    [
        ({}, {"name": "north"}, "names"),
        ({}, {"peer": "west"}, "names"),
        ({"stream": "other"}, {}, "stream"),
        ({"reaches": "connection refused"}, {}, "north reaches south"),
        ({}, {"reaches": "no such folder"}, "south reaches north"),
        ({}, {"trusts": ("ed25519:x",)}, "south trusts north"),
        ({"trusts": ()}, {}, "north trusts south"),
        ({}, {"key": "ed25519:n"}, "north trusts south"),
        ({}, {"clock": NOW + timedelta(hours=1)}, "clocks"),
        ({}, {"clock": NOW - timedelta(hours=1)}, "clocks"),
        ({}, {"free": 10**9}, "free space at south"),
        ({"free": 0}, {}, "free space at north"),
        ({"links": False}, {}, "links at north"),
        ({}, {"versions": {"isthmus": "0.2.0", "lance": "15.0.0", "format": "1"}}, "version of lance"),
        ({}, {"versions": {"isthmus": "0.1.0", "lance": "14.0.2", "format": "2"}}, "version of format"),
        ({}, {"role": "primary"}, "roles"),
    ],
)
def test_each_thing_that_is_wrong_is_told_with_what_to_do(
    here: dict[str, object], there: dict[str, object], what: str
) -> None:
    one, other = replace(HERE, **here), replace(THERE, **there)  # type: ignore[arg-type]
    found = checks(one, other)
    assert not well(found)
    assert what in wrong(one, other)
    (row,) = [row for row in table(found, only_wrong=True) if row.startswith(what)]
    assert "WRONG" in row
    assert all(check.hint for check in found if check.well is False)


def test_what_is_not_known_of_the_other_side_of_a_gate_holds_nobody_up() -> None:
    found = checks(replace(HERE, reaches=None), None)
    assert well(found)
    assert {check.what for check in found if check.well is None} >= {"clocks", "roles", "free space at south"}


def test_a_row_shows_no_control_characters() -> None:
    (row,) = table([Check("a", False, "b\x1b[2J\nc", "d")])
    assert row.isprintable()


def test_a_site_whose_report_came_is_not_said_to_trust_nobody() -> None:
    found = {one.what: one.well for one in checks(HERE, replace(THERE, trusts=None))}
    assert found["south trusts north"] is None
    assert found["north trusts south"] is True
