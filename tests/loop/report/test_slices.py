from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.measure import Measure
from isthmus.loop.report.slices import groups

NAMES = st.sampled_from(["overall", "rule:a", "rule:b", "source:x", "source:y", "tag:m", "tag:n", "odd"])
MEASURES = st.lists(
    st.builds(
        Measure,
        st.sampled_from(["ADE", "FDE"]),
        NAMES,
        st.sampled_from(["candidate", "champion"]),
        st.sampled_from([1.0, 2.0, math.nan]),
        st.integers(0, 2),
        st.just("m"),
        st.just("lower"),
    ),
    max_size=30,
)


def measure(part: str, value: float, metric: str = "ADE", count: int = 5) -> Measure:
    return Measure(metric, part, "candidate", value, count, "m", "lower")


@given(MEASURES)
def test_every_slice_with_a_sample_is_in_one_group_and_the_order_holds(measures: list[Measure]) -> None:
    found = groups(measures)
    names = [name for group in found for name in group.names]
    first: dict[tuple[str, str, str], Measure] = {}
    for item in measures:
        first.setdefault((item.slice, item.metric, item.model), item)
    assert sorted(names) == sorted({item.slice for item in first.values() if item.count})
    order = ["overall", "rule:a", "rule:b", "source:x", "source:y", "tag:m", "tag:n", "odd"]
    heads = [order.index(group.names[0]) for group in found]
    assert heads == sorted(heads)
    for group in found:
        places = [order.index(name) for name in group.names]
        assert places == sorted(places)


@given(MEASURES)
def test_the_order_in_which_measures_come_does_not_matter(measures: list[Measure]) -> None:
    once = list({(item.slice, item.metric, item.model): item for item in measures}.values())
    assert [group.names for group in groups(once)] == [group.names for group in groups(once[::-1])]


def test_overall_shares_with_no_slice() -> None:
    assert [group.names for group in groups([measure("source:x", 1.0), measure("overall", 1.0)])] == [
        ("overall",),
        ("source:x",),
    ]


def test_what_differs_in_one_metric_or_in_its_count_is_not_the_same() -> None:
    alike = [measure("tag:m", 1.0), measure("tag:n", 1.0)]
    assert len(groups(alike)) == 1
    assert len(groups([*alike, measure("tag:m", 1.0, "FDE"), measure("tag:n", 2.0, "FDE")])) == 2
    assert len(groups([measure("tag:m", 1.0), measure("tag:n", 1.0, count=6)])) == 2


def test_two_figures_that_are_no_number_are_the_same() -> None:
    parts = [
        measure(part, value, metric, count)
        for part in ("tag:m", "tag:n")
        for metric, value, count in (("ADE", 1.0, 5), ("FDE", math.nan, 0))
    ]
    assert [group.names for group in groups(parts)] == [("tag:m", "tag:n")]
