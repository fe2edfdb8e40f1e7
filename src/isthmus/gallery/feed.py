"""Takes a foreign oplog into set 1 and into the stream: tailed from a MongoDB server, or read from a file.

Only what the rules take enters the stream, under its new name, and set 1 applies the stream as everybody else
does: so nobody needs the rules, and all stand alike. What becomes of an entry:

1. Inserts, updates and deletes of other namespaces are left out; renamed ones are written anew.
2. `applyOps` and transactions are gone through to the bottom; a no-op stands for what is left out, so that the
   number of operations stays the one that the transaction tells.
3. Commands are treated as the collection that they speak of. A rename to where nothing is taken from becomes a
   drop; one from there is set aside, for its documents are not known here. The end of a database becomes the end
   of those of its collections that are taken.
4. No-ops are left out.

Entries that need none of this enter byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import bson
from bson.timestamp import Timestamp

from isthmus.core.ports import Clock
from isthmus.gallery.inner import note_resume, resumed
from isthmus.gallery.oplog.engine import Engine
from isthmus.gallery.oplog.entry import CODEC, RawEntry
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.record import Document
from isthmus.gallery.store import log
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import EVERYTHING
from isthmus.state.audit import Audit

_NOTHING: Document = {"op": "n", "ns": "", "o": {}}
_BATCH_ENTRIES = 1000
_BATCH_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fed:
    """What came of foreign entries: operations applied, left out or without effect, set aside with a reason."""

    entries: int = 0
    applied: int = 0
    skipped: int = 0
    refused: int = 0

    def plus(self, other: Fed) -> Fed:
        """Add two."""
        return Fed(
            self.entries + other.entries,
            self.applied + other.applied,
            self.skipped + other.skipped,
            self.refused + other.refused,
        )


class Feed:
    """Feeds a set from one foreign oplog, `source`; remembers how far it came with what it brought."""

    def __init__(self, held: SqliteSet, namespaces: Namespaces, clock: Clock, source: str) -> None:
        self._set, self._namespaces, self._clock, self._source = held, namespaces, clock, source
        self._audit = Audit(held.store, clock)
        with held.changing() as change:
            log.begin(change)

    def resume(self) -> Timestamp | None:
        """Return the `ts` of the last entry that was taken; None before the first."""
        with self._set.store.transaction() as connection:
            row = connection.execute("SELECT id FROM stream_set WHERE stream = ?", (self._set.stream,)).fetchone()
            return resumed(connection, row["id"], self._source)

    def take(self, entries: Iterable[RawEntry]) -> Fed:
        """Apply entries, a batch in each transaction, and put them into the stream.

        Raises what reading the entries raises; the batches before it are committed.
        """
        total = Fed()
        for batch in _batches(entries):
            with self._set.changing() as change:
                total = total.plus(self._batch(change, batch))
                self._set.step("applied")
        return total

    def _batch(self, change: Change, batch: list[RawEntry]) -> Fed:
        engine = Engine(change, change, EVERYTHING)
        now = self._clock.now()
        applied = skipped = refused = 0
        latest: Timestamp | None = None
        for entry in self._set.intake.ahead(batch):
            if isinstance(entry.ts, Timestamp):
                latest = entry.ts
            kept = entry.flaw or taken(entry, self._namespaces, change.namespaces)
            skipped += not kept
            if isinstance(kept, str):
                refused += 1
                change.set_aside(str(entry.ns), kept, entry.raw, now)
                continue
            for one in kept:
                outcome = engine.apply(one)
                log.append(change, one.raw, now.timestamp())
                applied += outcome.applied
                skipped += outcome.skipped
                refused += len(outcome.refused)
                for refusal in outcome.refused:
                    change.set_aside(refusal.ns, refusal.reason, refusal.entry, now)
        change.bound_quarantine(self._set.bounds.quarantined)
        if latest is not None:
            note_resume(change.connection, change.set_id, self._source, latest)
        if applied:
            detail = f"{applied} operations up to {latest}"
            self._audit.note(
                self._source, "feed", subject=self._source, detail=detail, connection=change.connection
            )
        return Fed(len(batch), applied, skipped, refused)


def taken(entry: RawEntry, namespaces: Namespaces, present: Callable[[], list[str]]) -> list[RawEntry] | str:
    """Return what enters the stream in place of an entry, or why the entry is set aside.

    `present` lists the collections of the set.
    """
    fields, o = entry.fields, entry.o
    if entry.op == "n":
        return []
    command = next(iter(o), "") if entry.op == "c" and isinstance(o, dict) else ""
    if command == "dropDatabase" and isinstance(entry.ns, str) and not namespaces.plain:
        dropped = namespaces.of_database(entry.ns.partition(".")[0], present())
        return [_written(_command(fields, ns, {"drop": ns.partition(".")[2]})) for ns in dropped]
    if command == "renameCollection" and all(_named(name) for name in (o[command], o.get("to"))):
        source, target = namespaces.of(o[command]), namespaces.of(o["to"])
        if source is None:
            return [] if target is None else f"command: {target} comes from a collection that is left out"
        if target is None:
            return [_written(_command(fields, source, {"drop": source.partition(".")[2]}))]
        if (source, target) == (o[command], o["to"]):
            return [entry]
        return [_written(_command(fields, source, {**o, "renameCollection": source, "to": target}))]
    kept = _operation(fields, namespaces)
    if kept is None:
        return []
    return [entry if kept is fields else _written(kept)]


def _operation(fields: Document, namespaces: Namespaces) -> Document | None:
    """Return an operation as it is taken, itself where nothing is to be changed; None where it is left out.

    What makes no sense stays: the engine sets it aside, everywhere alike.
    """
    op, ns, o = fields.get("op"), fields.get("ns"), fields.get("o")
    if op in ("i", "u", "d") and _named(ns):
        name = namespaces.of(str(ns))
        return None if name is None else fields if name == ns else {**fields, "ns": name}
    if op != "c" or not isinstance(o, dict):
        return fields
    command, value = next(iter(o.items()), ("", None))
    if command == "applyOps" and isinstance(value, list):
        return _apply_ops(fields, o, namespaces)
    if not isinstance(ns, str) or not isinstance(value, str) or command == "renameCollection":
        return fields
    collection = f"{ns.partition('.')[0]}.{value}"
    name = namespaces.of(collection) if _named(collection) else collection
    if name is None:
        return None
    return fields if name == collection else _command(fields, name, {**o, command: name.partition(".")[2]})


def _apply_ops(fields: Document, o: Document, namespaces: Namespaces) -> Document | None:
    inner: list[Any] = o["applyOps"]
    kept = [_operation(item, namespaces) if isinstance(item, dict) else item for item in inner]
    if all(new is old for new, old in zip(kept, inner, strict=True)):
        return fields
    chained = "prevOpTime" in fields or any(name in o for name in ("partialTxn", "prepare"))
    if not chained and all(item is None for item in kept):
        return None
    return {**fields, "o": {**o, "applyOps": [_NOTHING if item is None else item for item in kept]}}


def _command(fields: Document, ns: str, command: Document) -> Document:
    rest = {name: value for name, value in fields.items() if name != "o2"}
    return {**rest, "ns": f"{ns.partition('.')[0]}.$cmd", "o": command}


def _named(ns: object) -> bool:
    return isinstance(ns, str) and all(ns.partition("."))


def _written(fields: Document) -> RawEntry:
    return RawEntry(bson.encode(fields, codec_options=CODEC))


def _batches(entries: Iterable[RawEntry]) -> Iterator[list[RawEntry]]:
    batch: list[RawEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.raw)
        if len(batch) >= _BATCH_ENTRIES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
