"""The OLAP: one DuckDB file with the simple fields of the warehouse's tables, replaced whole so readers never wait."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from isthmus.core.errors import QueryRefused
from isthmus.warehouse.lock import exclusive
from isthmus.warehouse.table import Table


@dataclass(frozen=True, slots=True)
class Followed:
    """What a follow did. `from_version` is None after a full load."""

    upserted: int
    deleted: int
    from_version: int | None
    to_version: int


class Olap:
    """The OLAP at one path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def follow(self, table: Table, as_name: str, fields: Sequence[str] | None = None) -> Followed:
        """Bring the OLAP's table `as_name` level with the latest version of a warehouse table."""
        return self.rebuild({as_name: (table, fields)}, keep=True)[as_name]

    def rebuild(
        self, tables: Mapping[str, tuple[Table, Sequence[str] | None]], keep: bool = False
    ) -> dict[str, Followed]:
        """Make the OLAP anew from the warehouse."""
        done = {}
        with exclusive(self.path.with_name(self.path.name + ".lock"), f"the OLAP {self.path.name}"):
            fresh = self.path.with_name(self.path.name + ".next")
            fresh.unlink(missing_ok=True)
            if keep and self.path.exists():
                shutil.copyfile(self.path, fresh)
            with duckdb.connect(str(fresh)) as connection:
                for name, (table, fields) in tables.items():
                    table.refresh()
                    columns = list(
                        table.schema.only(fields).names if fields else [f.name for f in table.schema.simple]
                    )
                    columns = [c for c in columns if table.schema[c] in table.schema.simple]
                    reader = table.dataset.scanner(columns=columns, with_row_id=True).to_reader()
                    connection.register("incoming", reader)
                    connection.execute(f'CREATE OR REPLACE TABLE "{name}" AS SELECT * FROM incoming')
                    connection.unregister("incoming")
                    count = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
                    done[name] = Followed(count[0] if count else 0, 0, None, table.version)
            os.replace(fresh, self.path)
        return done

    def query(self, sql: str, parameters: Sequence[Any] | None = None, limit: int | None = None) -> pa.Table:
        """Run one reading statement. Raises QueryRefused."""
        with duckdb.connect(str(self.path), read_only=True) as connection:
            try:
                found = connection.execute(sql, parameters).to_arrow_table()
            except duckdb.Error as error:
                raise QueryRefused(str(error).splitlines()[0], "correct the statement") from error
        return found if limit is None else found.slice(0, limit)
