"""What there is to see of published. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class ShelfShown(msgspec.Struct, frozen=True, kw_only=True):
    """One model of an inner or outer site, the version that counts first.

    `problem`: why it cannot be read.
    """

    model: str
    versions: Sequence[VersionShown] = ()
    withdrawn: Sequence[WithdrawnShown] = ()
    crossed: Literal["", "sent", "waiting"] = ""
    problem: str = ""


class VersionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A published version.

    `counts`: it is the one that devices use; `missing` counts pieces that are not here.
    """

    model: str
    version: str
    counts: bool
    size: int
    digest: str
    files: int
    missing: int
    by: str
    at: str | None
    note: str
    vectors: bool
    metrics: Mapping[str, float | None]
    lineage: Mapping[str, str]


class WithdrawnShown(msgspec.Struct, frozen=True, kw_only=True):
    """A version that nobody is to use any more, and why."""

    version: str
    why: str
    by: str
    at: str | None


class SeesPublished(Sees):
    """Calls of published, for the blocking client."""

    def published(self, *, site: str | None = None) -> Iterator[ShelfShown]:
        """List the models that cross the gate, with all their versions. Raises ApiError."""
        return self._site.pages("/v1/published", ShelfShown, site=site)


class AsyncSeesPublished(AsyncSees):
    """Calls of published, for asyncio."""

    def published(self, *, site: str | None = None) -> AsyncIterator[ShelfShown]:
        """List the models that cross the gate, with all their versions. Raises ApiError."""
        return self._site.pages("/v1/published", ShelfShown, site=site)
