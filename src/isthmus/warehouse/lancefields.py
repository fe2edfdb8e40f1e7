"""The fields of a Lance schema, with their ids, taken apart and put together again.

Files of a table name columns by field id. `LanceSchema` hands its parts out only to be pickled: its metadata as
JSON (each value a list of bytes), and each field, children included, as the protobuf message `lance.file.Field`
(protos/file.proto of Lance: name 2, id 3, parent id 4). Everything else of a field is carried as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from lance.schema import LanceSchema

_NAME, _ID, _PARENT = 2, 3, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TOP = 2**64 - 1
"""The parent of a field at the top, -1, as protobuf writes it."""

_Part = tuple[int, int, int | bytes]


@dataclass(frozen=True, slots=True)
class LanceField:
    """One field: the parts of its message, as number, wire type and value."""

    parts: tuple[_Part, ...]

    @property
    def name(self) -> str:
        """The name of the column or of the child."""
        return bytes(self._get(_NAME, b"")).decode()

    @property
    def id(self) -> int:
        """What the files call it."""
        return int(self._get(_ID, 0))

    @property
    def parent(self) -> int | None:
        """The id of the field that it is a child of; None for a column."""
        number = int(self._get(_PARENT, 0))
        return None if number == _TOP else number

    def named(self, name: str) -> LanceField:
        """Return the field under another name."""
        return self._set(_NAME, _BYTES, name.encode())

    def moved(self, by: int) -> LanceField:
        """Return the field with an id, and that of its parent, so much higher."""
        above = _TOP if self.parent is None else self.parent + by
        return self._set(_ID, _VARINT, self.id + by)._set(_PARENT, _VARINT, above)

    def _get(self, number: int, default: Any) -> Any:
        return next((value for found, _, value in self.parts if found == number), default)

    def _set(self, number: int, wire: int, value: int | bytes) -> LanceField:
        rest = [part for part in self.parts if part[0] != number]
        return LanceField(tuple(sorted([*rest, (number, wire, value)], key=lambda part: part[0])))


@dataclass(frozen=True, slots=True)
class LanceFields:
    """All fields of a schema, children after their parents, and the schema's metadata."""

    metadata: Mapping[bytes, bytes]
    fields: tuple[LanceField, ...]

    @classmethod
    def of(cls, schema: LanceSchema) -> LanceFields:
        """Take a schema apart."""
        _, (metadata, *fields) = schema.__reduce__()
        values = {str(name).encode(): bytes(value) for name, value in json.loads(str(metadata)).items()}
        return cls(values, tuple(LanceField(tuple(_decoded(bytes(field)))) for field in fields))

    @classmethod
    def of_arrow(cls, fields: Sequence[pa.Field], first_id: int) -> LanceFields:
        """Make fields that are new, with ids from `first_id` on."""
        made = cls.of(LanceSchema.from_pyarrow(pa.schema(fields)))
        return cls({}, tuple(field.moved(first_id) for field in made.fields))

    def schema(self) -> LanceSchema:
        """Put the schema together."""
        metadata = json.dumps({name.decode(): list(value) for name, value in self.metadata.items()})
        return LanceSchema._from_protos(metadata, *(_encoded(field.parts) for field in self.fields))

    def tree(self, column: str) -> list[LanceField]:
        """Return a column and its children."""
        found = [field for field in self.fields if field.parent is None and field.name == column]
        for field in self.fields:
            if field.parent is not None and field.parent in {one.id for one in found}:
                found.append(field)
        return found

    def replaced(self, column: str, by: Iterable[LanceField]) -> LanceFields:
        """Put other fields in the place of a column and its children."""
        old = self.tree(column)
        at = self.fields.index(old[0])
        before = tuple(field for field in self.fields[:at] if field not in old)
        after = tuple(field for field in self.fields[at:] if field not in old)
        return LanceFields(self.metadata, (*before, *by, *after))


def _decoded(message: bytes) -> Iterable[_Part]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire} is none of protobuf's")
        yield number, wire, message[at : at + size]
        at += size


def _encoded(parts: Iterable[_Part]) -> bytes:
    out = bytearray()
    for number, wire, value in parts:
        out += _as_varint(number << 3 | wire)
        if isinstance(value, int):
            out += _as_varint(value)
        else:
            out += (_as_varint(len(value)) if wire == _BYTES else b"") + value
    return bytes(out)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
