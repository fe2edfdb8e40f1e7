from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa
import pytest

from isthmus.core.errors import UnknownName
from isthmus.loop.mining.statistics import statistics
from isthmus.loop.rules.catalogue import Catalogue
from mining_scenes import SCHEMA, MemoryOlap, scene

CORE = ("scene_id", "duration_s", "distance_m", "speed_mean", "cut_in_gap_m")
NEXT = datetime.date(2026, 11, 2)


@pytest.fixture
def olap() -> MemoryOlap:
    return MemoryOlap(
        [
            scene(
                1, duration_s=1800.0, distance_m=9000.0, speed_mean=5.0, cut_in_gap_m=5.0, tags=["urban", "urban"]
            ),
            scene(
                2,
                duration_s=5400.0,
                distance_m=81000.0,
                speed_mean=15.0,
                cut_in_gap_m=50.0,
                tags=["rain", "urban"],
            ),
            scene(3, duration_s=3600.0, distance_m=36000.0, speed_mean=10.0, day=NEXT, source="sim"),
        ]
    )


def rows(table: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_day_tells_how_much_there_is_and_what_share_a_rule_has(olap: MemoryOlap, catalogue: Catalogue) -> None:
    found = statistics(olap, "scenes", "day", [catalogue.bind("cut_in")])
    assert found.column_names == ["day", "scenes", "hours", "km", "speed_mean", "rule:cut_in"]
    assert rows(found) == [
        (datetime.date(2026, 11, 1), 2, 2.0, 90.0, pytest.approx(12.5), 0.5),
        (NEXT, 1, 1.0, 36.0, pytest.approx(10.0), 0.0),
    ]


def test_a_scene_counts_once_for_each_of_its_tags_and_untagged_ones_stay_in_sight(
    olap: MemoryOlap, catalogue: Catalogue
) -> None:
    found = statistics(olap, "scenes", "tag")
    assert [row[:2] for row in rows(found)] == [("rain", 1), ("urban", 2), (None, 1)]


def test_sources_are_counted_under_a_filter(olap: MemoryOlap, catalogue: Catalogue) -> None:
    bound = [catalogue.bind("cut_in or low_ttc", {"gap_m": 60})]
    found = statistics(
        olap, "scenes", "source", bound, catalogue.where("day >= '2026-11-01' and duration_s > 2000")
    )
    assert [(row[0], row[1], row[5]) for row in rows(found)] == [("ngsim", 1, 1.0), ("sim", 1, 0.0)]


def test_without_a_group_there_is_one_row_and_an_empty_table_counts_nothing(
    olap: MemoryOlap, catalogue: Catalogue
) -> None:
    assert rows(statistics(olap, "scenes")) == [(3, 3.0, 126.0, pytest.approx(11.6666667))]
    assert rows(statistics(MemoryOlap([]), "scenes")) == [(0, 0.0, 0.0, None)]
    assert rows(statistics(MemoryOlap([]), "scenes", "day")) == []


def test_an_unknown_group_is_told_with_the_nearest(olap: MemoryOlap, catalogue: Catalogue) -> None:
    with pytest.raises(UnknownName, match="unknown group 'days'; did you mean 'day'"):
        statistics(olap, "scenes", "days")  # type: ignore[arg-type]


def test_a_rule_whose_field_the_olap_does_not_hold_has_no_share(catalogue: Catalogue) -> None:
    core = pa.schema([SCHEMA.field(name) for name in CORE])
    olap = MemoryOlap([{name: scene(1, cut_in_gap_m=3.0)[name] for name in CORE}], core)
    (row,) = statistics(olap, "scenes", rules=[catalogue.bind(name) for name in catalogue.names()]).to_pylist()
    assert {name: share for name, share in row.items() if name.startswith("rule:") and share is not None} == {
        "rule:cut_in": 1.0
    }
    with pytest.raises(UnknownName, match="field 'source' is not in the OLAP's table"):
        statistics(olap, "scenes", "source")
