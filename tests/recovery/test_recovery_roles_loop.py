"""Changes of role again and again, and deaths on the way, few of each: the soak does many."""

from __future__ import annotations

from pathlib import Path

import pytest

from recovery_pair_kills import Stage, chosen
from recovery_pair_roles import failovers, switchovers


def test_switchovers_there_and_back_lose_no_row(tmp_path: Path) -> None:
    print(told := switchovers(tmp_path, 3))
    assert told.lost == 0


def test_failovers_and_failbacks_lose_what_no_round_had_and_move_what_differs(tmp_path: Path) -> None:
    print(told := failovers(tmp_path, 2))
    assert told.lost == 0 and told.kept_aside == told.beyond_the_last_round == 2
    assert told.ratio <= 1.1 and told.bundle_ratio <= 1.1


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"))


@pytest.mark.parametrize(
    ("scene", "step"),
    [
        ("a_takeover", "takeover noted"),
        ("a_failback", "failback parted"),
    ],
)
def test_a_site_that_dies_in_a_change_of_role_goes_on_by_turns(
    stage: Stage, tmp_path: Path, scene: str, step: str
) -> None:
    stage.check(scene, stage.steps(scene).index(step) + 1, tmp_path / "site", really=False)


def test_a_site_that_is_killed_in_a_change_of_role_goes_on_by_turns(stage: Stage, tmp_path: Path) -> None:
    at = chosen(stage.steps("a_takeover"), 7)[-1]
    stage.check("a_takeover", at, tmp_path / "site", really=True)
