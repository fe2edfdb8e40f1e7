"""What a device holds: its galleries, their records and their images."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import TYPE_CHECKING, Any

from isthmus.app.views.galleryopening import portable_of
from isthmus.app.views.galleryshapes import GalleryShown, Holding, Reference
from isthmus.app.views.records import attributes, known, short
from isthmus.core.errors import Corrupt, InputError
from isthmus.gallery.piece import shelved

if TYPE_CHECKING:
    from isthmus.app.galleries.config import GalleryConfig
    from isthmus.app.galleries.device import Portable
    from isthmus.gallery.device.records import HeldGallery


def held_there(config: GalleryConfig) -> Holding:
    """Tell what a device holds. Raises Refused where its store is sealed by another key."""
    assert config.device is not None
    told = Holding(config.site.name, "device", extractor=config.device.model or config.device.extractor)
    with portable_of(config) as portable:
        if portable is None:
            return told
        galleries = tuple(_held_gallery(one) for one in portable.site.list() if shelved(one.gallery) is None)
        try:
            enrolled, server = portable.site.enrolled().device, portable.site.url
        except InputError:
            enrolled, server = "", ""
    return Holding(
        told.site, "device", extractor=told.extractor, galleries=galleries, enrolled=enrolled, server=server
    )


def _held_gallery(one: HeldGallery) -> GalleryShown:
    return GalleryShown(
        one.gallery,
        one.records,
        one.change,
        mode=one.mode.value,
        model=one.model.name if one.model else "",
        verified=one.verified,
        synced=datetime.fromisoformat(one.synced) if one.synced else None,
        digest=str(one.digest),
    )


def records_there(config: GalleryConfig, gallery: str, behind: bytes, most: int) -> list[Reference]:
    """List records behind a key hash. Raises UnknownName."""
    with portable_of(config) as portable:
        known(gallery, [one.gallery for one in portable.site.list()] if portable is not None else [])
        assert portable is not None
        found = itertools.islice(portable.site.store.items(gallery, behind), most)
        return [_device_record(portable, gallery, place, item) for place, item in found]


def record_there(config: GalleryConfig, gallery: str, id: str) -> Reference | None:
    """Find a record by its id. Raises UnknownName for the gallery."""
    from isthmus.gallery.store.codec import key_of

    with portable_of(config) as portable:
        known(gallery, [one.gallery for one in portable.site.list()] if portable is not None else [])
        assert portable is not None
        place = portable.site.store.place(gallery, key_of(id))
        item = portable.site.store.item(gallery, place)
        return None if item is None else _device_record(portable, gallery, place, item)


def _device_record(portable: Portable, gallery: str, place: bytes, item: Any) -> Reference:
    import bson

    try:
        document = bson.decode(portable.site.store.attributes(item))
    except Corrupt:
        document = {}
    id = bson.decode(item.key)["_id"]
    return Reference(
        gallery,
        short(str(id)),
        not isinstance(id, str),
        item.image.digest.hex() if item.image else "",
        item.image.size if item.image else 0,
        attributes(document),
        key=place.hex(),
    )


def image_there(config: GalleryConfig, digest: bytes) -> bytes | None:
    """Return an image; None where no record has it, empty where it was altered on the disk."""
    with portable_of(config) as portable:
        try:
            return None if portable is None else portable.site.store.content(digest)
        except Corrupt:
            return b""
