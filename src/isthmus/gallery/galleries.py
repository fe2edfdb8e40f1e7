"""Names of galleries, and the attributes that a record may have besides its image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from isthmus.core.errors import InputError
from isthmus.gallery.record import IMAGE_FIELD, Document

_NAME = re.compile(r"[^\s./\\\"$*<>:|?\0]{1,63}\.[^\s$\0]{1,120}")
_MOST_ID = 512


def gallery_name(name: str) -> str:
    """Prove a gallery's name `<database>.<gallery>`, as MongoDB allows it. Raises InputError."""
    if not _NAME.fullmatch(name) or name.partition(".")[2].startswith(("system.", ".")):
        raise InputError(f"{name!r} is no name of a gallery", "name it <database>.<gallery>, such as faces.staff")
    return name


def record_id(text: str) -> str:
    """Prove an id: 1 to 512 characters, none of them unprintable. Raises InputError."""
    if not 1 <= len(text) <= _MOST_ID or not text.isprintable():
        raise InputError(f"{text[:40]!r} is no id of a record", f"1 to {_MOST_ID} printable characters")
    return text


def document_of(id: str, image: str | None, attributes: Mapping[str, Any]) -> Document:
    """Put a record's document together; `image` is base64. Raises InputError where a field's name is reserved."""
    for name in attributes:
        if name in ("_id", IMAGE_FIELD) or name.startswith("$") or "\0" in name or not name:
            raise InputError(f"an attribute cannot be named {name!r}", "name it otherwise")
    document: Document = {"_id": record_id(id), **attributes}
    if image is not None:
        document[IMAGE_FIELD] = image
    return document
