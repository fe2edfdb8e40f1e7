"""Milliseconds per step of the log-replay simulator on NGSIM scenes, beside a step of highway-env.

A step is one decision of the policy and everything around it: preparing the scene, observing, forecasting at the
policy's cadence, moving, judging. The peer is highway-env with about as many vehicles, stepped at 10 Hz as lean
as it can be, without making an observation. Each is the best of three passes, since other work on the machine
only ever adds time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from bench.figure import Figure
from isthmus.loop.forecast import Forecaster
from isthmus.loop.forecasting.runtime import NumpyForecaster
from isthmus.loop.forecasting.shape import Shape
from isthmus.loop.scene import Scene
from isthmus.loop.simulators.highway import HighwayEnv, HighwaySettings
from isthmus.loop.simulators.logreplay import LogReplay
from isthmus.loop.simulators.policy import policy
from isthmus.loop.simulators.port import Episode
from samples import SAMPLES
from simulated_roads import Car, real_scenes, scene

GOAL_MS = 1.0
PASSES = 3


def run(scale: float = 1.0) -> list[Figure]:
    """Measure; `scale` below 1 takes fewer scenes. Without the NGSIM sample made-up scenes stand in."""
    scenes, where = _scenes(scale)
    crowd = round(float(np.mean([len(one.states) for one in scenes])))
    highway = HighwayEnv(HighwaySettings(episodes=2, vehicles=crowd, duration_s=10.0))
    peer_ms = _ms_per_step(lambda: list(highway.episodes((), policy("idm"))))
    peer = f"highway-env, {crowd} vehicles, idm"
    figures = []
    for name, forecaster, shown in (
        ("idm", None, "idm"),
        ("forecast", None, "forecast, constant velocity"),
        ("forecast", _network(), "forecast, network"),
    ):
        ms = _ms_per_step(_replays(scenes, name, forecaster))
        title = f"log replay, {shown}, {len(scenes)} {where} scenes"
        figures.append(Figure(title, ms, "ms/step", peer, peer_ms, f"< {GOAL_MS:g} ms/step", ms < GOAL_MS))
    return figures


def _scenes(scale: float) -> tuple[Sequence[Scene], str]:
    if (SAMPLES / "driving" / "ngsim").is_dir():
        found = real_scenes()
        return found[: max(4, round(len(found) * min(1.0, scale)))], "NGSIM"
    print(f"simulator: no NGSIM samples in {SAMPLES}, made-up scenes stand in", file=sys.stderr)
    cars = [Car(9.0 * place, 8.0, y=3.6 * (place % 3)) for place in range(22)]
    return [scene(*cars, scene_id=f"made.{number}") for number in range(max(4, round(40 * scale)))], "made-up"


def _replays(scenes: Sequence[Scene], name: str, forecaster: Forecaster | None) -> Callable[[], list[Episode]]:
    return lambda: list(LogReplay().episodes(scenes, policy(name, forecaster=forecaster)))


def _network() -> NumpyForecaster:
    """A network of the shape that training makes by default; its weights are chance, its time is that of any."""
    shape, chance = Shape(), np.random.default_rng(0)
    weights = {
        key: chance.normal(scale=0.01, size=size).astype(np.float32) for key, size in shape.weights().items()
    }
    return NumpyForecaster("untrained", shape, weights)


def _ms_per_step(drive: Callable[[], Sequence[Episode]]) -> float:
    best = float("inf")
    for _ in range(PASSES):
        begun = time.perf_counter()
        steps = sum(episode.steps for episode in drive())
        best = min(best, 1e3 * (time.perf_counter() - begun) / steps)
    return best
