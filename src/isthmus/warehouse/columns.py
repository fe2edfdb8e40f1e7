"""Columns as people write them in one word: `speed:float`, `tags:strings`, `embedding:vector[512]`."""

from __future__ import annotations

import re

from isthmus.core.errors import InputError, UnknownName
from isthmus.warehouse.alter import check_column_name
from isthmus.warehouse.schema import Field, FieldType, Schema

WORDS = {
    "string": FieldType.STRING,
    "int": FieldType.INT,
    "float": FieldType.FLOAT,
    "bool": FieldType.BOOL,
    "date": FieldType.DATE,
    "timestamp": FieldType.TIMESTAMP,
    "strings": FieldType.STRINGS,
    "ints": FieldType.INTS,
    "floats": FieldType.FLOATS,
    "vector": FieldType.VECTOR,
    "complex": FieldType.COMPLEX,
}
_TYPE = re.compile(r"([a-z]+)(?:\[(\d{1,5})\])?")
_NEVER_NULL = (FieldType.STRINGS, FieldType.INTS, FieldType.FLOATS)


def parse_column(text: str) -> Field:
    """Read `name:type`; arrays are never null. Raises InputError, UnknownName for the type."""
    name, colon, word = text.partition(":")
    if not colon:
        raise InputError(f"{text!r} is no column", "write NAME:TYPE, for example speed:float")
    check_column_name(name)
    kind, size = parse_type(word)
    return Field(name, kind, size=size, nullable=kind not in _NEVER_NULL)


def parse_type(word: str) -> tuple[FieldType, int]:
    """Read a type, and the length of a vector. Raises InputError, UnknownName."""
    found = _TYPE.fullmatch(word.strip())
    if found is None or found[1] not in WORDS:
        raise UnknownName.among("type", word.strip(), WORDS)
    kind, size = WORDS[found[1]], int(found[2] or 0)
    if (kind is FieldType.VECTOR) != (size > 0):
        raise InputError(
            f"{word!r} is no type", "a vector has its length in brackets, vector[512]; no other has one"
        )
    return kind, size


def type_word(item: Field) -> str:
    """Write the type of a field as `parse_type` reads it."""
    word = next(word for word, kind in WORDS.items() if kind is item.type)
    return f"{word}[{item.size}]" if item.type is FieldType.VECTOR else word


def parse_schema(columns: list[str], key: str) -> Schema:
    """Read the columns of a new table. Raises InputError, UnknownName where the key is none of them."""
    fields = [parse_column(text) for text in columns]
    names = [item.name.lower() for item in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"there are two columns {twice!r}", "give each its own name")
    if key not in [item.name for item in fields]:
        raise UnknownName.among("column", key, [item.name for item in fields])
    if sum(item.type is FieldType.COMPLEX for item in fields) > 1:
        raise InputError("there are two complex columns", "a table has one at most")
    schema = Schema(tuple(fields), key)
    if schema[key].type not in (FieldType.STRING, FieldType.INT, FieldType.DATE, FieldType.TIMESTAMP):
        raise InputError(
            f"{key!r} is {schema[key].type.value}: no key", "a key is a string, int, date or timestamp"
        )
    return schema
