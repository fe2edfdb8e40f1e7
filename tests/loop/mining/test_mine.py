from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import InputError, QueryRefused, UnknownName
from isthmus.core.evaluation import evaluate
from isthmus.loop.fields import VECTOR_SIZE
from isthmus.loop.mining import mine as module
from isthmus.loop.mining.mine import IDS, Mined, explain, mine
from isthmus.loop.rules.catalogue import Catalogue
from mining_scenes import SCHEMA, MemoryOlap, scene


def vector(*first: float) -> list[float]:
    return [*first, *[0.0] * (VECTOR_SIZE - len(first))]


def mined(olap: MemoryOlap, *asked: Any, **more: Any) -> Mined:
    return mine(olap, "scenes", *asked, warehouse="fleet.loop.scenes", version=7, **more)


def names(found: Mined) -> list[str]:
    return list(found.ids["id"].to_pylist())


@pytest.fixture
def olap() -> MemoryOlap:
    return MemoryOlap(
        [
            scene(3, cut_in_gap_m=12.0, source="sim"),
            scene(1, cut_in_gap_m=25.0),
            scene(2, cut_in_gap_m=15.0, day=datetime.date(2026, 11, 2)),
            scene(4),
            scene(5, cut_in_gap_m=20.0),
        ]
    )


def test_a_rule_finds_its_scenes_in_the_order_of_their_row_ids(olap: MemoryOlap, catalogue: Catalogue) -> None:
    found = mined(olap, catalogue.bind("cut_in"), None)
    assert found.ids.schema == IDS
    assert found.ids.to_pydict() == {"id": ["s002", "s003", "s005"], "_rowid": [2, 3, 5]}
    assert (found.count, found.matched, found.considered, found.suppressed) == (3, 3, 5, 0)


def test_the_list_says_how_it_came_about(olap: MemoryOlap, catalogue: Catalogue) -> None:
    where = catalogue.where("day >= '2026-11-02'")
    found = mined(olap, catalogue.bind("cut_in and not hard_brake", {"gap_m": 15}), where)
    assert (found.rule, found.where) == ("cut_in and not hard_brake", "day >= DATE '2026-11-02'")
    assert found.parameters == {"cut_in.gap_m": 15.0, "hard_brake.deceleration": 3.0}
    assert (found.warehouse, found.version, found.threshold) == ("fleet.loop.scenes", 7, None)
    assert (names(found), found.considered) == ([], 1)  # its braking is null: not known not to brake hard


def test_a_filter_alone_and_nothing_at_all_are_lists_too(olap: MemoryOlap, catalogue: Catalogue) -> None:
    assert names(mined(olap, None, catalogue.where("source = 'sim'"))) == ["s003"]
    everything = mined(olap, None, None)
    assert (everything.count, everything.considered, everything.rule, everything.where) == (5, 5, "", "")


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (2, ["s002", "s003"]), (9, ["s002", "s003", "s005"])])
def test_a_limit_takes_the_first(olap: MemoryOlap, catalogue: Catalogue, limit: int, expected: list[str]) -> None:
    found = mined(olap, catalogue.bind("cut_in"), None, limit=limit)
    assert (names(found), found.matched) == (expected, 3)


def test_values_that_make_no_sense_are_refused(olap: MemoryOlap, catalogue: Catalogue) -> None:
    with pytest.raises(InputError, match="limit of -1"):
        mined(olap, None, None, limit=-1)
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="makes no sense"):
            mined(olap, None, None, suppress=wrong)


def test_a_field_that_the_olap_does_not_hold_is_named(catalogue: Catalogue) -> None:
    core = pa.schema([field for field in SCHEMA if field.name in ("scene_id", "_rowid", "day")])
    olap = MemoryOlap([{"scene_id": "a", "_rowid": 1, "day": datetime.date(2026, 11, 1)}], core)
    assert mined(olap, None, catalogue.where("day = '2026-11-01'")).count == 1
    with pytest.raises(UnknownName, match="field 'cut_in_gap_m' is not in the OLAP's table 'scenes'; add it"):
        mined(olap, catalogue.bind("cut_in"), None)
    with pytest.raises(UnknownName, match="field 'vector' is not in the OLAP's table"):
        mined(olap, None, None, suppress=1.0)


def test_a_hostile_table_name_is_only_a_name(olap: MemoryOlap) -> None:
    with pytest.raises(QueryRefused):
        mine(olap, 'scenes"; DROP TABLE scenes; --', None, None, warehouse="a.b.c", version=1)
    assert mined(olap, None, None).count == 5


def test_near_duplicates_are_left_out_and_counted(catalogue: Catalogue) -> None:
    olap = MemoryOlap(
        [
            scene(1, vector=vector(0.0)),
            scene(2, vector=vector(0.5)),
            scene(3),  # no vector: like none
            scene(4, vector=vector(1.25)),
            scene(5, vector=vector(1.0)),
            scene(6),
            scene(7, vector=vector(9.0)),
        ]
    )
    found = mined(olap, None, None, suppress=1.0)
    assert names(found) == ["s001", "s003", "s004", "s006", "s007"]
    assert (found.suppressed, found.matched, found.threshold) == (2, 7, 1.0)
    first = mined(olap, None, None, suppress=1.0, limit=3)
    assert (names(first), first.suppressed) == (["s001", "s003", "s004"], 1 + 1)
    assert names(mined(olap, None, None, suppress=1.0, limit=0)) == []


@settings(max_examples=examples(12))
@given(
    places=st.lists(st.none() | st.integers(0, 20), max_size=40),
    page=st.integers(1, 12),
    limit=st.none() | st.integers(0, 12),
)
def test_the_size_of_a_page_changes_nothing(places: list[int | None], page: int, limit: int | None) -> None:
    rows = [scene(n, vector=None if at is None else vector(at / 2)) for n, at in enumerate(places)]
    olap = MemoryOlap(rows)
    whole = mined(olap, None, None, suppress=1.0)
    before = module.PAGE
    module.PAGE = page
    try:
        paged = mined(olap, None, None, suppress=1.0, limit=limit)
    finally:
        module.PAGE = before
    assert names(paged) == names(whole)[:limit]
    if limit is None:
        assert paged.suppressed == whole.suppressed == len(places) - whole.count


VALUE = st.none() | st.integers(-8, 60).map(lambda n: n / 2)


@settings(max_examples=examples(12))
@given(st.lists(st.fixed_dictionaries({"cut_in_gap_m": VALUE, "accel_min": VALUE, "density": VALUE}), max_size=12))
def test_mining_finds_exactly_what_the_reference_finds(catalogue: Catalogue, values: list[dict[str, Any]]) -> None:
    rows = [scene(number, **own) for number, own in enumerate(values)]
    bound = catalogue.bind("(cut_in or hard_brake) and not dense_traffic", {"gap_m": 12})
    expected = [row["scene_id"] for row in rows if evaluate(bound.expression, row) is True]
    assert names(mined(MemoryOlap(rows), bound, None)) == expected


def test_a_scene_tells_which_rules_hold_for_it(catalogue: Catalogue) -> None:
    row = scene(1, ttc_min_s=1.0, accel_min=-1.0)
    told = explain(row, catalogue.bind("near_miss or dense_traffic"))
    assert [(held.rule, held.holds) for held in told] == [
        ("near_miss or dense_traffic", None),
        ("near_miss", False),
        ("low_ttc", True),
        ("hard_brake", False),
        ("dense_traffic", None),
    ]
    (single,) = explain(row, catalogue.bind("low_ttc", {"ttc_s": 0.5}))
    assert (single.rule, single.condition, single.holds) == ("low_ttc", "ttc_min_s <= 0.5", False)


def test_vectors_come_out_of_an_arrow_column_with_nan_for_null() -> None:
    kind = pa.list_(pa.float32(), 2)
    column = pa.chunked_array([pa.array([[1, 2], None], kind), pa.array([None, [3, 4]], kind)])
    out = module._vectors(column)
    np.testing.assert_array_equal(out, [[1, 2], [np.nan] * 2, [np.nan] * 2, [3, 4]])
