"""Fixes the parts of a round: which contents travel, in pieces of which size, and the positions that they lead to.

Decisions alone, without I/O.
"""

from __future__ import annotations

import json
from collections.abc import Collection

from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, Change
from isthmus.recovery.part import Index, parted
from isthmus.recovery.round import Part


def travelling(barrier: Barrier, held: Collection[bytes]) -> dict[bytes, tuple[int, str]]:
    """Return the contents of a barrier that are not held over there: by BLAKE3 the size and `<identity>/<path>`.

    Data comes first and manifests last, else in the order of tables and paths.
    """
    places = [(identity, file) for identity, files in barrier.files.items() for file in files.values()]
    places.sort(key=lambda one: (one[1].path.startswith("_versions/"), one[0], one[1].path))
    found: dict[bytes, tuple[int, str]] = {}
    for identity, file in places:
        if file.digest not in held:
            found.setdefault(file.digest, (file.size, f"{identity}/{file.path}"))
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
) -> list[Part]:
    """Make the parts that lead from `base` to a barrier, at least one.

    `prior` is the barrier at `base`, None where a mark stands there: then everything is told anew. Contents that
    are `held` over there do not travel. `number` counts the rounds of the stream.
    """
    contents = travelling(barrier, held)
    change = json.dumps(Change.between(prior, barrier, event).to_json()).encode()
    pieces = list(parted([(digest, size) for digest, (size, _) in contents.items()], part_bytes))
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
                tuple(contents[piece.digest][1] for piece in stretch),
                change if last else None,
            )
        )
    return parts
