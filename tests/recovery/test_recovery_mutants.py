"""The model of recovery finds planted bugs: each is found by a short run of deeds that a seed chooses."""

from __future__ import annotations

import pytest

from recovery_machine import Seeded
from recovery_mutants import MUTANTS

IN_THE_SUITE = (
    "the fence goes on to the barrier and keeps its tables",
    "the position is committed before the tables",
    "a renamed table keeps its old name",
    "the files of deleted rows are left behind",
    "a stale epoch's claim is heeded",
    "any round makes the standby take over",
    "writers are not kept out during a switchover",
    "a half round is kept at a failover",
)
"""Those that are found soonest; the others are planted in `make soak`."""

STEPS, SEEDS = 25, 40


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, marks=() if bug in IN_THE_SUITE else pytest.mark.soak) for bug in MUTANTS]
)
def test_a_planted_bug_is_found(bug: str, capsys: pytest.CaptureFixture[str]) -> None:
    found, steps = _found(bug)
    assert found is not None, f"{bug}: not found in {steps} steps"
    with capsys.disabled():
        what = str(found).partition("\n")[0][:100]
        print(f"\n{bug}: found after {steps} steps: {type(found).__name__}: {what}")


def _found(bug: str) -> tuple[Exception | None, int]:
    """What tells of the planted bug, and after how many steps."""
    plant, weights = MUTANTS[bug]
    taken = 0
    for seed in range(SEEDS):
        run = Seeded(seed, weights)
        try:
            with plant():
                run.run(STEPS)
        except Exception as found:  # noqa: BLE001 - what a reader trips over tells of the bug as well as the oracle
            return found, taken + run.steps
        taken += run.steps
    return None, taken


@pytest.mark.parametrize(
    "bug", [IN_THE_SUITE[0], *(pytest.param(bug, marks=pytest.mark.soak) for bug in IN_THE_SUITE[1:])]
)
def test_without_a_bug_the_same_deeds_find_nothing(bug: str) -> None:
    run = Seeded(0, MUTANTS[bug][1])
    run.run(STEPS)
    assert run.steps == STEPS


def test_there_are_as_many_planted_bugs_as_were_promised() -> None:
    assert len(MUTANTS) >= 10
    assert set(IN_THE_SUITE) <= set(MUTANTS)
