"""What there is to see of acquired. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from isthmus.client.calls import AsyncSees, Sees
from isthmus.client.see.batches import FailureFailure, Filed


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """What ended, oldest first. `after` is what to give next time, also where nothing ended."""

    items: Sequence[Event]
    after: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something a watching client learns.

    Numbers grow in the order in which events can be read: none comes late.
    """

    number: int
    at: str
    kind: str
    batch: str
    owner: str
    request: int
    record: str
    environment: str
    tags: Sequence[str] = ()
    filed: Filed | None = None
    failure: FailureFailure | None = None


class SeesAcquired(Sees):
    """Calls of acquired, for the blocking client."""

    def acquired(self, *, after: int | None = None, limit: int | None = None, site: str | None = None) -> Ends:
        """Tell what ended after an event, for who watches. Raises ApiError."""
        found: Ends = self._site.get("/v1/acquired", Ends, after=after, limit=limit, site=site)
        return found


class AsyncSeesAcquired(AsyncSees):
    """Calls of acquired, for asyncio."""

    async def acquired(
        self, *, after: int | None = None, limit: int | None = None, site: str | None = None
    ) -> Ends:
        """Tell what ended after an event, for who watches. Raises ApiError."""
        found: Ends = await self._site.get("/v1/acquired", Ends, after=after, limit=limit, site=site)
        return found
