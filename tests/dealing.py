"""Deals tests to the suite's processes so that none has a long one left when the others have ended.

Each process gets a stretch of the list, of equal counts, and takes from the end of another's when it has done its
own. So long files are dealt out to all, and stand at the beginning of each stretch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby

LONG = (
    "tests/scenarios/",
    "tests/loop/runs/",
    "tests/loop/forecasting/",
    "tests/faces/console/",
    "tests/recovery/",
    "tests/acquire/",
    "tests/transfer/",
)
"""What the paths of files begin with whose tests take long, those that take longest first."""


def dealt(files: Sequence[str], processes: int) -> list[int]:
    """Return the order in which to run tests, as indices into `files`: the file of each, file by file."""
    groups = [(file, list(of_one)) for file, of_one in groupby(range(len(files)), key=lambda index: files[index])]
    ranked = {file: rank for file, _ in groups for rank, start in enumerate(LONG) if file.startswith(start)}
    long = sorted((group for group in groups if group[0] in ranked), key=lambda group: ranked[group[0]])
    short = list(chain.from_iterable(tests for file, tests in groups if file not in ranked))
    order: list[int] = []
    for process in range(processes):
        mine = list(chain.from_iterable(tests for _, tests in long[process::processes]))
        room = max(0, (len(files) - len(order)) // (processes - process) - len(mine))
        order += mine + short[:room]
        short = short[room:]
    return order + short
