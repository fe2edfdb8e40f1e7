"""One oplog entry: its BSON as it came, what it says, and how Isthmus writes entries of its own.

The form is that of MongoDB's `local.oplog.rs` (protocol version 2): `op` is i, u, d, c or n, `ns` the namespace,
`o` the document, change or command, `o2` the key of an updated document, `ui` the collection's UUID, `ts` the
place in the oplog, `t` the election term, `wall` the time; entries of sessions also have `lsid`, `txnNumber` and
`prevOpTime`. Bytes are kept as they came, so that what cannot be applied is set aside unchanged.

Values are decoded so that encoding them again gives the same bytes: 64-bit integers stay 64-bit, dates beyond
Python's calendar stay milliseconds, UUIDs stay binary. Three old types have no form of their own in Python and
become the nearest one, alike on every side: undefined (null), symbol (text) and DBPointer (DBRef).
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.binary import Binary
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.int64 import Int64
from bson.timestamp import Timestamp

from isthmus.core.errors import Corrupt, InputError
from isthmus.gallery.record import Document

MOST_ENTRY_BYTES = 16 * 1024 * 1024 + 64 * 1024
"""MongoDB's largest document, 16 MiB, and room for what an entry says around it."""

MOST_DEPTH = 180
"""MongoDB's own bound on how deep documents are nested. One bound for all, so that every site judges alike."""

CODEC: CodecOptions[Document] = CodecOptions(
    document_class=dict, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)

_LENIENT = CODEC.with_options(unicode_decode_error_handler="replace")
_UNREADABLE = (BSONError, ValueError, TypeError, OverflowError, KeyError, RecursionError)
_LEAST_BYTES_A_LEVEL = 7  # length, type, an empty name, end


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry as bytes and as fields. Making one raises Corrupt where the bytes are no BSON document.

    One with a `flaw` is a whole document that nobody can apply, such as one with text that is no UTF-8: its fields
    are for telling which one it is, and the engine refuses it.
    """

    raw: bytes
    flaw: str = ""
    fields: Document = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", bson.decode(self.raw, _LENIENT) if self.flaw else decoded(self.raw))

    @classmethod
    def read(cls, raw: bytes) -> RawEntry:
        """Read an entry, with its flaw where it has one. Raises Corrupt where the bytes are no whole document."""
        try:
            return cls(raw)
        except Corrupt as error:
            try:
                return cls(raw, error.what)
            except _UNREADABLE:
                raise error from None

    @property
    def op(self) -> Any:
        """The kind of entry: i, u, d, c or n. None where it has none, as with every field here."""
        return self.fields.get("op")

    @property
    def ns(self) -> Any:
        """The namespace, `<database>.<collection>`."""
        return self.fields.get("ns")

    @property
    def ts(self) -> Any:
        """The place in the oplog: seconds, and a number within the second."""
        return self.fields.get("ts")

    @property
    def wall(self) -> Any:
        """The time at which it was written, by its server's clock."""
        return self.fields.get("wall")

    @property
    def ui(self) -> Any:
        """The UUID of the collection, as Binary of subtype 4."""
        return self.fields.get("ui")

    @property
    def o(self) -> Any:
        """The document, change or command."""
        return self.fields.get("o")

    @property
    def o2(self) -> Any:
        """What an update is about: {"_id": …}."""
        return self.fields.get("o2")

    @property
    def lsid(self) -> Any:
        """The session that wrote it."""
        return self.fields.get("lsid")

    @property
    def txn_number(self) -> Any:
        """The number of the transaction or retryable write within the session (`txnNumber`)."""
        return self.fields.get("txnNumber")

    @property
    def previous(self) -> Timestamp | None:
        """The `ts` of the entry before it in the same transaction (`prevOpTime`); None where it is the first."""
        linked = self.fields.get("prevOpTime")
        ts = linked.get("ts") if isinstance(linked, dict) else None
        return ts if isinstance(ts, Timestamp) and ts.time else None


def decoded(raw: bytes) -> Document:
    """Decode one BSON document. Raises Corrupt where it is none, or nested deeper than MOST_DEPTH."""
    try:
        document = bson.decode(raw, CODEC)
    except _UNREADABLE as error:
        raise Corrupt(f"not a BSON document: {_one_line(error)}", "get the file again from its origin") from error
    if len(raw) > MOST_DEPTH * _LEAST_BYTES_A_LEVEL and deeper_than(document, MOST_DEPTH):
        raise Corrupt(
            f"a document nested deeper than {MOST_DEPTH} levels", "no MongoDB server writes such entries"
        )
    return document


def deeper_than(value: object, levels: int) -> bool:
    """Tell whether documents and arrays in `value` lie more than `levels` deep, itself counted."""
    reached: list[object] = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        if not reached:
            return False
        reached = [
            inner
            for outer in reached
            for inner in (outer.values() if isinstance(outer, dict) else outer)  # type: ignore[attr-defined]
            if isinstance(inner, (dict, list))
        ]
    return bool(reached)


def key_bytes(key: Any) -> bytes:
    """Return the one form of an `_id` of any type: the BSON of {"_id": …}. Raises ValueError where it has none."""
    try:
        return bson.encode({"_id": key}, codec_options=CODEC)
    except (BSONError, OverflowError, TypeError, RecursionError) as error:
        raise ValueError(f"no BSON value can be made of the key: {_one_line(error)}") from error


def make_insert(
    ns: str,
    document: Mapping[str, Any],
    ts: Timestamp,
    wall: datetime.datetime,
    ui: Binary | None,
    *,
    term: int = 1,
) -> bytes:
    """Write the entry of a new document, which has an `_id`.

    Raises InputError where it cannot be an entry: no `_id`, a first field with a $, no BSON, more than
    MOST_ENTRY_BYTES.
    """
    return _written("i", ns, _whole(ns, document), None, ts, wall, ui, term)


def make_replace(
    ns: str,
    document: Mapping[str, Any],
    ts: Timestamp,
    wall: datetime.datetime,
    ui: Binary | None,
    *,
    term: int = 1,
) -> bytes:
    """Write the entry of a document that stands in place of the one with its `_id`. Raises as make_insert."""
    whole = _whole(ns, document)
    return _written("u", ns, whole, {"_id": whole["_id"]}, ts, wall, ui, term)


def make_delete(
    ns: str, key: Any, ts: Timestamp, wall: datetime.datetime, ui: Binary | None, *, term: int = 1
) -> bytes:
    """Write the entry of a removed document, given by its `_id`. Raises InputError where that is no BSON value."""
    return _written("d", ns, {"_id": key}, None, ts, wall, ui, term)


def _whole(ns: str, document: Mapping[str, Any]) -> Document:
    if "_id" not in document:
        raise InputError(f"a document for {ns} has no _id", "give it one")
    whole = {"_id": document["_id"], **{name: value for name, value in document.items() if name != "_id"}}
    if any(name.startswith("$") for name in whole):
        raise InputError(f"a document for {ns} has a field whose name begins with $", "name the field otherwise")
    return whole


def _written(
    op: str,
    ns: str,
    o: Document,
    o2: Document | None,
    ts: Timestamp,
    wall: datetime.datetime,
    ui: Binary | None,
    term: int,
) -> bytes:
    entry: Document = {"op": op, "ns": ns}
    if ui is not None:
        entry["ui"] = ui
    entry["o"] = o
    if o2 is not None:
        entry["o2"] = o2
    entry.update(ts=ts, t=Int64(term), v=Int64(2), wall=wall)
    try:
        raw = bson.encode(entry, codec_options=CODEC)
    except (BSONError, OverflowError, TypeError, ValueError, RecursionError) as error:
        raise InputError(f"a document for {ns} cannot be written as BSON: {_one_line(error)}") from error
    if len(raw) > MOST_ENTRY_BYTES:
        raise InputError(
            f"a document for {ns} would be an entry of {len(raw)} bytes", f"at most {MOST_ENTRY_BYTES} are allowed"
        )
    if deeper_than(entry, MOST_DEPTH):
        raise InputError(f"a document for {ns} is nested deeper than {MOST_DEPTH} levels", "make it flatter")
    return raw


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
