"""A declared schema as the Arrow schema of a Lance table, and back."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Literal

import pyarrow as pa

from isthmus.core.errors import Corrupt
from isthmus.warehouse.schema import Field, FieldType, Schema

Compression = Literal["zstd", "none"]

DECLARED = b"isthmus:schema"
IDENTITY = b"isthmus:identity"
ALTERED = b"isthmus:altered"
"""How often columns were added, renamed, dropped or retyped; not there where they never were."""
_PRIMARY_KEY = "lance-schema:unenforced-primary-key"
_COMPRESSION = "lance-encoding:compression"


def to_arrow(schema: Schema, compression: Compression = "zstd") -> pa.Schema:
    """Return the Arrow schema with Lance's field metadata; its own metadata carries the declaration.

    It also carries an identity that is new each time, which tells a table from a later one at the same place.
    """
    fields = [arrow_field(item, item.name == schema.key, compression) for item in schema.fields]
    return pa.schema(fields, metadata={DECLARED: to_json(schema), IDENTITY: uuid.uuid4().hex})


def arrow_field(item: Field, key: bool = False, compression: Compression = "zstd") -> pa.Field:
    """Return the Arrow field of one field, with Lance's metadata."""
    metadata = {}
    if key:
        metadata[_PRIMARY_KEY] = "true"  # without it concurrent merges of one key make duplicates
    if item.type is FieldType.COMPLEX:
        metadata[_COMPRESSION] = compression  # "none" is said too: without a word Lance chooses by itself
    return pa.field(item.name, item.arrow(), item.nullable and not key, metadata=metadata or None)


def from_arrow(arrow: pa.Schema, where: str) -> Schema:
    """Return the declaration that an Arrow schema carries. Raises Corrupt where there is none."""
    text = (arrow.metadata or {}).get(DECLARED)
    if text is None:
        raise Corrupt(f"{where} carries no declared schema", "it was not made by this catalogue; ingest it anew")
    try:
        return from_json(text.decode())
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"the declared schema of {where} cannot be read: {error}", "restore the table") from error


def to_json(schema: Schema) -> str:
    """Write a schema as JSON: the same text for equal schemas."""
    fields = [
        {
            "name": item.name,
            "type": item.type.value,
            "about": item.about,
            "unit": item.unit,
            "size": item.size,
            "nullable": item.nullable,
        }
        for item in schema.fields
    ]
    return json.dumps({"key": schema.key, "fields": fields}, ensure_ascii=False)


def from_json(text: str) -> Schema:
    """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError on any other text."""
    read = json.loads(text)
    fields = tuple(Field(**{**item, "type": FieldType(item["type"])}) for item in read["fields"])
    return Schema(fields, read["key"])


def difference(stored: Schema, asked: Schema) -> str | None:
    """Say in a few words how two schemas differ, or None where they hold the same.

    What the fields are said to be about may differ: a later release may say it better.
    """
    if stored.key != asked.key:
        return f"its key is {stored.key!r}, not {asked.key!r}"
    for name in asked.names:
        if name not in stored.names:
            return f"it has no field {name!r}"
    for name in stored.names:
        if name not in asked.names:
            return f"it has a field {name!r} that is not asked for"
    for item in asked.fields:
        if replace(stored[item.name], about=item.about) != item:
            return f"its field {item.name!r} is {_shown(stored[item.name])}, not {_shown(item)}"
    return None if stored.names == asked.names else "its fields stand in another order"


def _shown(item: Field) -> str:
    size = f"[{item.size}]" if item.size else ""
    null = "" if item.nullable else " not null"
    return f"({item.type.value}{size}{null}, unit {item.unit!r})"
