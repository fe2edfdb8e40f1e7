"""Who is the primary: judged from what a site knows of itself and what the other one reports. No I/O.

The epoch decides, and it only ever grows. A site takes over by making an epoch of its own that is higher than any
it has heard of; whoever hears of a higher epoch writes no more, before anything else:

1. A lower epoch than one's own says nothing: whoever reports it is fenced off as soon as it hears of this one.
2. A higher epoch outranks a primary, which is fenced from then on: also where a standby, or a site that is fenced
   itself, tells of it. For then this site was put back to what it was before that epoch.
3. A site that hands over, and hears that the very round was taken over, has nothing alone: it follows at once.
4. A standby follows whatever epoch is higher.
5. Two primaries of one epoch cannot come about by commands; where a restored disk makes them, both are fenced, and
   a person decides.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from isthmus.recovery.states import ROLE

RULING = ("primary", "yielding")
"""The roles of a site whose tables are the true ones; no two sites of a pair may have one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a site says that it is. `barrier` is the key of the round that it took over at, or handed over."""

    role: str
    epoch: int
    barrier: str = ""

    def __post_init__(self) -> None:
        if self.role not in ROLE.states or self.epoch < 1:
            raise ValueError(f"no site is {self.role!r} in epoch {self.epoch}")


class Verdict(enum.Enum):
    """What follows for a site."""

    STAY = "nothing changes"
    FENCE = "it writes no more"
    FOLLOW = "it becomes the standby of the site that took over"
    CATCH_UP = "the standby goes on with a later epoch"


def judge(own: Claim, other: Claim | None) -> Verdict:
    """Judge what another site's claim means for one's own."""
    if other is None or other.role == "independent" or other.epoch < own.epoch:
        return Verdict.STAY
    rules, later = other.role in RULING, other.epoch > own.epoch
    if own.role == "standby":
        return Verdict.CATCH_UP if rules and later else Verdict.STAY
    if own.role not in RULING:
        return Verdict.STAY
    if own.role == "yielding" and other.role == "primary" and later and other.barrier == own.barrier:
        return Verdict.FOLLOW
    return Verdict.FENCE if rules or later else Verdict.STAY


def next_epoch(*heard: int) -> int:
    """Return the epoch of a site that takes over: one more than any that it knows of."""
    return max(heard) + 1
