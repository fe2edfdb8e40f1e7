"""Reads columns of one Parquet or CSV file in bounded batches. Imported only where a table is read.

A CSV file's columns are read as texts and turned into numbers here, so that one broken number costs one track
and not the file.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.dataset as ds
from numpy.typing import NDArray

from isthmus.core.errors import suggestion

BROKEN = (pa.ArrowException, OSError, ValueError, MemoryError)
"""What pyarrow raises on a file that is truncated, flipped or something else altogether."""

BATCH_ROWS = 32_768

_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_TRUE = ("true", "t", "yes", "1")


class ColumnMissing(Exception):
    """A column is not there; the text names it and the nearest."""


@dataclass(slots=True)
class Table:
    """One file, opened. `skipped` fills with the CSV lines that could not be read while it is scanned."""

    dataset: Any
    skipped: list[tuple[int | None, str]] = field(default_factory=list)

    @classmethod
    def open(cls, path: str, filesystem: Any, file_format: str, delimiter: str = ",") -> Table:
        """Open a file. Raises one of BROKEN where it is none of its format."""
        hive = ds.partitioning(flavor="hive")
        if file_format == "parquet":
            return cls(ds.dataset([path], format="parquet", filesystem=filesystem, partitioning=hive))
        names = ds.dataset([path], format=_csv(delimiter, None, None), filesystem=filesystem).schema.names
        skipped: list[tuple[int | None, str]] = []

        def skip(row: Any) -> str:
            what = f"{row.actual_columns} columns instead of {row.expected_columns}"
            if (row.number, what) not in skipped:
                skipped.append((row.number, what))
            return "skip"

        texts = _csv(delimiter, dict.fromkeys(names, pa.string()), skip)
        return cls(ds.dataset([path], format=texts, filesystem=filesystem, partitioning=hive), skipped)

    def require(self, columns: Mapping[str, str]) -> None:
        """Raise ColumnMissing where one of the columns is not there."""
        names = self.dataset.schema.names
        for meaning, column in columns.items():
            if column not in names:
                raise ColumnMissing(f"there is no column {column!r} (for {meaning}); {suggestion(column, names)}")

    def type_of(self, column: str) -> Any:
        """Return the Arrow type of a column."""
        return self.dataset.schema.field(column).type

    def batches(self, columns: list[str], condition: Any = None) -> Iterator[Any]:
        """Yield the rows that meet the condition, of these columns, in batches of bounded size."""
        scanner = self.dataset.scanner(
            columns=columns,
            filter=condition,
            batch_size=BATCH_ROWS,
            batch_readahead=2,
            fragment_readahead=1,
            use_threads=False,  # workers are the parallelism, and only so a CSV line knows its number
        )
        for batch in scanner.to_batches():
            if batch.num_rows:
                yield batch

    def is_true(self, column: str) -> Any:
        """Return the condition that a flag column is true."""
        kind = self.type_of(column)
        if pa.types.is_boolean(kind):
            return pc.field(column)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return pc.utf8_lower(pc.field(column)).isin(list(_TRUE))
        return pc.field(column) == 1

    def is_day(self, column: str, day: datetime.date) -> Any:
        """Return the condition that a day column (date, time stamp, number 20261120 or text) is of this day."""
        kind, there = self.type_of(column), pc.field(column)
        if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
            return there.cast(pa.date32(), safe=False) == pa.scalar(day, pa.date32())
        if pa.types.is_integer(kind):
            return there == int(day.strftime("%Y%m%d"))
        compact = day.strftime("%Y%m%d")
        return pc.starts_with(there, day.isoformat()) | (there == compact)


def _csv(delimiter: str, types: Mapping[str, Any] | None, skip: Any) -> Any:
    return ds.CsvFileFormat(
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=skip or (lambda row: "skip")),
        convert_options=pa_csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )


def numbers(array: Any) -> NDArray[np.float64]:
    """Turn a column into float64; what is no number becomes NaN. Time stamps become seconds since 1970."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind):
        micros = array.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return np.asarray(micros.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64) * 1e-6
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = _from_text(array)
    cast = array.cast(pa.float64(), safe=False)
    return np.array(cast.to_numpy(zero_copy_only=False), np.float64)


def _from_text(array: Any) -> Any:
    plain = pc.match_substring_regex(array, _NUMBER)
    if not pc.any(plain).as_py():
        try:
            stamps = array.cast(pa.timestamp("us"))
        except pa.ArrowInvalid:
            return pa.nulls(len(array), pa.float64())
        return pc.multiply(stamps.cast(pa.int64()).cast(pa.float64()), 1e-6)
    good = pc.if_else(pc.fill_null(plain, False), array, pa.scalar(None, array.type))
    return pc.utf8_trim_whitespace(good).cast(pa.float64())


def texts(array: Any) -> NDArray[np.object_]:
    """Turn a column into texts; a whole number has no decimals, null becomes the empty text."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        with contextlib.suppress(pa.ArrowInvalid):  # real fractions stay as they are written
            array = array.cast(pa.int64())
    return np.array([str(value) for value in pc.fill_null(array.cast(pa.string()), "").to_pylist()], dtype=object)
