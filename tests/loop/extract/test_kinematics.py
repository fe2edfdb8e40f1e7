from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.extract.kinematics import held_course, runs, slowdown, smooth, stands
from scripted_driving import DT, clock


@given(
    st.integers(2, 150),
    st.floats(-1e4, 1e4),
    st.floats(-50, 50),
    st.sets(st.integers(0, 149), max_size=20),
)
def test_a_straight_line_stays_as_it_is_even_at_the_ends_and_around_gaps(
    steps: int, level: float, slope: float, gaps: set[int]
) -> None:
    line = level + slope * np.arange(steps) * DT
    line[[gap for gap in gaps if gap < steps]] = np.nan
    value, found = smooth(line)
    there = np.isfinite(line)
    assert (np.isfinite(value) == there).all()
    assert (np.isfinite(found) == there).all()
    np.testing.assert_allclose(value[there], line[there], atol=1e-6 * (1 + abs(level)))
    lonely = smooth(np.where(there, 1.0, np.nan) * np.arange(steps))[1]
    joined = there & (np.abs(lonely) > 0.5)  # a step without any neighbour in reach has no slope to tell
    np.testing.assert_allclose(found[joined], slope, atol=1e-5 * (1 + abs(slope) + abs(level) / 1e3))


def test_noise_on_the_speed_hardly_shows_in_the_acceleration() -> None:
    noise = np.random.default_rng(1).normal(0, 0.15, 200)
    raw = np.abs(np.diff(noise)).max() / DT
    assert np.abs(smooth(10 + noise)[1][5:-5]).max() < raw / 15


def test_slowdown_is_the_most_speed_lost_within_three_seconds() -> None:
    times = clock(12)
    speed = np.clip(20 - 2 * np.clip(times - 4, 0, None), 10, 20)  # brakes from 4 s to 9 s
    label = slowdown(speed)
    assert label.dtype == np.float32
    assert label[0] < 0.01
    np.testing.assert_allclose(label[50:54], 6, atol=0.05)  # all of the next 3 s
    np.testing.assert_allclose(label[20], 2 * 1.0, atol=0.1)
    np.testing.assert_allclose(label[-1], 0, atol=1e-6)


def test_slowdown_near_the_end_uses_what_is_there() -> None:
    times = clock(6)
    label = slowdown(30 - 3 * times)
    np.testing.assert_allclose(label[:31], 9, atol=0.01)
    np.testing.assert_allclose(label[-11], 3, atol=0.01)
    np.testing.assert_allclose(label[-1], 0, atol=1e-6)


@given(st.lists(st.floats(0, 60), min_size=1, max_size=120))
def test_slowdown_is_never_negative_nor_more_than_the_speed_that_there_is(speeds: list[float]) -> None:
    label = slowdown(np.array(speeds, np.float32))
    assert len(label) == len(speeds)
    assert (label >= 0).all()
    # A steep line may be drawn somewhat past the values that it runs through.
    assert label.max() <= 2 * max(speeds) + 1e-3


def test_creeping_between_the_two_limits_does_not_end_a_stand() -> None:
    speed = np.concatenate(
        [np.full(20, 5.0), np.full(10, 0.1), np.full(10, 0.7), np.full(10, 0.1), np.full(20, 5.0)]
    )
    assert runs(stands(speed)) == [(20, 50)]


def test_a_moment_without_speed_is_no_stand() -> None:
    speed = np.full(50, 5.0)
    speed[20:23] = 0.0
    assert not stands(speed).any()


def test_one_that_creeps_all_the_time_does_not_stand() -> None:
    assert not stands(np.full(30, 0.6)).any()
    assert stands(np.zeros(30)).all()


def test_a_standing_vehicle_keeps_the_course_it_came_with() -> None:
    course = np.array([np.nan, 0.1, 0.2, np.nan, np.nan, 0.4, np.nan])
    np.testing.assert_allclose(held_course(course, np.zeros(7)), [0.1, 0.1, 0.2, 0.2, 0.2, 0.4, 0.4])
    np.testing.assert_allclose(held_course(np.full(5, np.nan), np.full(5, 1.2)), 1.2)
