from __future__ import annotations

import importlib.metadata
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError, UnknownName
from isthmus.loop.forecast import HORIZON
from isthmus.loop.forecasting.metrics import SHIPPED, Evaluated, metrics, slowdown_score, speed_loss

T = np.arange(1, HORIZON + 1, dtype=np.float32) * 0.1


def straight(speed: float, to: float | None = None) -> np.ndarray:
    """A path along x whose speed changes evenly from `speed` to `to`."""
    end = speed if to is None else to
    return np.stack([speed * T + (end - speed) * T**2 / 6, np.zeros(HORIZON)], axis=-1).astype(np.float32)


def batch(
    paths: list[list[np.ndarray]], odds: list[list[float]], futures: list[np.ndarray], slow: list[bool]
) -> Evaluated:
    return Evaluated(
        np.array(paths, np.float32),
        np.array(odds, np.float32),
        np.array(futures, np.float32),
        np.full(len(futures), 10, np.float32),
        np.array(slow, bool),
    )


def value(name: str, *batches: Evaluated) -> float:
    metric = metrics([name])[name]()
    for one in batches:
        metric.update(one)
    return metric.value()


def scored(scores: list[float], slow: list[bool]) -> Evaluated:
    """Forecasts of one mode whose expected loss of speed is the given one."""
    n = len(scores)
    paths = np.stack([straight(10)] * n)[:, None] if n else np.zeros((0, 1, HORIZON, 2), np.float32)
    return Evaluated(
        paths,
        np.ones((n, 1), np.float32),
        np.zeros((n, HORIZON, 2), np.float32),
        10 + np.array(scores, np.float32),
        np.array(slow, bool),
    )


def test_displacement_metrics_of_a_case_made_by_hand() -> None:
    likely, near = straight(10), straight(10.5)
    one = batch([[likely, near]], [[0.7, 0.3]], [straight(11)], [False])
    assert value("ADE", one) == pytest.approx(T.mean())
    assert value("FDE", one) == pytest.approx(3.0, abs=1e-5)
    assert value("minADE", one) == pytest.approx(T.mean() / 2, abs=1e-5)
    assert value("minFDE", one) == pytest.approx(1.5, abs=1e-5)
    assert value("miss_rate", one) == 0.0


def test_a_miss_is_when_no_mode_ends_within_two_metres() -> None:
    hit = batch([[straight(10), straight(11)]], [[0.9, 0.1]], [straight(11.6)], [False])
    miss = batch([[straight(10), straight(11)]], [[0.9, 0.1]], [straight(11.7)], [False])
    assert value("miss_rate", hit, miss, miss, miss) == 0.75


def test_speed_lost_on_a_path_is_what_its_last_half_second_shows() -> None:
    one = batch([[straight(10, 4), straight(10, 12)]], [[0.5, 0.5]], [straight(10)], [True])
    np.testing.assert_allclose(speed_loss(one), [[5.5, 0.0]], atol=1e-3)
    np.testing.assert_allclose(slowdown_score(one), [2.75], atol=1e-3)


def test_precision_and_recall_count_the_expected_loss_above_three_metres_a_second() -> None:
    one = scored([5.0, 4.0, 1.0, 0.0], [True, False, True, False])
    assert value("slowdown_precision", one) == 0.5
    assert value("slowdown_recall", one) == 0.5
    assert math.isnan(value("slowdown_precision", scored([0.0], [True])))
    assert value("slowdown_recall", scored([0.0], [True])) == 0.0


def test_average_precision_of_cases_worked_by_hand() -> None:
    # ranked: hit, miss, hit → 1/2 · 1/1 + 1/2 · 2/3
    assert value("slowdown_average_precision", scored([3, 2, 1], [True, False, True])) == pytest.approx(5 / 6)
    # the example of scikit-learn's documentation: 0.83…
    told = scored([0.1, 0.4, 0.35, 0.8], [False, False, True, True])
    assert value("slowdown_average_precision", told) == pytest.approx(0.8333, abs=1e-3)
    # equal scores are one threshold, whatever their order
    assert value("slowdown_average_precision", scored([1, 1, 1, 1], [True, False, False, False])) == 0.25
    assert value("slowdown_average_precision", scored([9, 8], [True, True])) == 1.0
    assert math.isnan(value("slowdown_average_precision", scored([9, 8], [False, False])))


cases = st.lists(st.tuples(st.integers(0, 60), st.booleans()), min_size=1, max_size=60).filter(
    lambda found: any(slow for _, slow in found)
)


@given(cases)
def test_average_precision_is_the_sum_over_thresholds_of_gained_recall_times_precision(
    found: list[tuple[int, bool]],
) -> None:
    scores, slow = [score / 4 for score, _ in found], [slow for _, slow in found]
    expected, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        said = [real for score, real in zip(scores, slow, strict=True) if score >= threshold]
        now = sum(said) / sum(slow)
        expected += (now - recall) * sum(said) / len(said)
        recall = now
    assert value("slowdown_average_precision", scored(scores, slow)) == pytest.approx(expected)


@given(cases)
def test_average_precision_equals_that_of_scikit_learn(found: list[tuple[int, bool]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores, slow = [score / 4 for score, _ in found], [slow for _, slow in found]
    expected = sklearn.average_precision_score(slow, scores)
    assert value("slowdown_average_precision", scored(scores, slow)) == pytest.approx(expected)


@pytest.mark.parametrize("name", list(SHIPPED))
def test_batches_add_up_to_the_whole_and_empty_ones_change_nothing(name: str) -> None:
    draw = np.random.default_rng(3)
    n = 40
    odds = draw.random((n, 3)).astype(np.float32)
    whole = Evaluated(
        draw.normal(0, 5, (n, 3, HORIZON, 2)).cumsum(axis=2).astype(np.float32) / 9,
        odds / odds.sum(axis=1, keepdims=True),
        draw.normal(0, 5, (n, HORIZON, 2)).cumsum(axis=1).astype(np.float32) / 9,
        draw.uniform(0, 20, n).astype(np.float32),
        draw.random(n) < 0.4,
    )
    parts = [whole.rows(np.arange(0, 7)), whole.rows(np.arange(0)), whole.rows(np.arange(7, n))]
    assert value(name, *parts) == pytest.approx(value(name, whole))
    fresh = metrics([name])[name]()
    assert (fresh.name, fresh.count) == (name, 0)
    assert math.isnan(fresh.value())
    assert fresh.better in ("lower", "higher")


def test_a_metric_of_another_package_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("overshoot", f"{__name__}:unused", "isthmus.metrics")
    monkeypatch.setattr("isthmus.loop.forecasting.metrics.entry_points", lambda group: [point])
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda self: SHIPPED["ADE"])
    assert "overshoot" in metrics()
    assert list(metrics(["overshoot"])) == ["overshoot"]


def test_a_metric_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    point = importlib.metadata.EntryPoint("overshoot", "no_such_package:Overshoot", "isthmus.metrics")
    monkeypatch.setattr("isthmus.loop.forecasting.metrics.entry_points", lambda group: [point])
    with pytest.raises(InputError, match=r"'overshoot' .*no_such_package"):
        metrics(["overshoot"])


def test_an_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="minFDE"):
        metrics(["minFDA"])


def test_the_metric_of_the_how_to_works_as_it_stands_there() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "add-a-metric.md").read_text()
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], found)
    metric = found["Overshoot"]()
    assert math.isnan(metric.value())
    for ends in (9, 12):
        metric.update(batch([[straight(10)]], [[1.0]], [straight(ends)], [False]))
    assert (metric.value(), metric.count) == (pytest.approx(1.5), 2)
