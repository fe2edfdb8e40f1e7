from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.sources.resample import (
    DT,
    Body,
    Channel,
    averaged,
    cut,
    on_grid,
    path_heading,
    path_speed,
    places,
    taken,
    wrap,
)

BODY = Body("a")
times = st.lists(st.floats(0, 30, allow_nan=False), min_size=1, max_size=60, unique=True).map(
    lambda found: np.unique(np.round(np.array(sorted(found)), 4))
)


def channels(at: np.ndarray, vx: float = 3.0) -> dict[str, Channel]:
    return {"x": Channel(at, vx * at), "y": Channel(at, -0.5 * vx * at)}


@given(times, st.floats(0.05, 3.0))
def test_a_straight_line_stays_a_straight_line_on_the_grid(at: np.ndarray, gap: float) -> None:
    for motion in on_grid(BODY, channels(at), start=float(at[0]), longest_gap_s=gap):
        grid = float(at[0]) + motion.step * DT
        assert np.allclose(motion.x, 3.0 * grid, atol=1e-4)
        assert np.allclose(motion.y, -1.5 * grid, atol=1e-4)


@given(times, st.floats(0.05, 3.0))
def test_no_piece_bridges_a_gap_that_is_too_long_and_none_leaves_the_samples(at: np.ndarray, gap: float) -> None:
    for motion in on_grid(BODY, channels(at), start=float(at[0]), longest_gap_s=gap):
        assert (np.diff(motion.step) == 1).all()
        grid = float(at[0]) + motion.step * DT
        assert grid[0] >= at[0] - 1e-5 and grid[-1] <= at[-1] + 1e-5
        for time in grid:
            nearest = np.abs(at - time).min()
            before, after = at[at <= time + 2e-6], at[at >= time - 2e-6]
            assert nearest < 2e-6 or after[0] - before[-1] <= gap + 1e-5


@given(times)
def test_pieces_have_different_ids_and_do_not_overlap(at: np.ndarray) -> None:
    motions = on_grid(BODY, channels(at), start=float(at[0]), longest_gap_s=0.5)
    assert len({motion.body.agent_id for motion in motions}) == len(motions)
    steps = [step for motion in motions for step in motion.step.tolist()]
    assert steps == sorted(set(steps))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=50))
def test_wrapped_angles_lie_within_half_a_turn_and_mean_the_same(angles: list[float]) -> None:
    turned = wrap(np.array(angles))
    assert (np.abs(turned) <= math.pi + 1e-9).all()
    assert np.allclose(np.cos(turned), np.cos(angles), atol=1e-9)
    assert np.allclose(np.sin(turned), np.sin(angles), atol=1e-9)


def test_a_heading_goes_the_short_way_over_the_end_of_its_range() -> None:
    at = np.array([0.0, 1.0])
    heading = Channel(at, np.array([3.0, -3.0]), angular=True)
    middle = taken(heading, places(at, np.array([0.5]), 2.0))
    assert abs(abs(middle[0]) - math.pi) < 1e-9


def test_samples_that_lie_on_the_grid_are_handed_on_unchanged() -> None:
    at = np.arange(50) * 0.1
    values = np.random.default_rng(1).normal(size=50).astype(np.float32).astype(np.float64)
    (motion,) = on_grid(BODY, {"x": Channel(at, values), "y": Channel(at, values)}, start=0.0, longest_gap_s=0.5)
    assert np.array_equal(motion.x, values)


def test_a_nan_sample_is_not_hidden_by_its_neighbours() -> None:
    at = np.arange(30) * 0.1
    x = at.copy()
    x[10] = np.nan
    (motion,) = on_grid(BODY, {"x": Channel(at, x), "y": Channel(at, at)}, start=0.0, longest_gap_s=0.5)
    assert np.isnan(motion.x[10]) and np.isfinite(np.delete(motion.x, 10)).all()


def test_a_standing_vehicle_keeps_the_heading_with_which_it_came() -> None:
    noise = np.random.default_rng(3).normal(scale=0.05, size=(2, 300))
    x = np.concatenate([np.linspace(0, 30, 100), np.full(200, 30.0)]) + noise[0]
    y = noise[1]
    heading = path_heading(x, y)
    assert np.abs(heading[100:]).max() < 0.2


@given(st.floats(-math.pi, math.pi), st.floats(1.0, 30.0))
def test_a_straight_path_has_its_direction_and_speed(direction: float, speed: float) -> None:
    along = np.arange(40) * DT * speed
    x, y = along * math.cos(direction), along * math.sin(direction)
    off = np.abs(wrap(path_heading(x, y) - direction))
    assert off.max() < 1e-6 or abs(off.max() - 2 * math.pi) < 1e-6
    assert np.allclose(path_speed(x, y), speed)


def test_the_heading_of_a_circle_follows_the_circle() -> None:
    angle = np.linspace(0, 4 * math.pi, 800)
    heading = path_heading(20 * np.cos(angle), 20 * np.sin(angle))
    assert np.abs(wrap(heading - (angle + math.pi / 2)))[10:-10].max() < 0.06


def test_one_mad_time_stamp_costs_no_memory() -> None:
    at = np.array([0.0, 0.1, 0.2, 4e9])
    motions = on_grid(BODY, {"x": Channel(at, at), "y": Channel(at, at)}, start=0.0, longest_gap_s=0.5)
    assert [len(motion.step) for motion in motions] == [3, 1]
    records = list(cut(motions, record_id="r", leak_group="g", record_s=20.0))
    assert len(records) == 2


def test_vibration_above_the_grid_is_averaged_away() -> None:
    at = np.arange(0, 5, 0.01)
    shaken = Channel(at, 1.0 + 5.0 * np.sin(2 * math.pi * 20 * at))
    assert np.abs(averaged(shaken).values[20:-20] - 1.0).max() < 1.0
    slow = Channel(at[::10], shaken.values[::10])
    assert averaged(slow) is slow


@given(st.integers(2, 900), st.floats(4.0, 30.0))
def test_a_cut_recording_loses_no_step_and_no_record_is_too_long(count: int, record_s: float) -> None:
    at = np.arange(count) * DT
    motions = on_grid(BODY, channels(at), start=0.0, longest_gap_s=0.5)
    records = list(cut(motions, record_id="r", leak_group="g", record_s=record_s))
    assert sum(len(record.tracks[0].step) for record in records) == count
    assert all(record.tracks[0].step[0] == 0 for record in records)
    assert all(len(record.tracks[0].step) * DT <= record_s + DT for record in records)
    assert len({record.record_id for record in records}) == len(records)
    assert {record.leak_group for record in records} == {"g"}


def test_coordinates_far_from_their_origin_lose_no_precision() -> None:
    at = np.arange(50) * DT
    far = {"x": Channel(at, 500_000.0 + 0.1 * at), "y": Channel(at, 5_800_000.0 + 0.1 * at)}
    (record,) = cut(on_grid(BODY, far, start=0.0, longest_gap_s=0.5), record_id="r", leak_group="g", record_s=20)
    track = record.tracks[0]
    assert np.allclose(np.diff(track.x), 0.01, atol=1e-5) and np.allclose(np.diff(track.y), 0.01, atol=1e-5)


def test_a_lane_is_held_and_never_interpolated() -> None:
    at = np.array([0.0, 1.0, 2.0])
    lane = Channel(at, np.array([1.0, 3.0, np.nan]))
    (motion,) = on_grid(BODY, channels(at), start=0.0, longest_gap_s=1.5, lane=lane)
    assert motion.lane is not None
    assert motion.lane.tolist() == [1] * 10 + [3] * 10 + [-1]


@pytest.mark.parametrize("name", ["x", "v"])
def test_an_agent_without_one_sample_is_nowhere(name: str) -> None:
    none = np.zeros(0)
    found = {**channels(np.arange(3.0)), "v": Channel(np.arange(3.0), np.ones(3)), name: Channel(none, none)}
    assert on_grid(BODY, found, start=0.0, longest_gap_s=2.0) == []
