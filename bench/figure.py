"""One figure of the benchmark, with its peer measured in the same run."""

from __future__ import annotations

import contextlib
import random
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

SCRATCH = Path(__file__).resolve().parents[1] / "build" / "bench-data"


@dataclass(frozen=True, slots=True)
class Figure:
    """`holds` is None for a figure without a goal; `peer_value` is None where nothing is compared."""

    figure: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    goal: str = ""
    holds: bool | None = None


def show(figures: Iterable[Figure]) -> None:
    """Print figures as lines of a table."""
    print(f"{'figure':<58}{'value':>12} {'unit':<8}{'peer':<26}{'peer value':>12}  {'goal':<30}holds")
    for item in figures:
        peer = "" if item.peer_value is None else f"{item.peer_value:,.3f}"
        holds = {None: "", True: "yes", False: "NO"}[item.holds]
        line = f"{item.figure:<58}{item.value:>12,.3f} {item.unit:<8}{item.peer:<26}{peer:>12}"
        print(f"{line}  {item.goal:<30}{holds}")


@contextlib.contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Lend an empty folder, which is removed at the end."""
    folder = SCRATCH / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def median_s(work: Callable[[], object], times: int = 3) -> float:
    """Return the median wall time of some runs, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def medians_s(works: Mapping[str, Callable[[], object]], rounds: int, seed: int) -> dict[str, float]:
    """Return the median wall time of each work, in seconds: all of them in every round, in changing order.

    Whatever else the machine does for a while then meets all of them.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    dice = random.Random(seed)
    for _ in range(rounds):
        for name in dice.sample(list(works), len(works)):
            taken[name].append(median_s(works[name], 1))
    return {name: statistics.median(times) for name, times in taken.items()}
