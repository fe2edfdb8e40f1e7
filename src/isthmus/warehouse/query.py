"""Read-only SQL over the OLAP's file: one plain read a time, no files, no settings, errors in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from isthmus.core.errors import Corrupt, InputError, QueryRefused

if TYPE_CHECKING:
    import duckdb

INTERNAL = "_isthmus"
MEMORY_LIMIT = "2GB"
Parameters = Sequence[Any] | Mapping[str, Any] | None
"""Values for `?` and `$1`, or by name for `$name`."""
_EXPLAINED = re.compile(r"\s*EXPLAIN(?:\s+ANALYZE)?\b(.*)", re.IGNORECASE | re.DOTALL)


class Reading:
    """One reader of the OLAP as it was when this was opened; close it, or use it in a `with` block.

    A file published later does not disturb it, and it does not see it. A stream must be read to its end, or
    given up, before the next query of the same reader.
    """

    def __init__(self, path: Path, memory_limit: str = MEMORY_LIMIT, threads: int | None = None) -> None:
        """Open the file. Raises InputError where there is none, Corrupt where it is no OLAP."""
        import duckdb  # here, as everywhere: 16 MB that a process has no use for until it asks

        if not path.exists():
            raise InputError(f"there is no OLAP at {path} yet", "ingest a day, or: isthmus olap rebuild")
        # An in-memory instance with the file attached: DuckDB keeps one instance a path in a process, so that
        # a plain connect would go on showing the file that was replaced.
        config: dict[str, Any] = {"memory_limit": memory_limit} | ({"threads": threads} if threads else {})
        self.connection = duckdb.connect(":memory:", config=config)
        try:
            quoted = str(path).replace("'", "''")
            self.connection.execute(f"ATTACH '{quoted}' AS olap (READ_ONLY)")
            self.connection.execute("USE olap")
            self.connection.execute("SET temp_directory = ''")
            self.connection.execute("SET enable_external_access = false")
            self.connection.execute("SET lock_configuration = true")
        except duckdb.Error as error:
            self.connection.close()
            raise Corrupt(
                f"{path} is no OLAP: {one_line(error)}", "make it anew from the warehouse: isthmus olap rebuild"
            ) from error

    def query(self, sql: str, parameters: Parameters = None, limit: int | None = None) -> pa.Table:
        """Run one reading statement and return all its rows, or the first `limit`. Raises QueryRefused."""
        import duckdb

        try:
            relation = self._relation(sql, parameters, limit)
            found: pa.Table = relation.to_arrow_table()
        except duckdb.Error as error:
            raise refused(error) from error
        return found

    def stream(
        self, sql: str, parameters: Parameters = None, batch_rows: int = 65_536
    ) -> Iterator[pa.RecordBatch]:
        """Run one reading statement and yield its rows in batches. Raises QueryRefused."""
        import duckdb

        try:
            yield from self._relation(sql, parameters, None).to_arrow_reader(batch_rows)
        except duckdb.Error as error:
            raise refused(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _relation(self, sql: str, parameters: Parameters, limit: int | None) -> Any:
        import duckdb

        statements = self.connection.extract_statements(sql)
        if len(statements) != 1:
            what = "more than one statement" if statements else "no statement"
            raise QueryRefused(f"the query holds {what}", "hand in one SELECT")
        kind = statements[0].type
        explained = _EXPLAINED.fullmatch(sql) if kind is duckdb.StatementType.EXPLAIN else None
        if explained:  # what is explained must be a read too: ANALYZE runs it
            kind = self.connection.extract_statements(explained[1])[0].type
        if kind is not duckdb.StatementType.SELECT:
            raise QueryRefused(
                f"{kind.name} is no plain read", "the OLAP answers SELECT, DESCRIBE, SHOW and EXPLAIN of these"
            )
        relation = self.connection.sql(sql, params=parameters)
        if relation is None:
            raise QueryRefused("the query has no result", "hand in one SELECT")
        return relation if limit is None else relation.limit(limit)


def refused(error: duckdb.Error) -> QueryRefused:
    """Say a DuckDB error in one line, with the nearest right name where DuckDB knows one."""
    text = str(error)
    candidates = re.search(r'Candidate bindings: "?([^",\n]+)"?', text)
    meant = re.search(r'Did you mean "([^"]+)"', text)
    name = candidates or meant
    if name:
        return QueryRefused(one_line(error), f'did you mean "{name[1]}"?')
    return QueryRefused(one_line(error), "correct the statement")


def one_line(error: duckdb.Error) -> str:
    """Return the first line of a DuckDB error, without the word Error and the drawing of the place."""
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return re.sub(r"^(\w+ )+Error: ", "", first).rstrip("!. ")


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def table_named(name: str) -> str:
    """Return the name of one of the OLAP's tables, `table` or `schema.table`, as SQL."""
    return ".".join(quoted(part) for part in name.split("."))
