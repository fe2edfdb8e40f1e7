"""The rows of a primary's rounds: states, parts, the barrier that was sealed last; all in the site's SQLite file.

A round's state is stored before each step. The one transaction that seals a round writes its parts, the barrier
they lead to and its next state: so a round is sealed or it is not, whatever dies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime, timedelta
from typing import Any

from isthmus.core.digest import Digest, new_key
from isthmus.core.errors import Diverged, InputError
from isthmus.core.position import Position
from isthmus.recovery.barrier import Barrier, key_of, moment_of
from isthmus.recovery.held import HeldBarrier
from isthmus.recovery.round import LIVE, Part, Round, mark_after
from isthmus.recovery.states import BACKUP
from isthmus.state.store import Store

REMEMBERED = 1000
"""So many ended rounds stay in the list."""

_STEPS = (
    """CREATE TABLE recovery_stream (
        stream TEXT PRIMARY KEY,
        key BLOB NOT NULL,
        epoch INTEGER NOT NULL,
        full_due TEXT NOT NULL,
        sealed INTEGER NOT NULL,
        last_key TEXT NOT NULL,
        last_at TEXT NOT NULL
    );
    CREATE TABLE recovery_round (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        stream TEXT NOT NULL,
        key TEXT NOT NULL,
        prior TEXT NOT NULL,
        state TEXT NOT NULL,
        is_full INTEGER NOT NULL,
        event TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        files INTEGER NOT NULL,
        table_count INTEGER NOT NULL,
        row_count INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        begun TEXT NOT NULL,
        at TEXT,
        sealed TEXT,
        ended TEXT,
        error TEXT NOT NULL,
        notes TEXT NOT NULL,
        UNIQUE (stream, key)
    );
    CREATE INDEX recovery_round_state ON recovery_round (stream, state);
    CREATE TABLE recovery_part (
        stream TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        digest TEXT NOT NULL,
        round TEXT NOT NULL,
        passed INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        counts TEXT NOT NULL,
        body BLOB NOT NULL,
        places TEXT NOT NULL,
        change BLOB,
        PRIMARY KEY (stream, epoch, seq)
    )""",
)


class Overtaken(InputError):
    """The stream went on while a round was taken: a full one was asked for. The round is taken again."""


class Rounds:
    """The rows of one stream."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store, self.stream = store, stream
        self._held = HeldBarrier(store, stream)
        store.migrate("recovery backup", _STEPS)
        with store.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO recovery_stream VALUES (?, ?, 1, 'it is the first', 0, '', '')",
                (stream, new_key()),
            )
        self.key: bytes = self._standing()["key"]
        """The key of the stream's digests."""

    @property
    def epoch(self) -> int:
        """The epoch that is sent."""
        return int(self._standing()["epoch"])

    @property
    def full_due(self) -> str:
        """Why the next round has to be full; empty where it need not be."""
        return str(self._standing()["full_due"])

    def due_full(self, why: str) -> None:
        """Have the next round be full."""
        with self._store.transaction() as connection:
            self._due(connection, why)

    def position(self) -> Position:
        """Return where the stream stands."""
        return self._position(self._standing()["epoch"])

    def counts(self) -> dict[str, int]:
        """Return the number of rounds sealed, and how many tables and rows the last one holds."""
        found = self._store.rows(
            "SELECT table_count, row_count FROM recovery_round WHERE stream = ? AND key = ?",
            (self.stream, self._standing()["last_key"]),
        )
        tables, rows = (found[0]["table_count"], found[0]["row_count"]) if found else (0, 0)
        return {"round": self._standing()["sealed"], "tables": tables, "rows": rows}

    def part(self, epoch: int, seq: int) -> Part | None:
        """Return the change at a seq; None where it is not known (any more)."""
        found = self._parts("epoch = ? AND seq = ?", epoch, seq)
        return found[0] if found else None

    def pass_marks(self, position: Position) -> None:
        """Note that the sender has gone beyond all marks up to a position."""
        where = "stream = ? AND epoch = ? AND seq <= ? AND round = '' AND NOT passed"
        what = (self.stream, position.epoch, position.seq)
        if self._store.rows(f"SELECT 1 FROM recovery_part WHERE {where} LIMIT 1", what):
            with self._store.transaction() as connection:
                connection.execute(f"UPDATE recovery_part SET passed = 1 WHERE {where}", what)

    def pending(self, position: Position) -> int:
        """Return how many bytes of contents the changes after a position have, up to the next mark."""
        total, seq = 0, position.seq
        while (part := self.part(position.epoch, seq := seq + 1)) is not None and part.round:
            total += part.size + len(part.body) + len(part.change or b"")
        return total

    def mark(self, at: datetime) -> Part:
        """Return the mark of the full round that is to come, or came and was not passed; else make one.

        The mark is the last change, or the last one that the sender has not gone beyond.
        """
        with self._store.transaction() as connection:
            epoch = self._standing()["epoch"]
            found = self._parts("epoch = ? AND round = '' AND NOT passed ORDER BY seq DESC LIMIT 1", epoch)
            last = self.part(epoch, self._position(epoch).seq)
            if last is not None and not last.round:
                found = [last]
            return found[0] if found else self._mark(connection, self._position(epoch), at)

    def begin(self, now: datetime, full: bool, event: str) -> Round:
        """Write a new round down, under the key of its second, or of the one after the last round's.

        So keys grow in the order of the rounds, also where the clock is set back.
        """
        with self._store.transaction() as connection:
            standing = self._standing()
            last = connection.execute(
                "SELECT max(key) AS key FROM recovery_round WHERE stream = ?", (self.stream,)
            ).fetchone()["key"]
            moment = now if last is None or key_of(now) > last else moment_of(last) + timedelta(seconds=1)
            full = full or bool(standing["full_due"])
            begun = Round(
                key_of(moment),
                "" if full else standing["last_key"],
                BACKUP.initial,
                full,
                0,
                0,
                0,
                0,
                None,
                "",
                event,
                standing["epoch"],
                begun=now,
            )
            columns = {"stream": self.stream, **_columns(begun)}
            connection.execute(
                f"INSERT INTO recovery_round ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
                tuple(columns.values()),
            )
        return begun

    def advance(self, row: Round, event: str, **values: Any) -> Round:
        """Write down that something happened to a round. Raises IllegalTransition.

        Where another process was first, its word stands and is returned.
        """
        with self._store.transaction() as connection:
            return self._advance(connection, row, event, **values)

    def rounds(self, *states: str) -> list[Round]:
        """List the rounds, or those in some states, in the order in which they began."""
        marks = ", ".join("?" * len(states))
        return self._rounds(f"state IN ({marks})" if states else "1", *states)

    def seal(
        self, row: Round, barrier: Barrier, parts: Sequence[Part], base: Position, now: datetime, **values: Any
    ) -> Round:
        """Write the parts of a round down, with the barrier they lead to.

        Raises Overtaken where the stream does not stand at `base` any more, or a full round is due and this is
        none.
        """
        with self._store.transaction() as connection:
            standing = self._standing()
            if self._position(standing["epoch"]) != base or (standing["full_due"] and not row.full):
                raise Overtaken(f"round {row.key} was overtaken: {standing['full_due'] or 'the stream went on'}")
            self._insert(connection, parts)
            self._held.write(connection, self.last(), barrier)
            connection.execute(
                "UPDATE recovery_stream SET full_due = '', sealed = sealed + 1, last_key = ?, last_at = ?"
                " WHERE stream = ?",
                (barrier.key, barrier.at.isoformat(), self.stream),
            )
            if row.full:
                for earlier in self.rounds(*LIVE):
                    self._advance(connection, earlier, "superseded")
            return self._advance(connection, row, "sealed", sealed=now, **values)

    def keep_at_most(self, most: int) -> None:
        """Let go of the eldest rounds beyond `most` that no standby confirmed; 0 keeps all.

        Where the carrier did not have one of them yet, what comes after leads on from nothing: a full one is due.
        """
        with self._store.transaction() as connection:
            live = self.rounds(*LIVE)
            for row in live[: max(0, len(live) - most)] if most else ():
                self._advance(connection, row, "superseded")
                if row.state == "SEND":
                    self._due(connection, f"round {row.key} was let go before it was sent")

    def sent(self, position: Position) -> None:
        """Note that the carrier has everything of an epoch up to a position."""
        with self._store.transaction() as connection:
            for row in self.rounds("SEND"):
                if row.epoch == position.epoch and row.last_seq <= position.seq:
                    self._advance(connection, row, "sent")

    def confirm(self, position: Position) -> None:
        """Note that the standby stands at a position. Raises Diverged where this stream never was there."""
        known = self.part(*position.order)
        if position.order > self.position().order or (known is not None and known.position != position):
            raise Diverged(
                f"the standby stands at {position}, which stream {self.stream} never had", "send a full round"
            )
        self.sent(position)
        self.pass_marks(position)
        with self._store.transaction() as connection:
            done = [row for row in self.rounds("CONFIRM") if (row.epoch, row.last_seq) <= position.order]
            for row in done:
                self._advance(connection, row, "confirmed" if row is done[-1] else "superseded")

    def expire(self, before: datetime) -> None:
        """Let the rounds go that were sealed before a time and that the carrier has."""
        with self._store.transaction() as connection:
            for row in self.rounds("CONFIRM"):
                if row.sealed is not None and row.sealed <= before:
                    self._advance(connection, row, "expired")

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch with a full round; that of an epoch which is under way changes nothing.

        Raises InputError for an epoch that was ended.
        """
        with self._store.transaction() as connection:
            now = self._standing()["epoch"]
            if epoch < now:
                raise InputError(
                    f"epoch {epoch} of stream {self.stream} was ended, {now} is sent", "begin a later one"
                )
            if epoch == now:
                return
            for row in self.rounds(*LIVE):
                self._advance(connection, row, "superseded")
            connection.execute("DELETE FROM recovery_part WHERE stream = ?", (self.stream,))
            connection.execute("UPDATE recovery_stream SET epoch = ? WHERE stream = ?", (epoch, self.stream))
            self._due(connection, f"epoch {epoch} begins")

    def end(self, row: Round, now: datetime) -> None:
        """Note that what a round held was let go; its parts cannot be cut any more. Old rounds are forgotten."""
        with self._store.transaction() as connection:
            self._advance(connection, row, "unpinned", ended=now)
            connection.execute(
                "UPDATE recovery_part SET body = x'', places = '[]', change = NULL WHERE stream = ? AND round = ?",
                (self.stream, row.key),
            )
            old = [one.key for one in self.rounds("FINISH", "DROPPED")[:-REMEMBERED]]
            for table, column in (("recovery_round", "key"), ("recovery_part", "round")):
                connection.executemany(
                    f"DELETE FROM {table} WHERE stream = ? AND {column} = ?", ((self.stream, key) for key in old)
                )

    def last(self) -> Barrier | None:
        """Return the barrier that was sealed last; None before the first."""
        standing = self._standing()
        if not standing["last_key"]:
            return None
        return self._held.read(standing["last_key"], datetime.fromisoformat(standing["last_at"]))

    def _standing(self) -> sqlite3.Row:
        return self._store.rows("SELECT * FROM recovery_stream WHERE stream = ?", (self.stream,))[0]

    def _due(self, connection: sqlite3.Connection, why: str) -> None:
        connection.execute("UPDATE recovery_stream SET full_due = ? WHERE stream = ?", (why, self.stream))

    def _position(self, epoch: int) -> Position:
        found = self._store.rows(
            "SELECT seq, digest FROM recovery_part WHERE stream = ? AND epoch = ? ORDER BY seq DESC LIMIT 1",
            (self.stream, epoch),
        )
        return Position(epoch, found[0]["seq"], Digest.of_hex(found[0]["digest"])) if found else Position(epoch, 0)

    def _mark(self, connection: sqlite3.Connection, after: Position, at: datetime) -> Part:
        made = mark_after(after, self.key, at)
        self._insert(connection, [made])
        self._due(connection, "the whole content was asked for")
        return made

    def _advance(self, connection: sqlite3.Connection, row: Round, event: str, **values: Any) -> Round:
        changed = replace(row, state=BACKUP.next(row.state, event), **values)
        columns = _columns(changed)
        done = connection.execute(
            f"UPDATE recovery_round SET {', '.join(f'{name} = ?' for name in columns)}"
            " WHERE stream = ? AND key = ? AND state = ?",
            (*columns.values(), self.stream, row.key, row.state),
        )
        return changed if done.rowcount else self._rounds("key = ?", row.key)[0]

    def _insert(self, connection: sqlite3.Connection, parts: Sequence[Part]) -> None:
        connection.executemany(
            "INSERT INTO recovery_part VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)",
            (
                (
                    self.stream,
                    part.position.epoch,
                    part.position.seq,
                    str(part.position.digest),
                    part.round,
                    part.size,
                    json.dumps(dict(part.counts)),
                    part.body,
                    json.dumps(part.places),
                    part.change,
                )
                for part in parts
            ),
        )

    def _rounds(self, where: str, *values: object) -> list[Round]:
        rows = self._store.rows(
            f"SELECT * FROM recovery_round WHERE stream = ? AND {where} ORDER BY number", (self.stream, *values)
        )
        return [_round(row) for row in rows]

    def _parts(self, where: str, *values: object) -> list[Part]:
        rows = self._store.rows(
            f"SELECT * FROM recovery_part WHERE stream = ? AND {where}", (self.stream, *values)
        )
        return [
            Part(
                Position(row["epoch"], row["seq"], Digest.of_hex(row["digest"])),
                row["round"],
                bool(row["passed"]),
                row["bytes"],
                json.loads(row["counts"]),
                row["body"],
                tuple(json.loads(row["places"])),
                row["change"],
            )
            for row in rows
        ]


_TIMES = ("begun", "at", "sealed", "ended")
_OTHER_NAMES = {"full": "is_full", "tables": "table_count", "rows": "row_count"}


def _columns(row: Round) -> dict[str, object]:
    values = {_OTHER_NAMES.get(name, name): value for name, value in asdict(row).items()}
    return values | {name: values[name] and values[name].isoformat() for name in _TIMES}


def _round(row: sqlite3.Row) -> Round:
    names = [item.name for item in fields(Round)]
    values = {name: row[_OTHER_NAMES.get(name, name)] for name in names}
    times = {name: values[name] and datetime.fromisoformat(values[name]) for name in _TIMES}
    return Round(**{**values, **times, "full": bool(values["full"])})
