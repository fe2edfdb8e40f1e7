"""Drives the model of recovery for a number of steps, in two processes: `make model`.

    python tests/recovery_model_run.py [STEPS] [SEED]

The same seed takes the same steps, so that a change is held against what was tried before; another tries others.
Prints the number of steps, what they were, and how long it took; ends with 1 where the oracle found anything.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import time
from collections import Counter

PROCESSES = 2
STEPS = 20_000
A_SHARE = 100_000
"""So far apart are the seeds of the processes."""
OF_AN_EXAMPLE = 40
"""So many steps are taken at most with one pair of sites; hypothesis often takes fewer."""


def drive(steps: int, first: int) -> tuple[Counter[str], float]:
    """Take at least so many steps; return what was done, and the CPU seconds. Raises what the oracle finds.

    The first examples are drawn with the seed `first`, the next with those that follow it.
    """
    from hypothesis import HealthCheck, Phase, seed, settings
    from hypothesis.stateful import run_state_machine_as_test

    from recovery_machine import TwoSites

    for number in itertools.count(first):
        if TwoSites.total["steps"] >= steps:
            break
        left = steps - TwoSites.total["steps"]
        chosen = settings(
            max_examples=max(1, min(25, left // OF_AN_EXAMPLE)),
            stateful_step_count=OF_AN_EXAMPLE,
            deadline=None,
            database=None,
            print_blob=True,
            phases=(Phase.generate,),  # to shrink a story of two sites takes far longer than to read it
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        run_state_machine_as_test(seed(number)(TwoSites), settings=chosen)
    return TwoSites.total, time.process_time()


def main() -> None:
    """Share the steps among processes, and tell what came of them."""
    steps, seed = (*map(int, sys.argv[1:]), *(STEPS, 0)[len(sys.argv) - 1 :])
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        shares = [(-(-steps // PROCESSES), seed + number * A_SHARE) for number in range(PROCESSES)]
        found = pool.starmap(drive, shares, chunksize=1)
    total = sum((counted for counted, _ in found), Counter[str]())
    deaths = sum(name.startswith("died at ") for name in total)
    taken, took = total.pop("steps"), time.perf_counter() - began
    deeds = [f"{name} {count:,}" for name, count in sorted(total.items()) if not name.startswith("died at ")]
    print(f"{taken:,} steps by the model of recovery in {took:.0f} s, {sum(cpu for _, cpu in found):.0f} s of CPU")
    print(f"{', '.join(deeds)}; deaths at {deaths} named steps")


if __name__ == "__main__":
    main()
