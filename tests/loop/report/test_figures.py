from __future__ import annotations

import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.measure import Better, Measure
from isthmus.loop.report.figures import by_slice, change, duration, figure, metrics, seconds, table


def measure(value: float, model: str = "candidate", better: Better = "lower", slice: str = "overall") -> Measure:
    return Measure("minADE", slice, model, value, 10, "m", better)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.4123, "0.412"),
        (-1.5, "−1.500"),
        (12.345, "12.35"),
        (1234.5, "1,234.5"),
        (1234567.0, "1,234,567"),
        (0.00012, "1.2e−04"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_a_figure_shows_the_digits_that_matter(value: float | None, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("own", "other", "better", "text", "tone"),
    [
        (0.8, 1.0, "lower", "−20.0 %", "better"),
        (0.8, 1.0, "higher", "−20.0 %", "worse"),
        (1.2, 1.0, "lower", "+20.0 %", "worse"),
        (1.0, 1.0, "lower", "±0", "same"),
        (0.5, 0.0, "lower", "+0.500", "worse"),
        (1.00001, 1.0, "lower", "+0.0 %", "same"),
        (5000.0, 1.0, "higher", "+1000+ %", "better"),
        (-1.0, -2.0, "higher", "+50.0 %", "better"),
    ],
)
def test_a_change_says_how_much_and_whether_it_is_better(
    own: float, other: float, better: Better, text: str, tone: str
) -> None:
    found = change(measure(own, better=better), measure(other, "champion", better))
    assert (found.change, found.tone) == (text, tone)


def test_without_a_figure_there_is_no_change() -> None:
    assert change(measure(1.0), None).value == "–"
    assert change(measure(1.0), measure(math.nan, "champion")).change == ""
    assert change(measure(math.nan), measure(1.0, "champion")).change == ""


def test_models_stand_side_by_side_with_the_champion_first() -> None:
    found = table(
        [measure(3.0, "constant velocity"), measure(1.0), measure(4.0, "another"), measure(2.0, "champion")]
    )
    assert found.models == ("champion", "constant velocity", "another")
    assert [other.value for other in found.lines[0].others] == ["2.000", "3.000", "4.000"]


def test_a_metric_that_only_the_champion_has_still_shows() -> None:
    line = table([measure(2.0, "champion")]).lines[0]
    assert (line.value, line.others[0].value, line.others[0].change) == ("–", "2.000", "")


def test_slices_leave_overall_out_and_have_a_table_for_each_metric() -> None:
    parts = ["tag:a", "rule:b", "overall", "source:c", "rule:a"]
    measures = [
        Measure(metric, part, "candidate", float(place), 10, "m", "lower")
        for place, part in enumerate(parts)
        for metric in ("FDE", "ADE")
    ]
    tables = by_slice(measures)
    assert [found.lines[0].metric for found in tables] == ["ADE", "FDE"]
    for found in tables:
        assert [line.slices for line in found.lines] == [("rule:a",), ("rule:b",), ("source:c",), ("tag:a",)]


def test_slices_with_the_same_figures_share_a_line() -> None:
    values = {"tag:merge": 1.0, "source:highway": 1.0, "tag:urban": 2.0, "rule:other": 1.0}
    measures = [
        Measure("ADE", part, model, value + (part == "rule:other" and model == "champion"), 7, "m", "lower")
        for part, value in values.items()
        for model in ("candidate", "champion")
    ]
    lines = by_slice(measures)[0].lines
    assert [line.slices for line in lines] == [("rule:other",), ("source:highway", "tag:merge"), ("tag:urban",)]


def test_a_slice_without_samples_of_a_metric_is_left_out_of_its_table_alone() -> None:
    measures = [
        Measure("ADE", "tag:a", "candidate", 1.0, 5, "m", "lower"),
        Measure("ADE", "tag:b", "candidate", 2.0, 5, "m", "lower"),
        Measure("slowdown_precision", "tag:a", "candidate", math.nan, 0, "", "higher"),
        Measure("slowdown_precision", "tag:b", "candidate", 0.5, 2, "", "higher"),
    ]
    found = {part.lines[0].metric: [line.slices for line in part.lines] for part in by_slice(measures)}
    assert found == {"ADE": [("tag:a",), ("tag:b",)], "slowdown_precision": [("tag:b",)]}


def test_metrics_come_in_the_order_in_which_a_reader_wants_them() -> None:
    given = ["comfort", "slowdown_recall", "minFDE", "miss_rate", "another", "FDE", "minADE", "ADE"]
    found = metrics([Measure(name, "overall", "candidate", 1.0, 1, "", "lower") for name in given])
    assert found == ("ADE", "FDE", "minADE", "minFDE", "miss_rate", "slowdown_recall", "comfort", "another")


@given(st.floats(), st.floats(), st.sampled_from(["lower", "higher"]))
def test_swapping_which_way_is_better_swaps_the_tone(own: float, other: float, better: Better) -> None:
    one = change(measure(own, better="lower"), measure(other, "champion", "lower"))
    two = change(measure(own, better="higher"), measure(other, "champion", "higher"))
    assert one.change == two.change
    assert {one.tone, two.tone} in ({"better", "worse"}, {"same"}, {""})


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0.25, "0.2 s"),
        (48.4, "48 s"),
        (200, "3 min 20 s"),
        (3599.9, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (None, "–"),
    ],
)
def test_times_read_well(amount: float | None, text: str) -> None:
    assert seconds(amount) == text


def test_a_clock_that_went_back_gives_no_duration() -> None:
    now = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    assert duration(now, now - datetime.timedelta(seconds=1)) == "–"
    assert duration(now, now + datetime.timedelta(seconds=90)) == "1 min 30 s"
