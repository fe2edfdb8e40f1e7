"""What there is to see of tables. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a table. `kind` is the declared type, such as float or date."""

    name: str
    kind: str
    unit: str
    about: str


class TableShown(msgspec.Struct, frozen=True, kw_only=True):
    """One table of the OLAP, with how many rows it has and the warehouse version that it is level with."""

    name: str
    key: str
    rows: int
    version: int
    columns: Sequence[Column]


class SeesTables(Sees):
    """Calls of tables, for the blocking client."""

    def tables(self) -> Iterator[TableShown]:
        """List the tables of the OLAP with their fields. Raises ApiError."""
        return self._site.pages("/v1/tables", TableShown)


class AsyncSeesTables(AsyncSees):
    """Calls of tables, for asyncio."""

    def tables(self) -> AsyncIterator[TableShown]:
        """List the tables of the OLAP with their fields. Raises ApiError."""
        return self._site.pages("/v1/tables", TableShown)
