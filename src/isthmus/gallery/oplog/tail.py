"""Follows `local.oplog.rs` of a MongoDB replica set, from where it was left, and notices what was lost meanwhile.

Where to go on is the `ts` of the last entry that was taken in, kept by whoever takes them, in the same
transaction as their effects. That entry is asked for again: if it is not the first to come, the oplog has rolled
over it (it is a capped collection), or the server has rolled it back; either way what happened since cannot be
known any more.

Entries come as the bytes that the server sent, and are the same `RawEntry` as those of a file. There is no
server in the tests: they follow recorded entries through this same code, behind the `Oplog` that a server's
collection is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from isthmus.core.errors import InputError, MissingExtra, SourceError
from isthmus.gallery.oplog.entry import RawEntry

_AWAIT_MS = 1000
_CAPPED_POSITION_LOST = 136


class Disconnected(SourceError):
    """The server cannot be reached just now."""

    retryable = True


class OplogCursor(Protocol):
    """A tailable cursor: after the last entry it waits a while for the next."""

    @property
    def alive(self) -> bool:
        """Whether more may come; a server ends a cursor now and then, and one on an empty oplog at once."""
        ...

    def next_or_none(self) -> bytes | None:
        """Return the next entry's BSON; None where none came within about a second. Raises Disconnected."""
        ...

    def close(self) -> None:
        """Give it back to the server."""
        ...


class Oplog(Protocol):
    """An oplog as its reader sees it. All methods raise Disconnected where the server cannot be reached."""

    def oldest(self) -> Timestamp | None:
        """Return the `ts` of the oldest entry that is kept; None where there is none."""
        ...

    def newest(self) -> Timestamp | None:
        """Return the `ts` of the latest entry."""
        ...

    def since(self, ts: Timestamp | None) -> OplogCursor:
        """Follow the entries from `ts` on, itself included; None: from the oldest."""
        ...


def follow(oplog: Oplog, after: Timestamp | None, idle: Callable[[], bool]) -> Iterator[RawEntry]:
    """Stream the entries after `after` (None: all that are kept) and go on waiting for more.

    `idle` is asked whenever nothing new came for about a second; the stream ends when it answers False. Raises
    InputError where entries after `after` are no longer kept, Disconnected (try again, from the last entry taken),
    Corrupt.
    """
    while True:
        cursor = oplog.since(after)
        try:
            if after is not None:
                _check_joined(oplog, cursor, after)
            while True:
                raw = cursor.next_or_none()
                if raw is not None:
                    entry = RawEntry.read(raw)
                    after = entry.ts
                    yield entry
                elif not idle():
                    return
                elif not cursor.alive:
                    break  # asked anew from the last entry, which also proves that none was lost
        finally:
            cursor.close()


def _check_joined(oplog: Oplog, cursor: OplogCursor, after: Timestamp) -> None:
    raw = cursor.next_or_none()
    if raw is not None and RawEntry(raw).ts == after:
        return
    oldest = oplog.oldest()
    where = f"the oplog begins at {_shown(oldest)}" if oldest else "the oplog is empty"
    gone = "was rolled over" if oldest is None or oldest > after else "was rolled back by the server"
    raise InputError(
        f"the entry at {_shown(after)}, the last one taken, {gone}: {where}",
        "changes since then are lost to the oplog: make the set anew from the collections and send a snapshot",
    )


def _shown(ts: Timestamp | None) -> str:
    return "nothing" if ts is None else f"{ts.time}.{ts.inc}"


class MongoOplog:
    """The oplog of a replica set's member, read through pymongo."""

    def __init__(self, collection: Any) -> None:
        """Read `collection`, a pymongo Collection: `client.local["oplog.rs"]`. Raises MissingExtra."""
        self._errors, self._cursor_type = _pymongo()
        self._collection = collection.with_options(codec_options=CodecOptions(document_class=RawBSONDocument))

    @classmethod
    def at(cls, uri: str) -> MongoOplog:
        """Connect to a member by its connection string. Raises MissingExtra, InputError."""
        errors, _ = _pymongo()
        import pymongo

        try:
            return cls(pymongo.MongoClient(uri).local["oplog.rs"])
        except (errors.ConfigurationError, errors.InvalidURI) as error:
            raise InputError(f"the connection string of MongoDB is not usable: {error}") from error

    def oldest(self) -> Timestamp | None:
        """Return the `ts` of the oldest entry."""
        return self._end(1)

    def newest(self) -> Timestamp | None:
        """Return the `ts` of the latest entry."""
        return self._end(-1)

    def since(self, ts: Timestamp | None) -> OplogCursor:
        """Follow the entries from `ts` on."""
        wanted = {} if ts is None else {"ts": {"$gte": ts}}
        kind = self._cursor_type.TAILABLE_AWAIT
        return _MongoCursor(
            lambda: self._collection.find(wanted, cursor_type=kind).max_await_time_ms(_AWAIT_MS), self._errors
        )

    def _end(self, direction: int) -> Timestamp | None:
        def ask() -> Any:
            return next(iter(self._collection.find({}).sort("$natural", direction).limit(1)), None)

        document = _reaching(ask, self._errors)
        return None if document is None else RawEntry(document.raw).ts


class _MongoCursor:
    def __init__(self, ask: Callable[[], Any], errors: Any) -> None:
        self._errors = errors
        self._cursor = _reaching(ask, errors)

    @property
    def alive(self) -> bool:
        return bool(self._cursor.alive)

    def next_or_none(self) -> bytes | None:
        document = _reaching(lambda: next(self._cursor, None), self._errors)
        return None if document is None else bytes(document.raw)

    def close(self) -> None:
        self._cursor.close()


def _reaching(ask: Callable[[], Any], errors: Any) -> Any:
    try:
        return ask()
    except errors.OperationFailure as error:
        if error.code == _CAPPED_POSITION_LOST:
            raise InputError(
                "the oplog rolled over the place that was being read",
                "make the set anew from the collections and send a snapshot",
            ) from error
        if isinstance(error, errors.CursorNotFound):
            raise Disconnected("the server gave up the cursor on its oplog", "try again") from error
        raise SourceError(
            f"the server refuses to let its oplog be read: {error}", "grant read on the database local"
        ) from error
    except errors.PyMongoError as error:
        raise Disconnected(f"the server of the oplog cannot be reached: {error}", "try again later") from error


def _pymongo() -> tuple[Any, Any]:
    try:
        from pymongo import CursorType, errors
    except ImportError as error:
        raise MissingExtra.named("pymongo", "gallery") from error
    return errors, CursorType
