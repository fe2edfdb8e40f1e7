"""Recovery against an oracle: any order of changes, rounds, losses, deaths and changes of role.

After every step a standby shows exactly one barrier as it was sealed, never an earlier one than before; every
table of either site is what the oracle says; and once everything has arrived both sites come to hold the same.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from recovery_machine import TwoSites

EXAMPLES = int(os.environ.get("ISTHMUS_MODEL_EXAMPLES", "6"))


def test_a_standby_shows_one_sealed_barrier_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    TwoSites.total = Counter()
    run_state_machine_as_test(
        TwoSites,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            derandomize="ISTHMUS_MODEL_EXAMPLES" not in os.environ,  # the suite tries the same steps each time
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n{TwoSites.told()}")
