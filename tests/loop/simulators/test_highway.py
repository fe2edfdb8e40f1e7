from __future__ import annotations

import sys

import numpy as np
import pytest

from isthmus.core.errors import MissingExtra
from isthmus.core.progress import Progress
from isthmus.loop.forecast import HISTORY, ConstantVelocity, Forecast
from isthmus.loop.scene import V, X, Y
from isthmus.loop.simulators.highway import HighwayEnv, HighwaySettings
from isthmus.loop.simulators.policy import policy
from isthmus.loop.simulators.port import Episode

SHORT = HighwaySettings(episodes=2, duration_s=4.0, vehicles=8)


def drive(name: str, settings: HighwaySettings = SHORT) -> list[Episode]:
    return list(HighwayEnv(settings).episodes((), policy(name)))


def test_the_same_seeds_give_the_same_episodes_and_others_give_others() -> None:
    first, again = drive("forecast"), drive("forecast")
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.ego, two.ego)
        assert one.score == two.score
    assert not np.array_equal(first[0].gap, first[1].gap, equal_nan=True)
    assert [episode.scene_id for episode in first] == ["highway_env.0", "highway_env.1"]


def test_idm_keeps_its_lane_and_hits_nobody() -> None:
    for episode in drive("idm", HighwaySettings(episodes=3, duration_s=10.0, vehicles=12, density=1.5)):
        assert not episode.collided
        assert np.ptp(episode.ego[:, Y]) < 0.05
        assert (np.diff(episode.ego[:, X]) > 0).all()
        assert (episode.ego[:, V] > 0).all()
        assert 0.5 < episode.progress < 1.5
        assert episode.steps == 101
        assert np.isnan(episode.recorded).all()
        assert np.isfinite([episode.score, episode.ttc_min_s, episode.progress_m]).all()


def test_one_that_never_brakes_runs_into_slower_traffic_and_is_at_fault() -> None:
    episodes = drive("replay", HighwaySettings(episodes=1, duration_s=15.0, vehicles=12, density=2.0))
    assert episodes[0].at_fault
    assert episodes[0].score == 0.0
    assert episodes[0].steps < 151


class Listening(ConstantVelocity):
    """Keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def __call__(self, states: np.ndarray, size: np.ndarray, of: np.ndarray) -> Forecast:
        self.shown.append(states)
        return super().__call__(states, size, of)


def test_a_forecaster_is_shown_two_seconds_with_nothing_before_the_start() -> None:
    listening = Listening()
    list(HighwayEnv(SHORT).episodes((), policy("forecast", forecaster=listening)))
    first, later = listening.shown[0], listening.shown[9]
    assert first.shape == (9, HISTORY, 5)
    assert np.isnan(first[:, :-1]).all()
    assert np.isfinite(first[:, -1]).all()
    assert np.isfinite(later).all()


def test_progress_is_told() -> None:
    told: list[Progress] = []
    list(HighwayEnv(SHORT).episodes((), policy("idm"), told.append))
    assert [(one.done, one.total) for one in told] == [(1, 2), (2, 2)]


def test_without_highway_env_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highway_env.envs.highway_env", None)
    with pytest.raises(MissingExtra, match=r"isthmus\[loop\]"):
        drive("idm")
