"""Lane changes and cut-ins against a simulator that knows the lanes, which are hidden from the extraction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from isthmus.loop.extract.interaction import CUT_IN_M, cut_ins
from isthmus.loop.extract.lanes import changes_of_number, lane_changes
from isthmus.loop.extract.motion import motion_of
from isthmus.loop.record import Record, Track
from isthmus.loop.scene import Scene, X
from scripted_driving import record_of, scenes

EPISODES, STEPS, VEHICLES = 10, 120, 14
NEAR = 15  # steps between the true and the found moment
LENGTH = 5.0


@dataclass
class Score:
    hits: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return self.hits / (self.hits + self.wrong)

    @property
    def recall(self) -> float:
        return self.hits / (self.hits + self.missed)

    def count(self, truth: list[tuple[int, int]], found: list[tuple[int, int]]) -> None:
        """Match (agent, step) pairs one to one."""
        left = list(found)
        for agent, step in truth:
            near = [item for item in left if item[0] == agent and abs(item[1] - step) <= NEAR]
            if near:
                left.remove(near[0])
                self.hits += 1
            else:
                self.missed += 1
        self.wrong += len(left)


def episode(seed: int) -> Record:
    """Let vehicles that want to drive at different speeds overtake each other on three lanes."""
    gym = pytest.importorskip("gymnasium")
    pytest.importorskip("highway_env")
    from highway_env.vehicle.behavior import IDMVehicle

    settings = {"vehicles_count": VEHICLES - 1, "lanes_count": 3, "vehicles_density": 2.0}
    environment = gym.make("highway-v0", config=settings)
    environment.reset(seed=seed)
    road = environment.unwrapped.road
    road.vehicles = [IDMVehicle.create_from(vehicle) for vehicle in road.vehicles]
    wish = np.random.default_rng(seed)
    for index, vehicle in enumerate(road.vehicles):
        vehicle.target_speed = wish.uniform(16, 32)
        vehicle.LANE_CHANGE_MAX_BRAKING_IMPOSED = 6.0  # and are not polite about it
        vehicle.enable_lane_change = index % 2 == 0  # half of them stay, so that others cut in on them
    seen = np.zeros((STEPS, VEHICLES, 6), np.float32)
    for step in range(STEPS):
        for index, vehicle in enumerate(road.vehicles):
            x, y = vehicle.position  # its y axis points to the right
            seen[step, index] = x, -y, -vehicle.heading, vehicle.speed, np.nan, vehicle.lane_index[2]
        road.act()
        road.step(0.1)
    environment.close()
    count = np.arange(STEPS, dtype=np.int32)
    tracks = [
        Track(str(i), count, *seen[:, i, :5].T, length=LENGTH, width=2.0, lane=seen[:, i, 5].astype(np.int32))
        for i in range(VEHICLES)
    ]
    return record_of(*tracks, egos=None, record_id=f"e{seed}")


def true_cut_ins(scene: Scene, calm: int) -> list[tuple[int, int]]:
    """List the agents that change into the ego's lane ahead of it while it keeps its own for `calm` steps."""
    own = changes_of_number(scene.lane[0])
    found = []
    for agent in range(1, len(scene.states)):
        lane = scene.lane[agent]
        for step in changes_of_number(lane):
            gap = float(scene.states[agent, step, X] - scene.ego[step, X]) - LENGTH
            stays = step + 5 < scene.steps and (lane[step : step + 5] == lane[step]).all()
            if lane[step] != scene.lane[0, step] or not stays or not -LENGTH / 2 < gap <= CUT_IN_M:
                continue
            if all(abs(step - change) > calm for change in own):
                found.append((agent, step))
    return found


@pytest.fixture(scope="module")
def scores() -> dict[str, Score]:
    result = {"lane change": Score(), "cut-in": Score()}
    for seed in range(EPISODES):
        known = episode(seed)
        hidden = dataclasses.replace(
            known, tracks=tuple(dataclasses.replace(track, lane=None) for track in known.tracks)
        )
        for truth, scene in zip(scenes(known), scenes(hidden), strict=True):
            assert (scene.lane == -1).all()
            motion = motion_of(scene)
            changes = lane_changes(scene, motion) or []
            result["lane change"].count(
                [(0, step) for step in changes_of_number(truth.lane[0])], [(0, step) for step in changes]
            )
            entering = [(item.agent, item.step) for item in cut_ins(scene, motion, changes)]
            must, may = true_cut_ins(truth, 30), true_cut_ins(truth, 0)
            # While the ego changes lanes itself, whose path it is that is entered is open: neither hit nor wrong.
            open_ones = [item for item in may if item not in must]
            entering = [
                (agent, step)
                for agent, step in entering
                if not any(agent == other and abs(step - at) <= NEAR for other, at in open_ones)
            ]
            result["cut-in"].count(must, entering)
    return result


def test_lane_changes_agree_with_the_simulators_lanes(scores: dict[str, Score]) -> None:
    score = scores["lane change"]
    assert score.hits + score.missed >= 30
    assert score.precision >= 0.85, score
    assert score.recall >= 0.9, score


def test_cut_ins_agree_with_the_simulators_lanes(scores: dict[str, Score]) -> None:
    score = scores["cut-in"]
    assert score.hits + score.missed >= 5
    assert score.precision >= 0.8, score
    assert score.recall >= 0.8, score
