"""What there is to see of quarantine. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was set aside: a bundle, a change that could not be applied, or a record's refused image."""

    what: Literal["change", "file", "image"]
    name: str
    why: str
    gallery: str = ""
    kind: str = ""
    at: str = ""
    size: int | None = None
    times: int = 1
    healed: bool = False
    digest: str = ""


class SeesQuarantine(Sees):
    """Calls of quarantine, for the blocking client."""

    def quarantine(self, *, site: str | None = None) -> Iterator[SetAside]:
        """List bundles, changes and images set aside, and why. Raises ApiError."""
        return self._site.pages("/v1/quarantine", SetAside, site=site)


class AsyncSeesQuarantine(AsyncSees):
    """Calls of quarantine, for asyncio."""

    def quarantine(self, *, site: str | None = None) -> AsyncIterator[SetAside]:
        """List bundles, changes and images set aside, and why. Raises ApiError."""
        return self._site.pages("/v1/quarantine", SetAside, site=site)
