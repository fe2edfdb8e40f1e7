"""Gathers the entries of a transaction until it is decided. Pure decisions over what waits.

A transaction of one entry is an `applyOps` with a session and `txnNumber`, and is applied at once, like an
`applyOps` without a session and like one with `multiOpType`, which is a bundle of retryable writes and no
transaction. A larger one is a chain of `applyOps`, each naming the one before it (`prevOpTime`): all but the
last are marked `partialTxn` and wait. The last one either is not marked, and decides, or is marked `prepare` and
waits too, for a `commitTransaction` or `abortTransaction`. Session and number name the transaction.

Entries wait as they come; the chain is put in order when it is decided. So an entry that came twice counts once, a
transaction that begins again begins anew, and one whose beginning never came is refused as a whole.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bson
from bson.timestamp import Timestamp

from isthmus.gallery.oplog.entry import CODEC, RawEntry
from isthmus.gallery.oplog.unusable import Unusable
from isthmus.gallery.ports import Waiting


@dataclass(frozen=True, slots=True)
class Gathered:
    """The entries whose operations are to be applied now, in order; with a `reason`, to be refused instead."""

    entries: tuple[RawEntry, ...]
    reason: str = ""


NOTHING = Gathered(())


def transaction_name(lsid: Any, number: Any) -> str:
    """Name a transaction by its session and number, in whatever order their fields were written.

    Raises Unusable where they name none.
    """
    if not isinstance(lsid, dict) or not isinstance(number, int):
        raise Unusable("it belongs to a transaction but names no session and number")
    canonical = bson.encode({"lsid": dict(sorted(lsid.items())), "txnNumber": int(number)}, codec_options=CODEC)
    return hashlib.blake2b(canonical, digest_size=20).hexdigest()


def gather(entry: RawEntry, waiting: Waiting) -> Gathered:
    """Take in a command entry and tell what is to be applied or refused because of it.

    Raises Unusable where it speaks of a transaction that it does not name.
    """
    command = entry.o if isinstance(entry.o, dict) else {}
    kind = next(iter(command), "")
    if kind == "applyOps":
        if "lsid" not in entry.fields or "txnNumber" not in entry.fields or entry.fields.get("multiOpType"):
            return Gathered((entry,))
        if command.get("partialTxn") or command.get("prepare"):
            return _keep(entry, waiting)
        if entry.previous is None:
            return Gathered((entry,))
    elif kind not in ("commitTransaction", "abortTransaction"):
        return Gathered((entry,))
    name = transaction_name(entry.lsid, entry.txn_number)
    kept = [RawEntry(raw) for raw in waiting.entries(name)]
    waiting.forget(name)
    if kind == "abortTransaction":
        return NOTHING
    if kind == "applyOps":
        return _decided((*_once(kept), entry), entry)
    parts = _once(kept)
    if not parts:
        return Gathered((entry,), "it commits a transaction whose operations never came")
    if not parts[-1].o.get("prepare"):
        return Gathered((*parts, entry), "it commits a transaction that was not prepared")
    return _decided(parts, parts[-1])


def _keep(entry: RawEntry, waiting: Waiting) -> Gathered:
    name = transaction_name(entry.lsid, entry.txn_number)
    if not isinstance(entry.ts, Timestamp) or not isinstance(entry.o["applyOps"], list):
        raise Unusable("it is a part of a transaction but has no time or no operations")
    if entry.previous is None:
        waiting.forget(name)
    waiting.add(name, entry.raw)
    return NOTHING


def _once(parts: Iterable[RawEntry]) -> tuple[RawEntry, ...]:
    """Order the entries as they were written, each once."""
    unique = {(part.ts.time, part.ts.inc): part for part in parts}
    return tuple(part for _, part in sorted(unique.items()))


def _decided(parts: tuple[RawEntry, ...], last: RawEntry) -> Gathered:
    """Check that the chain is whole."""
    if parts[0].previous is not None:
        return Gathered(parts, "the beginning of its transaction never came")
    for before, part in itertools.pairwise(parts):
        if part.previous != before.ts:
            return Gathered(parts, "a part of its transaction never came")
    told = last.o.get("count")
    found = sum(len(part.o["applyOps"]) for part in parts if isinstance(part.o["applyOps"], list))
    if told is not None and told != found:
        return Gathered(
            parts, f"its transaction has {found} operations, not the {str(told)[:20]} that it tells of"
        )
    return Gathered(parts)
