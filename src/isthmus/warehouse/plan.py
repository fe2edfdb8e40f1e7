"""Decides how a list of rows is read: row by row, or all rows with the others dropped.

Taking costs about the same for each row asked for; a scan costs the same however few are asked for. The crossing
is measured by `python -m bench.lookup` on 1 million rows of 4 KB: below it taking was faster. On an object store a
take is about one request a row, so the crossing lies far lower there.
"""

from __future__ import annotations

import enum

LOCAL_CROSSING = 0.2
REMOTE_CROSSING = 0.01
ALWAYS_TAKE = 64
"""So few rows are always taken: opening a scan costs more."""


class Plan(enum.Enum):
    """How the rows are read."""

    TAKE = "take by row id"
    SCAN = "scan all and keep the asked ones"


def choose(asked: int, rows: int, *, local: bool = True) -> Plan:
    """Choose the plan for `asked` of `rows` rows."""
    if asked <= ALWAYS_TAKE:
        return Plan.TAKE
    crossing = LOCAL_CROSSING if local else REMOTE_CROSSING
    return Plan.TAKE if asked < crossing * rows else Plan.SCAN
