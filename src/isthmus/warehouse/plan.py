"""Decides how a list of rows is read: row by row, in joined stretches, or all rows with the others dropped.

Taking row by row costs about the same for each row asked for; a scan costs the same however few are asked for.
Between them, rows that lie near each other are read in one stretch of the file: Lance joins reads that are less
than its block size apart, and several threads take at once. The crossings are measured by `python -m bench.lookup`
on 1 million rows of 4 KB. On an object store a request costs far more than the bytes it brings, so the crossings
lie far lower there.
"""

from __future__ import annotations

import enum

LOCAL_JOINED, LOCAL_SCAN = 0.04, 0.90
REMOTE_JOINED, REMOTE_SCAN = 0.002, 0.05
ALWAYS_TAKE = 64
"""So few rows are always taken: opening a scan costs more."""

JOINED_BYTES = 256 * 1024
"""Reads that are less than this apart become one in a joined take."""


class Plan(enum.Enum):
    """How the rows are read."""

    TAKE = "take by row id"
    JOINED = "take by row id, reading near rows in one stretch"
    SCAN = "scan all and keep the asked ones"


def choose(asked: int, rows: int, *, local: bool = True) -> Plan:
    """Choose the plan for `asked` of `rows` rows."""
    if asked <= ALWAYS_TAKE:
        return Plan.TAKE
    joined, scan = (LOCAL_JOINED, LOCAL_SCAN) if local else (REMOTE_JOINED, REMOTE_SCAN)
    if asked < joined * rows:
        return Plan.TAKE
    return Plan.JOINED if asked < scan * rows else Plan.SCAN
