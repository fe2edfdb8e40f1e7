"""Where the OLAP stands: for each of its tables, the warehouse table and version it is level with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.warehouse.query import INTERNAL

if TYPE_CHECKING:
    import duckdb

_TABLE = f"{INTERNAL}.position"


@dataclass(frozen=True, slots=True)
class Position:
    """The OLAP's table `name` holds `fields` of the warehouse table at `uri` as they were at `version`.

    `identity` tells a dataset from another one at the same place; `schema` is the declared schema of the fields.
    """

    name: str
    uri: str
    identity: str
    version: int
    fields: tuple[str, ...]
    schema: str
    rows: int


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table of positions where it is not there yet."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {INTERNAL}")
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {_TABLE} (name VARCHAR PRIMARY KEY, uri VARCHAR, identity VARCHAR, "
        "version UBIGINT, fields VARCHAR, schema VARCHAR, rows UBIGINT)"
    )


def read(connection: duckdb.DuckDBPyConnection) -> dict[str, Position]:
    """Read all positions by the OLAP's table name."""
    there = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE schema_name = ? AND table_name = 'position'", [INTERNAL]
    ).fetchone()
    if not there or not there[0]:
        return {}
    rows = connection.execute(
        f"SELECT name, uri, identity, version, fields, schema, rows FROM {_TABLE}"
    ).fetchall()
    return {
        row[0]: Position(row[0], row[1], row[2], row[3], tuple(json.loads(row[4])), row[5], row[6]) for row in rows
    }


def write(connection: duckdb.DuckDBPyConnection, position: Position) -> None:
    """Store a position; belongs into the transaction that changes the rows."""
    connection.execute(
        f"INSERT OR REPLACE INTO {_TABLE} VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            position.name,
            position.uri,
            position.identity,
            position.version,
            json.dumps(position.fields),
            position.schema,
            position.rows,
        ],
    )


def forget(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Remove a position."""
    connection.execute(f"DELETE FROM {_TABLE} WHERE name = ?", [name])
