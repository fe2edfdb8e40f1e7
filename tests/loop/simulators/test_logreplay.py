from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import InputError
from isthmus.core.progress import Progress
from isthmus.loop.scene import Scene, V, X, Y
from isthmus.loop.simulators.logreplay import LogReplay, LogReplaySettings
from isthmus.loop.simulators.observation import Observation
from isthmus.loop.simulators.policy import POLICIES, policy
from simulated_roads import Car, scene


class Always:
    """A policy that always answers the same."""

    name = "always"

    def __init__(self, acceleration: float) -> None:
        self.acceleration = acceleration

    def reset(self) -> None: ...

    def __call__(self, seen: Observation) -> float:
        return self.acceleration


def slowing(top: float, steps: int = 80, rate: float = 2.0) -> np.ndarray:
    return np.maximum(0.0, top - rate * 0.1 * np.maximum(0, np.arange(steps) - 25))


@pytest.mark.parametrize("name", ["idm", "forecast"])
def test_behind_a_standing_leader_the_ego_stops_without_touching_it(name: str) -> None:
    road = scene(Car(0.0, slowing(10.0, 120)), Car(60.0, 0.0), steps=120)
    episode = LogReplay().episode(road, policy(name))
    assert not episode.collided
    assert episode.ego[-1, V] < 0.3
    assert 0.5 < episode.gap[-1] < 6.0
    assert episode.passed


def test_a_policy_that_never_brakes_runs_into_a_standing_leader_and_is_at_fault() -> None:
    road = scene(Car(0.0, slowing(10.0)), Car(60.0, 0.0))
    episode = LogReplay().episode(road, Always(0.0))
    assert episode.collided
    assert episode.at_fault
    assert episode.score == 0.0
    assert not episode.passed
    assert episode.ego[-1, X] + 4.8 == pytest.approx(60.0, abs=1.1)  # the episode ends with the collision
    assert episode.ttc_min_s < 0.2


def test_running_into_a_barrier_counts_half() -> None:
    road = scene(Car(0.0, slowing(10.0)), Car(60.0, 0.0, kind="barrier"))
    episode = LogReplay().episode(road, Always(0.0))
    assert episode.at_fault
    assert 0.0 < episode.score <= 0.5
    assert not episode.passed


def test_a_follower_that_runs_into_a_slower_ego_is_at_fault_itself() -> None:
    road = scene(Car(0.0, 10.0), Car(-12.0, 10.0))
    episode = LogReplay().episode(road, Always(-2.0))
    assert episode.collided
    assert not episode.at_fault
    assert episode.steps == 60
    assert episode.score > 0.0


def test_a_follower_that_ran_through_the_ego_is_no_leader_to_it() -> None:
    road = scene(Car(0.0, 10.0), Car(-12.0, 10.0), steps=120)
    episode = LogReplay().episode(road, Always(-2.0))
    assert episode.collided
    assert np.isnan(episode.gap).all()


def test_a_standing_ego_is_never_at_fault() -> None:
    road = scene(Car(0.0, 10.0), Car(150.0, 8.0, y=3.4, heading=math.pi + 0.03), steps=140)
    episode = LogReplay(LogReplaySettings(infer_red_lights=False)).episode(road, Always(-6.0))
    assert episode.ego[-1, V] == 0.0
    assert not episode.at_fault


@pytest.mark.parametrize("lane_after", [1, 2])
def test_a_touch_at_the_side_is_at_fault_only_while_the_ego_changes_lanes(lane_after: int) -> None:
    road = scene(Car(0.0, 10.0), Car(-4.5, 10.0, y=6.0, heading=-0.0), steps=80)
    states, lane = road.states.copy(), road.lane.copy()
    states[1, :, Y] = 6.0 - 0.08 * np.arange(80)  # drifts into the ego's side, and would pass through
    states[1, 60:] = np.nan
    lane[0] = 1
    lane[0, 50:] = lane_after
    changed = replace(road, states=states, lane=lane)
    episode = LogReplay(LogReplaySettings(ignore_contradictions=False)).episode(changed, policy("replay"))
    assert episode.collided
    assert episode.at_fault == (lane_after == 2)


def test_replay_drives_as_recorded() -> None:
    speeds = 8.0 + 2.0 * np.sin(np.arange(100) * 0.06)
    road = scene(Car(0.0, speeds), Car(25.0, speeds), Car(-20.0, speeds), Car(5.0, 12.0, y=3.6), steps=100)
    episode = LogReplay().episode(road, policy("replay"))
    assert episode.progress == pytest.approx(1.0, abs=1e-6)
    assert not episode.collided
    assert episode.comfort
    assert episode.score == pytest.approx(1.0)
    assert episode.start == 20
    assert np.abs(episode.ego[:, X] - road.ego[20:, X]).max() < 0.2
    assert episode.ego[:, :4] == pytest.approx(episode.recorded[:, :4], abs=1e-4)


def test_an_episode_ends_a_little_past_the_recorded_way() -> None:
    road = scene(Car(0.0, 8.0), Car(300.0, 15.0))
    episode = LogReplay().episode(road, Always(2.0))
    assert episode.steps < 60
    assert 5.0 < episode.ego[-1, X] - episode.ego[0, X] - 8.0 * 5.9 < 8.0
    assert episode.progress > 1.0
    assert episode.score <= 1.0


def test_replay_follows_a_bend_as_recorded() -> None:
    turn = np.arange(90) * 0.1 * 8.0 / 25.0 * 0.5
    road = scene(Car(0.0, 8.0), steps=90)
    road.states[0, :, X], road.states[0, :, Y] = 50 * np.sin(turn / 2), 50 * (1 - np.cos(turn / 2))
    road.states[0, :, 2] = turn / 2
    episode = LogReplay().episode(road, policy("replay"))
    away = np.hypot(*(episode.ego[:, :2] - road.ego[20:, :2]).T)
    assert away.max() < 0.3
    assert episode.score > 0.8


def test_without_two_seconds_to_spare_a_scene_starts_at_once() -> None:
    episode = LogReplay().episode(scene(Car(0.0, 10.0), steps=30), policy("idm"))
    assert episode.start == 0
    assert episode.steps == 30


def first_step(road: Scene) -> Scene:
    return replace(road, states=road.states[:, :1], lane=road.lane[:, :1], slowdown=road.slowdown[:1])


@pytest.mark.parametrize("name", POLICIES)
def test_two_steps_are_enough_and_one_is_refused(name: str) -> None:
    assert LogReplay().episode(scene(Car(0.0, 10.0), Car(20.0, 9.0), steps=2), policy(name)).steps == 2
    with pytest.raises(InputError, match="the ego must be present at two or more steps"):
        LogReplay().episode(first_step(scene(Car(0.0, 10.0))), policy(name))


def test_an_ego_that_is_absent_at_a_step_is_refused_with_the_name_of_the_scene() -> None:
    road = scene(Car(0.0, 10.0), scene_id="holed")
    road.states[0, 7] = np.nan
    with pytest.raises(InputError, match="holed"):
        LogReplay().episode(road, policy("idm"))


def test_one_that_overlaps_the_ego_in_the_record_itself_cannot_collide() -> None:
    road = scene(Car(0.0, 10.0), Car(1.0, 10.0, y=0.5))
    episode = LogReplay().episode(road, policy("replay"))
    assert not episode.collided
    assert episode.ignored == 1


def test_one_that_appears_inside_the_ego_cannot_collide() -> None:
    road = scene(Car(0.0, 10.0), Car(-15.0, 10.0, first=60))
    episode = LogReplay().episode(road, Always(-1.87))
    assert not episode.collided
    assert episode.ignored == 1


def test_a_stand_without_a_queue_is_taken_for_a_red_light_and_obeyed() -> None:
    speeds = np.concatenate([slowing(8.0, 90, 2.5), 1.5 * 0.1 * np.arange(30)])
    road = scene(Car(0.0, speeds), Car(0.0, 12.0, y=3.6), steps=120)
    stands = float(road.ego[89, X])
    obeyed = LogReplay().episode(road, policy("idm"))
    assert obeyed.ego[89 - 20, X] < stands + 1.0
    assert obeyed.ego[-1, X] > stands + 1.0
    ignored = LogReplay(LogReplaySettings(infer_red_lights=False)).episode(road, policy("idm"))
    assert ignored.ego[-1, X] > stands + 5.0
    assert ignored.ego[-1, V] > 3.0


def test_a_stand_in_a_queue_is_no_red_light() -> None:
    speeds = slowing(8.0, 120, 2.5)
    road = scene(Car(0.0, speeds), Car(8.0, np.where(np.arange(120) < 80, speeds, 6.0)), steps=120)
    episode = LogReplay().episode(road, policy("idm"))
    assert episode.ego[-1, X] > episode.recorded[-1, X] + 2.0  # the leader went on, and so does the ego


@settings(max_examples=examples(10), deadline=None)
@given(
    st.floats(3.0, 25.0),
    st.floats(0.0, 20.0),
    st.lists(st.floats(-3.0, 2.0), min_size=4, max_size=4),
    st.floats(0.8, 2.0),
)
def test_idm_never_hits_the_queue_that_it_joins_at_a_gap_a_driver_would_keep(
    speed: float, more: float, pushes: list[float], headway: float
) -> None:
    accelerations = np.repeat(pushes, 25)
    ahead = np.maximum(0.0, speed + np.concatenate([[0.0], np.cumsum(accelerations[1:]) * 0.1]))
    gap = 2.0 + headway * speed + more
    queue = [Car(4.8 + gap, ahead), Car(3 * (4.8 + gap), ahead)]
    road = scene(Car(0.0, ahead), *queue, steps=100)
    for name in ("idm", "forecast"):
        episode = LogReplay().episode(road, policy(name))
        assert not episode.collided
        assert np.isfinite(episode.score)


def test_the_same_scene_and_policy_give_the_same_episode() -> None:
    road = scene(Car(0.0, slowing(12.0)), Car(40.0, 3.0), Car(20.0, 9.0, y=3.5, heading=-0.05))
    drive = policy("forecast")
    first, other, again = (LogReplay().episode(one, drive) for one in (road, scene(Car(0.0, 5.0)), road))
    assert other.scene_id == first.scene_id
    assert np.array_equal(first.ego, again.ego)
    assert np.array_equal(first.gap, again.gap, equal_nan=True)
    assert first.score == again.score


def test_the_scene_itself_is_left_as_it_was() -> None:
    road = scene(Car(0.0, 10.0), Car(30.0, 5.0))
    before = road.states.copy()
    LogReplay().episode(road, policy("forecast"))
    assert np.array_equal(road.states, before)


def test_progress_is_told_scene_by_scene() -> None:
    told: list[Progress] = []
    roads = [scene(Car(0.0, 10.0), scene_id=name) for name in ("a", "b")]
    found = list(LogReplay().episodes(roads, policy("idm"), told.append))
    assert [episode.scene_id for episode in found] == ["a", "b"]
    assert [(progress.done, progress.total) for progress in told] == [(1, 2), (2, 2)]


def test_scenes_may_come_as_a_stream() -> None:
    stream = (scene(Car(0.0, 10.0), scene_id=name) for name in ("a", "b"))
    assert len(list(LogReplay().episodes(stream, policy("idm")))) == 2
