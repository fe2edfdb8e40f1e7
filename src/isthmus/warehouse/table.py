"""One table: a Lance dataset with stable row ids, written by one writer at a time."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import lance
import pyarrow as pa
import pyarrow.compute as pc

from isthmus.core.errors import InputError, UnknownName
from isthmus.warehouse import declared
from isthmus.warehouse.lock import exclusive
from isthmus.warehouse.schema import Schema

ROWS_PER_FRAGMENT = 262_144
BATCH_ROWS = 4096
ROW_ID = "_rowid"


class Table:
    """A table at one version. Reading goes on at that version until `refresh` or a write of this object."""

    def __init__(
        self,
        uri: str,
        storage_options: Mapping[str, str] | None = None,
        *,
        version: int | str | None = None,
        rows_per_fragment: int = ROWS_PER_FRAGMENT,
    ) -> None:
        """Open the dataset at `uri`. Catalog.open is the usual way in."""
        self.uri = uri
        self.rows_per_fragment = rows_per_fragment
        self._options = dict(storage_options or {})
        self._dataset = lance.dataset(uri, version=version, storage_options=self._options or None)

    @property
    def dataset(self) -> Any:
        """The Lance dataset itself, for what this class does not cover. Write only through the Table."""
        return self._dataset

    @cached_property
    def schema(self) -> Schema:
        """The declared schema, units and explanations included."""
        return declared.from_arrow(self._dataset.schema, self.uri)

    @cached_property
    def arrow(self) -> pa.Schema:
        """The Arrow schema of the table's batches."""
        arrow: pa.Schema = self._dataset.schema
        return arrow

    @property
    def version(self) -> int:
        """The version that is read."""
        return int(self._dataset.version)

    def refresh(self) -> int:
        """Go to the latest version and return it."""
        self._dataset.checkout_latest()
        return self.version

    def at(self, version: int | str) -> Table:
        """Return the table at another version or tag. Raises InputError where it is gone."""
        try:
            return Table(self.uri, self._options, version=version, rows_per_fragment=self.rows_per_fragment)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{self.uri} has no version {version!r}", "it was cleaned up or never was; read the latest"
            ) from error

    def count(self, where: str | None = None) -> int:
        """Count the rows, or those that a condition holds for. Raises InputError on a bad condition."""
        with _conditions(where):
            return int(self._dataset.count_rows(filter=where))

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: str | None = None,
        batch_rows: int = BATCH_ROWS,
        version: int | str | None = None,
        with_row_id: bool = False,
    ) -> Iterator[pa.RecordBatch]:
        """Stream the rows. Raises UnknownName for a column, InputError for a bad condition."""
        dataset = self._dataset if version is None else self.at(version).dataset
        self._known(columns)
        with _conditions(where):
            yield from dataset.scanner(
                columns=list(columns) if columns is not None else None,
                filter=where,
                batch_size=batch_rows,
                batch_readahead=4,
                with_row_id=with_row_id,
            ).to_batches()

    def append(self, batches: Iterable[pa.RecordBatch]) -> int:
        """Add rows as one version and return how many. Raises InputError, Busy."""
        with self.writing():
            return self._append(batches)

    def replace(self, batches: Iterable[pa.RecordBatch], where: str) -> int:
        """Make the rows of the slice `where` exactly those of the batches, in one transaction.

        Rows are matched by key: those of the batches are put in or updated, those of the slice that the batches
        lack are deleted. Returns the number of rows handed in. Raises InputError, Busy.
        """
        with self.writing():
            stream = _Stream(batches, self.arrow, self.schema.key)
            merge = (
                self._dataset.merge_insert(self.schema.key)
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(where)
            )
            with stream.own_errors():
                merge.execute(stream.reader())
            self.refresh()
            return stream.rows

    def delete(self, where: str) -> int:
        """Delete the rows that a condition holds for and return how many. Raises InputError, Busy."""
        with self.writing(), _conditions(where):
            deleted = int(self._dataset.delete(where)["num_deleted_rows"])
            self.refresh()
            return deleted

    def pin(self, tag: str) -> None:
        """Keep the present version from cleanup under a name; an existing name moves to it."""
        if tag in self._dataset.tags.list():
            self._dataset.tags.update(tag, self.version)
        else:
            self._dataset.tags.create(tag, self.version)

    def unpin(self, tag: str) -> None:
        """Let go of a pinned version. Raises UnknownName."""
        tags = self._dataset.tags.list()
        if tag not in tags:
            raise UnknownName.among("tag", tag, tags)
        self._dataset.tags.delete(tag)

    def compact(self) -> None:
        """Join small fragments and drop deleted rows; row ids stay."""
        with self.writing():
            self._dataset.optimize.compact_files(target_rows_per_fragment=self.rows_per_fragment, num_threads=1)
            self.refresh()

    def cleanup(self, older_than: datetime.timedelta) -> int:
        """Remove versions older than a time, pinned ones excepted; returns the bytes freed."""
        with self.writing():
            freed = self._dataset.cleanup_old_versions(older_than, error_if_tagged_old_versions=False)
            return int(freed.bytes_removed)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the one writer for the block, at the latest version. Raises Busy.

        The lock covers the processes of one machine; on an object store the writers are kept apart by the
        ledger of runs, and Lance's commit protocol refuses what would conflict.
        """
        parts = urlsplit(self.uri)
        if parts.scheme != "file":
            self.refresh()
            yield
            return
        place = Path(unquote(parts.path))
        with exclusive(place.with_name(f".{place.stem}.lock"), f"table {place.stem}"):
            self.refresh()
            yield

    def _append(self, batches: Iterable[pa.RecordBatch]) -> int:
        stream = _Stream(batches, self.arrow, self.schema.key)
        with stream.own_errors():
            lance.write_dataset(
                stream.reader(),
                self._dataset,
                mode="append",
                max_rows_per_file=self.rows_per_fragment,
                storage_options=self._options or None,
            )
        self.refresh()
        return stream.rows

    def _known(self, columns: Sequence[str] | None) -> None:
        for name in columns or ():
            if name not in self.schema.names and not name.startswith("_row"):
                raise UnknownName.among("column", name, self.schema.names)


class _Stream:
    """Hands batches to Lance in the table's schema, and remembers the error that ended them."""

    def __init__(self, batches: Iterable[pa.RecordBatch], arrow: pa.Schema, key: str) -> None:
        self.rows = 0
        self._batches = batches
        self._arrow = arrow
        self._key = key
        self._error: BaseException | None = None

    def reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._arrow, self._checked())

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise what the batches raised, not Lance's wrapping of it."""
        try:
            yield
        except Exception:
            if self._error is not None:
                raise self._error from None
            raise

    def _checked(self) -> Iterator[pa.RecordBatch]:
        keys = []
        try:
            for batch in self._batches:
                ready = _conform(batch, self._arrow)
                keys.append(ready.column(self._key))
                self.rows += ready.num_rows
                yield ready
            self._unique(keys)
        except BaseException as error:
            self._error = error
            raise

    def _unique(self, keys: list[pa.Array]) -> None:
        if not keys:
            return
        column = pa.chunked_array(keys)
        if pc.count_distinct(column).as_py() == len(column):
            return
        counted = pa.table({"key": column}).group_by("key").aggregate([([], "count_all")])
        twice = counted.filter(pc.greater(counted["count_all"], 1))["key"][0].as_py()
        raise InputError(f"the key {self._key} = {twice!r} comes twice in the rows", "hand each key in once")


def _conform(batch: pa.RecordBatch, arrow: pa.Schema) -> pa.RecordBatch:
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


@contextlib.contextmanager
def _conditions(where: str | None) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        if where is None:
            raise
        first = str(error).splitlines()[0]
        raise InputError(
            f"the condition {where!r} cannot be used: {first}", "write it in SQL over the columns"
        ) from error
