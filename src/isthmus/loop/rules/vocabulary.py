"""The names that conditions may speak of: the simple fields of scenes, each with its type."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.core.errors import ConditionError, UnknownName
from isthmus.core.expression import Field
from isthmus.core.kinds import Type
from isthmus.loop.fields import SCENES
from isthmus.warehouse.schema import FieldType, Schema

_TYPES: Mapping[FieldType, Type] = {
    FieldType.STRING: Type.STRING,
    FieldType.INT: Type.INT,
    FieldType.FLOAT: Type.FLOAT,
    FieldType.BOOL: Type.BOOL,
    FieldType.DATE: Type.DATE,
    FieldType.STRINGS: Type.STRINGS,
    FieldType.INTS: Type.INTS,
    FieldType.FLOATS: Type.FLOATS,
}


def fields_in(schema: Schema) -> Mapping[str, Field]:
    """Return the fields of a schema that conditions may speak of, by name."""
    return {item.name: Field(item.name, _TYPES[item.type]) for item in schema.fields if item.type in _TYPES}


FIELDS: Mapping[str, Field] = fields_in(SCENES)


def field_named(name: str) -> Field:
    """Return a field. Raises UnknownName with the nearest; ConditionError for one no condition can use."""
    if name in FIELDS:
        return FIELDS[name]
    if name in SCENES.names:
        raise ConditionError(f"{name!r} is a {SCENES[name].type.value}", "conditions use the other simple fields")
    raise UnknownName.among("field", name, FIELDS)
