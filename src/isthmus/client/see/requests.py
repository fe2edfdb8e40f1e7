"""What there is to see of requests. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from isthmus.client.calls import AsyncSees, Sees, inside
from isthmus.client.see.batches import Shown


class SeesRequests(Sees):
    """Calls of requests, for the blocking client."""

    def requests(
        self,
        *,
        site: str | None = None,
        batch: str | None = None,
        environment: str | None = None,
        kind: str | None = None,
        place: str | None = None,
        tag: str | None = None,
        taken_from: str | None = None,
        taken_until: str | None = None,
        state: str | None = None,
    ) -> Iterator[Shown]:
        """List requests, newest first. Raises ApiError."""
        return self._site.pages(
            "/v1/requests",
            Shown,
            site=site,
            batch=batch,
            environment=environment,
            kind=kind,
            place=place,
            tag=tag,
            taken_from=taken_from,
            taken_until=taken_until,
            state=state,
        )

    def request(self, request: str, *, site: str | None = None) -> Shown:
        """Show one request. Raises ApiError."""
        found: Shown = self._site.get(inside("/v1/requests/{request}", request=request), Shown, site=site)
        return found


class AsyncSeesRequests(AsyncSees):
    """Calls of requests, for asyncio."""

    def requests(
        self,
        *,
        site: str | None = None,
        batch: str | None = None,
        environment: str | None = None,
        kind: str | None = None,
        place: str | None = None,
        tag: str | None = None,
        taken_from: str | None = None,
        taken_until: str | None = None,
        state: str | None = None,
    ) -> AsyncIterator[Shown]:
        """List requests, newest first. Raises ApiError."""
        return self._site.pages(
            "/v1/requests",
            Shown,
            site=site,
            batch=batch,
            environment=environment,
            kind=kind,
            place=place,
            tag=tag,
            taken_from=taken_from,
            taken_until=taken_until,
            state=state,
        )

    async def request(self, request: str, *, site: str | None = None) -> Shown:
        """Show one request. Raises ApiError."""
        found: Shown = await self._site.get(inside("/v1/requests/{request}", request=request), Shown, site=site)
        return found
