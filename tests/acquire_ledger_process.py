"""A ledger in a process of its own that works until it is killed, or that kills itself at a named step.

    python tests/acquire_ledger_process.py work STORE JOURNAL SEED
    python tests/acquire_ledger_process.py step STORE JOURNAL CALL STATEMENT

STORE is a file, or the address of a PostgreSQL database with its schema after a #. What a call returned is noted
in JOURNAL, one JSON line each. `step` makes one CALL (accept, claim, settle) and dies just before the first
statement that begins with STATEMENT, or, for `returned`, when the call has returned.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path

from acquire_making import asking, at, settled, wishes
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Missed
from isthmus.acquire.queue import writer
from isthmus.acquire.queue.postgres import PostgresLedger
from isthmus.acquire.queue.sqlite import SqliteLedger


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def opened(store: str) -> Ledger:
    if "#" in store:
        return PostgresLedger(*store.split("#"))
    return SqliteLedger(Path(store))


class Journal:
    """Whole lines, whatever dies."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - it ends with the process

    def note(self, *words: object) -> None:
        self._file.write(json.dumps(words).encode() + b"\n")


def work(ledger: Ledger, journal: Journal, seed: int) -> None:
    draw = random.Random(seed)
    turn = 0
    while True:
        turn += 1
        if draw.random() < 0.2:
            name = f"{seed}-{turn}"
            accepted = ledger.accept(asking(label=name), wishes(draw.randrange(1, 30), name), at(0))
            journal.note("accepted", accepted.batch, accepted.requests)
        tasks = ledger.claim("public", f"agent-{seed}", draw.randrange(1, 20), 60, at(1))
        journal.note("claimed", [[task.request, task.fence] for task in tasks])
        slow = Failure(Kind.TIMEOUT, "slow")
        outcomes = [
            Missed(task.request, task.fence, slow, 5.0) if draw.random() < 0.1 else settled(task) for task in tasks
        ]
        said = ledger.settle(outcomes, at(2))
        done = [task.request for task, one in zip(tasks, outcomes, strict=True) if not isinstance(one, Missed)]
        journal.note("settled", done, said)


def step(ledger: Ledger, journal: Journal, call: str, armed: list[str], statement: str) -> None:
    if call == "accept":
        armed.append(statement)
        returned: object = ledger.accept(asking(), wishes(500), at(0)).batch
    else:
        ledger.accept(asking(), wishes(10), at(0))
        if call == "claim":
            armed.append(statement)
        tasks = ledger.claim("public", "agent", 5, 60, at(1))
        returned = [task.request for task in tasks]
        if call == "settle":
            armed.append(statement)
            returned = ledger.settle([settled(task) for task in tasks], at(2))
    journal.note(call, returned)
    die()


def main() -> None:
    what, store, journal, *rest = sys.argv[1:]
    armed: list[str] = []
    prepared = writer._prepared

    def watched(store: writer.Store) -> sqlite3.Connection:
        connection = prepared(store)
        connection.set_trace_callback(lambda sql: die() if armed and sql.lstrip().startswith(armed[0]) else None)
        return connection

    writer._prepared = watched
    if what == "work":
        work(opened(store), Journal(journal), int(rest[0]))
    else:
        step(opened(store), Journal(journal), rest[0], armed, rest[1])


if __name__ == "__main__":
    main()
