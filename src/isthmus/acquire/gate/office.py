"""The server's side of a gate: an agent in the server's own network that has its images fetched beyond the gate.

It claims tasks at the interface server as any agent does and puts them into a stream; results that come back in
the other stream are delivered at the same doors. A task stays in its stream until its result was settled, the
server wants it no more, or patience ends; then its withdrawal tells the outpost to forget the result.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from blake3 import blake3

from isthmus.acquire.agent.refusal import Unacceptable
from isthmus.acquire.delivery.package import (
    INLINE_BYTES,
    MOST_ITEMS,
    MOST_TOGETHER,
    Content,
    Package,
    Part,
    unpack,
)
from isthmus.acquire.delivery.receiving import Receiving
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.gate import outgoing
from isthmus.acquire.gate.incoming import NEW, Incoming, end
from isthmus.acquire.gate.outgoing import Outgoing
from isthmus.acquire.gate.outpost import name_of
from isthmus.acquire.gate.settings import GateSettings, result_stream, task_stream
from isthmus.acquire.image import joined
from isthmus.acquire.log import Say, silent
from isthmus.acquire.ports import Claimed, Desk, Got, Held, Parcel, Task
from isthmus.core.errors import Busy, Corrupt, InputError, Refused
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step

_MOST_BEATEN = 5000
_MOST_CLAIMED = 1000
_ENCODER = msgspec.json.Encoder()


class Office:
    """Bridges a desk and a gate. Belongs to the thread of its store; `folder` takes large contents briefly."""

    def __init__(
        self,
        store: Store,
        environment: str,
        desk: Desk,
        folder: Path,
        settings: GateSettings,
        say: Say = silent,
        *,
        tick: Callable[[], float] = time.time,
        step: Step = no_step,
    ) -> None:
        """`tick` tells seconds that go on over a restart."""
        self._store, self._desk, self._folder, self._settings = store, desk, folder, settings
        self._say, self._tick, self._step = say, tick, step
        self._asked, self._got = task_stream(environment), result_stream(environment)
        self.tasks = Outgoing(store, self._asked)
        self.results = Incoming(store, self._got)
        rows = store.rows("SELECT callback FROM gate_callback WHERE stream = ?", (self._asked,))
        self._callback = rows[0]["callback"] if rows else ""
        self._lease_s, self._beaten = 60.0, float("-inf")
        self._misdirected = False
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("content-*"):
            left.unlink()

    def round(self, receive: Callable[[], object], send: Callable[[], object]) -> None:
        """Do what is due: take in bundles, deliver, keep leases alive, claim, send bundles.

        `receive` and `send` do a round of an Inbound and an Outbound made with `results` and `tasks`. A server
        that is away is said and tried again in the next round. What has come is delivered before new leases are
        taken: a result counts as long as nobody else has its request.
        """
        receive()
        self._misdirected = False
        for act in (self._deliver, self._beat, self._claim):
            try:
                act()
            except (Busy, Refused) as error:
                self._misdirected |= act == self._deliver and isinstance(error, Refused)
                self._say("server away", level="warning", error=str(error))
        send()
        self.tasks.trim(self._settings.keep_changes, self._settings.keep_bytes)

    def _claim(self) -> None:
        """Claim what there is room for; an answer also tells the callback that is right now.

        Where results are refused that may be an old one, so one task is claimed though there is no room.
        """
        count = self._store.rows("SELECT count(*) AS many FROM gate_open WHERE stream = ?", (self._asked,))[0][
            "many"
        ]
        most = max(min(_MOST_CLAIMED, self._settings.most_open - count), int(self._misdirected))
        if most <= 0:
            return
        claimed = self._desk.claim(most, 0.0)
        self._step("office claimed")
        self._lease_s = claimed.lease_s
        self._open(claimed)
        self._step("office opened")

    def _open(self, claimed: Claimed) -> None:
        with self._store.transaction() as connection:
            for task in claimed.tasks:
                body = _ENCODER.encode(task)
                outgoing.put(connection, self._asked, name_of(task), iter((body,)), len(body))
                connection.execute(
                    "REPLACE INTO gate_open VALUES (?, ?, ?, ?, ?)",
                    (self._asked, name_of(task), task.request, task.fence, self._tick()),
                )
            if claimed.callback != self._callback:
                connection.execute("REPLACE INTO gate_callback VALUES (?, ?)", (self._asked, claimed.callback))
        self._callback = claimed.callback

    def _beat(self) -> None:
        """Keep leases alive; withdraw what the server wants no more and what has had no result for too long."""
        now = self._tick()
        if abs(now - self._beaten) < self._lease_s / 3:
            return
        rows = self._store.rows("SELECT * FROM gate_open WHERE stream = ?", (self._asked,))
        late = [row for row in rows if not 0 <= now - row["since"] < self._settings.patience_s]
        held = [Held(row["request"], row["fence"]) for row in rows if row not in late]
        lost = [Held(row["request"], row["fence"]) for row in late]
        for at in range(0, len(held), _MOST_BEATEN):
            lost += self._desk.beat(held[at : at + _MOST_BEATEN])
        self._beaten = now
        if lost:
            self._say("tasks withdrawn", requests=[one.request for one in lost])
            with self._store.transaction() as connection:
                for one in lost:
                    self._withdraw(connection, name_of(one))

    def _deliver(self) -> None:
        """Deliver what has come, in the order in which it came."""
        while True:
            sql = "SELECT id, name, size FROM gate_got WHERE stream = ? AND state = ? ORDER BY id LIMIT ?"
            rows = _group(self._store.rows(sql, (self._got, NEW, MOST_ITEMS)))
            if not rows or not self._callback:
                return
            parcels, files = [], []
            for row in rows:
                part = self._unpacked(row["id"], row["size"])
                if part is None or name_of(Held(part.request, part.fence)) != row["name"]:
                    self._say("result unreadable", level="error", name=row["name"])
                    self._settle([row])
                    continue
                parcels.append((row, _parcel(part)))
                if isinstance(part.outcome, Content) and isinstance(part.outcome.where, Path):
                    files.append(part.outcome.where)
            try:
                if parcels and not self._hand_over(parcels):
                    return
            finally:
                for file in files:
                    file.unlink(missing_ok=True)

    def _hand_over(self, parcels: Sequence[tuple[sqlite3.Row, Parcel]]) -> bool:
        """Deliver a group; False where the server asked to come later with some of it."""
        try:
            verdicts = self._desk.deliver(self._callback, [parcel for _, parcel in parcels])
        except (Unacceptable, InputError, Corrupt) as error:
            return self._lowered(parcels, error)
        self._step("office delivered")
        said = list(zip(parcels, verdicts, strict=True))
        self._settle([row for (row, _), verdict in said if verdict != "later"])
        self._step("office settled")
        self._say(
            "delivered",
            items=[
                {"request": parcel.task.request, "trace": parcel.task.trace, "verdict": verdict}
                for (_, parcel), verdict in said
            ],
        )
        return "later" not in verdicts

    def _lowered(self, parcels: Sequence[tuple[sqlite3.Row, Parcel]], error: Exception) -> bool:
        """Deliver by itself what cannot be delivered together, and what never can be as a failure.

        So no result keeps those behind it waiting for ever.
        """
        if len(parcels) > 1:
            return all(self._hand_over([one]) for one in parcels)
        row, parcel = parcels[0]
        self._say("result refused", level="error", error=str(error), items=[{"request": parcel.task.request}])
        if isinstance(parcel.outcome, Failure):
            self._settle([row])  # its lease runs out
            return True
        large = isinstance(error, InputError) or (isinstance(error, Unacceptable) and error.too_large)
        failure = Failure(Kind.TOO_LARGE if large else Kind.DAMAGED, str(error))
        return self._hand_over([(row, Parcel(parcel.task, failure))])

    def _settle(self, rows: Sequence[sqlite3.Row]) -> None:
        with self._store.transaction() as connection:
            for row in rows:
                end(connection, row["id"])
                self._withdraw(connection, row["name"])

    def _withdraw(self, connection: sqlite3.Connection, name: str) -> None:
        connection.execute("DELETE FROM gate_open WHERE stream = ? AND name = ?", (self._asked, name))
        outgoing.drop(connection, self._asked, name)

    def _unpacked(self, number: int, size: int) -> Part | None:
        """Return the result in a record; None where it is none. A large content goes into a file."""
        row = self._store.rows("SELECT proof FROM gate_got WHERE id = ?", (number,))[0]
        try:
            package = self._small(number) if size <= INLINE_BYTES else self._large(number, size, row["proof"])
        except Corrupt:
            return None
        return package.parts[0] if len(package.parts) == 1 else None

    def _small(self, number: int) -> Package:
        return unpack(self._store.rows("SELECT content FROM gate_got WHERE id = ?", (number,))[0]["content"])

    def _large(self, number: int, size: int, proof: bytes) -> Package:
        into, whole = self._folder / f"content-{number}", blake3()
        with Receiving(into, None, size) as receiving, self._store.transaction() as connection:
            for piece in outgoing.read_blob(connection, "gate_got", number):
                whole.update(piece)
                receiving.feed(piece)
            if whole.digest() != proof:
                raise Corrupt("the result is not what came", "look at the disk")
            return receiving.finish()


def _group(rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Return what of these rows goes in one delivery: a large one by itself, or small ones up to it."""
    total = 0
    group: list[sqlite3.Row] = []
    for row in rows:
        total += row["size"]
        if group and (row["size"] > INLINE_BYTES or total > MOST_TOGETHER):
            break
        group.append(row)
        if row["size"] > INLINE_BYTES:
            break
    return group


def _parcel(part: Part) -> Parcel:
    task = Task(part.request, part.fence, 1, "", "", part.trace)
    if isinstance(part.outcome, Content):
        content = part.outcome
        where = content.where if isinstance(content.where, Path) else joined(content.where)
        return Parcel(task, Got(where, content.size, content.digest, content.told))
    return Parcel(task, part.outcome)
