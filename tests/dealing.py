"""Deals tests to the suite's processes so that none has a long one left when the others have ended.

Each process gets a stretch of the list, of equal counts, and takes from the end of another's when it has done its
own. So long files are dealt out to all, and none stands near the end of a stretch. Between them stand short ones,
which compute while long ones wait for what they started.
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
LAST = 0.85
"""So far into a stretch long files stand at most."""

Group = list[int]


def dealt(files: Sequence[str], processes: int) -> list[int]:
    """Return the order in which to run tests, as indices into `files`: the file of each, file by file."""
    groups = [(file, list(of_one)) for file, of_one in groupby(range(len(files)), key=lambda index: files[index])]
    ranked = {file: rank for file, _ in groups for rank, start in enumerate(LONG) if file.startswith(start)}
    long = [tests for file, tests in sorted(groups, key=lambda group: ranked.get(group[0], 0)) if file in ranked]
    short = [tests for file, tests in groups if file not in ranked]
    order: list[int] = []
    for process in range(processes):
        mine = long[process::processes]
        room = (len(files) - len(order)) // (processes - process) - sum(map(len, mine))
        taken, short = _cut(short, max(0, room))
        order += _mixed(mine, taken, process / processes)
    return order + list(chain.from_iterable(short))


def _cut(groups: Sequence[Group], room: int) -> tuple[list[Group], list[Group]]:
    """Take so many tests from the beginning; return these and the rest, the file between them in both."""
    taken, rest = list[Group](), list[Group]()
    for tests in groups:
        some = tests[: max(0, room)]
        room -= len(some)
        taken += [some] if some else []
        rest += [tests[len(some) :]] if len(some) < len(tests) else []
    return taken, rest


def _mixed(long: Sequence[Group], short: Sequence[Group], phase: float) -> list[int]:
    """Put short files between long ones; with another `phase` (0 to 1) the long ones stand elsewhere."""
    count, before = sum(map(len, short)), 0
    placed = [(LAST * (number + phase) / len(long), 0, tests) for number, tests in enumerate(long)]
    for tests in short:
        placed.append((before / count, 1, tests))
        before += len(tests)
    return list(chain.from_iterable(tests for _, _, tests in sorted(placed, key=lambda one: one[:2])))
