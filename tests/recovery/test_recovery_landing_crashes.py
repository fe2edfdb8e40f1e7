from __future__ import annotations

from pathlib import Path

import pytest

from recovery_crashes import STEPS, Crashes, takes_over


def test_killed_at_one_step_after_the_other_it_shows_one_barrier_and_goes_on_by_itself(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path)
    for _ in range(2):  # the second one is full, and finds tables, names and files of the first to replace
        crashes.round()
        crashes.level()
    crashes.round()
    crashes.round()
    for at in STEPS:
        assert crashes.die(at), f"it was never at {at}"
        crashes.whole()
    crashes.level()
    crashes.round()
    crashes.level()
    print(f"killed {crashes.killed} times")
    assert crashes.killed == len(STEPS)


@pytest.mark.parametrize("at", ["landing collision placed", "landing flipped"])
def test_killed_while_it_publishes_it_can_take_over(tmp_path: Path, at: str) -> None:
    crashes = Crashes(tmp_path)
    crashes.round()
    crashes.level()
    crashes.round()
    assert crashes.die(at)
    assert crashes.die("holding rewound", "rewind")
    takes_over(crashes)
