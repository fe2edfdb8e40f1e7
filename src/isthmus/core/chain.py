"""Judges a verified bundle against the position where a receiver stands. No I/O: only positions are compared.

1. A lower epoch is refused: its sender was fenced off.
2. A snapshot of a position further on is taken, whatever is missing in between: it heals gaps and begins epochs.
3. An increment is next where it begins exactly where the receiver stands, digest included.
4. What ends at or before the receiver's position was applied already, unless it tells another digest: then the two
   histories have parted, and a person has to look.
5. An increment that begins further on waits; what is missing in between is a gap.
6. A new epoch begins with a snapshot or with an increment from its seq 0 on an empty receiver.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from isthmus.core.header import Header, Kind
from isthmus.core.position import Position


class Verdict(enum.Enum):
    """What is to be done with a bundle."""

    NEXT = "apply it"
    SNAPSHOT = "apply it in place of everything"
    DUPLICATE = "drop it: it was applied already"
    GAP = "keep it until what is missing has come"
    FORK = "set it aside: it contradicts what was applied"
    STALE = "set it aside: it is of an epoch that was ended"
    BEAT = "note how far the sender is"


def judge(header: Header, standing: Position | None, seen: Callable[[int, int], str | None]) -> Verdict:
    """Judge a bundle for a receiver at `standing` (None: it holds nothing yet).

    `seen` tells the digest, as text, that the receiver had at (epoch, seq), or None where it never stood there or
    has forgotten.
    """
    until = header.until
    if standing is not None and until.epoch < standing.epoch:
        return Verdict.STALE
    if header.kind is Kind.HEARTBEAT:
        return Verdict.FORK if _parted(until, standing, seen) else Verdict.BEAT
    if standing is None:
        if header.kind is Kind.SNAPSHOT:
            return Verdict.SNAPSHOT
        begins = header.since == Position(header.since.epoch, 0)
        return Verdict.NEXT if begins else Verdict.GAP
    if until.epoch > standing.epoch:
        return Verdict.SNAPSHOT if header.kind is Kind.SNAPSHOT else Verdict.GAP
    if until.seq <= standing.seq:
        return Verdict.FORK if _parted(until, standing, seen) else Verdict.DUPLICATE
    if header.kind is Kind.SNAPSHOT:
        return Verdict.SNAPSHOT
    if header.since == standing:
        return Verdict.NEXT
    return Verdict.GAP if header.since.seq > standing.seq else Verdict.FORK


def _parted(until: Position, standing: Position | None, seen: Callable[[int, int], str | None]) -> bool:
    """Tell whether the receiver knows another digest of the position that a bundle ends at."""
    if standing is None or until.epoch != standing.epoch or until.seq > standing.seq:
        return False
    known = str(standing.digest) if until.seq == standing.seq else seen(until.epoch, until.seq)
    return known is not None and known != str(until.digest)
