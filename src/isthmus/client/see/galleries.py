"""What there is to see of galleries. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside
from isthmus.client.see.environments import Standing


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One act of the audit log."""

    number: int
    at: str
    who: str
    act: str
    gallery: str
    subject: str
    detail: str


class Galleries(msgspec.Struct, frozen=True, kw_only=True):
    """The galleries of a site, by name, and where it stands. A site without galleries has no `role`."""

    items: Sequence[GalleryShown]
    next: str
    site: str
    role: Literal["", "device", "inner", "outer"]
    stream: str = ""
    position: Standing | None = None
    enrolled: str = ""
    server: str = ""


class GalleryShown(msgspec.Struct, frozen=True, kw_only=True):
    """What one gallery holds. `change` numbers its latest change in this site's own count."""

    gallery: str
    records: int
    change: int
    image_bytes: int | None = None
    refused: int = 0
    vectors: int | None = None
    mode: str = ""
    model: str = ""
    verified: bool | None = None
    synced: str | None = None
    digest: str = ""


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """One record. `image` is the BLAKE3 of its image in hexadecimal digits, empty where it has none."""

    gallery: str
    id: str
    typed: bool
    image: str
    size: int
    attributes: Mapping[str, str] = msgspec.field(default_factory=dict)
    refused: str = ""
    model: str = ""
    changed: int = 0
    key: str = ""


class SeesGalleries(Sees):
    """Calls of galleries, for the blocking client."""

    def galleries(
        self, *, limit: int | None = None, after: str | None = None, site: str | None = None
    ) -> Galleries:
        """List the galleries of a site, and where it stands. Raises ApiError."""
        found: Galleries = self._site.get("/v1/galleries", Galleries, limit=limit, after=after, site=site)
        return found

    def galleries_audit(self, *, site: str | None = None) -> Iterator[Act]:
        """Show who did what with galleries, newest first. Raises ApiError."""
        return self._site.pages("/v1/galleries/audit", Act, site=site)

    def gallery_references(
        self, gallery: str, *, site: str | None = None, id: str | None = None
    ) -> Iterator[Reference]:
        """List the records of a gallery. Raises ApiError."""
        return self._site.pages(
            inside("/v1/galleries/{gallery}/references", gallery=gallery), Reference, site=site, id=id
        )


class AsyncSeesGalleries(AsyncSees):
    """Calls of galleries, for asyncio."""

    async def galleries(
        self, *, limit: int | None = None, after: str | None = None, site: str | None = None
    ) -> Galleries:
        """List the galleries of a site, and where it stands. Raises ApiError."""
        found: Galleries = await self._site.get("/v1/galleries", Galleries, limit=limit, after=after, site=site)
        return found

    def galleries_audit(self, *, site: str | None = None) -> AsyncIterator[Act]:
        """Show who did what with galleries, newest first. Raises ApiError."""
        return self._site.pages("/v1/galleries/audit", Act, site=site)

    def gallery_references(
        self, gallery: str, *, site: str | None = None, id: str | None = None
    ) -> AsyncIterator[Reference]:
        """List the records of a gallery. Raises ApiError."""
        return self._site.pages(
            inside("/v1/galleries/{gallery}/references", gallery=gallery), Reference, site=site, id=id
        )
