"""Storage shards on both sites: which bucket a file belongs to, and on which shard each side keeps a bucket.

A table's files fall into 4,096 buckets: by a hash of the table, the column and the file for `hash(KEY)`, in turn
for `roundrobin`, into all of them for `replicated`. A side with n shards keeps bucket b on shard b mod n. Where
one side has a multiple of the other's shards, each shard of the larger side then deals with exactly one of the
smaller, and as few buckets as possible stand on shards of different numbers; other numbers are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from blake3 import blake3

from isthmus.core.errors import InputError
from isthmus.recovery.eligibility import Distribution

BUCKETS = 4096
ALL = -1
"""The bucket of a file that every shard keeps."""


@dataclass(frozen=True, slots=True)
class Lane:
    """What one shard here exchanges with one shard there: that many buckets."""

    local: int
    remote: int
    buckets: int


@dataclass(frozen=True, slots=True)
class Shards:
    """How many storage shards each side has. Raises ValueError where neither number is a multiple of the other."""

    local: int = 1
    remote: int = 1

    def __post_init__(self) -> None:
        small, large = sorted((self.local, self.remote))
        if not 1 <= small <= large <= BUCKETS or large % small:
            raise ValueError(f"of {self.local} and {self.remote} shards neither is a multiple of the other")

    def here(self, bucket: int) -> tuple[int, ...]:
        """Return the shards on this side that keep a bucket: exactly one, but all for `ALL`."""
        return _shards(bucket, self.local)

    def there(self, bucket: int) -> tuple[int, ...]:
        """Return the shards on the other side that keep a bucket: exactly one, but all for `ALL`."""
        return _shards(bucket, self.remote)

    def lanes(self) -> list[Lane]:
        """List which shards deal with one another, sorted."""
        larger = max(self.local, self.remote)
        count = [len(range(shard, BUCKETS, larger)) for shard in range(larger)]
        lanes = [Lane(shard % self.local, shard % self.remote, count[shard]) for shard in range(larger)]
        return sorted(lanes, key=lambda lane: (lane.local, lane.remote))

    def lane(self, bucket: int) -> int:
        """Return which pair of shards deals with a bucket, from 0; `ALL` for what every shard keeps."""
        return ALL if bucket == ALL else bucket % max(self.local, self.remote)

    def swapped(self) -> Shards:
        """Return the same as the other side sees it."""
        return Shards(self.remote, self.local)


def prepare(local_dn: int, remote_dn: int) -> Shards:
    """Accept the numbers of shards here and on the other side. Raises InputError with numbers that would fit."""
    for count, option in ((local_dn, "--local-dn-num"), (remote_dn, "--remote-dn-num")):
        if not 1 <= count <= BUCKETS:
            raise InputError(f"{option} is {count}", f"a site has 1 to {BUCKETS} shards")
    try:
        return Shards(local_dn, remote_dn)
    except ValueError as error:
        small, large = sorted((local_dn, remote_dn))
        below, above = large // small * small, (large // small + 1) * small
        fits = f"{below} or {above}" if above <= BUCKETS else str(below)
        raise InputError(str(error), f"with {small} on one side, {fits} would do on the other") from error


def bucketed(
    distribution: str, identity: str, paths: Iterable[str], known: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Give each file of a table its bucket: `known` ones keep theirs, whatever came or went beside them.

    `identity` is the table's. New files of a table in turn (`roundrobin`) fill the buckets that hold fewest of it,
    from a first one that each table has for itself. Raises InputError for what is no distribution.
    """
    kind = Distribution.parse(distribution)
    before = known or {}
    wanted = sorted(set(paths))
    if kind.kind == "replicated":
        return dict.fromkeys(wanted, ALL)
    if kind.kind == "hash":
        return {path: _hash(identity, kind.key, path) for path in wanted}
    found = {path: before[path] for path in wanted if path in before}
    held = [0] * BUCKETS
    for bucket in found.values():
        held[bucket] += 1
    first = _hash(identity)
    turn = sorted(range(BUCKETS), key=lambda bucket: (held[bucket], (bucket - first) % BUCKETS))
    at, level = 0, held[turn[0]]
    for path in wanted:
        if path in found:
            continue
        if at == BUCKETS or held[turn[at]] > level:  # all that held fewest have one more now: begin another turn
            turn.sort(key=lambda bucket: (held[bucket], (bucket - first) % BUCKETS))
            at, level = 0, held[turn[0]]
        found[path] = turn[at]
        held[turn[at]] += 1
        at += 1
    return found


def _shards(bucket: int, count: int) -> tuple[int, ...]:
    return tuple(range(count)) if bucket == ALL else (bucket % count,)


def _hash(*parts: str) -> int:
    """Hash texts to a bucket: BLAKE3 over each part behind its length, its first 8 bytes, little-endian."""
    raw = b"".join(len(part.encode()).to_bytes(4, "little") + part.encode() for part in parts)
    return int.from_bytes(blake3(raw).digest()[:8], "little") % BUCKETS
