"""What there is to see of pipelines. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class Reign(msgspec.Struct, frozen=True, kw_only=True):
    """Who is champion of a pipeline, and which model a rollback would bring back; empty for none."""

    pipeline: str
    champion: str
    before: str


class SeesPipelines(Sees):
    """Calls of pipelines, for the blocking client."""

    def pipelines(self) -> Iterator[Reign]:
        """List the pipelines, each with its champion and the one before. Raises ApiError."""
        return self._site.pages("/v1/pipelines", Reign)


class AsyncSeesPipelines(AsyncSees):
    """Calls of pipelines, for asyncio."""

    def pipelines(self) -> AsyncIterator[Reign]:
        """List the pipelines, each with its champion and the one before. Raises ApiError."""
        return self._site.pages("/v1/pipelines", Reign)
