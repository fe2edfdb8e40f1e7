"""The receiver's journal: what became of every arrived bundle, what was heard, and what was set aside (SQLite)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from isthmus.core.header import Header
from isthmus.core.position import Position
from isthmus.state.store import Store
from isthmus.transfer.arrival import ARRIVAL, Noticed
from isthmus.transfer.patience import Waited

_STEPS = (
    """CREATE TABLE arrived (
        stream TEXT NOT NULL,
        unit TEXT NOT NULL,
        state TEXT NOT NULL,
        stamp TEXT NOT NULL,
        tried TEXT NOT NULL,
        waited_at TEXT NOT NULL,
        waited_s REAL NOT NULL,
        size INTEGER NOT NULL,
        why TEXT NOT NULL,
        header TEXT,
        PRIMARY KEY (stream, unit)
    );
    CREATE TABLE heard (
        stream TEXT PRIMARY KEY,
        latest TEXT,
        made TEXT,
        at TEXT,
        silent TEXT,
        gap TEXT,
        gap_begin TEXT,
        stuck INTEGER NOT NULL,
        counts TEXT NOT NULL
    );
    CREATE TABLE gate_quarantine (
        stream TEXT NOT NULL,
        unit TEXT NOT NULL,
        digest TEXT NOT NULL,
        kind TEXT NOT NULL,
        why TEXT NOT NULL,
        at TEXT NOT NULL,
        size INTEGER NOT NULL,
        times INTEGER NOT NULL,
        healed INTEGER NOT NULL,
        PRIMARY KEY (stream, unit, digest)
    )""",
    "ALTER TABLE heard ADD COLUMN content TEXT NOT NULL DEFAULT '{}'",
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """One arrived bundle. `header` is there once it was verified; `size` is that of its files in bytes."""

    unit: str
    noticed: Noticed
    size: int = 0
    why: str = ""
    header: Header | None = None

    @property
    def state(self) -> str:
        """Its state in `ARRIVAL`."""
        return self.noticed.state

    def after(self, event: str, why: str = "") -> Arrived:
        """Return what an event makes of it. Raises IllegalTransition."""
        return replace(self, noticed=replace(self.noticed, state=ARRIVAL.next(self.state, event)), why=why)


@dataclass(frozen=True, slots=True)
class Heard:
    """What is known of the sender: its latest position, when it made and we took what told so, and our waiting.

    `silent` and `gap` count how long nothing new was heard, and how long changes are missing from `gap_begin` on.
    `stuck`: what comes next cannot be applied, and only a snapshot helps. `content`: what the sender counted in
    its content at `latest`, empty where nothing told.
    """

    latest: Position | None = None
    made: datetime | None = None
    at: datetime | None = None
    silent: Waited | None = None
    gap: Waited | None = None
    gap_begin: str = ""
    stuck: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    content: Mapping[str, int] = field(default_factory=dict)

    def counted(self, **more: int) -> Heard:
        """Return it with some counts raised."""
        counts = dict(self.counts)
        for what, by in more.items():
            counts[what] = counts.get(what, 0) + by
        return replace(self, counts=counts)


@dataclass(frozen=True, slots=True)
class SetAside:
    """A bundle in the quarantine. `healed`: an authentic one has come since, or it is needed no more."""

    unit: str
    digest: str
    kind: str
    why: str
    at: datetime
    size: int
    times: int = 1
    healed: bool = False

    @property
    def folder(self) -> str:
        """The name of its folder in the quarantine."""
        return f"{self.unit}.{self.digest[:16]}"

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            "file": self.unit,
            "kind": self.kind,
            "why": self.why,
            "at": self.at.isoformat(),
            "bytes": self.size,
            "times": self.times,
            "healed": self.healed,
            "folder": self.folder,
            "blake3": self.digest,
        }


class Journal:
    """The rows of one stream."""

    def __init__(self, store: Store, stream: str) -> None:
        self._store, self._stream = store, stream
        store.migrate("arrived", _STEPS)
        if store.rows("SELECT 1 FROM heard WHERE stream = ?", (stream,)):
            return  # who only asks for the status waits for nobody who receives
        with store.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO heard (stream, stuck, counts) VALUES (?, 0, '{}')", (stream,)
            )

    def arrived(self, *states: str) -> dict[str, Arrived]:
        """Read the arrived bundles (those in some states, where such are named), sorted by unit."""
        marks = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        rows = self._store.rows(
            f"SELECT * FROM arrived WHERE stream = ?{marks} ORDER BY unit", (self._stream, *states)
        )
        return {row["unit"]: _arrived(row) for row in rows}

    def heard(self) -> Heard:
        """Read what is known of the sender."""
        return _heard(self._store.rows("SELECT * FROM heard WHERE stream = ?", (self._stream,))[0])

    def write(self, *rows: Arrived, heard: Heard | None = None, aside: SetAside | None = None) -> None:
        """Write rows, and with them what is known of the sender and what was set aside, in one transaction."""
        with self._store.transaction() as connection:
            for row in rows:
                connection.execute(
                    "REPLACE INTO arrived"
                    " (stream, unit, state, stamp, tried, waited_at, waited_s, size, why, header)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (self._stream, *_arrived_values(row)),
                )
            if heard is not None:
                connection.execute(
                    "REPLACE INTO heard (stream, latest, made, at, silent, gap, gap_begin, stuck, counts, content)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (self._stream, *_heard_values(heard)),
                )
            if aside is not None:
                self._set_aside(connection, aside)

    def forget(self, *names: str) -> None:
        """Remove rows of arrived bundles."""
        with self._store.transaction() as connection:
            connection.executemany(
                "DELETE FROM arrived WHERE stream = ? AND unit = ?", [(self._stream, name) for name in names]
            )

    def set_aside(self) -> list[SetAside]:
        """List the quarantine, oldest first."""
        rows = self._store.rows(
            "SELECT * FROM gate_quarantine WHERE stream = ? ORDER BY at, unit, digest", (self._stream,)
        )
        return [
            SetAside(
                row["unit"],
                row["digest"],
                row["kind"],
                row["why"],
                datetime.fromisoformat(row["at"]),
                row["size"],
                row["times"],
                bool(row["healed"]),
            )
            for row in rows
        ]

    def heal(self, *rows: SetAside) -> None:
        """Mark what is in the quarantine as healed."""
        self._aside("UPDATE gate_quarantine SET healed = 1", rows)

    def dismiss(self, *rows: SetAside) -> None:
        """Remove rows of the quarantine."""
        self._aside("DELETE FROM gate_quarantine", rows)

    def _aside(self, act: str, rows: tuple[SetAside, ...]) -> None:
        with self._store.transaction() as connection:
            connection.executemany(
                f"{act} WHERE stream = ? AND unit = ? AND digest = ?",
                [(self._stream, row.unit, row.digest) for row in rows],
            )

    def _set_aside(self, connection: sqlite3.Connection, row: SetAside) -> None:
        connection.execute(
            "INSERT INTO gate_quarantine (stream, unit, digest, kind, why, at, size, times, healed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, 0) ON CONFLICT (stream, unit, digest)"
            " DO UPDATE SET times = times + 1, healed = 0, kind = excluded.kind, why = excluded.why",
            (self._stream, row.unit, row.digest, row.kind, row.why, row.at.isoformat(), row.size),
        )


def _arrived(row: sqlite3.Row) -> Arrived:
    waited = Waited(datetime.fromisoformat(row["waited_at"]), row["waited_s"])
    header = None if row["header"] is None else Header.of_json(json.loads(row["header"]))
    noticed = Noticed(row["state"], row["stamp"], row["tried"], waited)
    return Arrived(row["unit"], noticed, row["size"], row["why"], header)


def _arrived_values(row: Arrived) -> tuple[object, ...]:
    noticed = row.noticed
    return (
        row.unit,
        noticed.state,
        noticed.stamp,
        noticed.tried,
        noticed.waited.at.isoformat(),
        noticed.waited.seconds,
        row.size,
        row.why,
        row.header and json.dumps(row.header.to_json()),
    )


def _heard(row: sqlite3.Row) -> Heard:
    return Heard(
        None if row["latest"] is None else Position.of_json(json.loads(row["latest"])),
        _time(row["made"]),
        _time(row["at"]),
        _waited(row["silent"]),
        _waited(row["gap"]),
        row["gap_begin"] or "",
        bool(row["stuck"]),
        json.loads(row["counts"]),
        json.loads(row["content"]),
    )


def _heard_values(heard: Heard) -> tuple[object, ...]:
    return (
        heard.latest and json.dumps(heard.latest.to_json()),
        heard.made and heard.made.isoformat(),
        heard.at and heard.at.isoformat(),
        _told(heard.silent),
        _told(heard.gap),
        heard.gap_begin,
        heard.stuck,
        json.dumps(dict(heard.counts)),
        json.dumps(dict(heard.content)),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _waited(text: str | None) -> Waited | None:
    if text is None:
        return None
    at, seconds = json.loads(text)
    return Waited(datetime.fromisoformat(at), seconds)


def _told(waited: Waited | None) -> str | None:
    return None if waited is None else json.dumps([waited.at.isoformat(), waited.seconds])
