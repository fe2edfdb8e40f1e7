"""What there is to see of people. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside


class PersonShown(msgspec.Struct, frozen=True, kw_only=True):
    """A person. `seen` is the latest login."""

    name: str
    role: Literal["admin", "operator", "viewer"]
    made: str
    made_by: str
    changed: str
    seen: str | None = None


class SeesPeople(Sees):
    """Calls of people, for the blocking client."""

    def people(self) -> Iterator[PersonShown]:
        """List people, by name. Raises ApiError."""
        return self._site.pages("/v1/people", PersonShown)

    def person(self, name: str) -> PersonShown:
        """Show a person. Raises ApiError."""
        found: PersonShown = self._site.get(inside("/v1/people/{name}", name=name), PersonShown)
        return found


class AsyncSeesPeople(AsyncSees):
    """Calls of people, for asyncio."""

    def people(self) -> AsyncIterator[PersonShown]:
        """List people, by name. Raises ApiError."""
        return self._site.pages("/v1/people", PersonShown)

    async def person(self, name: str) -> PersonShown:
        """Show a person. Raises ApiError."""
        found: PersonShown = await self._site.get(inside("/v1/people/{name}", name=name), PersonShown)
        return found
