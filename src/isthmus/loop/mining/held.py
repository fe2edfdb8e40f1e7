"""What the OLAP's table of scenes holds: a site may have loaded only a core of the fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa

from isthmus.core.errors import UnknownName
from isthmus.core.expression import Expression, Field
from isthmus.loop.fields import SCENES
from isthmus.loop.rules.compile import DUCKDB

KEY = SCENES.key
ROW_ID = "_rowid"
TABLE = "scenes"


class Asked(Protocol):
    """Answers one reading statement, as `warehouse.olap.Olap` does."""

    def query(self, sql: str, parameters: list[object]) -> pa.Table:
        """Return the rows. Raises QueryRefused."""
        ...


def quoted(name: str) -> str:
    """Write a name of the OLAP so that it can be nothing else."""
    return DUCKDB.quote(name)


def fields_of(*expressions: Expression | None) -> frozenset[str]:
    """The fields that expressions speak of."""
    return frozenset(
        node.name for whole in expressions if whole is not None for node in whole.walk() if isinstance(node, Field)
    )


def require(olap: Asked, table: str, names: Iterable[str]) -> None:
    """Make sure that the OLAP's table has these fields. Raises UnknownName for the first that it lacks."""
    held = olap.query(f"SELECT * FROM {quoted(table)} LIMIT 0", []).column_names
    for name in sorted(names):
        if name not in held:
            raise UnknownName(
                f"field {name!r} is not in the OLAP's table {table!r}",
                "add it to the fields that the OLAP holds and rebuild it",
            )
