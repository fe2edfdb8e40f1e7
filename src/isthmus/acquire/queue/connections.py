"""Connections to PostgreSQL that are used again, and what its errors mean."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from isthmus.core.errors import Busy, Corrupt, InputError, MissingExtra

if TYPE_CHECKING:
    import psycopg

_MOST = 8
_CONNECT_S = 5
_OF_THE_DISK = {"53100": errno.ENOSPC, "58030": errno.EIO, "25006": errno.EROFS}
_CORRUPT = frozenset({"XX001", "XX002"})
_PASSING = frozenset({"40001", "40P01", "55P03", "53300", "57014"})
_PASSING_CLASSES = frozenset({"08", "57"})


class Passing(Exception):
    """What is over by itself: a server that restarts, a circle of waiters that was broken."""


class Connections:
    """Up to eight connections, made when they are needed; a broken one is never lent again."""

    def __init__(self, dsn: str, schema: str) -> None:
        """Make none yet. Raises MissingExtra, InputError where `schema` is no plain name."""
        try:
            import psycopg
        except ImportError as error:
            raise MissingExtra.named("psycopg", "postgres") from error
        if not schema.isidentifier() or not schema.isascii():
            raise InputError(f"schema {schema!r} is no plain name", "use letters, digits and _")
        self.schema = schema
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        self._dsn, self._connect = dsn, psycopg.connect
        self._free: list[psycopg.Connection[Any]] = []
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST)
        self._closed = False

    @contextlib.contextmanager
    def one(self, wait_s: float) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection, waiting up to `wait_s` for a free one. Raises Busy, and whatever psycopg does."""
        if not self._room.acquire(timeout=wait_s):
            raise Busy("all connections to PostgreSQL are in use", "try again")
        try:
            connection = self._taken()
            try:
                yield connection
            finally:
                self._back(connection)
        finally:
            self._room.release()

    def _taken(self) -> psycopg.Connection[Any]:
        with self._lock:
            if self._closed:
                raise Busy("the ledger is closed", "start the server again")
            if self._free:
                return self._free.pop()
        connection = self._connect(self._dsn, autocommit=True, connect_timeout=_CONNECT_S)
        connection.execute(f'SET search_path TO "{self.schema}"')
        connection.execute("SET client_min_messages TO warning")
        return connection

    def _back(self, connection: psycopg.Connection[Any]) -> None:
        idle = not connection.closed and connection.info.transaction_status == 0
        with self._lock:
            if idle and not self._closed:
                self._free.append(connection)
                return
            if not idle:  # the server may have restarted: the others are as old
                gone, self._free = self._free, []
            else:
                gone = []
        for each in (connection, *gone):
            each.close()

    def close(self) -> None:
        """Lend none any more; close those that are free now, the others when they come back."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for connection in free:
            connection.close()


def meaning(error: Exception) -> Exception | None:
    """Say what an error of psycopg means for the site; None for what only a mistake in the program explains."""
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if state in _OF_THE_DISK:
        number = _OF_THE_DISK[state]
        return OSError(number, os.strerror(number), "PostgreSQL")
    if state in _CORRUPT:
        return Corrupt(
            f"PostgreSQL says that its files are damaged: {error}", "restore the database from a backup"
        )
    if state.startswith("28"):
        return InputError(f"PostgreSQL does not let us in: {_line(error)}", "correct the address or the password")
    if state in _PASSING or state[:2] in _PASSING_CLASSES:
        return Passing(_line(error))
    if not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
        return Passing(_line(error))
    return None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
