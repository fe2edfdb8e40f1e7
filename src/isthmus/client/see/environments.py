"""What there is to see of environments. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class AgentShown(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that the server heard of, so many seconds ago."""

    agent: str
    silent_s: float


class EnvironmentShown(msgspec.Struct, frozen=True, kw_only=True):
    """One environment: live requests by state, the age of the oldest queued one, its agents."""

    environment: str
    counts: Mapping[str, int]
    oldest_s: float
    left_alone: int
    agents: Sequence[AgentShown] = ()
    request_s: Mapping[str, float] = msgspec.field(default_factory=dict)
    images: int | None = None


class Environments(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the environments.

    `server`: whether the interface server answers; it knows agents and latency.
    """

    items: Sequence[EnvironmentShown]
    next: str
    server: bool


class SeesEnvironments(Sees):
    """Calls of environments, for the blocking client."""

    def environments(
        self, *, limit: int | None = None, after: str | None = None, site: str | None = None
    ) -> Environments:
        """Show how much lies where, which agents were heard of, and how long requests take. Raises ApiError."""
        found: Environments = self._site.get("/v1/environments", Environments, limit=limit, after=after, site=site)
        return found


class AsyncSeesEnvironments(AsyncSees):
    """Calls of environments, for asyncio."""

    async def environments(
        self, *, limit: int | None = None, after: str | None = None, site: str | None = None
    ) -> Environments:
        """Show how much lies where, which agents were heard of, and how long requests take. Raises ApiError."""
        found: Environments = await self._site.get(
            "/v1/environments", Environments, limit=limit, after=after, site=site
        )
        return found
