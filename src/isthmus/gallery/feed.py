"""Takes a foreign oplog into set 1 and into the stream: tailed from a MongoDB server, or read from a file.

Only what the rules take enters the stream, under its new name, so that whoever applies the stream needs no rules:

1. Inserts, updates and deletes of other namespaces are left out; renamed ones are written anew.
2. `applyOps` and transactions are gone through to the bottom. What is left of a transaction's entries stays, even
   when empty: its entries are a chain.
3. Other commands (create, drop, dropDatabase) enter as what they did to the collections that are taken; a rename
   between two of them enters in any case.
4. No-ops and commands that changed nothing do not enter.

Entries that need none of this enter byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import bson
from bson.timestamp import Timestamp

from isthmus.core.ports import Clock
from isthmus.gallery.inner import note_resume, resumed
from isthmus.gallery.oplog.engine import Engine, Outcome
from isthmus.gallery.oplog.entry import CODEC, RawEntry
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.record import Document
from isthmus.gallery.store import log
from isthmus.gallery.store.change import Change
from isthmus.gallery.store.quarantine import set_aside
from isthmus.gallery.store.sqlite import SqliteSet

_NOTHING_HERE = Outcome(skipped=1)
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
        recorder = _Recorder(change)
        engine = Engine(recorder, change, self._namespaces)
        now = self._clock.now()
        applied = skipped = refused = 0
        latest: Timestamp | None = None
        for entry in self._set.intake.ahead(batch):
            recorder.clear()
            if isinstance(entry.ts, Timestamp):
                latest = entry.ts
            outcome = engine.apply(entry)
            applied += outcome.applied
            skipped += outcome.skipped
            refused += len(outcome.refused)
            for refusal in outcome.refused:
                set_aside(change, refusal.ns, refusal.reason, refusal.entry, now)
            if outcome == _NOTHING_HERE and entry.op in ("i", "u", "d"):
                continue  # left out by the rules, or a delete of nothing
            for raw in taken(entry, self._namespaces, recorder):
                log.append(change, raw, now.timestamp())
        change.bound_quarantine(self._set.bounds.quarantined)
        if latest is not None:
            note_resume(change.connection, change.set_id, self._source, latest)
        return Fed(len(batch), applied, skipped, refused)


class _Recorder:
    """Hands changes on to the documents and writes down what commands do, as commands of their own."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self.commands: list[tuple[str, Document]] = []
        self.place: str | None = None
        self.get, self.namespaces = change.get, change.namespaces

    def clear(self) -> None:
        self.commands.clear()
        self.place = None

    def put(self, ns: str, document: Document) -> None:
        self.place = ns
        self._change.put(ns, document)

    def delete(self, ns: str, key: Any) -> bool:
        self.place = ns
        return self._change.delete(ns, key)

    def create(self, ns: str) -> None:
        self._note(ns, {"create": ns.partition(".")[2]})
        self._change.create(ns)

    def drop(self, ns: str) -> None:
        self._note(ns, {"drop": ns.partition(".")[2]})
        self._change.drop(ns)

    def drop_database(self, database: str) -> None:
        self.commands.append((f"{database}.$cmd", {"dropDatabase": 1}))
        self._change.drop_database(database)

    def rename(self, ns: str, to: str) -> None:
        self._note(ns, {"renameCollection": ns, "to": to, "dropTarget": True})
        self._change.rename(ns, to)

    def _note(self, ns: str, command: Document) -> None:
        self.commands.append((f"{ns.partition('.')[0]}.$cmd", command))


def taken(entry: RawEntry, namespaces: Namespaces, done: _Recorder) -> Iterator[bytes]:
    """Write what of an entry enters the stream, knowing what its application came down to."""
    fields = entry.fields
    if entry.op in ("i", "u", "d"):
        kept = _operation(fields, namespaces)
        if done.place not in (
            None,
            kept and kept["ns"],
        ):  # it found its collection by the UUID, under another name
            kept = {name: value for name, value in fields.items() if name != "ui"} | {"ns": done.place}
        if kept is not None:
            yield entry.raw if kept is fields else _raw(kept)
    elif entry.op == "c" and isinstance(entry.o, dict):
        if "applyOps" in entry.o:
            kept = _operation(fields, namespaces)
            if kept is not None:
                yield entry.raw if kept is fields else _raw(kept)
        elif any(name in entry.o for name in ("commitTransaction", "abortTransaction")):
            yield entry.raw
        elif (renamed := _renamed(fields, entry.o, namespaces)) is not None:
            yield entry.raw if renamed is fields else _raw(renamed)
        else:
            rest = {name: value for name, value in fields.items() if name != "o2"}
            for ns, command in done.commands:
                yield _raw({**rest, "ns": ns, "o": command})


def _renamed(fields: Document, o: Document, namespaces: Namespaces) -> Document | None:
    """Return a rename between two collections that are taken; None for anything else.

    It enters even where there was nothing to rename: entries that come again find their collection by it.
    """
    old, new = o.get("renameCollection"), o.get("to")
    if not isinstance(old, str) or not isinstance(new, str) or next(iter(o)) != "renameCollection":
        return None
    source, target = namespaces.of(old), namespaces.of(new)
    if source is None or target is None:
        return None
    if (source, target) == (old, new):
        return fields
    return {
        **fields,
        "ns": f"{source.partition('.')[0]}.$cmd",
        "o": {**o, "renameCollection": source, "to": target},
    }


def _operation(fields: Document, namespaces: Namespaces) -> Document | None:
    """Return an operation as it is taken, itself where nothing is to be changed; None where it is left out."""
    op, ns, o = fields.get("op"), fields.get("ns"), fields.get("o")
    if op == "c" and isinstance(o, dict) and isinstance(o.get("applyOps"), list):
        return _apply_ops(fields, o, namespaces)
    if op in ("i", "u", "d") and isinstance(ns, str):
        name = namespaces.of(ns)
        return None if name is None else fields if name == ns else {**fields, "ns": name}
    if op == "c" and isinstance(ns, str) and isinstance(o, dict) and isinstance(o.get("create"), str):
        name = namespaces.of(f"{ns.partition('.')[0]}.{o['create']}")  # the one command that transactions may have
        if name is None:
            return None
        database, _, collection = name.partition(".")
        same = f"{database}.$cmd" == ns and collection == o["create"]
        return fields if same else {**fields, "ns": f"{database}.$cmd", "o": {**o, "create": collection}}
    return fields  # what the engine sets aside, it sets aside everywhere alike


def _apply_ops(fields: Document, o: Document, namespaces: Namespaces) -> Document | None:
    inner: list[Any] = o["applyOps"]
    kept = [_operation(item, namespaces) if isinstance(item, dict) else item for item in inner]
    if all(new is old for new, old in zip(kept, inner, strict=True)):
        return fields
    left = [item for item in kept if item is not None]
    chained = "prevOpTime" in fields or any(name in o for name in ("partialTxn", "prepare"))
    if not left and not chained:
        return None
    return {**fields, "o": {**o, "applyOps": left}}


def _raw(fields: Document) -> bytes:
    return bson.encode(fields, codec_options=CODEC)


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
