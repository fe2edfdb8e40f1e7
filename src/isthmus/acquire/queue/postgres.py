"""The ledger in PostgreSQL, for several interface servers. One schema holds it; it is made on first use.

Whatever happens to the server, a call that has returned is durable, and a call is done once: where a connection is
lost in the middle of a COMMIT, the server is asked afterwards what became of that transaction.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from isthmus.acquire.queue.connections import Connections, Passing, meaning
from isthmus.acquire.queue.ledger import SqlLedger
from isthmus.acquire.queue.rows import micros
from isthmus.acquire.queue.tables import POSTGRES_STEPS
from isthmus.acquire.queue.work import Moves, Reads, Values, Work
from isthmus.core.errors import Busy, InputError

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_PAUSE_S = 0.05
_FEW = 16
_TYPES = {
    "environment": "text",
    "priority": "int2",
    "wish": "bytea",
    "state": "int2",
    "dedup": "text",
    "tags": "text",
}
"""Of what `accept` stores; the rest is int8."""


class PostgresLedger(SqlLedger):
    """`ports.Ledger` in a schema of a PostgreSQL database, 11 or newer.

    A call waits up to `patience_s` for a server that is away, then raises Busy. Raises MissingExtra.
    """

    def __init__(self, dsn: str, schema: str = "acquire", patience_s: float = 30.0) -> None:
        self._patience_s = patience_s
        self._connections = Connections(dsn, schema)
        self._patiently(self._migrate)

    def _migrate(self, connection: psycopg.Connection[Any]) -> None:
        schema = self._connections.schema
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{schema} migration"])
            connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migration (room TEXT PRIMARY KEY, done BIGINT NOT NULL)"
            )
            row = connection.execute("SELECT done FROM migration WHERE room = 'acquire'").fetchone()
            done = row[0] if row else 0
            if done > len(POSTGRES_STEPS):
                raise InputError(
                    f"schema {schema} was written by a newer release", "install that release or a later one"
                )
            for step in POSTGRES_STEPS[done:]:
                connection.execute(step)
            connection.execute(
                "INSERT INTO migration VALUES ('acquire', %s) "
                "ON CONFLICT (room) DO UPDATE SET done = excluded.done",
                [len(POSTGRES_STEPS)],
            )

    def _write(self, act: Callable[[Work], T], now: datetime) -> T:
        at = micros(now)
        unsure: list[tuple[str, T]] = []

        def transacted(connection: psycopg.Connection[Any]) -> T:
            if unsure:
                transaction, result = unsure[-1]
                if _committed(connection, transaction):
                    return result
                unsure.clear()
            work = _PostgresWork(connection)
            try:
                connection.execute("BEGIN")
                result = act(work)
                work.moves.write(work, at)
                ((transaction,),) = work.rows("SELECT pg_current_xact_id_if_assigned()::text")
            except BaseException:
                if not connection.closed and not connection.broken:
                    connection.rollback()
                raise
            if transaction is not None:
                unsure.append((transaction, result))
            connection.execute("COMMIT")
            return result

        return self._patiently(transacted)

    def _read(self, act: Callable[[Reads], T]) -> T:
        def reading(connection: psycopg.Connection[Any]) -> T:
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                return act(_PostgresReads(connection))

        return self._patiently(reading)

    def _patiently(self, act: Callable[[psycopg.Connection[Any]], T]) -> T:
        until = time.monotonic() + self._patience_s
        while True:
            try:
                with self._connections.one(max(_PAUSE_S, until - time.monotonic())) as connection:
                    return act(connection)
            except self._connections.errors as error:
                known = meaning(error)
                if not isinstance(known, Passing):
                    if known is None:
                        raise
                    raise known from error
                if time.monotonic() >= until:
                    raise Busy(
                        f"PostgreSQL does not answer: {known}", "see that it runs, then try again"
                    ) from error
            time.sleep(_PAUSE_S)

    def close(self) -> None:
        """Close all connections, when the calls under way have ended."""
        self._connections.close()


def _committed(connection: psycopg.Connection[Any], transaction: str) -> bool:
    """Tell what became of a transaction whose COMMIT was not answered."""
    while True:
        row = connection.execute("SELECT pg_xact_status(%s::xid8)", [transaction]).fetchone()
        if row is None or row[0] != "in progress":
            return row is not None and row[0] == "committed"
        time.sleep(_PAUSE_S)  # its server process has not noticed yet that nobody listens


@functools.lru_cache(maxsize=1024)
def _dialect(sql: str) -> str:
    return sql.replace("?", "%s")


class _PostgresReads:
    among = "= ANY(?)"
    position = "strpos"
    nested = "JOIN"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(_dialect(sql), values).fetchall()

    def listed(self, values: Iterable[int] | Iterable[str]) -> list[Any]:
        return list(values)


class _PostgresWork(_PostgresReads):
    lock = " FOR UPDATE"
    skip = " FOR UPDATE SKIP LOCKED"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self.moves = Moves()

    def run(self, sql: str, values: Values = ()) -> int:
        return self._connection.execute(_dialect(sql), values).rowcount

    def many(self, sql: str, rows: Iterable[Values]) -> None:
        whole = list(rows)
        if len(whole) == 1:
            self._connection.execute(_dialect(sql), whole[0])
        elif whole:
            self._connection.cursor().executemany(_dialect(sql), whole)

    def assign(self, column: str, pairs: Sequence[tuple[int, int]]) -> None:
        sql = (
            f"UPDATE request SET {column} = v.value "
            "FROM unnest(?::int8[], ?::int8[]) AS v (number, value) WHERE request.number = v.number"
        )
        if pairs:
            self.run(sql, [[number for number, _ in pairs], [value for _, value in pairs]])

    def add(self, table: str, columns: tuple[str, ...], rows: Sequence[Values]) -> None:
        if len(rows) <= _FEW:
            self.many(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows)
            return
        with self._connection.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def reserve(self, count: int) -> int:
        return int(self.rows("SELECT reserve(?)", [count])[0][0])

    def alone(self, name: str) -> None:
        self.rows("SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' ' || ?::text, 0))", [name])

    def store_requests(self, first: int, at: int, columns: tuple[str, ...], rows: Iterable[Values]) -> None:
        whole = ("number", "batch", "changed", *columns)
        sql = f"COPY request ({', '.join(whole)}) FROM STDIN (FORMAT BINARY)"
        ready = list(rows)  # COPY leaves no room for statements in between
        with self._connection.cursor().copy(sql) as copy:
            copy.set_types([_TYPES.get(column, "int8") for column in whole])
            for number, row in enumerate(ready, first):
                copy.write_row((number, first, at, *row))
