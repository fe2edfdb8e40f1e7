"""A small OLAP of scripted scenes, on a DuckDB connection in memory."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from isthmus.core.errors import QueryRefused
from isthmus.loop.fields import SCENES

SCHEMA = pa.schema([*((item.name, item.arrow()) for item in SCENES.simple), ("_rowid", pa.uint64())])


class MemoryOlap:
    """Answers as the OLAP does; `asked` remembers the statements."""

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], schema: pa.Schema = SCHEMA, table: str = "scenes"
    ) -> None:
        self.asked: list[str] = []
        self._connection = duckdb.connect(config={"threads": 1})
        self._connection.register("incoming", pa.Table.from_pylist(list(rows), schema))
        self._connection.execute(f'CREATE TABLE "{table}" AS SELECT * FROM incoming')

    def query(self, sql: str, parameters: Sequence[object]) -> pa.Table:
        self.asked.append(sql)
        try:
            return self._connection.sql(sql, params=list(parameters)).to_arrow_table()
        except duckdb.Error as error:
            raise QueryRefused(str(error).splitlines()[0]) from error


def scene(number: int, **values: Any) -> dict[str, Any]:
    filled = {
        "scene_id": f"s{number:03}",
        "_rowid": number,
        "day": datetime.date(2026, 11, 1),
        "source": "ngsim",
        "tags": [],
        "speed_profile": [],
        "duration_s": 10.0,
        "distance_m": 100.0,
        "speed_mean": 10.0,
    }
    return {**dict.fromkeys(SCHEMA.names), **filled, **values}
