"""The agent's side of a gate: tasks come out of one stream, results go into another.

A task is offered to the agent once, until it is withdrawn or its result was handed over; after a restart all
without a result are offered again. A result stays in its stream until the server's side has withdrawn the task:
that is how the outpost learns that it arrived.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from isthmus.acquire.delivery.package import STANDARD, Caps, Packed, pack
from isthmus.acquire.gate import outgoing
from isthmus.acquire.gate.incoming import BEGUN, ENDED, NEW, Incoming, end
from isthmus.acquire.gate.outgoing import Outgoing
from isthmus.acquire.gate.settings import GateSettings, result_stream, task_stream
from isthmus.acquire.ports import Claimed, Held, Parcel, Task, Verdict
from isthmus.core.errors import Busy
from isthmus.state.store import Store

CALLBACK = "gate:results"
LEASE_S = 60.0
"""How long a task is the agent's without a word; heartbeats go no further than the outpost."""
_LOOK_S = 0.1

_TASK = msgspec.json.Decoder(Task)


def name_of(held: Held | Task) -> str:
    """Return the name under which a task and its result travel: one for each lease."""
    return f"{held.request}.{held.fence}"


class GateDesk:
    """The interface server through a gate, as an agent sees it (`acquire.ports.Desk`), from any thread."""

    def __init__(
        self, state: Path, environment: str, agent: str, settings: GateSettings, caps: Caps = STANDARD
    ) -> None:
        """Use the state file at `state`; tasks that were given before a restart are offered again."""
        self._state, self._agent, self._settings, self._caps = state, agent, settings, caps
        self._asked, self._got = task_stream(environment), result_stream(environment)
        self._own = threading.local()
        self._ended = threading.Event()
        outgoing.begin(self._store, self._got)
        with self._changing() as connection:
            connection.execute(
                "UPDATE gate_got SET state = ? WHERE stream = ? AND state = ?", (NEW, self._asked, BEGUN)
            )

    def claim(self, most: int, wait_s: float) -> Claimed:
        """Take tasks that are offered; wait up to `wait_s` for the first. Raises Busy while results pile up."""
        until = time.monotonic() + wait_s
        while True:
            tasks = self._take(most)
            if tasks or time.monotonic() >= until or self._ended.wait(min(_LOOK_S, wait_s)):
                return Claimed(tuple(tasks), CALLBACK, LEASE_S)

    def beat(self, held: Sequence[Held]) -> list[Held]:
        """Return what was withdrawn meanwhile."""
        rows = self._store.rows("SELECT name FROM gate_got WHERE stream = ?", (self._asked,))
        there = {row["name"] for row in rows}
        return [one for one in held if name_of(one) not in there]

    def release(self, held: Sequence[Held]) -> None:
        """Offer tasks again."""
        with self._changing() as connection:
            connection.executemany(
                "UPDATE gate_got SET state = ? WHERE stream = ? AND name = ? AND state = ?",
                [(NEW, self._asked, name_of(one), BEGUN) for one in held],
            )

    def deliver(self, callback: str, parcels: Sequence[Parcel]) -> list[Verdict]:
        """Put results into their stream, durably: "noted", or "again" and "over" as a server says it.

        Raises Busy where too many results wait for the server or the disk is full, and what `pack` raises.
        """
        packed = [pack(self._agent, [parcel], self._caps) for parcel in parcels]
        with self._changing(*(one.file for one in packed)) as connection:
            held = connection.execute("SELECT bytes FROM gate_stream WHERE stream = ?", (self._got,)).fetchone()[0]
            if held + sum(one.size for one in packed) > self._settings.most_results and held:
                raise Busy(f"{held:,} bytes of results wait at the gate", "see that the gate carries them away")
            return [self._put(connection, parcel, one) for parcel, one in zip(parcels, packed, strict=True)]

    def interrupt(self) -> None:
        """Break off a claim that waits: the agent is stopping."""
        self._ended.set()

    def _put(self, connection: sqlite3.Connection, parcel: Parcel, packed: Packed) -> Verdict:
        name = name_of(parcel.task)
        row = connection.execute(
            "SELECT id FROM gate_got WHERE stream = ? AND name = ?", (self._asked, name)
        ).fetchone()
        if row is None:
            return "over"
        if not outgoing.put(connection, self._got, name, packed.stretches(), packed.size):
            return "again"
        end(connection, row["id"])
        return "noted"

    def _take(self, most: int) -> list[Task]:
        sql = "SELECT 1 FROM gate_got WHERE stream = ? AND state = ? LIMIT 1"
        if not self._store.rows(sql, (self._asked, NEW)):
            return []  # who only waits does not keep others from writing
        with self._changing() as connection:
            rows = connection.execute(
                "SELECT id, content FROM gate_got WHERE stream = ? AND state = ? ORDER BY id LIMIT ?",
                (self._asked, NEW, most),
            ).fetchall()
            connection.executemany(
                "UPDATE gate_got SET state = ? WHERE id = ?", [(BEGUN, row["id"]) for row in rows]
            )
        return [_TASK.decode(row["content"]) for row in rows]

    @contextlib.contextmanager
    def _changing(self, *files: Path | None) -> Iterator[sqlite3.Connection]:
        """A transaction of this thread's. Raises Busy where the disk does not take it: the agent tries again.

        `files` are contents that are read meanwhile: their errors stay what they are.
        """
        try:
            with self._store.transaction() as connection:
                yield connection
        except OSError as error:
            if any(file is not None and str(file) == str(error.filename) for file in files):
                raise
            raise Busy(f"{self._state}: {error.strerror}", "make room on the disk") from error

    @property
    def _store(self) -> Store:
        """Return this thread's connection to the state file."""
        store: Store | None = getattr(self._own, "store", None)
        if store is None:
            store = self._own.store = Store(self._state)
        return store


class Outpost:
    """Moves bundles on the agent's side. Belongs to the thread of its store.

    `receive` and `send` do a round of an Inbound and an Outbound made with `tasks` and `results`.
    """

    def __init__(self, store: Store, environment: str, settings: GateSettings) -> None:
        self._settings = settings
        got = result_stream(environment)
        self.results = Outgoing(store, got)
        self.tasks = Incoming(
            store, task_stream(environment), lambda connection, name: _withdrawn(connection, got, name)
        )

    def round(self, receive: Callable[[], object], send: Callable[[], object]) -> None:
        """Take in what arrived, send what is there, forget what was sent long ago."""
        receive()
        send()
        self.results.trim(self._settings.keep_changes, self._settings.keep_bytes)


def _withdrawn(connection: sqlite3.Connection, results: str, name: str) -> None:
    """The server's side has the result, or does not want it any more."""
    outgoing.drop(connection, results, name)


__all__ = ["CALLBACK", "ENDED", "GateDesk", "Outpost", "name_of"]
