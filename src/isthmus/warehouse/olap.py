"""The OLAP: one DuckDB file that follows the simple fields of warehouse tables.

A DuckDB file has one writer or many readers. So the writer works on a copy (`.next`), and when the copy is
closed and on disk it takes the place of the file in one rename: readers never wait, and a death at any moment
leaves the old file whole. The position of each table is stored in the same transaction as its rows.

How a follow finds what changed since version v: rows with `_row_last_updated_at_version` > v are put in or
replaced by row id; row ids that the warehouse no longer has are deleted. The pairs (row id, version of last
update) of both sides are then compared; they name a row's content for good, so equal sets prove equal content.
Where they differ (a restored version can do that) the table is loaded in full.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from isthmus.core.errors import InputError, IsthmusError, UnknownName
from isthmus.state.lock import held
from isthmus.warehouse import declared, position
from isthmus.warehouse.digest import sync
from isthmus.warehouse.position import Position
from isthmus.warehouse.query import MEMORY_LIMIT, Parameters, Reading, one_line, quoted, table_named
from isthmus.warehouse.schema import FieldType
from isthmus.warehouse.table import ROW_ID, ROW_VERSION, Table

if TYPE_CHECKING:
    import duckdb

STEPS = ("copied", "loaded", "committed", "closed", "published")
"""The moments of a follow that a test can stop at, in order."""

Wanted = tuple[Table, Sequence[str] | None]
_BATCH_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Followed:
    """What a follow did: `from_version` is None after a full load; equal versions say that it stood level."""

    upserted: int
    deleted: int
    from_version: int | None
    to_version: int


class Olap:
    """The OLAP at one path. `at_step` is called at each of STEPS."""

    def __init__(self, path: Path, at_step: Callable[[str], None] = lambda step: None) -> None:
        """Speak of the file; nothing is opened or made yet."""
        self.path = path
        self._at_step = at_step
        self._next = path.with_name(path.name + ".next")

    def follow(self, table: Table, as_name: str, fields: Sequence[str] | None = None) -> Followed:
        """Bring the OLAP's table `as_name` level with the latest version of a warehouse table.

        `fields` chooses among the simple fields (None is all; the key always comes along). Does nothing when it
        stands level; loads in full where the fields or the dataset changed. Raises Busy, UnknownName, Corrupt.
        """
        return self.follow_all({as_name: (table, fields)})[as_name]

    def follow_all(self, tables: Mapping[str, Wanted]) -> dict[str, Followed]:
        """Bring several tables level and publish them together."""
        with self._writing():
            goals = {name: _goal(name, *wanted) for name, wanted in tables.items()}
            standing = self.positions() if self.path.exists() else {}
            if all(_level(standing.get(name), goal) for name, goal in goals.items()):
                return {name: Followed(0, 0, goal.version, goal.version) for name, goal in goals.items()}
            return self._publish(tables, goals, copy=self.path.exists())

    def rebuild(self, tables: Mapping[str, Wanted]) -> dict[str, Followed]:
        """Make the file anew, holding these tables and no others; the present file may be lost or broken."""
        with self._writing():
            goals = {name: _goal(name, *wanted) for name, wanted in tables.items()}
            return self._publish(tables, goals, copy=False)

    def positions(self) -> dict[str, Position]:
        """Return where each table stands. Raises InputError where there is no file, Corrupt where it is broken."""
        with self.read() as reading:
            return positions_of(reading)

    def position(self, as_name: str) -> Position:
        """Return where one table stands. Raises UnknownName."""
        found = self.positions()
        if as_name not in found:
            raise UnknownName.among("table", as_name, found)
        return found[as_name]

    def read(self) -> Reading:
        """Open a reader of the file as it is now; several queries of one reader see the same rows."""
        return Reading(self.path)

    def query(self, sql: str, parameters: Parameters = None, limit: int | None = None) -> pa.Table:
        """Run one reading statement. Raises QueryRefused in one line for anything else."""
        with self.read() as reading:
            return reading.query(sql, parameters, limit)

    def stream(
        self, sql: str, parameters: Parameters = None, batch_rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Run one reading statement and yield its rows in batches. Raises QueryRefused."""
        with self.read() as reading:
            yield from reading.stream(sql, parameters, batch_rows)

    def _writing(self) -> Any:
        return held(self.path.with_name(f".{self.path.name}.lock"), f"an update of the OLAP {self.path.name}")

    def _publish(
        self, tables: Mapping[str, Wanted], goals: Mapping[str, Position], copy: bool
    ) -> dict[str, Followed]:
        """Write `.next` and rename it into place."""
        import duckdb

        for rest in (self._next, self._next.with_name(self._next.name + ".wal")):
            rest.unlink(missing_ok=True)
        if copy:
            try:
                _copy(self.path, self._next)
            except OSError:  # a full disk gets its space back at once
                self._next.unlink(missing_ok=True)
                raise
        self._at_step("copied")
        spill = self._next.with_name(self._next.name + ".spill")
        config = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill), "preserve_insertion_order": "false"}
        try:
            with duckdb.connect(str(self._next), config=config) as connection:
                done = self._change(connection, tables, goals)
                connection.execute("CHECKPOINT")
        except duckdb.Error as error:
            self._next.unlink(missing_ok=True)
            raise IsthmusError(
                f"{self._next} cannot be written: {one_line(error)}",
                "the OLAP stays as it was; see to space on the disk and follow again",
            ) from error
        finally:
            shutil.rmtree(spill, ignore_errors=True)
        sync(self._next)
        self._at_step("closed")
        self._next.replace(self.path)
        sync(self.path.parent)
        self._at_step("published")
        return done

    def _change(
        self, connection: duckdb.DuckDBPyConnection, tables: Mapping[str, Wanted], goals: Mapping[str, Position]
    ) -> dict[str, Followed]:
        connection.execute("BEGIN")
        position.prepare(connection)
        standing = position.read(connection)
        done = {}
        for name, goal in goals.items():
            before = standing.get(name)
            if _level(before, goal):
                done[name] = Followed(0, 0, goal.version, goal.version)
                continue
            at = tables[name][0].at(goal.version)
            followed = _follow(connection, at, before, goal) if before and _same(before, goal) else None
            done[name] = followed or _load(connection, at, goal)
            position.write(connection, replace(goal, rows=_count(connection, name)))
        self._at_step("loaded")
        connection.execute("COMMIT")
        self._at_step("committed")
        return done


def positions_of(reading: Reading) -> dict[str, Position]:
    """Return where each table stood when the reader was opened."""
    return position.read(reading.connection)


def _goal(name: str, table: Table, fields: Sequence[str] | None) -> Position:
    """Say where the OLAP's table must stand: at the latest version, with the simple ones of the fields."""
    parts = name.split(".")
    if len(parts) > 2 or not all(part.isidentifier() for part in parts):
        raise InputError(f"{name!r} is no name for a table of the OLAP", "use letters, digits and _")
    table.refresh()
    schema = table.schema
    chosen = schema if fields is None else schema.only(fields)
    if fields is not None and chosen.complex is not None:
        raise InputError(f"{chosen.complex.name!r} is the complex field", "the OLAP holds simple fields only")
    chosen = schema.only(item.name for item in chosen.fields if item.type is not FieldType.COMPLEX)
    text = declared.to_json(chosen) + table.era
    return Position(name, table.uri, table.identity, table.version, chosen.names, text, 0)


def _same(before: Position, goal: Position) -> bool:
    """Tell whether the same fields of the same dataset are followed, so that a step suffices."""
    kept = replace(before, version=goal.version, rows=goal.rows) == goal
    return kept and before.version <= goal.version


def _level(before: Position | None, goal: Position) -> bool:
    return before is not None and _same(before, goal) and before.version == goal.version


def _load(connection: duckdb.DuckDBPyConnection, table: Table, goal: Position) -> Followed:
    name = table_named(goal.name)
    if "." in goal.name:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(goal.name.partition('.')[0])}")
    with _incoming(connection, table, goal, None):
        connection.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT {_columns(table, goal)} FROM incoming")
    return Followed(_count(connection, goal.name), 0, None, goal.version)


def _follow(
    connection: duckdb.DuckDBPyConnection, table: Table, before: Position, goal: Position
) -> Followed | None:
    """Apply what changed since `before`; returns None where only a full load makes the sides equal."""
    name, columns = table_named(goal.name), _columns(table, goal)
    with _incoming(connection, table, goal, before.version):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE changed AS SELECT {columns} FROM incoming")
    upserted = _count(connection, "changed")
    if upserted:
        connection.execute(f"DELETE FROM {name} WHERE {ROW_ID} IN (SELECT {ROW_ID} FROM changed)")
        connection.execute(f"INSERT INTO {name} SELECT * FROM changed")
    connection.execute("DROP TABLE changed")
    reader = table.dataset.scanner(columns=[ROW_ID, ROW_VERSION], batch_size=_BATCH_ROWS).to_reader()
    connection.register("incoming", reader)
    connection.execute("CREATE OR REPLACE TEMP TABLE live AS SELECT * FROM incoming")
    connection.unregister("incoming")
    surplus = _count(connection, goal.name) - _count(connection, "live")
    gone = connection.execute(f"DELETE FROM {name} WHERE {ROW_ID} NOT IN (SELECT {ROW_ID} FROM live)").fetchone()
    deleted = int(gone[0]) if gone else 0
    unequal = connection.execute(
        f"SELECT count(*) FROM live ANTI JOIN {name} USING ({ROW_ID}, {ROW_VERSION})"
    ).fetchone()
    connection.execute("DROP TABLE live")
    if deleted != surplus or (unequal and unequal[0]):
        return None
    return Followed(upserted, deleted, before.version, goal.version)


@contextlib.contextmanager
def _incoming(
    connection: duckdb.DuckDBPyConnection, table: Table, goal: Position, after: int | None
) -> Iterator[None]:
    """Offer the rows of a warehouse table, all or those changed after a version, as the view `incoming`."""
    scanner = table.dataset.scanner(
        columns=[*goal.fields, ROW_ID, ROW_VERSION],
        filter=None if after is None else f"{ROW_VERSION} > {after}",
        batch_size=_BATCH_ROWS,
    )
    connection.register("incoming", scanner.to_reader())
    try:
        yield
    finally:
        connection.unregister("incoming")


def _columns(table: Table, goal: Position) -> str:
    """List the columns as they are stored: a vector becomes FLOAT[n], an array a list."""
    columns = []
    for name in goal.fields:
        item = table.schema[name]
        cast = f"::FLOAT[{item.size}]" if item.type is FieldType.VECTOR else ""
        columns.append(f"{quoted(name)}{cast} AS {quoted(name)}")
    return ", ".join([*columns, ROW_ID, ROW_VERSION])


def _count(connection: duckdb.DuckDBPyConnection, name: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table_named(name)}").fetchone()
    return int(row[0]) if row else 0


def _copy(source: Path, target: Path) -> None:
    """Copy a file, sharing its blocks where the file system can."""
    with source.open("rb") as reading, target.open("wb") as writing:
        if not _shared(reading.fileno(), writing.fileno()):
            reading.seek(0)
            writing.seek(0)
            writing.truncate()
            shutil.copyfileobj(reading, writing, 16 << 20)


def _shared(source: int, target: int) -> bool:
    """Let the file system copy from one open file to another; returns whether it did, and to the end."""
    left = os.fstat(source).st_size
    try:
        while left > 0:
            copied = os.copy_file_range(source, target, left)
            if not copied:
                return False  # how some file systems say that they cannot
            left -= copied
    except OSError:
        return False
    return True
