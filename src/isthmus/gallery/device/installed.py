"""The rows of a device's store that say which version of each model is active, and which are passed over.

The active version is written down as a whole, and its contents are held by references of its own: so it outlives
what the server lists, until another one takes its place in one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from isthmus.core.errors import Corrupt
from isthmus.gallery.device.sealing import Sealing
from isthmus.gallery.publication import Published
from isthmus.state.store import Store

_STEPS = (
    """CREATE TABLE device_model_active (
        name TEXT PRIMARY KEY, body BLOB NOT NULL, at TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE device_model_refused (
        name TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (name, digest)
    ) WITHOUT ROWID""",
)
ROLLED_BACK = "rolled back here"


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """The active version of a model, and when it became so."""

    published: Published
    at: str


class Installed:
    """Keeps them in the device's store. `reap` unlinks what nothing refers to; `step` is told of steps."""

    def __init__(
        self,
        store: Store,
        sealing: Sealing,
        name: Callable[[bytes], str],
        reap: Callable[[], None],
        step: Callable[[str], None],
    ) -> None:
        self._store, self._sealing, self._name, self._reap, self._step = store, sealing, name, reap, step
        store.migrate("device_model_active", _STEPS)

    def names(self) -> list[str]:
        """List the models of which a version is active, sorted."""
        return [row["name"] for row in self._store.rows("SELECT name FROM device_model_active ORDER BY name")]

    def active(self, name: str) -> ActiveModel | None:
        """Return the active version of a model. Raises Corrupt where its row cannot be read."""
        rows = self._store.rows("SELECT body, at FROM device_model_active WHERE name = ?", (name,))
        if not rows:
            return None
        try:
            body = self._sealing.open(rows[0]["body"], _owner(name).encode())
            return ActiveModel(msgspec.json.decode(body, type=Published), rows[0]["at"])
        except msgspec.MsgspecError as error:
            raise Corrupt(f"the active version of {name} cannot be read", "synchronise anew") from error

    def activate(self, name: str, one: Published, at: str, passed_over: Published | None = None) -> None:
        """Make a version active in place of the one before, which is passed over from now on where it is given."""
        body = self._sealing.seal(msgspec.json.encode(one), _owner(name).encode())
        with self._store.transaction() as connection:
            self._let_go(connection, name)
            used = [(_owner(name), b"", self._name(piece)) for piece in one.pieces]
            connection.executemany("INSERT OR IGNORE INTO device_used VALUES (?, ?, ?)", used)
            connection.execute("REPLACE INTO device_model_active VALUES (?, ?, ?)", (name, body, at))
            if passed_over is not None:
                self._refuse(connection, name, passed_over, ROLLED_BACK)
            self._step("model in the transaction")
        self._step("model committed")
        self._reap()

    def deactivate(self, name: str) -> None:
        """Let a model have no active version, and forget what was refused of it."""
        with self._store.transaction() as connection:
            self._let_go(connection, name)
            connection.execute("DELETE FROM device_model_active WHERE name = ?", (name,))
        self._reap()

    def refused(self, name: str) -> dict[str, str]:
        """Return why versions are passed over, by their digest."""
        rows = self._store.rows("SELECT digest, reason FROM device_model_refused WHERE name = ?", (name,))
        return {row["digest"]: row["reason"] for row in rows}

    def refuse(self, name: str, one: Published, reason: str) -> None:
        """Pass a version over from now on."""
        with self._store.transaction() as connection:
            self._refuse(connection, name, one, reason)

    def forget_refused(self, name: str) -> None:
        """Pass none over any more."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM device_model_refused WHERE name = ?", (name,))

    @staticmethod
    def _refuse(connection: sqlite3.Connection, name: str, one: Published, reason: str) -> None:
        connection.execute("REPLACE INTO device_model_refused VALUES (?, ?, ?)", (name, one.digest, reason))

    @staticmethod
    def _let_go(connection: sqlite3.Connection, name: str) -> None:
        doomed = "INSERT OR IGNORE INTO device_doomed SELECT name FROM device_used WHERE gallery = ?"
        connection.execute(doomed, (_owner(name),))
        connection.execute("DELETE FROM device_used WHERE gallery = ?", (_owner(name),))


def _owner(name: str) -> str:
    return f"\nactive {name}"  # no gallery has such a name
