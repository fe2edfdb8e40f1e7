"""Which barriers the standby showed, and where each of their files lies: the rows of the holding.

A file's row tells in which barrier it came (`first`) and in which it was not any more (`last`). So the files of a
barrier are found again, and those that no barrier needs any more are known. A file of which the content is not
known (its digest is empty) is only there to be removed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Literal, NamedTuple

from isthmus.core.errors import InputError
from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.recovery.damage import Finding
from isthmus.recovery.placing import Place, placed_files
from isthmus.state.store import Store

Desync = Literal["none", "log-desync-table", "drop-desync-table"]
_MIGRATIONS = (
    """CREATE TABLE holding_barrier (
        number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, at TEXT NOT NULL, tables TEXT NOT NULL,
        looked TEXT NOT NULL, waited REAL NOT NULL
    );
    CREATE TABLE holding_file (
        name TEXT NOT NULL, path TEXT NOT NULL, identity TEXT NOT NULL, size INTEGER NOT NULL,
        digest BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER, PRIMARY KEY (name, path, first)
    );
    CREATE INDEX holding_file_digest ON holding_file (digest);
    CREATE INDEX holding_file_last ON holding_file (last);
    CREATE TABLE holding_left (
        name TEXT PRIMARY KEY, version INTEGER NOT NULL, manifest TEXT NOT NULL, number INTEGER NOT NULL
    );
    CREATE TABLE holding_missing (digest BLOB PRIMARY KEY, size INTEGER NOT NULL);
    CREATE TABLE holding_finding (
        number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
        what TEXT NOT NULL
    )""",
)
_KEPT_FINDINGS = 1000


class _Shown(NamedTuple):
    number: int
    key: str
    at: datetime
    tables: dict[str, TableAt]


class HeldRows:
    """The rows. Files are spoken of by where they belong; whether they lie there is for others to see."""

    def __init__(self, store: Store) -> None:
        store.migrate("recovery holding", _MIGRATIONS)
        self._store = store
        self._whole: tuple[int, str, Barrier] | None = None

    def shown(self) -> Barrier | None:
        """Return the barrier that is shown; None before the first. Not to be called in an open transaction."""
        last = self._last()
        if last is None:
            return None
        if self._whole is not None and self._whole[:2] == (last.number, last.key):  # no number is given twice
            return self._whole[2]
        files: dict[str, dict[str, HeldFile]] = {identity: {} for identity in last.tables}
        for place, (identity, file) in self._of(last.number).items():
            if identity in last.tables and last.tables[identity].name == place.name:
                files[identity][place.path] = file
        barrier = Barrier(last.key, last.at, last.tables, files)
        self._whole = last.number, last.key, barrier
        return barrier

    def present(self) -> dict[Place, HeldFile]:
        """Return what lies where, as far as contents are known: of each place the newest."""
        rows = self._store.rows("SELECT name, path, size, digest FROM holding_file ORDER BY first")
        newest = {Place(row["name"], row["path"]): row for row in rows}
        return {place: _file(row) for place, row in newest.items() if row["digest"]}

    def readable(self) -> dict[Place, HeldFile]:
        """Return the files that readers may open now: those of the shown barrier, and of tables that left it."""
        shown = self.shown()
        files = placed_files(shown) if shown else {}
        rows = self._store.rows(
            "SELECT file.* FROM holding_file AS file JOIN holding_left USING (name) WHERE file.last = number"
        )
        return files | {Place(row["name"], row["path"]): _file(row) for row in rows}

    def known(self, prefix: str = "") -> dict[Place, bytes]:
        """Return the digest of all that lies here on purpose; empty where any content will do."""
        rows = self._store.rows(
            "SELECT name, path, digest FROM holding_file WHERE substr(path, 1, ?) = ? ORDER BY first",
            (len(prefix), prefix),
        )
        return {Place(row["name"], row["path"]): row["digest"] for row in rows}

    def names(self) -> set[str]:
        """Return the names of all tables of which anything lies here."""
        return {row["name"] for row in self._store.rows("SELECT DISTINCT name FROM holding_file")}

    def leaving(self) -> set[str]:
        """Return the names whose files are still there and which nothing shows any more."""
        last = self._last()
        shown = {table.name for table in last.tables.values()} if last else set()
        return self.names() - shown - self.left().keys()

    def left(self) -> dict[str, tuple[int, str]]:
        """Return the tables that are not replicated any more but still read here: version and manifest."""
        rows = self._store.rows("SELECT * FROM holding_left")
        return {row["name"]: (row["version"], row["manifest"]) for row in rows}

    def findings(self) -> list[Finding]:
        """List what was found wrong and put right, or has to be known, oldest first."""
        rows = self._store.rows("SELECT * FROM holding_finding ORDER BY number")
        return [Finding(datetime.fromisoformat(row["at"]), row["kind"], row["name"], row["what"]) for row in rows]

    def contents(self) -> dict[bytes, int]:
        """Return the contents that lie in tables, BLAKE3 to size; those known to be damaged are left out."""
        rows = self._store.rows(
            "SELECT DISTINCT digest, size FROM holding_file WHERE digest != x'' AND digest NOT IN"
            " (SELECT digest FROM holding_missing)"
        )
        return {row["digest"]: row["size"] for row in rows}

    def places(self, digest: bytes) -> list[Place]:
        """Return where a content should lie."""
        rows = self._store.rows("SELECT DISTINCT name, path FROM holding_file WHERE digest = ?", (digest,))
        return [Place(row["name"], row["path"]) for row in rows]

    def missing(self) -> list[bytes]:
        """Name the contents that are needed, and of which no good copy lies here."""
        return [row["digest"] for row in self._store.rows("SELECT digest FROM holding_missing ORDER BY digest")]

    def miss(self, contents: Mapping[bytes, int], sound: Collection[bytes] = ()) -> None:
        """Write down contents of which there is no good copy, and of which there is one again."""
        with self._store.transaction() as connection:
            _sound(connection, sound)
            connection.executemany("REPLACE INTO holding_missing VALUES (?, ?)", list(contents.items()))

    def note(self, *findings: Finding) -> None:
        """Write findings down."""
        if findings:
            with self._store.transaction() as connection:
                for one in findings:
                    _note(connection, one)

    def show(
        self,
        connection: sqlite3.Connection,
        barrier: Barrier,
        now: datetime,
        desync: Desync,
        sound: Collection[bytes] = (),
    ) -> int:
        """Write down, in an open transaction, that a barrier is shown from now on; return its number.

        `sound` are contents that were placed anew for it.
        """
        before = self._last()
        tables = json.dumps([asdict(table) for table in barrier.tables.values()])
        number = connection.execute(
            "INSERT INTO holding_barrier (key, at, tables, looked, waited) VALUES (?, ?, ?, ?, 0)",
            (barrier.key, barrier.at.isoformat(), tables, now.isoformat()),
        ).lastrowid
        of = {table.name: identity for identity, table in barrier.tables.items()}
        rows = self._store.rows("SELECT * FROM holding_file WHERE last IS NULL")
        live = {Place(row["name"], row["path"]): (row["identity"], _file(row)) for row in rows}
        new = placed_files(barrier)
        same = {place for place, file in new.items() if live.get(place) == (of[place.name], file)}
        connection.executemany(
            "UPDATE holding_file SET last = ? WHERE name = ? AND path = ? AND last IS NULL",
            [(number, place.name, place.path) for place in live if place not in same],
        )
        connection.executemany(
            "INSERT INTO holding_file VALUES (?, ?, ?, ?, ?, ?, NULL)",
            [
                (place.name, place.path, of[place.name], file.size, file.digest, number)
                for place, file in new.items()
                if place not in same
            ],
        )
        connection.executemany("DELETE FROM holding_left WHERE name = ?", [(name,) for name in of])
        _sound(connection, sound)
        needed = barrier.contents()
        lost = {row["digest"] for row in connection.execute("SELECT digest FROM holding_missing").fetchall()}
        _sound(connection, lost - needed.keys())
        for table in before.tables.values() if before else ():
            if table.identity not in barrier.tables:
                self._leave(connection, table, barrier, (int(number or 0), now, desync))
        return int(number or 0)

    def forget_all(self, connection: sqlite3.Connection) -> None:
        """Forget, in an open transaction, all that is held."""
        for table in ("holding_file", "holding_left", "holding_missing", "holding_barrier"):
            connection.execute(f"DELETE FROM {table}")

    def release(self, name: str) -> None:
        """Let a table that left go: from now on its files are this site's own. Raises InputError for another."""
        if name not in self.left():
            raise InputError(f"{name} is no table that left the publication", "name one of those that did")
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM holding_left WHERE name = ?", (name,))
            connection.execute("DELETE FROM holding_file WHERE name = ?", (name,))

    def unneeded(self, upto: int) -> tuple[list[tuple[Place, int]], set[Place]]:
        """Return the rows that no barrier needs from `upto` on, and which of their places hold nothing else."""
        rows = self._store.rows(
            "SELECT name, path, first FROM holding_file AS file WHERE last <= ? AND NOT EXISTS"
            " (SELECT 1 FROM holding_left AS left WHERE left.name = file.name AND left.number = file.last)",
            (upto,),
        )
        gone = [(Place(row["name"], row["path"]), row["first"]) for row in rows]
        went = set(gone)
        kept = {
            Place(row["name"], row["path"])
            for row in self._store.rows("SELECT name, path, first FROM holding_file")
            if (Place(row["name"], row["path"]), row["first"]) not in went
        }
        return gone, {place for place, _ in gone} - kept

    def _leave(
        self, connection: sqlite3.Connection, table: TableAt, barrier: Barrier, how: tuple[int, datetime, Desync]
    ) -> None:
        """Write down, in an open transaction, that a table is not replicated any more."""
        number, now, desync = how
        taken = any(other.name == table.name for other in barrier.tables.values())
        if desync != "drop-desync-table" and not taken:
            row = connection.execute(
                "SELECT digest FROM holding_file WHERE name = ? AND path = ? ORDER BY first DESC",
                (table.name, table.manifest),
            ).fetchone()
            connection.execute(
                "REPLACE INTO holding_left VALUES (?, ?, ?, ?)",
                (table.name, table.version, row["digest"].hex(), number),
            )
        if desync != "none":
            _note(connection, Finding(now, "desync", table.name, f"it left with round {barrier.key}"))

    def _last(self) -> _Shown | None:
        rows = self._store.rows("SELECT * FROM holding_barrier ORDER BY number DESC LIMIT 1")
        if not rows:
            return None
        tables = [
            TableAt(**{**one, "grants": tuple(map(tuple, one["grants"]))}) for one in json.loads(rows[0]["tables"])
        ]
        at = datetime.fromisoformat(rows[0]["at"])
        return _Shown(rows[0]["number"], rows[0]["key"], at, {table.identity: table for table in tables})

    def _of(self, number: int) -> dict[Place, tuple[str, HeldFile]]:
        rows = self._store.rows(
            "SELECT * FROM holding_file WHERE first <= ? AND (last IS NULL OR last > ?)", (number, number)
        )
        return {Place(row["name"], row["path"]): (row["identity"], _file(row)) for row in rows}


def _file(row: sqlite3.Row) -> HeldFile:
    return HeldFile(row["path"], row["size"], row["digest"])


def _sound(connection: sqlite3.Connection, contents: Collection[bytes]) -> None:
    connection.executemany("DELETE FROM holding_missing WHERE digest = ?", [(digest,) for digest in contents])


def _note(connection: sqlite3.Connection, finding: Finding) -> None:
    number = connection.execute(
        "INSERT INTO holding_finding (at, kind, name, what) VALUES (?, ?, ?, ?)",
        (finding.at.isoformat(), finding.kind, finding.name, finding.what),
    ).lastrowid
    connection.execute("DELETE FROM holding_finding WHERE number <= ?", ((number or 0) - _KEPT_FINDINGS,))
