"""The standby killed at random moments, for twenty seeds at every step."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from recovery_crashes import STEPS, Crashes, takes_over

pytestmark = pytest.mark.soak

SEEDS = 20


@pytest.mark.parametrize("seed", range(SEEDS))
def test_killed_at_steps_drawn_at_random_it_never_shows_anything_wrong(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    crashes = Crashes(tmp_path)
    crashes.round()
    crashes.level()
    crashes.round()
    crashes.level()
    for step in draw.sample(STEPS, len(STEPS)):
        for _ in range(2):  # every second round is full
            crashes.round()
            died = crashes.die(f"{step}#{draw.choice((1, 1, 1, 2, 3))}")
            crashes.whole()
            if died and draw.random() < 0.3:
                crashes.die(f"{draw.choice(STEPS)}#{draw.randint(1, 2)}")
                crashes.whole()
            crashes.level()
            if died:
                break
    crashes.round()
    crashes.die(draw.choice(STEPS))
    print(f"seed {seed}: killed {crashes.killed} times, 0 unreadable, 0 wrong")
    assert crashes.killed >= len(STEPS) // 4
    takes_over(crashes)
