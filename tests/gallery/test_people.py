"""People are told by several of their records: as exactly as by comparing all of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.gallery.match import Candidate
from isthmus.gallery.people import TOGETHER, Near, Persons, as_far_as, nearest_people


@pytest.mark.parametrize(
    ("persons", "document", "named"),
    [
        (Persons("name"), {"_id": 1, "name": "ann"}, "ann"),
        (Persons("name"), {"_id": 1, "name": 7}, "7"),
        (Persons("name"), {"_id": 1, "name": None}, None),
        (Persons("name"), {"_id": 1}, None),
        (Persons(by_folder=True), {"_id": "staff/ann/1"}, "staff/ann"),
        (Persons(by_folder=True), {"_id": "ann"}, None),
        (Persons(by_folder=True), {"_id": "/ann"}, None),
        (Persons(by_folder=True), {"_id": 5}, None),
        (Persons(), {"_id": "staff/ann", "name": "ann"}, None),
    ],
)
def test_a_record_names_its_person_or_is_of_one_of_its_own(
    persons: Persons, document: dict[str, Any], named: str | None
) -> None:
    assert persons.named(document) == named
    assert persons(document) == (named or ("record", str(document["_id"])))


def test_two_ways_of_telling_people_are_told_apart() -> None:
    ways = [Persons(), Persons("name"), Persons("names"), Persons(by_folder=True)]
    assert len({way.text for way in ways}) == len(ways)
    assert [bool(way) for way in ways] == [False, True, True, True]


def test_a_person_is_as_far_as_their_nearest_records_on_average() -> None:
    assert as_far_as([0.9, 0.3, 0.4, 0.5]) == (pytest.approx(0.4), TOGETHER)
    assert as_far_as([0.5, 0.3]) == (pytest.approx(0.4), 2)
    assert as_far_as([0.3]) == (0.3, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1000)), min_size=1, max_size=400),
    st.integers(1, 8),
    st.integers(0, 1100),
)
def test_nobody_within_the_threshold_is_overlooked(
    records: list[tuple[int, int]], most: int, threshold: int
) -> None:
    """Against all people compared with all of their records; those numbered 0 are of nobody else."""
    held = {b"%d" % number: (person, float(distance)) for number, (person, distance) in enumerate(records)}
    ordered = sorted(Candidate(distance, key) for key, (_, distance) in held.items())

    def mates(keys: Collection[bytes]) -> dict[bytes, list[bytes]]:
        return {key: [other for other in held if held[other][0] == held[key][0]] for key in keys if held[key][0]}

    found = nearest_people(
        lambda count: ordered[:count],
        lambda keys: [Candidate(held[key][1], key) for key in keys],
        mates,
        most,
        float(threshold),
    )
    everybody: dict[object, list[Candidate]] = {}
    for one in ordered:
        person = held[one.key][0]
        everybody.setdefault(person or one.key, []).append(one)
    wanted = []
    for theirs in everybody.values():
        mean, records_counted = as_far_as(one.distance for one in theirs)
        wanted.append(Near(mean, theirs[0].key, records_counted))
    known = [one for one in sorted(wanted)[:most] if one.distance <= threshold]
    assert found[: len(known)] == known
    assert all(one.distance > threshold for one in found[len(known) :])
    assert len(found) == min(most, len(everybody))
