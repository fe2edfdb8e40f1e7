"""The ledger in an SQLite file of its own: one writer per process, readers that it never blocks."""

from __future__ import annotations

import contextlib
import functools
import itertools
import queue
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from isthmus.acquire.queue.ledger import SqlLedger
from isthmus.acquire.queue.rows import micros
from isthmus.acquire.queue.tables import SQLITE_STEPS
from isthmus.acquire.queue.work import Moves, Reads, Values, Work
from isthmus.acquire.queue.writer import Writer
from isthmus.core.errors import Busy
from isthmus.state.store import Store, meaning

T = TypeVar("T")

_PATIENCE_S = 30.0
_READERS = 8
_ROWS_AT_ONCE = 200
_SIZES = (64, 16, 4, 1)
_JSON = msgspec.json.Encoder()


class SqliteLedger(SqlLedger):
    """`ports.Ledger` in a file. Several processes may have it open; a call waits 30 s at most."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises Corrupt where it is none of ours, OSError where the disk refuses."""
        self._path = path
        self._writer = Writer(path, self._opened)
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(_READERS)
        self._closed = False

    def _opened(self) -> Store:
        store = Store(self._path)
        store.migrate("acquire", SQLITE_STEPS)
        return store

    def _write(self, act: Callable[[Work], T], now: datetime) -> T:
        at = micros(now)

        def transacted(connection: sqlite3.Connection) -> T:
            work = _SqliteWork(connection)
            result = act(work)
            work.moves.write(work, at)
            return result

        result: T = self._writer.run(transacted)
        return result

    def _read(self, act: Callable[[Reads], T]) -> T:
        with self._reader() as connection:
            connection.execute("BEGIN")
            try:
                return act(_SqliteReads(connection))
            finally:
                connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise Busy(f"{self._path} is closed", "start the server again")
        connection: sqlite3.Connection | None = None
        try:
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = _reading(self._path)
            yield connection
            if not self._closed:
                self._readers.put_nowait(connection)
                connection = None
        except queue.Full:
            pass  # more readers at once than are kept
        except sqlite3.Error as error:
            known = meaning(error, self._path)
            if known is None:
                raise
            raise known from error
        finally:
            if connection is not None:
                connection.close()

    def close(self) -> None:
        """Finish what is under way and close."""
        self._closed = True
        self._writer.close()
        while True:
            try:
                self._readers.get_nowait().close()
            except queue.Empty:
                return


def _reading(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=_PATIENCE_S, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


class _SqliteReads:
    among = "IN (SELECT value FROM json_each(?))"
    position = "instr"
    nested = "CROSS JOIN"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def listed(self, values: Iterable[int] | Iterable[str]) -> str:
        return _JSON.encode(list(values)).decode()


class _SqliteWork(_SqliteReads):
    lock = skip = ""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.moves = Moves()

    def run(self, sql: str, values: Values = ()) -> int:
        return self._connection.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Values]) -> None:
        self._connection.executemany(sql, rows)

    def assign(self, column: str, pairs: Sequence[tuple[int, int]]) -> None:
        self._connection.executemany(
            f"UPDATE request SET {column} = ? WHERE number = ?", ((value, number) for number, value in pairs)
        )

    def add(self, table: str, columns: tuple[str, ...], rows: Sequence[Values]) -> None:
        at = 0
        for size in _SIZES:
            while len(rows) - at >= size:
                some = rows[at : at + size]
                self._connection.execute(_adding(table, columns, size), [*itertools.chain.from_iterable(some)])
                at += size

    def reserve(self, count: int) -> int:
        sql = "UPDATE counter SET request = request + ? WHERE id = 1 RETURNING request"
        return int(self.rows(sql, [count])[0][0]) - count + 1

    def alone(self, name: str) -> None:
        """Do nothing: an immediate transaction is alone."""

    def store_requests(self, first: int, at: int, columns: tuple[str, ...], rows: Iterable[Values]) -> None:
        left, number = iter(rows), first
        while some := list(itertools.islice(left, _ROWS_AT_ONCE)):
            sql = _storing(columns, len(some))
            self._connection.execute(sql, (number, first, at, *itertools.chain.from_iterable(some)))
            number += len(some)


@functools.lru_cache(maxsize=2 * _ROWS_AT_ONCE)
def _storing(columns: tuple[str, ...], rows: int) -> str:
    """Write an INSERT of many rows: four times as fast as one row at a time, and what is equal is bound once."""
    chosen = ", ".join(f"column{at}" for at in range(2, len(columns) + 2))
    each = ", ".join(f"({at}, {', '.join('?' * len(columns))})" for at in range(rows))
    return (
        f"INSERT INTO request (number, batch, changed, {', '.join(columns)}) "
        f"SELECT ?1 + column1, ?2, ?3, {chosen} FROM (VALUES {each})"
    )


@functools.lru_cache(maxsize=64)
def _adding(table: str, columns: tuple[str, ...], rows: int) -> str:
    each = f"({', '.join('?' * len(columns))})"
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([each] * rows)}"
