from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from isthmus.loop.extract.dense import flatten, wrapped
from isthmus.loop.record import Track
from isthmus.loop.scene import HEADING, V, X, Y
from scripted_driving import clock, driver, record_of, rejects, scene_of, scenes


def without(track: Track, first: int, last: int) -> Track:
    kept = (track.step < first) | (track.step >= last)
    arrays = {name: getattr(track, name)[kept] for name in ("step", "x", "y", "heading", "v", "a")}
    return dataclasses.replace(track, **arrays)


def test_a_gap_of_half_a_second_is_closed_by_a_straight_line() -> None:
    whole = driver("ego", 10 * clock(4))
    scene = scene_of(without(whole, 12, 16))
    np.testing.assert_allclose(scene.ego[:, X], 10 * clock(4), atol=1e-4)
    assert scene.steps == 41


def test_a_longer_gap_parts_the_ego_into_two_scenes() -> None:
    found = scenes(record_of(without(driver("ego", 10 * clock(8)), 30, 36)))
    assert [scene.steps for scene in found] == [30, 45]
    assert [scene.scene_id for scene in found] == ["src.20261120.rec.ego.0", "src.20261120.rec.ego.1"]


def test_a_longer_gap_leaves_another_agent_absent_meanwhile() -> None:
    times = clock(6)
    scene = scene_of(driver("ego", 10 * times), without(driver("b", 20 + 10 * times), 20, 40))
    absent = np.isnan(scene.states[1]).all(axis=1)
    assert np.flatnonzero(absent).tolist() == list(range(20, 40))
    assert np.isfinite(scene.states[1][~absent]).all()
    assert (scene.lane[1] == -1).all()


def test_a_recording_at_another_rate_is_put_on_ten_hertz() -> None:
    slow = np.arange(21) * 0.25
    track = dataclasses.replace(driver("ego", 8 * slow), v=np.full(21, 8, np.float32))
    (scene,) = scenes(record_of(track, dt=0.25))
    assert (scene.dt, scene.steps) == (0.1, 51)
    np.testing.assert_allclose(scene.ego[:, X], 8 * clock(5), atol=1e-4)
    np.testing.assert_allclose(scene.ego[:, V], 8, atol=1e-5)


def test_a_recording_slower_than_the_longest_gap_gives_no_scene() -> None:
    (reject,) = rejects(record_of(driver("ego", np.arange(30.0)), dt=1.0))
    assert reject.reason == "too_short"


def test_headings_are_interpolated_the_short_way_round() -> None:
    count = 31
    heading = wrapped(np.pi - 0.05 + np.arange(count) * 0.02)
    whole = dataclasses.replace(driver("ego", -5 * clock(3)), heading=heading.astype(np.float32))
    scene = scene_of(without(whole, 1, 4))
    np.testing.assert_allclose(wrapped(scene.ego[:, HEADING] - heading), 0, atol=1e-5)


def test_the_nearest_agents_stay_and_the_far_ones_go() -> None:
    times = clock(3)
    others = [driver(f"o{gap}", gap + 10 * times) for gap in (50, 20, 80, 10, 30)]
    scene = scene_of(*others, driver("ego", 10 * times))
    assert scene.agent_ids == ("ego", "o10", "o20", "o30", "o50")
    (few,) = scenes(record_of(*others, driver("ego", 10 * times)), max_agents=3)
    assert few.agent_ids == ("ego", "o10", "o20")
    (alone,) = scenes(record_of(*others, driver("ego", 10 * times)), max_agents=1)
    assert alone.agent_ids == ("ego",)


def test_an_agent_that_passes_by_for_a_moment_counts_as_near() -> None:
    times = clock(10)
    scene = scene_of(driver("ego", 10 * times), driver("fast", -200 + 30 * times, 4.0))
    assert scene.agent_ids == ("ego", "fast")


def test_acceleration_that_the_source_lacks_comes_from_the_speed() -> None:
    times = clock(4)
    scene = scene_of(driver("ego", 20 * times - times**2), driver("b", 30 + 10 * times))
    np.testing.assert_allclose(scene.ego[5:-5, 4], -2, atol=0.05)
    np.testing.assert_allclose(scene.states[1, :, 4], 0, atol=0.01)
    known = dataclasses.replace(driver("ego", 10 * times), a=np.full(41, 0.7, np.float32))
    np.testing.assert_allclose(scene_of(known).ego[:, 4], 0.7)


def test_positions_are_told_from_the_egos_first_one() -> None:
    times = clock(3)
    scene = scene_of(driver("ego", 5000 + 10 * times, 300.0), driver("b", 5020 + 10 * times, 300.0))
    np.testing.assert_allclose(scene.origin, [5000, 300])
    np.testing.assert_allclose(scene.states[:, 0, [X, Y]], [[0, 0], [20, 0]], atol=1e-3)


def test_the_flat_tracks_hold_a_single_step_and_nothing_at_all() -> None:
    flat = flatten(record_of(driver("ego", [1.0, 2.0])), 0.5)
    one = dataclasses.replace(
        driver("b", [1.0, 2.0]),
        **{n: getattr(driver("b", [1.0, 2.0]), n)[:1] for n in ("step", "x", "y", "heading", "v", "a")},
    )
    assert flatten(record_of(one), 0.5).count.tolist() == [1]
    assert flat.count.tolist() == [2]
    assert len(flatten(record_of(), 0.5).states) == 0


@pytest.mark.parametrize(
    ("angle", "expected"), [(np.pi, np.pi), (-3.5 * np.pi, 0.5 * np.pi), (3 * np.pi / 2, -np.pi / 2), (0.3, 0.3)]
)
def test_angles_are_brought_into_one_turn(angle: float, expected: float) -> None:
    assert wrapped(np.array([angle]))[0] == pytest.approx(expected)
