from __future__ import annotations

import numpy as np
import pytest

from isthmus.loop.simulators.logreplay import LogReplay
from isthmus.loop.simulators.observation import Observation
from isthmus.loop.simulators.policy import policy
from isthmus.loop.simulators.port import TTC_CAP_S, Episode
from samples import needs_samples
from simulated_roads import real_scenes

pytestmark = needs_samples


def drive(name: str) -> list[Episode]:
    return list(LogReplay().episodes(real_scenes(), policy(name)))


@pytest.mark.parametrize("name", ["idm", "forecast"])
def test_real_traffic_is_driven_with_finite_figures_and_hardly_a_collision_at_fault(name: str) -> None:
    episodes = drive(name)
    assert len(episodes) >= 40
    for episode in episodes:
        assert np.isfinite(episode.ego).all()
        assert np.isfinite([episode.score, episode.progress, episode.progress_m]).all()
        assert 0.0 <= episode.score <= 1.0
        assert 0.0 <= episode.ttc_min_s <= TTC_CAP_S
        assert episode.progress < 3.0
    assert np.mean([episode.at_fault for episode in episodes]) < 0.05
    assert np.mean([min(1.0, episode.progress) for episode in episodes]) > 0.85
    assert np.mean([episode.score for episode in episodes]) > 0.85


class Blind:
    """Accelerates whatever comes."""

    name = "blind"

    def reset(self) -> None: ...

    def __call__(self, seen: Observation) -> float:
        return 1.0


def test_one_that_never_looks_collides_at_fault_again_and_again() -> None:
    episodes = list(LogReplay().episodes(real_scenes(), Blind()))
    assert np.mean([episode.at_fault for episode in episodes]) > 0.1
    assert np.mean([episode.score for episode in episodes]) < 0.85


def test_the_record_itself_is_clean() -> None:
    episodes = drive("replay")
    assert not any(episode.collided for episode in episodes)
    assert all(episode.progress == pytest.approx(1.0, abs=1e-6) for episode in episodes)
    assert np.mean([episode.score for episode in episodes]) > 0.9
    for episode, scene in zip(episodes, real_scenes(), strict=True):
        away = np.hypot(*(episode.ego[:, :2] - scene.ego[episode.start :, :2]).T)
        assert away.max() < 1.5
