"""The sender's ledger: every bundle is written down before its file is made, so that a crash changes nothing.

A row holds all that a file is made of besides the changes themselves (bounds, format, time, number of the beat).
Together with the key and the source it gives the same bytes again, after a crash as well as months later when a
receiver asks for a file that is no longer kept.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from isthmus.core.header import Kind
from isthmus.core.machine import Machine, Row
from isthmus.core.position import Position
from isthmus.state.store import Store
from isthmus.transfer.naming import Format

OUTGOING = Machine(
    "outgoing",
    "recorded",
    (
        Row("recorded", "sealed", "sealed", "its file is complete in the outbox"),
        Row("recorded", "moved on", "abandoned", "a crash came first, and the source cannot give this any more"),
        Row("sealed", "put", "sent", "the carrier has it"),
        Row("sealed", "lost", "recorded", "somebody removed its file from the outbox"),
        Row("sent", "put", "sent", "the carousel or a request sends it again"),
        Row("sent", "retired", "retired", "enough later files are kept"),
        Row("sent", "lost", "retired", "somebody removed its file from the outbox"),
        Row("retired", "made anew", "sealed", "a receiver asks for it, and it came out with the same bytes"),
    ),
)

REMEMBERED = 50_000
"""So many retired rows are kept: what is older can only be healed by a snapshot."""

_STEPS = (
    """CREATE TABLE outgoing (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        stream TEXT NOT NULL,
        state TEXT NOT NULL,
        kind TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        since_seq INTEGER NOT NULL,
        until_seq INTEGER NOT NULL,
        since TEXT NOT NULL,
        until TEXT NOT NULL,
        format TEXT NOT NULL,
        made TEXT NOT NULL,
        most_bytes INTEGER NOT NULL,
        beat INTEGER,
        files TEXT NOT NULL,
        sent INTEGER NOT NULL
    );
    CREATE INDEX outgoing_state ON outgoing (stream, state);
    CREATE INDEX outgoing_until ON outgoing (stream, epoch, until_seq);
    CREATE TABLE outgoing_head (
        stream TEXT PRIMARY KEY,
        head TEXT,
        beat INTEGER NOT NULL,
        sendings INTEGER NOT NULL,
        pending TEXT,
        carousel TEXT,
        heartbeat TEXT,
        snapshot TEXT
    )""",
    "ALTER TABLE outgoing ADD COLUMN counts TEXT NOT NULL DEFAULT '{}'",
)


@dataclass(frozen=True, slots=True)
class Bundled:
    """One bundle of the ledger. `files` gives name to BLAKE3, once sealed; `sent` orders the last sendings.

    `counts` is what a heartbeat tells of the content; what the others tell comes with their cut.
    """

    number: int
    state: str
    kind: Kind
    since: Position
    until: Position
    format: Format
    made: datetime
    most_bytes: int
    beat: int | None
    files: Mapping[str, str]
    sent: int
    counts: Mapping[str, int] = field(default_factory=dict)

    def after(self, event: str) -> Bundled:
        """Return the row after an event. Raises IllegalTransition."""
        return replace(self, state=OUTGOING.next(self.state, event))


@dataclass(frozen=True, slots=True)
class Head:
    """Where the sending of a stream stands: the last position cut, and when each cadence last came round."""

    head: Position | None = None
    beat: int = 0
    sendings: int = 0
    pending: datetime | None = None
    carousel: datetime | None = None
    heartbeat: datetime | None = None
    snapshot: datetime | None = None


class Ledger:
    """The rows of one stream."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store, self._stream = store, stream
        store.migrate("outgoing", _STEPS)
        with store.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO outgoing_head (stream, beat, sendings) VALUES (?, 0, 0)", (stream,)
            )

    def head(self) -> Head:
        """Read where the sending stands."""
        return _head(self._store.rows("SELECT * FROM outgoing_head WHERE stream = ?", (self._stream,))[0])

    def note(self, **times: datetime | None) -> None:
        """Write down when cadences came round: pending, carousel, heartbeat, snapshot."""
        with self._store.transaction() as connection:
            for what, at in times.items():
                self._set(connection, what, at and at.isoformat())

    def record(self, row: Bundled) -> Bundled:
        """Write a new bundle down with its consequences, before anything of it is made; return it numbered.

        An increment or snapshot moves the head; a heartbeat takes the next number of beats.
        """
        with self._store.transaction() as connection:
            head = self._read(connection)
            if row.kind is Kind.HEARTBEAT:
                row = replace(row, beat=head.beat + 1)
                self._set(connection, "beat", head.beat + 1)
                self._set(connection, "heartbeat", row.made.isoformat())
            else:
                self._set(connection, "head", json.dumps(row.until.to_json()))
                self._set(connection, "pending", None)
            if row.kind is Kind.SNAPSHOT:
                self._set(connection, "snapshot", row.made.isoformat())
            columns = _columns(row)
            number = connection.execute(
                f"INSERT INTO outgoing (stream, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})",
                (self._stream, *columns.values()),
            ).lastrowid
        return replace(row, number=number or 0)

    def change(self, row: Bundled, event: str, files: Mapping[str, str] | None = None) -> Bundled:
        """Write down what happened to a bundle; being put gives it the next number of sendings."""
        row = row.after(event)
        with self._store.transaction() as connection:
            if event == "put":
                row = replace(row, sent=self._read(connection).sendings + 1)
                self._set(connection, "sendings", row.sent)
            if files is not None:
                row = replace(row, files=files)
            connection.execute(
                "UPDATE outgoing SET state = ?, files = ?, sent = ? WHERE number = ?",
                (row.state, json.dumps(row.files), row.sent, row.number),
            )
        return row

    def abandon(self, row: Bundled, head: Position | None) -> None:
        """Forget a bundle that never was made, and stand again where it began."""
        with self._store.transaction() as connection:
            row.after("moved on")
            connection.execute("DELETE FROM outgoing WHERE number = ?", (row.number,))
            if row.kind is not Kind.HEARTBEAT:
                self._set(connection, "head", None if head is None else json.dumps(head.to_json()))

    def in_state(self, *states: str) -> list[Bundled]:
        """List the bundles in these states, oldest first."""
        marks = ", ".join("?" * len(states))
        return self._rows(f"stream = ? AND state IN ({marks}) ORDER BY number", self._stream, *states)

    def before(self, row: Bundled) -> Position | None:
        """Return where the head stood before the last bundle was recorded; None at the very beginning."""
        others = self._rows(
            "stream = ? AND number <> ? AND kind <> 'heartbeat' ORDER BY number DESC LIMIT 1",
            self._stream,
            row.number,
        )
        return others[0].until if others else None

    def followed(self, row: Bundled) -> bool:
        """Tell whether the stream was led on after a bundle was recorded."""
        later = "stream = ? AND number > ? AND kind <> 'heartbeat' LIMIT 1"
        return bool(self._rows(later, self._stream, row.number))

    def increments(self, epoch: int, since: int, until: int) -> list[Bundled]:
        """List the increments that touch a stretch (since, until] of an epoch, in order."""
        return self._rows(
            "stream = ? AND kind = 'increment' AND epoch = ? AND until_seq > ? AND since_seq < ?"
            " ORDER BY until_seq",
            self._stream, epoch, since, until,
        )  # fmt: skip

    def snapshot_at(self, position: Position, format: Format) -> Bundled | None:
        """Return the snapshot that was made of a position in a format."""
        found = self._rows(
            "stream = ? AND kind = 'snapshot' AND epoch = ? AND until_seq = ? AND format = ? ORDER BY number DESC",
            self._stream, position.epoch, position.seq, format,
        )  # fmt: skip
        return found[0] if found and found[0].until == position else None

    def trim(self) -> None:
        """Forget retired heartbeats, and of the other retired rows all but the last REMEMBERED."""
        with self._store.transaction() as connection:
            connection.execute(
                "DELETE FROM outgoing WHERE stream = ? AND state = 'retired' AND (kind = 'heartbeat' OR number <= "
                "(SELECT max(number) FROM outgoing WHERE stream = ?) - ?)",
                (self._stream, self._stream, REMEMBERED),
            )

    def _rows(self, where: str, *values: object) -> list[Bundled]:
        return [_bundled(row) for row in self._store.rows(f"SELECT * FROM outgoing WHERE {where}", values)]

    def _read(self, connection: sqlite3.Connection) -> Head:
        return _head(
            connection.execute("SELECT * FROM outgoing_head WHERE stream = ?", (self._stream,)).fetchone()
        )

    def _set(self, connection: sqlite3.Connection, what: str, value: object) -> None:
        connection.execute(f"UPDATE outgoing_head SET {what} = ? WHERE stream = ?", (value, self._stream))


def _columns(row: Bundled) -> dict[str, object]:
    return {
        "state": row.state,
        "kind": row.kind.value,
        "epoch": row.until.epoch,
        "since_seq": row.since.seq,
        "until_seq": row.until.seq,
        "since": json.dumps(row.since.to_json()),
        "until": json.dumps(row.until.to_json()),
        "format": row.format,
        "made": row.made.isoformat(),
        "most_bytes": row.most_bytes,
        "beat": row.beat,
        "files": json.dumps(row.files),
        "sent": row.sent,
        "counts": json.dumps(dict(row.counts)),
    }


def _bundled(row: sqlite3.Row) -> Bundled:
    return Bundled(
        row["number"],
        row["state"],
        Kind(row["kind"]),
        Position.of_json(json.loads(row["since"])),
        Position.of_json(json.loads(row["until"])),
        row["format"],
        datetime.fromisoformat(row["made"]),
        row["most_bytes"],
        row["beat"],
        json.loads(row["files"]),
        row["sent"],
        json.loads(row["counts"]),
    )


def _head(row: sqlite3.Row) -> Head:
    return Head(
        None if row["head"] is None else Position.of_json(json.loads(row["head"])),
        row["beat"],
        row["sendings"],
        *(
            None if row[what] is None else datetime.fromisoformat(row[what])
            for what in ("pending", "carousel", "heartbeat", "snapshot")
        ),
    )
