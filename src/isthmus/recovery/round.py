"""A backup round, and the changes of the stream that it becomes: its parts, and the mark before a full one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from isthmus.core.digest import Digest, record_hash
from isthmus.core.position import Position

LIVE = ("SEND", "CONFIRM")
"""Rounds whose parts can be cut."""


@dataclass(frozen=True, slots=True)
class Round:
    """A backup round. `prior` is the key of the round that it leads on from, empty for a full one.

    `first_seq` and `last_seq` are the seqs of its parts, 0 until it is sealed; `bytes` is what of contents is in
    them and `files` how many contents; `at` is the moment of its barrier. `notes` tell of tables that were put
    back and files that are damaged at this site.
    """

    key: str
    prior: str
    state: str
    full: bool
    first_seq: int
    last_seq: int
    bytes: int
    files: int
    at: datetime | None
    error: str
    event: str = ""
    epoch: int = 1
    tables: int = 0
    rows: int = 0
    tries: int = 0
    begun: datetime | None = None
    sealed: datetime | None = None
    ended: datetime | None = None
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One change of the stream. A begin mark has no `round`; `passed` tells that the sender has gone beyond it;
    `size` is how many bytes of contents are in it.

    `body` is the index of a part or the member of a mark; `places` tells for each piece where its content lies in
    the round's folder; `change` is there in a round's last part.
    """

    position: Position
    round: str
    passed: bool
    size: int
    counts: Mapping[str, int]
    body: bytes
    places: tuple[str, ...] = ()
    change: bytes | None = None


def mark_after(position: Position, key: bytes, at: datetime) -> Part:
    """Make the mark behind a position: everything follows in parts, from nothing."""
    epoch, seq = position.epoch, position.seq + 1
    body = json.dumps({"epoch": epoch, "seq": seq, "at": at.astimezone(UTC).isoformat()}).encode()
    digest = Digest().plus(record_hash(key, b"begin", body))
    return Part(Position(epoch, seq, digest), "", False, 0, {}, body)
