"""Changes of role by the fifty, and both sites killed at every step of them and of rounds: told in counts."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from recovery_pair_kills import SCENES, Stage, chosen
from recovery_pair_roles import failovers, switchovers

pytestmark = pytest.mark.soak
TIMES = 50
SEEDS = int(os.environ.get("ISTHMUS_KILL_SEEDS", "20"))


def test_fifty_switchovers_lose_no_row(tmp_path: Path) -> None:
    print(told := switchovers(tmp_path, TIMES))
    assert told.switchovers == TIMES and told.lost == 0


def test_fifty_failovers_and_failbacks_lose_what_no_round_had_and_move_what_differs(tmp_path: Path) -> None:
    print(told := failovers(tmp_path, TIMES))
    assert told.failovers == told.failbacks == told.kept_aside == TIMES
    assert told.lost == 0 and told.ratio <= 1.1 and told.bundle_ratio <= 1.1


@pytest.mark.parametrize("seed", range(SEEDS))
def test_sites_killed_at_every_step_come_together_by_turns_alone(tmp_path: Path, seed: int) -> None:
    stage, steps = Stage(tmp_path / "stage"), Counter[str]()
    for name in SCENES:
        for at in chosen(stage.steps(name), seed):
            into = tmp_path / f"{name}-{at}"
            stage.check(name, at, into, really=True)
            steps[stage.steps(name)[at - 1]] += 1
            shutil.rmtree(into)
    print(
        f"{stage.killed} kills at {len(steps)} steps in {len(SCENES)} scenes: 0 unreadable, 0 wrong, all converged"
    )
    assert stage.killed == steps.total()
