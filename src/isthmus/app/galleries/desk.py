"""The outer site's second state file: what its sync server and its operators write.

Receiving holds the set's file in one transaction for as long as a bundle takes to be applied. Devices, rules,
epochs and the audit log therefore lie in a file of their own: a session of a device never waits for the gate. What
is noted with a change of the set stays in the set's file, and is gathered into the log from there.

A site of a release that had one file is moved over once, under that file's lock: what is copied is durable in the
new file before the old tables go, and where a kill comes in between, the next start finishes. An older release is
refused from then on, rather than let devices in that were revoked since.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

from isthmus.core.ports import Clock
from isthmus.gallery.registry import Devices
from isthmus.gallery.sync.epochs import Epochs, Identity
from isthmus.state.audit import Audit
from isthmus.state.store import Store

FILE = "server.sqlite"
SET = "set"
"""Under what name the entries of the set's file are gathered."""

_TABLES = ("device", "device_rule", "device_revoked", "device_told", "device_reached", "sync_epoch")
_ROOMS = ("devices", "sync_epoch")
_MOVED_AWAY = 1_000_000
"""More migrations than a release will ever have: one that looks for the room here says that it is too old."""

Step = Callable[[str], None]


def no_step(name: str) -> None:
    """Take no notice."""


class Desk:
    """The open file, moved over where that was still to be done. Belongs to the thread that opened it."""

    def __init__(
        self, path: Path, clock: Clock, held: Store, identity: Callable[[], Identity], step: Step = no_step
    ) -> None:
        """Open or create the file beside the set's, `held`. Raises Busy while another process holds either.

        `identity` gives what tells galleries' identities; it is asked only where epochs are moved over. `step` is
        told how far that is.
        """
        self.store, self._held, self._step = Store(path), held, step
        self.audit = Audit(self.store, clock)
        self.devices = Devices(self.store, clock, self.audit)
        Epochs(self.store)
        self.store.migrate("moved_over", ("CREATE TABLE moved_over (source TEXT PRIMARY KEY)",))
        if not self._moved_over() or _there(held):
            self.audit.gather(held, SET)
            step("gathered")
            self._move(identity())

    def gathered(self) -> Audit:
        """Return the log with all that was noted until now with changes of the set."""
        self.audit.gather(self._held, SET)
        return self.audit

    def close(self) -> None:
        """Close the file; the set's stays open."""
        self.store.close()

    def _moved_over(self) -> bool:
        return bool(self.store.rows("SELECT 1 FROM moved_over WHERE source = ?", (SET,)))

    def _move(self, identity: Identity) -> None:
        with self._held.transaction() as old:
            there = _there(self._held)
            with self.store.transaction() as new:
                if not self._moved_over():
                    for table in there:
                        _copy(old, new, table)
                    if "sync_epoch" in there:
                        _bind(new, identity)
                    new.execute("INSERT INTO moved_over VALUES (?)", (SET,))
                    self._step("copied")
            self._step("committed")
            for table in there:
                old.execute(f"DROP TABLE {table}")
            for room in _ROOMS:
                old.execute("REPLACE INTO migration (room, done) VALUES (?, ?)", (room, _MOVED_AWAY))
            self._step("dropped")


def _there(held: Store) -> list[str]:
    rows = held.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    names = {row["name"] for row in rows}
    return [table for table in _TABLES if table in names]


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, table: str) -> None:
    cursor = old.execute(f"SELECT * FROM {table}")
    columns = [column[0] for column in cursor.description]
    marks = ", ".join("?" * len(columns))
    new.executemany(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
        [tuple(row) for row in cursor],
    )
    if table == "device_rule":  # a number that was withdrawn is never another rule's
        row = old.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
        if row is not None:
            new.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
            new.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, row["seq"]))


def _bind(new: sqlite3.Connection, identity: Identity) -> None:
    for row in new.execute("SELECT gallery FROM sync_epoch").fetchall():
        new.execute(
            "UPDATE sync_epoch SET identity = ? WHERE gallery = ?", (identity(row["gallery"]), row["gallery"])
        )
