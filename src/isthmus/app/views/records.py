"""How records of galleries are shown: their documents may hold anything, so all of it becomes short text."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isthmus.app.views.galleryshapes import Reference
from isthmus.core.errors import UnknownName

if TYPE_CHECKING:
    from isthmus.gallery.record import Document, Record

_MOST_ATTRIBUTES, _MOST_TEXT = 64, 300


def known(gallery: str, names: list[str]) -> None:
    """Raise UnknownName, with the nearest name, for a gallery that is not there."""
    if gallery not in names:
        raise UnknownName.among("gallery", gallery, names)


def shown(record: Record, document: Document | None) -> Reference:
    """Show a record of a set."""
    document = document or {}
    id = document.get("_id", "")
    image = record.image if record.image is not None and record.image.text is None else None
    return Reference(
        record.gallery,
        short(str(id)),
        not isinstance(id, str),
        image.digest.hex() if image else "",
        image.size if image else 0,
        attributes(document),
        record.refused or "",
        record.vector_of or "",
        record.changed,
        record.key.hex(),
    )


def attributes(document: Mapping[str, Any]) -> dict[str, str]:
    """Write a document's fields as short texts, its id and image left out."""
    from isthmus.gallery.record import IMAGE_FIELD

    rest = ((name, value) for name, value in document.items() if name not in ("_id", IMAGE_FIELD))
    return {short(name): short(value) for name, value in itertools.islice(rest, _MOST_ATTRIBUTES)}


def short(value: object) -> str:
    """Write any value as a text of bounded length."""
    text = value if isinstance(value, str) else repr(value) if isinstance(value, bytes) else str(value)
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
