from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from forecasting_scenes import drive, drives, packed
from isthmus.core.errors import RunFailed
from isthmus.loop.forecast import HORIZON, ConstantVelocity, Forecast
from isthmus.loop.forecasting.metrics import metrics
from isthmus.loop.forecasting.offline import CANDIDATE, CHAMPION, evaluate
from isthmus.loop.measure import OVERALL, Measure
from isthmus.loop.scene import Scene


class Knowing:
    """A forecaster that knows what comes, up to a shift to the left."""

    name = "knowing"

    def __init__(self, scenes: list[Scene], shift: float = 0.0) -> None:
        self.shift = shift
        self.known = {
            scene.ego[step, :2].tobytes(): scene.ego[step + 1 : step + 1 + HORIZON, :2]
            for scene in scenes
            for step in range(scene.steps - HORIZON)
        }

    def __call__(self, states: np.ndarray, size: np.ndarray, of: np.ndarray) -> Forecast:
        paths = np.stack([self.known[states[agent, -1, :2].tobytes()] for agent in of])[:, None]
        return Forecast((paths + np.float32(self.shift)).astype(np.float32), np.ones((len(of), 1), np.float32))


class Broken:
    name = "broken"

    def __call__(self, states: np.ndarray, size: np.ndarray, of: np.ndarray) -> Forecast:
        return Forecast(np.full((len(of), 1, HORIZON, 2), np.nan, np.float32), np.ones((len(of), 1), np.float32))


def find(measures: tuple[Measure, ...], metric: str, model: str, slice_name: str = OVERALL) -> Measure:
    return next(m for m in measures if (m.metric, m.model, m.slice) == (metric, model, slice_name))


def slices_of(scene: Scene, rules: list[str]) -> tuple[str, ...]:
    return f"source:{scene.source}", *(f"tag:{tag}" for tag in scene.tags), *(f"rule:{rule}" for rule in rules)


def test_models_stand_side_by_side_overall_and_in_each_slice() -> None:
    scenes = [
        drive(f"s{n}", seed=n, source="left" if n % 2 else "right", tags=("urban",) * (n < 3)) for n in range(9)
    ]
    slices = {
        scene.scene_id: slices_of(scene, ["hard_brake"] if scene.slowdown.max() > 3 else []) for scene in scenes
    }
    models = {CANDIDATE: Knowing(scenes), CHAMPION: Knowing(scenes, 1.0), "constant velocity": ConstantVelocity()}
    result = evaluate(packed(scenes, rows=4), models, slices, stride=5)
    assert find(result.measures, "ADE", CANDIDATE).value == pytest.approx(0, abs=1e-4)
    assert find(result.measures, "FDE", CHAMPION).value == pytest.approx(2**0.5, abs=1e-4)
    assert find(result.measures, "FDE", "constant velocity").value > 1
    assert find(result.measures, "ADE", CANDIDATE).count == result.samples == 9 * 4
    assert find(result.measures, "ADE", CANDIDATE, "source:left").count == 4 * 4
    assert find(result.measures, "ADE", CANDIDATE, "tag:urban").count == 3 * 4
    assert find(result.measures, "ADE", CHAMPION, "rule:hard_brake").count > 0
    assert find(result.measures, "slowdown_average_precision", CANDIDATE).value > 0.9
    assert result.measures[0].slice == OVERALL


def test_the_worst_moments_are_told_one_for_each_scene() -> None:
    scenes = drives(10)
    models = {"constant velocity": ConstantVelocity()}
    result = evaluate(packed(scenes, rows=3), models, {}, stride=2, failures=4)
    assert len({failure.scene_id for failure in result.failures}) == len(result.failures) == 4
    errors = [failure.error for failure in result.failures]
    assert errors == sorted(errors, reverse=True)
    worst = result.failures[0]
    scene = next(scene for scene in scenes if scene.scene_id == worst.scene_id)
    states = scene.states[:, worst.step - 20 : worst.step + 1]
    path = ConstantVelocity()(states, scene.size, np.array([0])).best()[0]
    assert np.linalg.norm(path[-1] - scene.ego[worst.step + 30, :2]) == pytest.approx(worst.error, abs=1e-3)


def test_only_the_metrics_that_are_asked_for_are_measured() -> None:
    result = evaluate(packed(drives(2)), {CANDIDATE: ConstantVelocity()}, {}, metrics(["miss_rate"]))
    assert [measure.metric for measure in result.measures] == ["miss_rate"]


def test_scenes_too_short_are_left_out_and_none_at_all_fails_the_run() -> None:
    mixed = [drive("long"), drive("short", steps=30)]
    assert evaluate(packed(mixed), {CANDIDATE: ConstantVelocity()}, {}).samples == 4
    with pytest.raises(RunFailed, match="long enough"):
        evaluate(packed(mixed[1:]), {CANDIDATE: ConstantVelocity()}, {})


def test_a_forecast_that_is_not_finite_fails_the_run() -> None:
    with pytest.raises(RunFailed, match="candidate forecasts something that is not finite"):
        evaluate(packed(drives(1)), {CANDIDATE: Broken()}, {})


def test_memory_does_not_grow_with_the_scenes() -> None:
    def peak(count: int) -> int:
        stream = packed((drive(f"s{number}", seed=number) for number in range(count)), rows=4)
        tracemalloc.start()
        evaluate(stream, {CANDIDATE: ConstantVelocity()}, {}, stride=10)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(4)
    assert peak(120) < 1.3 * peak(12)
