"""Killed processes, a database that restarts, a disk that is full: nothing is lost, half done or told twice."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import acquire_servers
from acquire_making import asking, at, fetch, settled, wishes
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Batch, Which
from isthmus.acquire.queue import connections
from isthmus.acquire.queue.postgres import PostgresLedger
from isthmus.acquire.queue.sqlite import SqliteLedger
from isthmus.core.errors import Busy, Corrupt, InputError

PROCESS = Path(__file__).parents[2] / "acquire_ledger_process.py"
STEPS = [
    ("accept", "INSERT INTO batch"),
    ("accept", "INSERT INTO request"),
    ("accept", "INSERT INTO tally"),
    ("accept", "COMMIT"),
    ("accept", "returned"),
    ("claim", "WITH chosen"),
    ("claim", "INSERT INTO course"),
    ("claim", "COMMIT"),
    ("claim", "returned"),
    ("settle", "UPDATE request"),
    ("settle", "INSERT INTO image"),
    ("settle", "INSERT INTO event"),
    ("settle", "COMMIT"),
    ("settle", "returned"),
]


def started(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(PROCESS), *map(str, arguments)], stdin=subprocess.DEVNULL)


@pytest.mark.parametrize(("call", "statement"), STEPS, ids=[f"{call}-{name}" for call, name in STEPS])
def test_a_process_that_dies_at_a_step_has_done_all_of_a_call_or_nothing(
    tmp_path: Path, call: str, statement: str
) -> None:
    path, journal = tmp_path / "acquire.db", tmp_path / "journal"
    assert started("step", path, journal, call, statement).wait(60) == -9
    whole = statement == "returned"
    assert journal.exists() and (journal.stat().st_size > 0) == whole
    ledger = SqliteLedger(path)
    counts: Counter[str] = Counter()
    for batch in ledger.batches():
        counts.update(batch.counts)
    assert (
        dict(counts)
        == {
            "accept": {"queued": 500} if whole else {},
            "claim": {"queued": 5, "leased": 5} if whole else {"queued": 10},
            "settle": {"queued": 5, "done": 5} if whole else {"queued": 5, "leased": 5},
        }[call]
    )
    assert len(ledger.events(0)) == counts["done"]
    finish(ledger, sum(counts.values()))
    ledger.close()


def finish(ledger: Ledger, requests: int) -> None:
    """Get all that is left, after leases ran out, and see that each request ended once."""
    ledger.sweep(at(10_000), 99)
    while fetch(ledger, 200, seconds=10_001):
        pass
    lines = every_line(ledger)
    assert len(lines) >= requests
    assert {line.state.word for line in lines} <= {"done"}
    events = []
    while more := ledger.events(events[-1].number if events else 0):
        events += more
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert Counter(event.request for event in events) == Counter(line.request for line in lines)
    recount: Counter[str] = Counter(line.batch for line in lines)
    for batch in every_batch(ledger):
        assert batch.counts == {"done": recount[batch.batch]}
        assert batch.ended is not None
    assert all(not depth.counts for depth in ledger.depths(at(10_002)))


def every_line(ledger: Ledger) -> list[object]:
    lines = []
    while more := ledger.lines(Which(), lines[-1].request if lines else 0, most=1_000):
        lines += more
    return lines


def every_batch(ledger: Ledger) -> Iterator[Batch]:
    after = ""
    while more := ledger.batches(after=after):
        yield from more
        after = more[-1].batch


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, schema: str) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "acquire.db")
    return f"{request.getfixturevalue('postgres').dsn}#{schema}"


def test_processes_killed_at_any_moment_lose_and_repeat_nothing(store: str, tmp_path: Path) -> None:
    journals = []
    for turn in range(3):
        both = []
        for seed in (2 * turn + 1, 2 * turn + 2):
            journals.append(tmp_path / f"journal-{seed}")
            both.append(started("work", store, journals[-1], seed))
        for lines, (process, journal) in zip((4 + turn, 15), zip(both, journals[-2:], strict=True), strict=True):
            while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
                assert process.poll() is None
                threading.Event().wait(0.002)
            process.kill()
            process.wait()
    ledger: Ledger = PostgresLedger(*store.split("#")) if "#" in store else SqliteLedger(Path(store))
    noted = [json.loads(line) for path in journals for line in path.read_bytes().splitlines() if line]
    batches = {batch.batch: batch for batch in every_batch(ledger)}
    assert len({batch.label for batch in batches.values()}) == len(batches)
    for _, name, requests in (words for words in noted if words[0] == "accepted"):
        assert sum(batches[name].counts.values()) == requests
    states = {line.request: line.state.word for line in every_line(ledger)}
    settled_ones = [request for words in noted if words[0] == "settled" for request in words[1]]
    assert len(settled_ones) == len(set(settled_ones)) > 0
    assert {states[request] for request in settled_ones} == {"done"}
    leased = [tuple(held) for words in noted if words[0] == "claimed" for held in words[1]]
    assert len(leased) == len(set(leased))
    finish(ledger, len(states))
    ledger.close()


def test_postgres_that_restarts_under_load_costs_nothing_but_time(schema: str) -> None:
    with acquire_servers.postgres() as server:
        ledger = PostgresLedger(server.dsn, schema, patience_s=60)
        enough = threading.Event()

        def work(agent: int) -> tuple[list[str], int]:
            batches, turn = [], 0
            while not enough.is_set():
                turn += 1
                batches.append(ledger.accept(asking(label=f"{agent}-{turn}"), wishes(20), at(0)).batch)
                tasks = ledger.claim("public", f"agent-{agent}", 10, 60, at(1))
                said = ledger.settle([settled(task) for task in tasks], at(2))
                assert set(said) <= {"taken"}
            return batches, turn

        with ThreadPoolExecutor(3) as pool:
            working = [pool.submit(work, agent) for agent in range(3)]
            for _ in range(3):
                before = ledger.latest()
                while ledger.latest() < before + 30 and not any(one.done() for one in working):
                    threading.Event().wait(0.01)
                server.stop()
                server.start()
            enough.set()
            done = [one.result() for one in working]
        labels = Counter(batch.label for batch in every_batch(ledger))
        assert max(labels.values()) == 1
        assert len(labels) == sum(turns for _, turns in done)
        finish(ledger, 20 * len(labels))
        ledger.close()


def test_a_commit_whose_answer_is_lost_is_not_done_again(
    postgres: acquire_servers.Postgres, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    psycopg = pytest.importorskip("psycopg")
    ledger = PostgresLedger(postgres.dsn, schema)
    execute = psycopg.Connection.execute
    lost: list[str] = []

    def losing(connection: object, sql: str, *values: object, **named: object) -> object:
        if sql != "COMMIT" or len(lost) == 2:
            return execute(connection, sql, *values, **named)
        if lost:  # the second time, it arrives
            execute(connection, sql)
        lost.append(sql)
        connection.close()  # type: ignore[attr-defined]
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(psycopg.Connection, "execute", losing)
    accepted = ledger.accept(asking(), wishes(3), at(0))
    assert len(lost) == 2
    assert [batch.batch for batch in ledger.batches()] == [accepted.batch]
    assert ledger.depths(at(0))[0].counts == {"queued": 3}
    ledger.close()


def test_a_postgres_that_stays_away_is_busy() -> None:
    with acquire_servers.postgres() as server:
        ledger = PostgresLedger(server.dsn, patience_s=0.2)
        server.stop()
        with pytest.raises(Busy, match="PostgreSQL"):
            ledger.accept(asking(), wishes(1), at(0))
        with pytest.raises(Busy):
            ledger.latest()
        server.start()
        assert ledger.batches() == []
        ledger.close()
        with pytest.raises(Busy, match="closed"):
            ledger.latest()


def pages(connection: sqlite3.Connection, more: int | None) -> None:
    ((count,),) = connection.execute("PRAGMA page_count")
    connection.execute(f"PRAGMA max_page_count = {2**30 if more is None else count + more}")


def test_a_full_disk_is_told_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "acquire.db")
    ledger.accept(asking(), wishes(50), at(0))
    ledger._writer.run(lambda connection: pages(connection, 3))
    with pytest.raises(OSError, match="No space left") as full:
        ledger.accept(asking("other", once="k"), wishes(5_000), at(1))
    assert full.value.errno == errno.ENOSPC
    assert [batch.owner for batch in ledger.batches()] == ["client"]
    ledger._writer.run(lambda connection: pages(connection, None))
    assert ledger.accept(asking("other", once="k"), wishes(5_000), at(2)).again is False
    finish(ledger, 5_050)
    ledger.close()


def test_calls_that_wait_together_share_one_commit_and_not_their_errors(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "acquire.db")
    ledger.accept(asking(once="k", body="a"), wishes(5), at(0))
    begun, go, said = threading.Event(), threading.Event(), []

    def slow(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(said.append)
        pages(connection, 8)
        begun.set()
        go.wait(60)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ledger._writer.run, slow)
        assert begun.wait(60)
        good = [pool.submit(ledger.accept, asking(), wishes(1), at(1)) for _ in range(3)]
        bad = pool.submit(ledger.accept, asking(once="k", body="b"), wishes(5), at(1))
        while ledger._writer._waiting.qsize() < 4:
            threading.Event().wait(0.001)
        go.set()
        first.result()
        assert [one.result().requests for one in good] == [1, 1, 1]
        with pytest.raises(InputError):
            bad.result()
    assert said.count("COMMIT") == 2
    assert said.count("BEGIN IMMEDIATE") == 1
    ledger.close()


def test_one_that_does_not_fit_on_the_disk_takes_nobody_with_it(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "acquire.db")
    ledger.accept(asking(), wishes(5), at(0))
    begun, go = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> None:
        pages(connection, 8)
        begun.set()
        go.wait(60)

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ledger._writer.run, slow)
        assert begun.wait(60)
        small = pool.submit(ledger.claim, "public", "agent", 5, 60, at(1))
        while ledger._writer._waiting.qsize() < 1:
            threading.Event().wait(0.001)
        large = pool.submit(ledger.accept, asking(), wishes(5_000), at(1))
        while ledger._writer._waiting.qsize() < 2:
            threading.Event().wait(0.001)
        go.set()
        first.result()
        assert len(small.result()) == 5
        with pytest.raises(OSError, match="No space left"):
            large.result()
    assert [batch.counts for batch in ledger.batches()] == [{"leased": 5}]
    ledger.close()


def test_another_file_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "acquire.db").write_bytes(b"something else, and long enough to be looked at" * 100)
    with pytest.raises(Corrupt):
        SqliteLedger(tmp_path / "acquire.db")


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "acquire.db")
    ledger.close()
    ledger.close()
    with pytest.raises(Busy, match="closed"):
        ledger.latest()
    with pytest.raises(Busy, match="closed"):
        ledger.accept(asking(), wishes(1), at(0))


def test_errors_of_postgres_mean_what_they_mean_elsewhere() -> None:
    psycopg = pytest.importorskip("psycopg")
    assert isinstance(connections.meaning(psycopg.errors.DiskFull("x")), OSError)
    assert isinstance(connections.meaning(psycopg.errors.DataCorrupted("x")), Corrupt)
    assert isinstance(connections.meaning(psycopg.errors.InvalidPassword("x")), InputError)
    for passing in (psycopg.errors.AdminShutdown, psycopg.errors.DeadlockDetected, psycopg.OperationalError):
        assert isinstance(connections.meaning(passing("x")), connections.Passing)
    assert connections.meaning(psycopg.errors.UndefinedTable("x")) is None
    with pytest.raises(InputError, match="plain name"):
        connections.Connections("", 'x"; DROP')
