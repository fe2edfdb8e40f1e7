"""Asks rows of the warehouse at one version as the OLAP is asked, which has moved on since."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from isthmus.loop.fields import SCENES
from isthmus.loop.mining.held import TABLE
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.lookup import take
from isthmus.warehouse.table import Table

_COLUMNS = tuple(field.name for field in SCENES.simple if field.name != "vector")


class Pinned:
    """The simple fields, without the vector, of some scenes at one version; memory holds all of them."""

    def __init__(self, table: Table, ids: IdList | Sequence[str]) -> None:
        """Read the rows of `ids` from `table`. Raises InputError where one is not there at this version."""
        empty = table.arrow.empty_table().select(list(_COLUMNS))
        self._rows = pa.Table.from_batches(take(table, ids, _COLUMNS), empty.schema) if len(_keys(ids)) else empty

    def query(self, sql: str, parameters: list[object]) -> pa.Table:
        """Run one statement over the table `scenes`."""
        import duckdb

        with duckdb.connect(":memory:") as connection:
            connection.register(TABLE, self._rows)
            found: pa.Table = connection.sql(sql, params=parameters).to_arrow_table()
        return found


def _keys(ids: IdList | Sequence[str]) -> Sequence[object]:
    return ids.ids if isinstance(ids, IdList) else ids
