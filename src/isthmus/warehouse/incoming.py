"""Rows on their way into a table: brought into its schema, counted, and their keys checked, batch by batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from isthmus.core.errors import InputError, IsthmusError, UnknownName

_KEY_BATCH = 1 << 20


class Incoming:
    """Hands batches to Lance in the table's schema, and remembers the error that ended them.

    Only the keys are kept in memory; the rows pass through.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch], arrow: pa.Schema, key: str) -> None:
        """Take the batches of one write; `arrow` is the table's schema."""
        self.rows = 0
        self._batches = batches
        self._arrow = arrow
        self._key = key
        self._keys: list[pa.Array] = []
        self._error: BaseException | None = None

    def reader(self) -> pa.RecordBatchReader:
        """Return the rows as a stream; it ends in an error when a key comes twice."""
        return pa.RecordBatchReader.from_batches(self._arrow, self._checked())

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise what the batches raised, not Lance's wrapping of it; else say that the write failed."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            if self._error is not None:
                raise self._error from None
            raise IsthmusError(
                f"rows cannot be written: {str(error).splitlines()[0]}",
                "nothing was committed; see to space and rights of the storage and write again",
            ) from error

    def meets(self, dataset: Any) -> str | None:
        """Return a key that the dataset already holds, or None."""
        if not self.rows:
            return None
        keys = pa.chunked_array(self._keys)
        for batch in dataset.scanner(columns=[self._key], batch_size=_KEY_BATCH).to_batches():
            column = batch.column(0)
            there = pc.is_in(column, value_set=keys)
            if pc.any(there).as_py():
                return str(column.filter(there)[0].as_py())
        return None

    def _checked(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                ready = conform(batch, self._arrow)
                # copied: a slice would keep the whole batch, complex fields and all, in memory
                self._keys.append(pa.concat_arrays([ready.column(self._key)]))
                self.rows += ready.num_rows
                yield ready
            self._unique()
        except BaseException as error:
            self._error = error
            raise

    def _unique(self) -> None:
        if not self.rows:
            return
        column = pa.chunked_array(self._keys)
        if pc.count_distinct(column).as_py() == len(column):
            return
        counted = pa.table({"key": column}).group_by("key").aggregate([([], "count_all")])
        twice = counted.filter(pc.greater(counted["count_all"], 1))["key"][0].as_py()
        raise InputError(f"the key {self._key} = {twice!r} comes twice in the rows", "hand each key in once")


def conform(batch: pa.RecordBatch, arrow: pa.Schema) -> pa.RecordBatch:
    """Bring a batch into the order and types of a table's schema.

    Raises UnknownName for a column that the table lacks, InputError for one that is missing, of a type that
    does not convert without loss, or null where the schema says never.
    """
    for name in batch.schema.names:
        if name not in arrow.names:
            raise UnknownName.among("column", name, arrow.names)
    columns = []
    for item in arrow:
        if item.name not in batch.schema.names:
            raise InputError(f"the rows lack the column {item.name!r}", "hand in all columns of the table")
        column = batch.column(item.name)
        if column.type != item.type:
            try:
                column = column.cast(item.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise InputError(
                    f"column {item.name!r} is {column.type}, the table holds {item.type}", "convert it first"
                ) from error
        if not item.nullable and column.null_count:
            raise InputError(f"column {item.name!r} holds nulls", "fill it: the schema says it is never null")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=arrow)
