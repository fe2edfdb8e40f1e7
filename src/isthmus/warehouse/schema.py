"""The declared schema of a table: typed simple fields, at most one complex field, and the key."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from isthmus.core.errors import UnknownName


class FieldType(enum.Enum):
    """What a field holds. Arrays may be empty but never null; a VECTOR has a fixed size."""

    STRING = "string"
    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    DATE = "date"
    TIMESTAMP = "timestamp"
    STRINGS = "array of string"
    INTS = "array of int"
    FLOATS = "array of float"
    VECTOR = "vector of float"
    COMPLEX = "complex"


_ARROW = {
    FieldType.STRING: pa.string(),
    FieldType.INT: pa.int64(),
    FieldType.FLOAT: pa.float64(),
    FieldType.BOOL: pa.bool_(),
    FieldType.DATE: pa.date32(),
    FieldType.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    FieldType.STRINGS: pa.list_(pa.string()),
    FieldType.INTS: pa.list_(pa.int64()),
    FieldType.FLOATS: pa.list_(pa.float32()),
    FieldType.COMPLEX: pa.large_binary(),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `unit` and `about` are shown wherever a user meets the field; `size` is a VECTOR's length."""

    name: str
    type: FieldType
    about: str = ""
    unit: str = ""
    size: int = 0
    nullable: bool = True

    def arrow(self) -> pa.DataType:
        """Return the Arrow type."""
        if self.type is FieldType.VECTOR:
            return pa.list_(pa.float32(), self.size)
        return _ARROW[self.type]


@dataclass(frozen=True)
class Schema:
    """The fields of a table. `key` names the field that is unique."""

    fields: tuple[Field, ...]
    key: str

    @cached_property
    def simple(self) -> tuple[Field, ...]:
        """All fields but the complex one."""
        return tuple(item for item in self.fields if item.type is not FieldType.COMPLEX)

    @cached_property
    def complex(self) -> Field | None:
        """The complex field, where there is one."""
        return next((item for item in self.fields if item.type is FieldType.COMPLEX), None)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of all fields, in order."""
        return tuple(item.name for item in self.fields)

    def __getitem__(self, name: str) -> Field:
        """Return the field `name`. Raises UnknownName."""
        for item in self.fields:
            if item.name == name:
                return item
        raise UnknownName.among("field", name, self.names)

    def only(self, names: Iterable[str]) -> Schema:
        """Return the schema of a subset of the fields; the key always stays. Raises UnknownName."""
        wanted = {self[name].name for name in names} | {self.key}
        return Schema(tuple(item for item in self.fields if item.name in wanted), self.key)
