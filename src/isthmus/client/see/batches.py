"""What there is to see of batches. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside


class BatchShown(msgspec.Struct, frozen=True, kw_only=True):
    """One batch. `counts` by state's word, `failures` by kind; `rate` is requests that end in a second."""

    batch: str
    owner: str
    label: str
    made: str
    ended: str | None
    paused: bool
    requests: int
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    rate: float
    left_s: float | None


class FailureFailure(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt ended with.

    `reason` is one line for a person; `after_s` is what the server asked for.
    """

    kind: Kind
    reason: str
    after_s: float | None = None


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """An image on the disk: durable under `path` (relative to the images' root, with /)."""

    digest: str
    source_digest: str
    path: str
    size: int
    format: str
    width: int
    height: int
    place: str
    place_name: str = ""
    place_from: str = ""
    country: str = ""
    latitude: float | None = None
    longitude: float | None = None
    taken: str | None = None
    taken_from: str = ""
    camera: str = ""
    phash: str = ""
    flaws: Sequence[str] = ()


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong. The words are stored, counted in metrics, and shown to clients."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it stands."""

    request: int
    batch: str
    owner: str
    state: Literal["cancelled", "done", "expired", "failed", "following", "leased", "paused", "queued", "waiting"]
    attempts: int
    trace: str
    changed: str
    due: str | None
    wish: Wish
    filed: Filed | None
    failure: FailureFailure | None


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One image that a client asks for. Field names are those of the API."""

    address: str
    environment: str
    record: str
    priority: int = 5
    deadline: str | None = None
    thumbnails: Sequence[int] = ()
    tags: Sequence[str] = ()
    dedup: str | None = None
    taken: str | None = None
    place: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class SeesBatches(Sees):
    """Calls of batches, for the blocking client."""

    def batches(self, *, site: str | None = None) -> Iterator[BatchShown]:
        """List batches as they go, newest first. Raises ApiError."""
        return self._site.pages("/v1/batches", BatchShown, site=site)

    def batch(self, batch: str, *, site: str | None = None) -> BatchShown:
        """Show one batch as it stands. Raises ApiError."""
        found: BatchShown = self._site.get(inside("/v1/batches/{batch}", batch=batch), BatchShown, site=site)
        return found

    def batch_failures(self, batch: str, *, site: str | None = None) -> Iterator[Shown]:
        """List what did not come of a batch, and why. Raises ApiError."""
        return self._site.pages(inside("/v1/batches/{batch}/failures", batch=batch), Shown, site=site)


class AsyncSeesBatches(AsyncSees):
    """Calls of batches, for asyncio."""

    def batches(self, *, site: str | None = None) -> AsyncIterator[BatchShown]:
        """List batches as they go, newest first. Raises ApiError."""
        return self._site.pages("/v1/batches", BatchShown, site=site)

    async def batch(self, batch: str, *, site: str | None = None) -> BatchShown:
        """Show one batch as it stands. Raises ApiError."""
        found: BatchShown = await self._site.get(inside("/v1/batches/{batch}", batch=batch), BatchShown, site=site)
        return found

    def batch_failures(self, batch: str, *, site: str | None = None) -> AsyncIterator[Shown]:
        """List what did not come of a batch, and why. Raises ApiError."""
        return self._site.pages(inside("/v1/batches/{batch}/failures", batch=batch), Shown, site=site)
