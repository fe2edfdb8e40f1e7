"""Fixes the parts of a round: which contents travel, in pieces of which size, and the positions that they lead to.

A part holds files of one lane alone, which is a pair of shards (`shards`), and several parts are sent at a time:
so no shard waits for another one's files. Decisions alone, without I/O.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby

from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change, Named
from isthmus.recovery.part import Index, parted
from isthmus.recovery.round import Part
from isthmus.recovery.shards import Shards, bucketed

ALONE = Shards()
MANIFESTS = "_versions/"


@dataclass(frozen=True, slots=True)
class Content:
    """What travels: how large it is, where it lies as `<identity>/<path>`, and the lane that it goes by."""

    size: int
    place: str
    lane: int


def travelling(barrier: Barrier, held: Collection[bytes], shards: Shards = ALONE) -> dict[bytes, Content]:
    """Return the contents of a barrier that are not held over there, by BLAKE3.

    Data comes first, lane by lane, and manifests last, with the last lane; else in the order of tables and paths.
    """
    last = max(shards.local, shards.remote) - 1
    places = []
    for identity, files in barrier.files.items():
        data = [path for path in files if last and not path.startswith(MANIFESTS)]
        buckets = bucketed(barrier.tables[identity].distribution, identity, data)
        for path, file in files.items():
            lane = shards.lane(buckets[path]) if path in buckets else last
            places.append(((path.startswith(MANIFESTS), lane, identity, path), file))
    found: dict[bytes, Content] = {}
    for (_, lane, identity, path), file in sorted(places, key=lambda one: one[0]):
        if file.digest not in held:
            found.setdefault(file.digest, Content(file.size, f"{identity}/{path}", lane))
    return found


def parts_of(
    barrier: Barrier,
    prior: Barrier | None,
    held: Collection[bytes],
    base: Position,
    key: bytes,
    part_bytes: int,
    number: int,
    event: str = "",
    shards: Shards = ALONE,
    publications: Named | None = None,
) -> list[Part]:
    """Make the parts that lead from `base` to a barrier, at least one.

    `prior` is the barrier at `base`, None where a mark stands there: then everything is told anew. Contents that
    are `held` over there do not travel. `number` counts the rounds of the stream.
    """
    contents = travelling(barrier, held, shards)
    change = json.dumps(Change.between(prior, barrier, event, publications).to_json()).encode()
    lanes = [list(of_one) for _, of_one in groupby(contents.items(), key=lambda one: one[1].lane)]
    sizes = [[(digest, content.size) for digest, content in of_one] for of_one in lanes or [[]]]
    pieces = [part for of_one in sizes for part in parted(of_one, part_bytes)]
    digest, parts = base.digest, []
    for count, stretch in enumerate(pieces, 1):
        last = count == len(pieces)
        index = Index(barrier.key, count, last, stretch)
        digest = barrier.digest(key) if last else index.added_to(digest, key)
        size = sum(piece.length for piece in stretch)
        parts.append(
            Part(
                Position(base.epoch, base.seq + count, digest),
                barrier.key,
                False,
                size,
                {"round": number, "part": count, "parts": len(pieces), "pieces": len(stretch), "bytes": size},
                index.to_bytes(),
                tuple(contents[piece.digest].place for piece in stretch),
                change if last else None,
            )
        )
    return parts
