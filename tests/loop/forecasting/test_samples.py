from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting_scenes import drive, made
from isthmus.core.errors import InputError
from isthmus.loop.forecast import HISTORY, HORIZON
from isthmus.loop.forecasting.frame import SLOTS, choose, globalize, localize, mirror
from isthmus.loop.forecasting.inputs import EGO_MIRROR, OTHER_MIRROR, inputs_of
from isthmus.loop.forecasting.samples import SHAPES, joined, samples_of
from isthmus.loop.scene import HEADING, Scene, V, X, Y


@given(st.integers(0, 10**6), st.floats(-3, 3), st.floats(-100, 100))
def test_a_sample_is_the_same_wherever_the_drive_lies_and_whichever_way_it_points(
    seed: int, turn: float, shift: float
) -> None:
    scene = drive("a", seed=seed, steps=54)
    moved = scene.states.astype(np.float64)
    x, y = moved[..., X].copy(), moved[..., Y].copy()
    moved[..., X] = x * np.cos(turn) - y * np.sin(turn) + shift
    moved[..., Y] = x * np.sin(turn) + y * np.cos(turn) - shift
    moved[..., HEADING] += turn
    here, there = samples_of(scene), samples_of(made("b", moved))
    np.testing.assert_allclose(here.seen, there.seen, atol=2e-3)
    np.testing.assert_allclose(here.future, there.future, atol=2e-3)


def test_the_frame_looks_ahead_along_x_and_left_along_y() -> None:
    states = np.zeros((2, 60, 5), np.float32)
    states[0, :, Y] = np.arange(60)  # northwards
    states[:, :, HEADING] = np.pi / 2
    states[:, :, V] = 10
    states[1, :, X], states[1, :, Y] = -3.5, np.arange(60) + 20.0  # ahead, in the lane to the left
    cut = samples_of(made("north", states), stride=5)
    assert cut.step.tolist() == [20, 25]
    np.testing.assert_allclose(cut.seen[0, 1, -1, [X, Y, HEADING, V]], [20, 3.5, 0, 10], atol=1e-4)
    np.testing.assert_allclose(cut.future[0, -1], [30, 0], atol=1e-4)


def test_slots_without_a_neighbour_stay_empty_and_the_nearest_come_first() -> None:
    now = np.array([[0, 0], [5, 0], [np.nan, np.nan], [2, 0], [500, 0]], np.float32)
    assert choose(now, np.array([0]))[0].tolist() == [0, 3, 1, *[-1] * (SLOTS - 3)]
    assert choose(now, np.array([3, 0]))[:, 0].tolist() == [3, 0]


def test_of_a_crowd_the_nearest_are_chosen_in_order() -> None:
    draw = np.random.default_rng(1)
    now = draw.uniform(-60, 60, (200, 2)).astype(np.float32)
    away = np.linalg.norm(now - now[7], axis=1)
    expected = [int(agent) for agent in np.argsort(away) if away[agent] <= 80][:SLOTS]
    assert choose(now, np.array([7]))[0].tolist() == expected


def test_what_was_not_seen_is_filled_as_if_the_first_speed_had_been_kept() -> None:
    raw = np.full((1, SLOTS, HISTORY, 5), np.nan, np.float32)
    raw[0, 0, -3:] = [[8, 0, 0, 10, 1], [9, 0, 0, 10, 1], [10, 0, 0, 10, 1]]
    raw[0, 1, :5] = 1.0  # was there, and is gone
    raw[0, 2, :3], raw[0, 2, -1] = 1.0, 2.0  # comes back: what was before the gap does not count
    local, _ = localize(raw)
    np.testing.assert_allclose(local[0, 0, :, X], np.arange(-20, 1), atol=1e-5)
    assert np.isnan(local[0, 1]).all()
    np.testing.assert_allclose(local[0, 2, :, V], 2.0)


@given(st.integers(0, 10**6))
def test_paths_come_back_from_the_frame_to_where_they_were_recorded(seed: int) -> None:
    scene = drive("a", seed=seed, steps=51)
    raw = np.full((1, SLOTS, HISTORY, 5), np.nan, np.float32)
    raw[0, 0] = scene.ego[:HISTORY]
    _, frame = localize(raw)
    back = globalize(samples_of(scene).future[:, None], frame)
    np.testing.assert_allclose(back[0, 0], scene.ego[HISTORY : HISTORY + HORIZON, :2], atol=1e-3)


@given(st.integers(0, 10**6))
def test_mirrored_inputs_are_the_inputs_of_the_mirrored_drive(seed: int) -> None:
    cut = samples_of(drive("a", seed=seed, steps=52))
    mine, theirs, _ = inputs_of(cut.seen, cut.size)
    mine_mirrored, theirs_mirrored, _ = inputs_of(mirror(cut.seen), cut.size)
    np.testing.assert_allclose(mine * EGO_MIRROR, mine_mirrored, atol=1e-5)
    np.testing.assert_allclose(theirs * OTHER_MIRROR, theirs_mirrored, atol=1e-5)
    assert np.isfinite(mine).all()
    assert np.isfinite(theirs).all()


@pytest.mark.parametrize("steps", [1, 21, 50])
def test_a_scene_too_short_for_past_and_future_gives_no_sample(steps: int) -> None:
    cut = samples_of(drive("short", steps=steps))
    assert len(cut) == 0
    assert cut.seen.shape == (0, *SHAPES["seen"][0])
    assert len(joined([cut, samples_of(drive("long", steps=51))])) == 1
    assert len(joined([])) == 0


def test_steps_of_another_length_are_refused() -> None:
    import dataclasses

    scene: Scene = dataclasses.replace(drive("a"), dt=0.2)
    with pytest.raises(InputError, match=r"steps of 0\.2 s"):
        samples_of(scene)
