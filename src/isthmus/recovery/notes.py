"""What a site of a pair remembers beside its rounds: small texts by name, in the site's state."""

from __future__ import annotations

from datetime import datetime

from isthmus.state.store import Store

_STEPS = ("CREATE TABLE recovery_note (name TEXT PRIMARY KEY, value TEXT NOT NULL)",)


class Notes:
    """Names and values; what was never noted is empty."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.migrate("recovery notes", _STEPS)

    def __getitem__(self, name: str) -> str:
        """Return a note, empty where there is none."""
        rows = self._store.rows("SELECT value FROM recovery_note WHERE name = ?", (name,))
        return str(rows[0]["value"]) if rows else ""

    def put(self, **values: str) -> None:
        """Write notes down, all or none; an empty value forgets one."""
        with self._store.transaction() as connection:
            for name, value in values.items():
                if value:
                    connection.execute("REPLACE INTO recovery_note VALUES (?, ?)", (name, value))
                else:
                    connection.execute("DELETE FROM recovery_note WHERE name = ?", (name,))

    def moment(self, name: str) -> datetime | None:
        """Return a note that is a time; None where there is none."""
        text = self[name]
        return datetime.fromisoformat(text) if text else None

    def count(self, name: str) -> int:
        """Return a note that is a number, 0 where there is none."""
        return int(self[name] or 0)
