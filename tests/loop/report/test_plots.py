from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.measure import Measure
from isthmus.loop.report.plots import loss_curves, slice_bars, ticks

floats = st.floats(allow_nan=True, allow_infinity=True)


def drawn(svg: str) -> ElementTree.Element:
    """Parse the plot and check that every coordinate is a number within reach."""
    assert not re.search(r"\b(nan|inf)\b", svg)
    return ElementTree.fromstring(svg)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_are_few_rise_and_cover_what_is_drawn(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 9
    assert all(a < b for a, b in itertools.pairwise(marks))
    slack = (marks[1] - marks[0]) * 0.01
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack


def test_ticks_are_round_numbers() -> None:
    assert ticks(0.0, 1.0) == [0.0, 0.5, 1.0]
    assert ticks(0.0, 9.0) == [0.0, 5.0, 10.0]


@given(st.lists(floats, max_size=12), st.lists(floats, max_size=12))
def test_any_losses_can_be_drawn(train: list[float], validation: list[float]) -> None:
    svg = loss_curves(train, validation)
    assert not svg or drawn(svg).tag.endswith("svg")


def test_a_curve_breaks_where_a_loss_is_no_number_and_marks_the_best_epoch() -> None:
    root = drawn(loss_curves([3.0, 2.0, float("nan"), 1.0, 0.5], [4.0, 1.5, 2.0, 3.0, 3.5]))
    curves = [found.get("class") for found in root.iter("polyline")]
    assert curves == ["curve train", "curve train", "curve validation"]
    best = [found for found in root.iter("circle") if found.get("class") == "best"]
    assert len(best) == 1
    validation = next(found for found in root.iter("polyline") if found.get("class") == "curve validation")
    assert f"{best[0].get('cx')},{best[0].get('cy')}" == (validation.get("points") or "").split()[1]


def test_without_a_loss_there_is_no_plot() -> None:
    assert loss_curves([], []) == ""
    assert loss_curves([float("nan")], [float("inf")]) == ""


def test_bars_are_as_long_as_their_values_overall_first_and_then_the_worst() -> None:
    measures = [
        Measure("minADE", part, model, value, 9, "m", "lower")
        for part, values in {"rule:mild": (0.5, 0.6), "overall": (1.0, 1.5), "rule:hard": (2.0, 3.0)}.items()
        for model, value in zip(("candidate", "constant velocity"), values, strict=True)
    ]
    plot, hidden = slice_bars(measures, "minADE")
    root = drawn(plot)
    assert hidden == 0
    widths = [float(bar.get("width") or 0) for bar in root.iter("rect")]
    assert [width / widths[0] for width in widths] == pytest.approx([1.0, 2.0, 0.5], abs=0.01)
    names = [text.text for text in root.iter("text") if text.text and (":" in text.text or text.text == "overall")]
    assert names == ["overall", "rule:hard", "rule:mild"]


@given(st.lists(st.tuples(st.text(max_size=40), st.sampled_from(["candidate", "champion"]), floats), max_size=25))
def test_any_measures_can_be_drawn(values: list[tuple[str, str, float]]) -> None:
    measures = [Measure("m", part, model, value, 1, "", "lower") for part, model, value in values]
    svg, _ = slice_bars(measures, "m")
    if svg:
        assert svg.count("<rect") <= 2 * 14
        assert "nan" not in re.sub(r">[^<]*<", "><", svg)


def labels(svg: str) -> list[tuple[str, str]]:
    """List the labels of the slices, each with what a pointer that rests there shows."""
    return [
        (text.text or "", text.find("title").text or "")  # type: ignore[union-attr]
        for text in drawn(svg).iter("text")
        if text.find("title") is not None
    ]


def test_the_worst_slices_are_drawn_and_the_rest_is_counted() -> None:
    measures = [
        Measure("ADE", f"tag:{number:02d}", "candidate", 1.0 + number, 5, "m", "lower") for number in range(20)
    ]
    measures += [
        Measure("ADE", "overall", "candidate", 0.5, 100, "m", "lower"),
        Measure("ADE", "tag:like-00", "candidate", 1.0, 5, "m", "lower"),
    ]
    plot, hidden = slice_bars(measures, "ADE")
    assert [text for text, _ in labels(plot)] == ["overall", *(f"tag:{number:02d}" for number in range(19, 6, -1))]
    assert hidden == 8


def test_slices_with_the_same_figures_share_a_bar_that_names_them_all() -> None:
    measures = [
        Measure("ADE", part, "candidate", value, 5, "m", "lower")
        for part, value in {"overall": 1.0, "tag:merge": 1.0, "source:highway": 1.0, "tag:urban": 0.5}.items()
    ]
    plot, _ = slice_bars(measures, "ADE")
    assert labels(plot) == [
        ("overall", "overall"),
        ("source:highway +1", "source:highway, tag:merge"),
        ("tag:urban", "tag:urban"),
    ]


def test_a_long_name_is_cut_and_shown_whole_on_rest() -> None:
    name = "rule:" + " or ".join(["hard_brake"] * 9)
    plot, _ = slice_bars([Measure("ADE", name, "candidate", 1.0, 5, "m", "lower")], "ADE")
    ((text, title),) = labels(plot)
    assert len(text) <= 34
    assert text.endswith("…")
    assert title == name
