"""How fast 100,000 requests are taken: JSON lines as they come in, read, checked, and durable in the ledger.

Peer, in the same run: `executemany` of the same requests, from the same lines, into a table without an index, by
a plain program that is as durable; for PostgreSQL, where it is installed, COPY of them. Beside it, what the ledger
costs for each image that goes through.
"""

from __future__ import annotations

import itertools
import sqlite3
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import acquire_servers
from bench.figure import Figure, medians_s, scratch
from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Asking, Settled
from isthmus.acquire.queue.ledger import SqlLedger
from isthmus.acquire.queue.postgres import PostgresLedger
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.acquire.request import Wish, check

_NOW = datetime(2026, 5, 1, tzinfo=UTC)
_GOAL_S = 1.0
_IN_ONE = 16


def run(scale: float) -> Iterator[Figure]:
    """Measure."""
    count = max(1_000, int(100_000 * scale))
    body = b"\n".join(
        b'{"address":"http://store-%d.example/images/2026/05/%06d.jpg","environment":"public","record":"rec-%06d"}'
        % (number % 10, number, number)
        for number in range(count)
    )
    with scratch("accept") as folder:
        names = itertools.count()
        ledger = SqliteLedger(folder / "acquire.db")
        taken = medians_s(
            {"ours": lambda: _accept(ledger, body), "plain": lambda: _plain(folder / f"{next(names)}.db", body)},
            5,
            1,
        )
        goal = count == 100_000
        yield Figure(
            f"acquire: {count:,} requests read, checked, durable",
            taken["ours"],
            "s",
            "executemany without an index",
            taken["plain"],
            f"< {_GOAL_S:g} s" if goal else "",
            taken["ours"] < _GOAL_S if goal else None,
        )
        yield Figure("acquire: requests taken", count / taken["ours"], "1/s", "the same", count / taken["plain"])
        yield _through(ledger, min(count, 10_000))
        ledger.close()
    yield from _in_postgres(count, body)


def _in_postgres(count: int, body: bytes) -> Iterator[Figure]:
    """The same in the ledger's second home, beside COPY into a table without an index."""
    try:
        with acquire_servers.postgres() as server:
            ledger = PostgresLedger(server.dsn)
            taken = medians_s(
                {"ours": lambda: _accept(ledger, body), "plain": lambda: _copied(server.dsn, body)}, 5, 1
            )
            ledger.close()
    except pytest.skip.Exception as missing:
        print(f"accept: {missing}", file=sys.stderr)
        return
    goal = count == 100_000
    yield Figure(
        f"acquire: {count:,} requests read, checked, durable in PostgreSQL",
        taken["ours"],
        "s",
        "COPY without an index",
        taken["plain"],
        f"< {_GOAL_S:g} s" if goal else "",
        taken["ours"] < _GOAL_S if goal else None,
    )


def _accept(ledger: SqlLedger, body: bytes) -> None:
    wishes = msgspec.json.Decoder(Wish).decode_lines(body)
    for wish in wishes:
        check(wish)
    ledger.accept(Asking("bench", "bench"), wishes, _NOW)


def _plain(path: Path, body: bytes) -> None:
    wishes = msgspec.json.Decoder(Wish).decode_lines(body)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(
        "CREATE TABLE request (number INTEGER PRIMARY KEY, batch INTEGER, environment TEXT, record TEXT, "
        "address TEXT, priority INTEGER, state INTEGER, made INTEGER)"
    )
    made = int(_NOW.timestamp())
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO request (batch, environment, record, address, priority, state, made) "
        "VALUES (1, ?, ?, ?, ?, 0, ?)",
        [(wish.environment, wish.record, wish.address, wish.priority, made) for wish in wishes],
    )
    connection.execute("COMMIT")
    connection.close()


def _copied(dsn: str, body: bytes) -> None:
    wishes = msgspec.json.Decoder(Wish).decode_lines(body)
    made = int(_NOW.timestamp())
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS plain (batch bigint, environment text, record text, address text, "
            "priority int, state int, made bigint)"
        )
        with connection.cursor().copy("COPY plain FROM STDIN") as copy:
            for wish in wishes:
                copy.write_row((1, wish.environment, wish.record, wish.address, wish.priority, 0, made))


def _through(ledger: SqliteLedger, count: int) -> Figure:
    """Lease and settle, as many in one as a delivery has."""
    image = Filed("", "", "", 20_000, "jpeg", 640, 480, "hamburg")
    start, spent = 0, time.process_time()
    while start < count:
        tasks = ledger.claim("public", "bench", 4 * _IN_ONE, 60, _NOW)
        for at in range(0, len(tasks), _IN_ONE):
            outcomes = []
            for task in tasks[at : at + _IN_ONE]:
                digest = f"{task.request:064x}"
                filed = msgspec.structs.replace(image, digest=digest, source_digest=digest, path=f"{digest}.jpg")
                outcomes.append(Settled(task.request, task.fence, filed))
            ledger.settle(outcomes, _NOW)
        start += len(tasks)
    spent = time.process_time() - spent
    return Figure("acquire: CPU of the ledger for an image, leased and settled", 1e3 * spent / count, "ms")
