"""What the OLAP's table of scenes holds: a site may have loaded only a core of the fields."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Protocol

import pyarrow as pa

from isthmus.core.errors import UnknownName
from isthmus.core.expression import Expression, Field
from isthmus.loop.fields import SCENES
from isthmus.warehouse.olap import Olap, positions_of
from isthmus.warehouse.position import Position
from isthmus.warehouse.query import Reading, table_named

KEY = SCENES.key
ROW_ID = "_rowid"
TABLE = "scenes"


class Asked(Protocol):
    """Answers reading statements, as `warehouse.olap.Olap` and its readers do."""

    def query(self, sql: str, parameters: list[object]) -> pa.Table:
        """Return the rows. Raises QueryRefused."""
        ...


@contextlib.contextmanager
def one_moment(olap: Asked) -> Iterator[Asked]:
    """Let all statements of a block see the same rows, whatever is published meanwhile."""
    if isinstance(olap, Olap):
        with olap.read() as reading:
            yield reading
    else:
        yield olap


def standing(view: Asked, table: str) -> Position | None:
    """Say which warehouse table and version the OLAP's table is level with; None where that is not known."""
    return positions_of(view).get(table) if isinstance(view, Reading) else None


def fields_of(*expressions: Expression | None) -> frozenset[str]:
    """The fields that expressions speak of."""
    return frozenset(
        node.name for whole in expressions if whole is not None for node in whole.walk() if isinstance(node, Field)
    )


def columns(olap: Asked, table: str) -> frozenset[str]:
    """The columns that the OLAP's table has. Raises QueryRefused where there is no such table."""
    return frozenset(olap.query(f"SELECT * FROM {table_named(table)} LIMIT 0", []).column_names)


def require(olap: Asked, table: str, names: Iterable[str]) -> None:
    """Make sure that the OLAP's table has these fields. Raises UnknownName for the first that it lacks."""
    held = columns(olap, table)
    for name in sorted(names):
        if name not in held:
            raise UnknownName(
                f"field {name!r} is not in the OLAP's table {table!r}",
                "add it to core_fields under [warehouse]: the OLAP loads it by itself",
            )
