"""What the site knows of its ingests: one row per source and day, one per unit that is already read."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection
from dataclasses import dataclass

from isthmus.core.ports import Clock
from isthmus.loop.ingest.states import DONE, INGEST
from isthmus.loop.record import Reject
from isthmus.state.store import Store

_MIGRATIONS = (
    """
    CREATE TABLE ingest (
        source TEXT NOT NULL, day TEXT NOT NULL, state TEXT NOT NULL,
        started TEXT NOT NULL, changed TEXT NOT NULL,
        units INTEGER NOT NULL DEFAULT 0, scenes INTEGER NOT NULL DEFAULT 0, rejects INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (source, day)
    );
    CREATE TABLE ingest_unit (
        source TEXT NOT NULL, day TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL,
        part TEXT NOT NULL, scenes INTEGER NOT NULL, rejects TEXT NOT NULL,
        PRIMARY KEY (source, day, key)
    )
    """,
)


@dataclass(frozen=True, slots=True)
class UnitDone:
    """A unit that was read: its scenes lie in the file `part` of the staging folder ('' where there are none)."""

    key: str
    fingerprint: str
    part: str
    scenes: int
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """The ingest of one source and day as the site remembers it."""

    source: str
    day: datetime.date
    state: str
    started: str
    changed: str
    units: int
    scenes: int
    rejects: int


class Journal:
    """Reads and moves the ingests of a site."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        store.migrate("ingest", _MIGRATIONS)

    def open(self, source: str, day: datetime.date) -> tuple[str, bool]:
        """Begin the ingest of a day, or take up a killed one; returns its state and whether it is taken up."""
        now = self._clock.now().isoformat()
        with self._store.transaction() as sql:
            row = sql.execute(
                "SELECT state FROM ingest WHERE source = ? AND day = ?", (source, str(day))
            ).fetchone()
            if row and row["state"] != DONE:
                return str(row["state"]), True
            state = INGEST.next(row["state"], "again") if row else INGEST.initial
            sql.execute("DELETE FROM ingest_unit WHERE source = ? AND day = ?", (source, str(day)))
            sql.execute(
                "REPLACE INTO ingest (source, day, state, started, changed) VALUES (?, ?, ?, ?, ?)",
                (source, str(day), state, now, now),
            )
        return state, False

    def add(self, source: str, day: datetime.date, unit: UnitDone) -> None:
        """Remember that a unit is read; its part file is already durable."""
        rejects = json.dumps([[r.record_id, r.reason, r.where, r.detail] for r in unit.rejects])
        with self._store.transaction() as sql:
            sql.execute(
                "REPLACE INTO ingest_unit VALUES (?, ?, ?, ?, ?, ?, ?)",
                (source, str(day), unit.key, unit.fingerprint, unit.part, unit.scenes, rejects),
            )

    def keep_only(self, source: str, day: datetime.date, keys: Collection[str]) -> None:
        """Forget units of a killed ingest that the source no longer lists."""
        with self._store.transaction() as sql:
            for key in self.units(source, day).keys() - set(keys):
                sql.execute(
                    "DELETE FROM ingest_unit WHERE source = ? AND day = ? AND key = ?", (source, str(day), key)
                )

    def units(self, source: str, day: datetime.date) -> dict[str, UnitDone]:
        """Return the units that are already read, by key."""
        rows = self._store.rows("SELECT * FROM ingest_unit WHERE source = ? AND day = ?", (source, str(day)))
        return {
            row["key"]: UnitDone(
                row["key"],
                row["fingerprint"],
                row["part"],
                row["scenes"],
                tuple(Reject(*item) for item in json.loads(row["rejects"])),
            )
            for row in rows
        }

    def move(self, source: str, day: datetime.date, event: str, counts: tuple[int, int, int] | None = None) -> str:
        """Let `event` happen and return the new state; `counts` are units, scenes, rejects."""
        with self._store.transaction() as sql:
            key = (source, str(day))
            row = sql.execute("SELECT * FROM ingest WHERE source = ? AND day = ?", key).fetchone()
            state = INGEST.next(row["state"], event)
            units, scenes, rejects = counts or (row["units"], row["scenes"], row["rejects"])
            sql.execute(
                "UPDATE ingest SET state = ?, changed = ?, units = ?, scenes = ?, rejects = ?"
                " WHERE source = ? AND day = ?",
                (state, self._clock.now().isoformat(), units, scenes, rejects, *key),
            )
        return state

    def entries(self) -> list[Entry]:
        """List all ingests, newest day first."""
        rows = self._store.rows("SELECT * FROM ingest ORDER BY day DESC, source")
        return [Entry(**{**dict(row), "day": datetime.date.fromisoformat(row["day"])}) for row in rows]
