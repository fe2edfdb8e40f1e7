"""Who did what to whose record: added, removed, received, identified. Rows are only ever added."""

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
        sql = "INSERT INTO audit (at, who, act, gallery, subject, detail) VALUES (?, ?, ?, ?, ?, ?)"
        if connection is not None:
            connection.execute(sql, values)
            return
        with self._store.transaction() as own:
            own.execute(sql, values)

    def entries(self, after: int = 0, most: int = 1000) -> list[AuditEntry]:
        """Return the acts after a number, oldest first."""
        rows = self._store.rows("SELECT * FROM audit WHERE number > ? ORDER BY number LIMIT ?", (after, most))
        return [
            AuditEntry(
                row["number"],
                datetime.fromisoformat(row["at"]),
                row["who"],
                row["act"],
                row["gallery"],
                row["subject"],
                row["detail"],
            )
            for row in rows
        ]
