"""Who did what to whose record: added, removed, received, identified. Rows are only ever added.

What changes content is noted in the transaction that changes it, so in the file of that content. A site that has
another file for the rest keeps its log there and gathers: each entry of the first file gets its number in the log
once, in order, whatever dies in between. The first file keeps its entries.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from isthmus.core.ports import Clock
from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE audit (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        who TEXT NOT NULL,
        act TEXT NOT NULL,
        gallery TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    )""",
)
_GATHERED = ("CREATE TABLE audit_gathered (source TEXT PRIMARY KEY, upto INTEGER NOT NULL, at TEXT NOT NULL)",)
_FIELDS = "at, who, act, gallery, subject, detail"
_INSERT = f"INSERT INTO audit ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?)"
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act. `who` is a user, a site or a device; `subject` is a record's id, a device, a file."""

    number: int
    at: datetime
    who: str
    act: str
    gallery: str
    subject: str
    detail: str


class Audit:
    """The audit log of a site."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        store.migrate("audit", _STEPS)

    def note(
        self,
        who: str,
        act: str,
        gallery: str = "",
        subject: str = "",
        detail: str = "",
        *,
        connection: sqlite3.Connection | None = None,
    ) -> None:
        """Write one act down: in the transaction of `connection` where one is given, else in its own."""
        values = (self._clock.now().isoformat(), who, act, gallery, subject, detail)
        if connection is not None:
            connection.execute(_INSERT, values)
            return
        with self._store.transaction() as own:
            own.execute(_INSERT, values)

    def gather(self, source: Store, name: str) -> int:
        """Take in what was noted in another file since the last time; returns how much. `name` names the file.

        Who writes into the other file just now is not waited for. Where it was restored from a backup, only what
        is not in this log yet is taken.
        """
        self._store.migrate("audit_gathered", _GATHERED)
        if not source.rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'audit'"):
            return 0
        total = 0
        while taken := self._stretch(source, name):
            total += taken
        return total

    def _stretch(self, source: Store, name: str) -> int:
        """Take the next entries in, and note with them how far that is."""
        known = _upto(self._store, name)
        if _newest(source) == known:
            return 0
        with self._store.transaction() as own:
            upto, at = _upto(self._store, name)
            last = source.rows("SELECT at FROM audit WHERE number = ?", (upto,))
            there: set[tuple[object, ...]] = set()
            many = _AT_ONCE
            if upto and (not last or last[0]["at"] != at):
                there = {tuple(row) for row in own.execute(f"SELECT {_FIELDS} FROM audit")}
                upto, many = 0, -1
            sql = f"SELECT number, {_FIELDS} FROM audit WHERE number > ? ORDER BY number LIMIT ?"
            found = [tuple(row) for row in source.rows(sql, (upto, many))]
            new = [entry[1:] for entry in found if entry[1:] not in there]
            own.executemany(_INSERT, new)
            end = found[-1][:2] if found else (0, "")
            own.execute("REPLACE INTO audit_gathered VALUES (?, ?, ?)", (name, *end))
        return len(new)

    def entries(self, after: int = 0, most: int = 1000) -> list[AuditEntry]:
        """Return the acts after a number, oldest first."""
        rows = self._store.rows("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, most))
        return [_entry(row) for row in rows]

    def latest(self, before: int | None = None, most: int = 100) -> list[AuditEntry]:
        """Return the latest acts, newest first; with `before` those of smaller numbers."""
        below = (1 << 63) - 1 if before is None else before
        sql = "SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?"
        return [_entry(row) for row in self._store.rows(sql, (below, most))]


def _entry(row: sqlite3.Row) -> AuditEntry:
    return AuditEntry(
        row["number"],
        datetime.fromisoformat(row["at"]),
        row["who"],
        row["act"],
        row["gallery"],
        row["subject"],
        row["detail"],
    )


def _newest(source: Store) -> tuple[int, str]:
    rows = source.rows("SELECT number, at FROM audit ORDER BY number DESC LIMIT 1")
    return (rows[0]["number"], rows[0]["at"]) if rows else (0, "")


def _upto(log: Store, name: str) -> tuple[int, str]:
    """Return the number and the time of the last entry that was taken in from a file."""
    rows = log.rows("SELECT upto, at FROM audit_gathered WHERE source = ?", (name,))
    return (rows[0]["upto"], rows[0]["at"]) if rows else (0, "")
