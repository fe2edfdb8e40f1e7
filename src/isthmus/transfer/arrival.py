"""What becomes of one arrived bundle, decided without I/O.

A gatekeeper copies slowly, late, twice and in any order. So a bundle that does not verify is looked at again until
it has been the same for a while; one that verifies is kept until it is its turn; and whatever comes again under a
name that was dealt with is looked at anew. A bundle is one file or two, by its format; its stamp is that of all.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from isthmus.core.chain import Verdict, judge
from isthmus.core.digest import Digest
from isthmus.core.header import BundleName, Header, Kind
from isthmus.core.machine import Machine, Row
from isthmus.core.position import Position
from isthmus.transfer.naming import family
from isthmus.transfer.patience import Waited

ARRIVAL = Machine(
    "arrival",
    "seen",
    (
        Row("seen", "verified", "staged", "signature, key and every digest hold; a private copy is kept"),
        Row("seen", "unfinished", "growing", "it does not verify yet: it may still be growing"),
        Row("seen", "refused", "quarantined", "it never will: unknown key, too large, a later format"),
        Row("growing", "verified", "staged", "the rest has come"),
        Row("growing", "unfinished", "growing", "it has changed, and does not verify yet"),
        Row("growing", "refused", "quarantined", "it stayed as it is for the set time, or never will be right"),
        Row("staged", "begin", "applying", "it continues where the receiver stands, or replaces everything"),
        Row("staged", "duplicate", "duplicate", "it was applied before, with the same digest"),
        Row("staged", "beat", "noted", "a heartbeat: only how far the sender is"),
        Row("staged", "refused", "quarantined", "a fork, or an epoch that was ended"),
        Row("staged", "lost", "seen", "its copy was damaged, or made room for an earlier one"),
        Row("applying", "done", "applied", "the target committed it with its position"),
        Row("applying", "rolled back", "staged", "a crash or a full disk came before the commit"),
        Row("applying", "refused", "quarantined", "its content cannot be right here; nothing was committed"),
        Row("applied", "again", "seen", "another copy came under this name"),
        Row("duplicate", "again", "seen", "another copy came under this name"),
        Row("noted", "again", "seen", "another copy came under this name"),
        Row("quarantined", "again", "seen", "another copy came under this name: it may be the authentic one"),
    ),
)

BEAT_BYTES = 1 << 20
"""No heartbeat is larger."""

ENDED = frozenset(("applied", "duplicate", "noted", "quarantined"))


class Do(enum.Enum):
    """What a look at an arrived bundle calls for."""

    WAIT = "nothing now"
    TAKE = "copy and verify it; if it does not verify, it may be growing"
    LAST = "copy and verify it; if it does not verify, it never will"


@dataclass(frozen=True, slots=True)
class Noticed:
    """What is known of an arrived bundle without opening it.

    `stamp` is that of the last look, `tried` that of the last copy that was taken; `waited` counts how long the
    stamp has been the same.
    """

    state: str
    stamp: str
    tried: str
    waited: Waited


def looked(before: Noticed | None, stamp: str, now: datetime, settle_s: float) -> tuple[Noticed, Do]:
    """Decide what to do about a bundle that lies there with a stamp.

    1. What is new is tried at once: most bundles arrive whole.
    2. What did not verify is tried again when it has changed and then was the same twice: while it grows, reading
       it is for nothing.
    3. What did not verify and stays the same for `settle_s` is tried a last time.
    4. What is staged is left alone. What was dealt with is tried anew where another copy lies there.
    """
    if before is None:
        fresh = Noticed("seen", stamp, "", Waited(now))
        return fresh, Do.LAST if fresh.waited.enough(settle_s) else Do.TAKE
    if before.state in ENDED and stamp != before.tried:
        before = Noticed(ARRIVAL.next(before.state, "again"), stamp, "", Waited(now))
    same = stamp == before.stamp
    waited = before.waited.again(now, settle_s) if same else Waited(now)
    after = replace(before, stamp=stamp, waited=waited)
    if after.state not in ("seen", "growing"):
        return after, Do.WAIT
    if waited.enough(settle_s):
        return after, Do.LAST
    return after, Do.TAKE if same and stamp != after.tried else Do.WAIT


@dataclass(frozen=True, slots=True)
class Unit:
    """The files of one bundle that have arrived, by ending, under the name that bears the signature."""

    name: BundleName
    files: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """Whether all its files are there."""
        return set(self.files) == set(family(self.name.ending))


def units(names: Iterable[str], stream: str) -> list[Unit]:
    """Put arrived names of a stream together to bundles, in the order in which they are best dealt with."""
    found: dict[BundleName, dict[str, str]] = {}
    for text in names:
        name = BundleName.of(text)
        endings = family(name.ending) if name is not None and name.stream == stream else ()
        if name is not None and endings:
            found.setdefault(replace(name, ending=endings[-1]), {})[name.ending] = text
    return sorted((Unit(name, files) for name, files in found.items()), key=lambda unit: rank(unit.name))


def kind_of(name: BundleName) -> Kind:
    """Tell what a name says that a bundle is."""
    first = name.ending.split(".")[0]
    return Kind(first) if first in (Kind.SNAPSHOT.value, Kind.HEARTBEAT.value) else Kind.INCREMENT


def fits(name: BundleName, header: Header) -> bool:
    """Tell whether a name is the one of a bundle with this header."""
    until = header.until
    told = (header.stream, header.kind, until.epoch, until.seq)
    return told == (name.stream, kind_of(name), name.epoch, name.seq)


def rank(name: BundleName) -> tuple[int, int, bool, int]:
    """Order names by what they tell: position, heartbeats after what they speak of."""
    return name.epoch, name.seq, name.beat is not None, name.beat or 0


def verdicts(
    staged: Iterable[tuple[str, Header]], standing: Position | None, seen: Callable[[int, int], str | None]
) -> tuple[str, Verdict] | None:
    """Return the first staged bundle about which something is to be done, and what; None where all have to wait.

    `staged` is sorted by position. Increments come before snapshots: a snapshot replaces everything, so it is
    taken only where increments do not lead as far; then the one that is furthest on.
    """
    snapshot: str | None = None
    for unit, header in staged:
        verdict = judge(header, standing, seen)
        if verdict is Verdict.SNAPSHOT:
            snapshot = unit
        elif verdict is not Verdict.GAP:
            return unit, verdict
    return None if snapshot is None else (snapshot, Verdict.SNAPSHOT)


@dataclass(frozen=True, slots=True)
class Missing:
    """A stretch (since, until] of an epoch that has not come."""

    epoch: int
    since: int
    until: int


def missing(
    standing: Position | None, staged: Iterable[tuple[Position, Position]], latest: Position | None
) -> tuple[Missing, ...]:
    """List the stretches between where the receiver stands and the latest known position that are not staged.

    `staged` are the (since, until) of increments. Of a new epoch everything is missing up to what is known.
    """
    if latest is None or (standing is not None and latest.order <= standing.order):
        return ()
    reached = standing.seq if standing is not None and standing.epoch == latest.epoch else 0
    found = []
    pieces = sorted((since.seq, until.seq) for since, until in staged if until.epoch == latest.epoch)
    for since, until in [*pieces, (latest.seq, latest.seq)]:
        if since > reached:
            found.append(Missing(latest.epoch, reached, since))
        reached = max(reached, until)
    return tuple(found)


def needs_snapshot(standing: Position | None, latest: Position | None) -> bool:
    """Tell whether only a snapshot leads to the latest known position."""
    if latest is None:
        return False
    if standing is None:
        return latest.seq == 0 and latest.digest != Digest()
    return latest.epoch > standing.epoch


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be staged: so many bundles, so many bytes."""

    bundles: int
    size: int


def to_evict(
    coming: tuple[BundleName, int], staged: Sequence[tuple[BundleName, int]], room: Room
) -> list[str] | None:
    """Return which staged bundles make room for a coming one (name, bytes); None where it has to wait outside.

    Only what comes later by name makes room, the last first; a snapshot may displace any increment, since it can
    be applied at once, and a heartbeat needs no room. With nothing staged, everything has room.
    """
    name, size = coming
    if kind_of(name) is Kind.HEARTBEAT and size <= BEAT_BYTES:
        return []
    count, used = len(staged), sum(size for _, size in staged)
    evicted: list[str] = []
    urgent = kind_of(name) is Kind.SNAPSHOT
    for other, taken in sorted(staged, key=lambda one: rank(one[0]), reverse=True):
        if count < room.bundles and used + size <= room.size:
            break
        if not urgent and rank(other) <= rank(name):
            return None
        evicted.append(str(other))
        count, used = count - 1, used - taken
    return evicted
