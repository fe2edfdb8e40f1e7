"""What there is to see of grants. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class GrantShown(msgspec.Struct, frozen=True, kw_only=True):
    """Grants galleries, as patterns, to all devices that have all tags."""

    number: int
    tags: Sequence[str]
    galleries: Sequence[str]
    mode: str


class SeesGrants(Sees):
    """Calls of grants, for the blocking client."""

    def grants(self, *, site: str | None = None) -> Iterator[GrantShown]:
        """List the rules that say which devices get which galleries. Raises ApiError."""
        return self._site.pages("/v1/grants", GrantShown, site=site)


class AsyncSeesGrants(AsyncSees):
    """Calls of grants, for asyncio."""

    def grants(self, *, site: str | None = None) -> AsyncIterator[GrantShown]:
        """List the rules that say which devices get which galleries. Raises ApiError."""
        return self._site.pages("/v1/grants", GrantShown, site=site)
