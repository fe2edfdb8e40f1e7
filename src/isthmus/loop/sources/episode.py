"""Runs one episode of highway-env and records it. Imported only where a simulation is read.

The road is stepped directly at 10 Hz, without observations, rewards and windows. highway-env's y axis points
down (its left is at smaller y); records are right-handed, so y and heading change their sign here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import MissingExtra
from isthmus.loop.record import Record, Track

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame comes along with highway-env: never open a window
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
try:
    from highway_env.envs.highway_env import HighwayEnv
    from highway_env.envs.intersection_env import IntersectionEnv
    from highway_env.envs.merge_env import MergeGenericEnv
    from highway_env.envs.roundabout_env import RoundaboutEnv
    from highway_env.road.regulation import RegulatedRoad
    from highway_env.vehicle.behavior import IDMVehicle
    from highway_env.vehicle.controller import MDPVehicle
    from highway_env.vehicle.objects import Landmark
except ImportError as error:
    raise MissingExtra.named("highway-env", "loop") from error

DT = 0.1
_HINT_MARGIN_M = 50.0
_HINT_STEP_M = 5.0
_JOINED_M = 0.5
_ACTIONS = ("LANE_LEFT", "IDLE", "LANE_RIGHT", "FASTER", "SLOWER")


@dataclass(frozen=True, slots=True)
class Episode:
    """What decides an episode: the same values give the same record, bit for bit."""

    seed: int
    scenario: str
    policy: str
    density: float
    duration_s: float
    vehicles: int
    lanes: int
    near_m: float


class Follower(IDMVehicle):  # type: ignore[misc]
    """Everybody but the ego; unlike highway-env's own, it stands where it would roll backwards."""

    def act(self, action: Any = None) -> None:
        """Decide, then brake to a stand at most."""
        super().act(action)
        self.action["acceleration"] = max(self.action["acceleration"], -max(float(self.speed), 0.0) / DT)


class Crosser(Follower):
    """Everybody at an intersection. That scenario writes its parameters into the class: they must stay here."""


class Hurried(Follower):
    """The aggressive ego: half a second of headway, hard throttle, lane changes for a small gain."""

    TIME_WANTED = 0.5
    DISTANCE_WANTED = 2.0 + IDMVehicle.LENGTH
    COMFORT_ACC_MAX = 5.0
    LANE_CHANGE_MIN_ACC_GAIN = 0.05
    LANE_CHANGE_MAX_BRAKING_IMPOSED = 6.0


class Neighbours:
    """Answers as `Road.neighbour_vehicles` does, with each lane's coordinates computed once a step."""

    def __init__(self, road: Any) -> None:
        self._road = road
        self._lanes: dict[tuple[Any, ...], list[float | None]] = {}
        self._others: list[Any] = []

    def forget(self) -> None:
        """Start a new step: the vehicles have moved."""
        self._lanes.clear()
        self._others = [
            other for other in self._road.vehicles + self._road.objects if not isinstance(other, Landmark)
        ]

    def __call__(self, vehicle: Any, lane_index: Any = None) -> tuple[Any, Any]:
        """Return the vehicles ahead and behind on a lane, None where there is none."""
        lane_index = lane_index or vehicle.lane_index
        if not lane_index:
            return None, None
        own = float(self._road.network.get_lane(lane_index).local_coordinates(vehicle.position)[0])
        front = rear = None
        front_s, rear_s = math.inf, -math.inf
        for other, s in zip(self._others, self._along(lane_index), strict=True):
            if s is None or other is vehicle:
                continue
            if own <= s <= front_s:
                front_s, front = s, other
            elif rear_s < s < own:
                rear_s, rear = s, other
        return front, rear

    def _along(self, lane_index: Any) -> list[float | None]:
        key = tuple(lane_index)
        if key not in self._lanes:
            lane = self._road.network.get_lane(lane_index)
            self._lanes[key] = [self._on(lane, other) for other in self._others]
        return self._lanes[key]

    @staticmethod
    def _on(lane: Any, other: Any) -> float | None:
        s, lateral = lane.local_coordinates(other.position)
        return float(s) if lane.on_lane(other.position, s, lateral, margin=1) else None


def record_episode(episode: Episode, record_id: str, leak_group: str) -> Record:
    """Run an episode and record the ego and all that come near it. It ends early where the ego collides."""
    env = _environment(episode)
    env.reset(seed=episode.seed)
    ego = _seat(env, episode)
    neighbours = Neighbours(env.road)
    env.road.neighbour_vehicles = neighbours
    chance = np.random.default_rng(episode.seed)
    names: dict[int, str] = {id(ego): "ego"}
    alive: dict[int, Any] = {id(ego): ego}  # holds every vehicle ever seen, so that no id comes twice
    rows: dict[int, list[tuple[float, ...]]] = {}
    number_of = _lane_numbers(env.road.network)
    for step in range(round(episode.duration_s / DT) + 1):
        for vehicle in env.road.vehicles:
            alive.setdefault(id(vehicle), vehicle)
            names.setdefault(id(vehicle), f"v{len(names):03d}")
            x, y = vehicle.position
            lane = number_of.get(tuple(vehicle.lane_index), -1)
            rows.setdefault(id(vehicle), []).append((step, x, -y, -vehicle.heading, vehicle.speed, lane))
        if ego.crashed:
            break
        if step % 10 == 9:
            _each_second(env, ego, episode.policy, chance)
        neighbours.forget()
        env.road.act()
        _advance(env.road)
    env.close()
    tracks = tuple(
        _track(names[key], alive[key], np.array(rows[key], np.float64))
        for key in names
        if key in rows and _near(rows[key], rows[id(ego)], episode.near_m)
    )
    tags = ("simulation", episode.scenario, f"policy_{episode.policy}", density_tag(episode.density))
    return Record(
        record_id=record_id,
        dt=DT,
        tracks=tracks,
        leak_group=leak_group,
        tags=(*tags, "collision") if ego.crashed else tags,
        egos=("ego",),
        lanes=tuple(_hints(env.road.network, tracks)),
    )


def density_tag(density: float) -> str:
    """Name a density: sparse below 0.8, dense from 1.5 on."""
    return "density_sparse" if density < 0.8 else "density_dense" if density >= 1.5 else "density_normal"


def _environment(episode: Episode) -> Any:
    kind = _everybody(episode)
    common = {
        "simulation_frequency": round(1 / DT),
        "policy_frequency": 1,
        "duration": episode.duration_s,
        "other_vehicles_type": f"{kind.__module__}.{kind.__name__}",
    }
    crowd = max(1, episode.vehicles)
    if episode.scenario == "highway":
        own = {"lanes_count": episode.lanes, "vehicles_count": crowd, "vehicles_density": episode.density}
        return HighwayEnv(config={**common, **own})
    if episode.scenario == "merge":
        own = {
            "lanes_count": episode.lanes,
            "vehicles_count": crowd,
            "before_merge_length": max(80.0, 150.0 / episode.density),
            "after_merge_length": 150.0 + 32.0 * episode.duration_s,  # the road lasts as long as the episode
        }
        return MergeGenericEnv(config={**common, **own})
    if episode.scenario == "roundabout":
        return RoundaboutEnv(config=common)
    spawn = min(1.0, 0.6 * episode.density)
    return IntersectionEnv(config={**common, "initial_vehicle_count": crowd, "spawn_probability": spawn})


def _everybody(episode: Episode) -> type[Follower]:
    return Crosser if episode.scenario == "intersection" else Follower


def _seat(env: Any, episode: Episode) -> Any:
    """Put the policy at the wheel: on a highway in the middle of the traffic, else where the scenario says."""
    vehicles, old = env.road.vehicles, env.vehicle
    place = next(i for i, vehicle in enumerate(vehicles) if vehicle is old)
    if episode.scenario == "highway":
        vehicles[place] = Follower.create_from(old)
        place = len(vehicles) // 2
    taken = vehicles[place]
    if episode.policy == "idm":
        ego = _everybody(episode).create_from(taken)
    elif episode.policy == "aggressive":
        ego = Hurried.create_from(taken)
        ego.target_speed = 1.3 * max(taken.target_speed, taken.speed)
    else:
        ego = MDPVehicle(
            env.road,
            taken.position,
            heading=taken.heading,
            speed=taken.speed,
            target_lane_index=taken.target_lane_index,
            target_speed=taken.target_speed,
            target_speeds=env.action_type.target_speeds,
            route=taken.route,
        )
    vehicles[place] = ego
    env.controlled_vehicles = [ego]
    return ego


def _each_second(env: Any, ego: Any, policy: str, chance: np.random.Generator) -> None:
    if policy == "random":
        ego.act(_ACTIONS[int(chance.integers(len(_ACTIONS)))])
    if isinstance(env, IntersectionEnv):
        env._clear_vehicles()
        env._spawn_vehicle(spawn_probability=env.config["spawn_probability"])


def _advance(road: Any) -> None:
    """Step the road as `Road.step` does, looking for collisions only among vehicles that are close."""
    if isinstance(road, RegulatedRoad):
        road.step(DT)
        return
    for vehicle in road.vehicles:
        vehicle.step(DT)
    place = np.array([vehicle.position for vehicle in road.vehicles])
    speed = max((abs(float(vehicle.speed)) for vehicle in road.vehicles), default=0.0)
    reach = max((float(vehicle.diagonal) for vehicle in road.vehicles), default=0.0) + speed * DT
    apart = np.hypot(*(place[:, None] - place[None, :]).transpose(2, 0, 1))
    for first, second in zip(*np.nonzero(np.triu(apart <= reach, k=1)), strict=True):
        road.vehicles[first].handle_collisions(road.vehicles[second], DT)
    for vehicle in road.vehicles:
        for thing in road.objects:
            vehicle.handle_collisions(thing, DT)


def _near(rows: list[tuple[float, ...]], ego: list[tuple[float, ...]], near_m: float) -> bool:
    way = {row[0]: (row[1], row[2]) for row in ego}
    return any(row[0] in way and math.dist(way[row[0]], row[1:3]) <= near_m for row in rows)


def _track(name: str, vehicle: Any, rows: NDArray[np.float64]) -> Track:
    speed = rows[:, 4]
    accel = np.gradient(speed, DT) if len(speed) > 1 else np.zeros(len(speed))
    heading = np.remainder(rows[:, 3] + math.pi, 2 * math.pi) - math.pi
    return Track(
        agent_id=name,
        step=rows[:, 0].astype(np.int32),
        x=rows[:, 1].astype(np.float32),
        y=rows[:, 2].astype(np.float32),
        heading=heading.astype(np.float32),
        v=speed.astype(np.float32),
        a=accel.astype(np.float32),
        length=float(vehicle.LENGTH),
        width=float(vehicle.WIDTH),
        lane=rows[:, 5].astype(np.int32),
    )


def _lane_indices(network: Any) -> Iterator[tuple[tuple[Any, ...], Any]]:
    for origin, ways in network.graph.items():
        for target, lanes in ways.items():
            for number, lane in enumerate(lanes):
                yield (origin, target, number), lane


def _lane_numbers(network: Any) -> Mapping[tuple[Any, ...], int]:
    """Number the lanes; a lane that goes on in another keeps its number, so that a new number is a lane change."""
    lanes = list(_lane_indices(network))
    group = list(range(len(lanes)))
    for i, (_, lane) in enumerate(lanes):
        end = lane.position(lane.length, 0)
        for j, (_, other) in enumerate(lanes):
            if i != j and np.hypot(*(other.position(0, 0) - end)) < _JOINED_M and group[i] != group[j]:
                old, new = group[j], group[i]
                group = [new if number == old else number for number in group]
    order = {number: place for place, number in enumerate(dict.fromkeys(group))}
    return {index: order[group[i]] for i, (index, _) in enumerate(lanes)}


def _hints(network: Any, tracks: tuple[Track, ...]) -> Iterator[NDArray[np.float32]]:
    """Draw the centre lines of the lanes where the agents were, a point every 5 m."""
    x = np.concatenate([track.x for track in tracks])
    y = np.concatenate([track.y for track in tracks])
    low, high = np.array([x.min(), y.min()]) - _HINT_MARGIN_M, np.array([x.max(), y.max()]) + _HINT_MARGIN_M
    for _, lane in _lane_indices(network):
        along = np.linspace(0.0, float(lane.length), max(2, math.ceil(float(lane.length) / _HINT_STEP_M) + 1))
        line = np.array([lane.position(s, 0) for s in along], np.float64) * (1.0, -1.0)
        inside = ((line >= low) & (line <= high)).all(axis=1)
        if inside.sum() >= 2:
            yield line[inside].astype(np.float32)
