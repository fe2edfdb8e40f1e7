from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.loop.extract import batch_of, row_of
from isthmus.loop.fields import SCENES, VECTOR_SIZE
from isthmus.loop.record import Record
from isthmus.loop.scene import Scene
from scripted_driving import (
    DAY,
    LANE_M,
    changing,
    clock,
    driver,
    from_positions,
    moved,
    platoon,
    record_of,
    row,
    scene_of,
    scenes,
)


def busy_record() -> Record:
    """An ego that brakes behind one that cuts in, in a bend, with traffic on both sides."""
    times = clock(8)
    radius = 300.0
    slows = 12 * times - np.clip(times - 4, 0, None) ** 2 * 0.7
    cutter = driver("cutter", 20 + slows, changing(times, LANE_M, 0.0, 3.0), radius=radius)
    return record_of(
        driver("ego", slows, radius=radius), cutter, *platoon(times, 12.0, radius=radius), record_id="busy"
    )


def test_a_row_has_every_declared_field_and_fits_the_schema() -> None:
    (scene,) = scenes(busy_record())
    found = row_of(scene, "simulation")
    assert set(found) == set(SCENES.names)
    batch = batch_of([found, found])
    assert batch.schema.names == list(SCENES.names)
    assert [field.type for field in batch.schema] == [field.arrow() for field in SCENES.fields]
    assert batch.num_rows == 2
    assert batch.column("vector").type.list_size == VECTOR_SIZE
    assert batch_of([]).num_rows == 0


def test_the_simple_and_the_complex_fields_give_the_scene_back() -> None:
    (scene,) = scenes(busy_record())
    (back,) = batch_of([row_of(scene, "batch")]).to_pylist()
    again = Scene.unpack(back, back["complex"])
    assert (again.scene_id, again.day, again.agent_ids, again.tags) == (
        scene.scene_id,
        DAY,
        scene.agent_ids,
        scene.tags,
    )
    np.testing.assert_array_equal(again.states, scene.states)
    np.testing.assert_array_equal(again.slowdown, scene.slowdown)


def test_constant_braking_is_measured_as_it_is() -> None:
    times = clock(8)
    braking = np.clip(times - 2, 0, 4)
    way = 20 * times - 1.5 * braking**2 - 12 * np.clip(times - 6, 0, None)  # 20 m/s, then −3 m/s² down to 8 m/s
    found = row(driver("ego", way))
    assert found["accel_min"] == pytest.approx(-3, abs=0.03)
    assert found["accel_max"] == pytest.approx(0, abs=0.05)
    assert found["slowdown_3s"] == pytest.approx(9, abs=0.1)
    assert found["distance_m"] == pytest.approx(way[-1], rel=0.002)
    assert (found["speed_min"], found["speed_max"]) == pytest.approx((8, 20), abs=0.2)
    np.testing.assert_allclose(found["speed_profile"], [20, 20, 20, 17, 14, 11, 8, 8, 8], atol=0.2)


def test_a_hard_brake_up_to_the_end_of_the_scene_counts_too() -> None:
    times = clock(5)
    assert row(driver("ego", 25 * times - 3 * np.clip(times - 3, 0, None) ** 2))["accel_min"] == pytest.approx(
        -6, abs=0.35
    )


def test_lateral_acceleration_and_turn_of_a_bend() -> None:
    found = row(driver("ego", 10 * clock(6), radius=50.0))
    assert found["lat_accel_max"] == pytest.approx(2.0, rel=0.03)
    assert found["turn_rad"] == pytest.approx(60 / 50, abs=0.01)
    assert row(driver("ego", 10 * clock(6), radius=-50.0))["turn_rad"] == pytest.approx(-1.2, abs=0.01)


def test_a_full_circle_and_a_half_are_a_turn_of_nine_and_a_half_radians() -> None:
    found = row(driver("ego", 10 * clock(18), radius=180 / (3 * math.pi)))
    assert found["turn_rad"] == pytest.approx(3 * math.pi, abs=0.05)


def test_stop_and_go_is_counted() -> None:
    speed = np.concatenate([np.full(30, 6.0), np.zeros(40), np.full(30, 6.0), np.zeros(20), np.full(41, 6.0)])
    found = row(driver("ego", np.cumsum(speed) * 0.1))
    assert (found["stops"], found["starts"]) == (2, 2)
    assert found["stopped_s"] == pytest.approx(6.0, abs=0.5)


def test_a_scene_that_begins_and_ends_in_a_stand_has_no_stop_of_its_own() -> None:
    found = row(from_positions("ego", np.zeros(41), np.zeros(41), heading=0.0))
    assert (found["stops"], found["starts"], found["distance_m"]) == (0, 0, 0.0)
    assert found["stopped_s"] == pytest.approx(4.1)
    half = np.concatenate([np.zeros(20), np.full(21, 6.0)])
    found = row(driver("ego", np.cumsum(half) * 0.1))
    assert (found["stops"], found["starts"]) == (0, 1)


def test_density_is_the_mean_number_of_others_within_fifty_metres() -> None:
    times = clock(5)
    beside, far = driver("a", 10 + 10 * times, 4.0), driver("b", 55 + 10 * times)
    half = driver("c", 20 + 10 * times[:26])
    assert row(driver("ego", 10 * times), beside, far, half)["density"] == pytest.approx(1 + 26 / 51)


FIGURES = [
    name
    for name in SCENES.names
    if name
    not in ("scene_id", "day", "source", "job_type", "record_id", "leak_group", "ego_id", "tags", "complex")
]


def same(one: object, other: object, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return bool(np.allclose(np.asarray(one), np.asarray(other), rtol=tolerance, atol=tolerance))


@settings(max_examples=examples(12), deadline=None)
@given(st.floats(-math.pi, math.pi), st.floats(-3000, 3000), st.floats(-3000, 3000))
def test_where_a_record_lies_and_which_way_it_points_changes_nothing(angle: float, x: float, y: float) -> None:
    (here,), (there,) = scenes(busy_record()), scenes(moved(busy_record(), angle, x, y))
    one, other = row_of(here, "batch"), row_of(there, "batch")
    assert one["cut_ins"] == 1
    assert {name for name in FIGURES if not same(one[name], other[name], 0.02)} == set()


@settings(max_examples=examples(8), deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_tracks_changes_nothing(random: object) -> None:
    record = busy_record()
    tracks = list(record.tracks)
    random.shuffle(tracks)  # type: ignore[attr-defined]
    (here,), (there,) = scenes(record), scenes(dataclasses.replace(record, tracks=tuple(tracks)))
    assert here.agent_ids == there.agent_ids
    one, other = row_of(here, "batch"), row_of(there, "batch")
    assert one["complex"] == other["complex"]
    assert {name for name in FIGURES if not same(one[name], other[name], 0.0)} == set()


@settings(max_examples=examples(20), deadline=None)
@given(st.integers(0, 10_000))
def test_every_figure_is_finite_or_null_whatever_the_others_do(seed: int) -> None:
    chance = np.random.default_rng(seed)
    steps = int(chance.integers(21, 90))
    walks = []
    for agent in range(int(chance.integers(0, 7))):
        count = int(chance.integers(1, steps + 1))
        speed = np.cumsum(chance.normal(0, chance.choice([0.0, 0.3, 3.0]), (count, 2)), axis=0)
        at = chance.normal(0, 20, 2) + np.cumsum(speed, axis=0) * 0.1
        first = int(chance.integers(0, steps - count + 1))
        if count > 1:
            walks.append(from_positions(f"w{agent}", *at.T, first=first))
    ego = np.cumsum(chance.normal(0, chance.choice([0.0, 0.05, 1.0]), (steps, 2)), axis=0)
    found = row_of(scene_of(from_positions("ego", *ego.T), *walks), "batch")
    for name in FIGURES:
        assert found[name] is None or np.isfinite(found[name]).all(), name
    assert batch_of([found]).num_rows == 1
