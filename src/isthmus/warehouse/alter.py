"""Changes of a table's columns and scalar indexes.

Each change of columns is one version: the columns, the declaration and the count of changes in the table's
metadata go together, so no reader, and no copy that is taken between two steps, finds them apart. The identity of
the table stays. Rows keep their ids, and the versions of their last update: who follows by those asks `Table.era`.

A column that is renamed or dropped, and one that is added without a filling, cost nothing. A filling and a new
type write that column anew, fragment by fragment, and no other; what a kill leaves of it, cleanup removes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import lance
import pyarrow as pa
import pyarrow.compute as pc

from isthmus.core.errors import InputError, IsthmusError
from isthmus.warehouse import declared
from isthmus.warehouse.declared import Compression
from isthmus.warehouse.lancefields import LanceFields
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import BATCH_ROWS, Table

IndexKind = Literal["btree", "bitmap", "label_list"]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")
_ARRAYS = (FieldType.STRINGS, FieldType.INTS, FieldType.FLOATS)
_NEW = "__new"
T = FieldType
RETYPES: Mapping[FieldType, tuple[FieldType, ...]] = {
    T.INT: (T.FLOAT, T.STRING),
    T.FLOAT: (T.INT, T.STRING),
    T.BOOL: (T.INT, T.FLOAT, T.STRING),
    T.DATE: (T.TIMESTAMP, T.STRING),
    T.TIMESTAMP: (T.DATE, T.STRING),
    T.STRING: (T.INT, T.FLOAT, T.BOOL, T.DATE, T.TIMESTAMP),
    T.INTS: (T.FLOATS, T.STRINGS),
    T.FLOATS: (T.INTS, T.STRINGS, T.VECTOR),
    T.STRINGS: (T.INTS, T.FLOATS),
    T.VECTOR: (T.FLOATS,),
}
"""What a type can become, value by value: one that would lose something ends the change."""

_Make = Callable[[pa.RecordBatch], pa.Array]


def add_column(table: Table, field: Field, fill: Any = None, compression: Compression = "zstd") -> None:
    """Add a column after the others; rows that are there get `fill`, an array without one is empty in them.

    Raises InputError where the name is taken or no name, for a second complex field, and where rows that are
    there would get null though the field is never null; Busy, Refused.
    """
    with table.writing():
        old = table.schema
        _new_name(old, field.name)
        if field.type is FieldType.COMPLEX and old.complex is not None:
            raise InputError(f"{table.uri} has a complex field already, {old.complex.name!r}", "a table has one")
        if fill is None and field.type in _ARRAYS and not field.nullable:
            fill = []
        rows = table.count()
        if fill is None and rows and not field.nullable:
            raise InputError(
                f"{rows} rows would hold null in {field.name!r}, which is never null", "say a filling"
            )
        arrow = declared.arrow_field(field, compression=compression)
        constant = _filling(field, fill)
        make: _Make | None = None if constant is None else lambda batch: _repeated(constant, batch.num_rows)
        fragments, new = _written(table, arrow, (old.key,), make)
        now = LanceFields.of(table.dataset.lance_schema)
        fields = LanceFields(now.metadata, (*now.fields, *new.fields))
        _commit(table, fields, Schema((*old.fields, field), old.key), fragments)


def rename_column(table: Table, name: str, to: str) -> None:
    """Give a column another name; indexes on it stay. Raises UnknownName, InputError, Busy, Refused."""
    with table.writing():
        old = table.schema
        item = old[name]
        _new_name(old, to)
        now = LanceFields.of(table.dataset.lance_schema)
        top, *children = now.tree(name)
        fields = now.replaced(name, [top.named(to), *children])
        named = tuple(replace(item, name=to) if one is item else one for one in old.fields)
        _commit(table, fields, Schema(named, to if name == old.key else old.key))


def drop_column(table: Table, name: str) -> None:
    """Take a column away, with the indexes on it. Raises InputError for the key; UnknownName, Busy, Refused."""
    with table.writing():
        old = table.schema
        item = old[name]
        if name == old.key:
            raise InputError(f"{name!r} is the key of {table.uri}", "a table cannot be without it")
        fields = LanceFields.of(table.dataset.lance_schema).replaced(name, [])
        _commit(table, fields, Schema(tuple(one for one in old.fields if one is not item), old.key))


def retype_column(table: Table, name: str, to: FieldType, size: int = 0) -> None:
    """Give a column another type, at its place, converting every value; indexes on it go.

    `size` is the length of a VECTOR. Does nothing where it has that type already. Raises InputError for the key,
    for a type that it cannot become (RETYPES), and where a value would lose something; UnknownName, Busy, Refused.
    """
    with table.writing():
        old = table.schema
        item = old[name]
        new = replace(item, type=to, size=size if to is FieldType.VECTOR else 0)
        if new == item:
            return
        if name == old.key:
            raise InputError(f"{name!r} is the key of {table.uri}", "its type stays; put the rows in a new table")
        if to not in RETYPES.get(item.type, ()):
            can = ", ".join(one.value for one in RETYPES.get(item.type, ())) or "nothing else"
            raise InputError(
                f"{name!r} is {item.type.value} and cannot become {to.value}", f"it can become: {can}"
            )
        arrow = declared.arrow_field(replace(new, name=_NEW))
        fragments, made = _written(table, arrow, (name,), lambda batch: _converted(batch.column(0), item, new))
        top, *children = made.fields
        fields = LanceFields.of(table.dataset.lance_schema).replaced(name, [top.named(name), *children])
        _commit(
            table, fields, Schema(tuple(new if one is item else one for one in old.fields), old.key), fragments
        )


def create_index(table: Table, column: str, kind: IndexKind | None = None) -> None:
    """Make a scalar index on a column, or make it anew: label_list on arrays, else btree or bitmap.

    Without a kind it is the one that fits the type. Raises InputError for a field that takes none; UnknownName,
    Busy, Refused.
    """
    with table.writing():
        item = table.schema[column]
        fitting: tuple[IndexKind, ...] = ("label_list",) if item.type in _ARRAYS else ("btree", "bitmap")
        if item.type in (FieldType.COMPLEX, FieldType.VECTOR):
            raise InputError(f"{column!r} is {item.type.value}", "a scalar index is on a simple field or an array")
        if kind is not None and kind not in fitting:
            raise InputError(
                f"{kind} does not fit {column!r}, {item.type.value}", f"choose {' or '.join(fitting)}"
            )
        for name in _index_names(table, column):
            table.dataset.drop_index(name)
        table.dataset.create_scalar_index(column, (kind or fitting[0]).upper())
        table.refresh()


def drop_index(table: Table, column: str) -> None:
    """Take away the index on a column. Raises InputError where there is none; UnknownName, Busy, Refused."""
    with table.writing():
        names = _index_names(table, table.schema[column].name)
        if not names:
            raise InputError(
                f"there is no index on {column!r}", f"indexed: {', '.join(indexes(table)) or 'nothing'}"
            )
        for name in names:
            table.dataset.drop_index(name)
        table.refresh()


def indexes(table: Table) -> dict[str, str]:
    """Return the kind of the index of each column that has one."""
    return {
        str(name): str(found.index_type).lower()
        for found in table.dataset.describe_indices()
        for name in found.field_names
    }


def _index_names(table: Table, column: str) -> list[str]:
    return [str(found.name) for found in table.dataset.describe_indices() if column in found.field_names]


def check_column_name(name: str) -> None:
    """Raise InputError where a column cannot be called so."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no column name", "use letters, digits and _, beginning with a letter")


def _new_name(schema: Schema, name: str) -> None:
    check_column_name(name)
    if name.lower() in (known.lower() for known in schema.names):  # conditions do not tell the case apart
        raise InputError(f"there is a column {name!r} already", "choose another name")


def _written(
    table: Table, field: pa.Field, reads: Sequence[str], make: _Make | None
) -> tuple[list[Any], LanceFields]:
    """Write a new column beside the others and return the fragments with it, not committed, and its fields.

    Without `make` nothing is written: a column that no file holds is null in all rows.
    """
    dataset = table.dataset
    new = LanceFields.of_arrow([field], dataset.max_field_id + 1)
    if make is None:
        return [fragment.metadata for fragment in dataset.get_fragments()], new
    raised: list[IsthmusError] = []
    fragments = []

    def made(batch: pa.RecordBatch) -> pa.RecordBatch:
        try:
            return pa.RecordBatch.from_arrays([make(batch)], schema=pa.schema([field]))
        except IsthmusError as error:
            raised.append(error)
            raise

    udf = lance.udf.BatchUDF(made, pa.schema([field]))
    for fragment in dataset.get_fragments():
        try:
            metadata, schema = fragment.merge_columns(udf, columns=list(reads), batch_size=BATCH_ROWS)
        except (OSError, RuntimeError, ValueError) as error:
            if raised:
                raise raised[0] from None
            raise IsthmusError(
                f"the column cannot be written: {str(error).splitlines()[0]}",
                "nothing was committed; see to space and rights of the storage and try again",
            ) from error
        given = [one.id for one in LanceFields.of(schema).tree(field.name)]
        assert given == [one.id for one in new.fields], "Lance numbers new fields as it did when this was written"
        fragments.append(metadata)
    return fragments, new


def _commit(table: Table, fields: LanceFields, schema: Schema, fragments: list[Any] | None = None) -> None:
    """Commit columns together with their declaration, as one version, and go to it."""
    changes = int(fields.metadata.get(declared.ALTERED, b"0")) + 1
    said = {declared.DECLARED: declared.to_json(schema).encode(), declared.ALTERED: str(changes).encode()}
    made = LanceFields({**fields.metadata, **said}, fields.fields).schema()
    if fragments is None:
        operation = lance.LanceOperation.Project(made)
    else:
        operation = lance.LanceOperation.Merge(fragments, made)
    lance.LanceDataset.commit(
        table.dataset, operation, read_version=table.version, storage_options=dict(table.storage_options) or None
    )
    table.refresh()


def _filling(field: Field, fill: Any) -> pa.Scalar | None:
    if fill is None:
        return None
    try:
        return pa.scalar(fill, field.arrow())
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, OverflowError) as error:
        raise InputError(f"{fill!r} is no {field.type.value}", "write a value of that type") from error


def _repeated(constant: pa.Scalar, rows: int) -> pa.Array:
    return pa.array([constant.as_py()], constant.type).take(pa.array([0] * rows, pa.int64()))


def _converted(column: pa.Array, item: Field, new: Field) -> pa.Array:
    """Convert values, each without loss. Raises InputError."""
    try:
        made = column.cast(new.arrow())
        if item.type in (FieldType.FLOAT, FieldType.INT) and new.type is not FieldType.STRING:
            lossless = pc.all(pc.equal(made.cast(column.type), column)).as_py() is not False
        elif item.type is FieldType.TIMESTAMP and new.type is FieldType.DATE:
            lossless = made.cast(pa.timestamp("us")).cast(column.type).equals(column)
        else:
            lossless = made.null_count == column.null_count
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"a value of {item.name!r} does not become {new.type.value}: {str(error).splitlines()[0]}",
            "nothing was changed; mend the values first",
        ) from error
    if not lossless:
        raise InputError(
            f"a value of {item.name!r} would lose something as {new.type.value}",
            "nothing was changed; add a column of the new type beside it instead",
        )
    return made
