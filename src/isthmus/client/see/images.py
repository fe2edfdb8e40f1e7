"""What there is to see of images. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from isthmus.client.calls import AsyncSees, Sees
from isthmus.client.see.batches import Shown


class SeesImages(Sees):
    """Calls of images, for the blocking client."""

    def images(
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
    ) -> Iterator[Shown]:
        """List images that came, newest first, with time and place. Raises ApiError."""
        return self._site.pages(
            "/v1/images",
            Shown,
            site=site,
            batch=batch,
            environment=environment,
            kind=kind,
            place=place,
            tag=tag,
            taken_from=taken_from,
            taken_until=taken_until,
        )


class AsyncSeesImages(AsyncSees):
    """Calls of images, for asyncio."""

    def images(
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
    ) -> AsyncIterator[Shown]:
        """List images that came, newest first, with time and place. Raises ApiError."""
        return self._site.pages(
            "/v1/images",
            Shown,
            site=site,
            batch=batch,
            environment=environment,
            kind=kind,
            place=place,
            tag=tag,
            taken_from=taken_from,
            taken_until=taken_until,
        )
