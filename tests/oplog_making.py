"""Makes oplog entries for tests, and differences of two documents in the form of `$v: 2`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any

import bson
from bson.int64 import Int64
from bson.timestamp import Timestamp

from isthmus.gallery.memory import MemoryDocuments, MemoryWaiting
from isthmus.gallery.oplog.engine import Engine, Outcome
from isthmus.gallery.oplog.entry import CODEC, RawEntry
from isthmus.gallery.oplog.namespaces import Namespaces
from isthmus.gallery.record import Held

WALL = datetime.datetime(2026, 11, 20, 8, 30)
NS = "airport.people"
UI = bson.Binary(bytes(range(16)), 4)


class Site:
    """An engine and what it works on."""

    def __init__(self, namespaces: Namespaces | None = None) -> None:
        self.documents, self.waiting = MemoryDocuments(), MemoryWaiting()
        self._namespaces = namespaces or Namespaces()

    def apply(self, *raws: bytes) -> Outcome:
        """Apply entries as one application does and add up what they did."""
        engine = Engine(self.documents, self.waiting, self._namespaces)
        outcomes = [engine.apply(RawEntry(raw)) for raw in raws]
        return Outcome(
            sum(one.applied for one in outcomes),
            sum(one.skipped for one in outcomes),
            tuple(refusal for one in outcomes for refusal in one.refused),
        )

    def all(self, ns: str = NS) -> list[dict[str, Any]]:
        """Return a collection's documents."""
        return self.documents.documents(ns)

    def one(self, key: Any = 1, ns: str = NS) -> dict[str, Any] | None:
        """Return one document."""
        return self.documents.get(ns, key)

    def bytes(self) -> dict[str, list[bytes]]:
        """Return everything as BSON, so that types and the order of fields count."""
        return {ns: [_written(one) for one in found] for ns, found in self.documents.everything().items()}


def _written(document: dict[str, Any]) -> bytes:
    image = document.get("url")
    if isinstance(image, Held):
        document["url"] = {"digest": image.digest, "size": image.size, "text": image.text}
    return bson.encode(document, codec_options=CODEC)


def entry(op: str, ns: str, o: Any, number: int = 1, **more: Any) -> bytes:
    """Write an entry; `number` is its place in the oplog."""
    fields = {"op": op, "ns": ns, "o": o, "ts": Timestamp(1_700_000_000, number), "t": Int64(1), "v": Int64(2)}
    return bson.encode({**fields, "wall": WALL, **more}, codec_options=CODEC)


def insert(document: dict[str, Any], number: int = 1, ns: str = NS, **more: Any) -> bytes:
    return entry("i", ns, document, number, **more)


def delete(key: Any, number: int = 1, ns: str = NS, **more: Any) -> bytes:
    return entry("d", ns, {"_id": key}, number, **more)


def update(key: Any, o: dict[str, Any], number: int = 1, ns: str = NS, **more: Any) -> bytes:
    return entry("u", ns, o, number, o2={"_id": key}, **more)


def change(key: Any, diff: Any, number: int = 1, ns: str = NS, **more: Any) -> bytes:
    return update(key, {"$v": 2, "diff": diff}, number, ns, **more)


def command(o: dict[str, Any], number: int = 1, database: str = "airport", **more: Any) -> bytes:
    return entry("c", f"{database}.$cmd", o, number, **more)


def several(operations: Iterable[dict[str, Any]], number: int = 1, **more: Any) -> bytes:
    return entry("c", "admin.$cmd", {"applyOps": list(operations)}, number, **more)


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Make the difference that leads from one document to another, fields in order; empty where they are alike."""
    kept: list[str] = []
    places = {name: place for place, name in enumerate(before)}
    last = -1
    for name in after:
        if places.get(name, -1) <= last:
            break
        kept.append(name)
        last = places[name]
    made: dict[str, Any] = {"d": {}, "u": {}, "i": {}, "b": {}}
    inner: dict[str, Any] = {}
    for name in before:
        if name not in after:
            made["d"][name] = False
    for name in kept:
        old, new = before[name], after[name]
        if _same(old, new):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            inner[f"s{name}"] = difference(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            inner[f"s{name}"] = _array_difference(old, new)
        elif isinstance(old, bytes) and isinstance(new, bytes) and old[:1] == new[:1] and old[:1]:
            same = next(
                (at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
            )
            made["b"][name] = {"o": same, "d": new[same:]}
        else:
            made["u"][name] = new
    for name in list(after)[len(kept) :]:
        made["i"][name] = after[name]
    return {**{name: part for name, part in made.items() if part}, **inner}


def _array_difference(before: list[Any], after: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"a": True}
    if len(after) < len(before):
        made["l"] = len(after)
    for index, new in enumerate(after):
        old = before[index] if index < len(before) else None
        if index < len(before) and _same(old, new):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            made[f"s{index}"] = difference(old, new)
        elif isinstance(old, list) and isinstance(new, list):
            made[f"s{index}"] = _array_difference(old, new)
        else:
            made[f"u{index}"] = new
    return made


def _same(one: Any, other: Any) -> bool:
    return bson.encode({"": one}) == bson.encode({"": other})
