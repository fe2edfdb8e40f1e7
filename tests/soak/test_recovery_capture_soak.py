"""Cuts under commits and rounds killed at every step, many times: the counts are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cutting import cuts_under_commits
from primary_kills import (
    CONFIRM,
    FAIL,
    ROUND,
    check_killed_confirmation,
    check_killed_failure,
    check_killed_round,
    really,
)
from two_writers import rounds_under_writers

pytestmark = pytest.mark.soak
SEEDS = 20


def test_ten_thousand_cuts_under_commits_are_all_consistent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(told := cuts_under_commits(tmp_path, monkeypatch, cuts=10_000))
    assert told.inconsistent == 0
    assert told.once > 1000
    assert told.per_second >= 100, "the machine was too busy to prove anything: let it run by itself"


def test_in_five_minutes_of_two_writers_that_compact_and_clean_up_no_round_fails(tmp_path: Path) -> None:
    print(told := rounds_under_writers(tmp_path, seconds=300))
    assert told.failed == 0
    assert told.commits > 1000 and told.compactions > 100


def test_a_primary_killed_at_every_step_is_left_with_nothing_half_done(tmp_path: Path) -> None:
    done = 0
    for seed in range(SEEDS):
        for check, steps in (
            (check_killed_round, ROUND),
            (check_killed_confirmation, CONFIRM),
            (check_killed_failure, FAIL),
        ):
            for at in steps:
                check(tmp_path / f"{seed}-{check.__name__}-{at}", at, really)
                done += 1
    print(f"{done} rounds and confirmations killed, 0 left anything behind, every next round succeeded")
