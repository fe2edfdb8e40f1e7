"""What there is to see of sql. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of a person's history. `rows` is None where it failed, by `error`."""

    number: int
    sql: str
    at: str
    took_s: float
    rows: int | None
    error: str


class SeesSql(Sees):
    """Calls of sql, for the blocking client."""

    def sql_history(self) -> Iterator[Asked]:
        """List the statements that you asked, newest first. Raises ApiError."""
        return self._site.pages("/v1/sql/history", Asked)


class AsyncSeesSql(AsyncSees):
    """Calls of sql, for asyncio."""

    def sql_history(self) -> AsyncIterator[Asked]:
        """List the statements that you asked, newest first. Raises ApiError."""
        return self._site.pages("/v1/sql/history", Asked)
