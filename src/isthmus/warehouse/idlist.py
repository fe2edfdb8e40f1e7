"""An ID list: which rows were asked for, why, and of which version, as Parquet with a JSON beside it.

The Parquet file holds the columns `id` (the key) and `_rowid`; the JSON, at the same place with the ending
`.json`, says where the list comes from and carries the BLAKE3 digest of the Parquet file. It is written last.
"""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from isthmus.core.errors import Corrupt, InputError
from isthmus.warehouse.digest import digest_of, read_bytes, written
from isthmus.warehouse.place import as_uri

FORMAT = 1
SCHEMA = pa.schema([pa.field("id", pa.string(), False), pa.field("_rowid", pa.uint64(), False)])


@dataclass(frozen=True, slots=True)
class IdList:
    """Keys and row ids of the rows of one table that something asked for.

    `table` is the URI and `identity` the identity of the table, `version` the version that the row ids were read
    at; `rule`, `parameters` and `where` say what was asked.
    """

    rows: pa.Table
    table: str
    identity: str
    version: int
    rule: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    created: datetime.datetime | None = None

    @classmethod
    def of(cls, rows: pa.Table | pa.RecordBatch, table: str, identity: str, version: int, **said: Any) -> IdList:
        """Make a list from a table of two columns, the key and the row id. Raises InputError for doubles."""
        if rows.num_columns != 2:
            raise InputError("an ID list is made of two columns", "hand in the key and _rowid")
        try:
            ids, row_ids = rows.column(0).cast(pa.string()), rows.column(1).cast(pa.uint64())
        except pa.ArrowInvalid as error:
            raise InputError(
                f"an ID list cannot be made of {rows.schema.types}", "use the key and _rowid"
            ) from error
        columns = pa.table([ids, row_ids], names=SCHEMA.names)
        if ids.null_count or row_ids.null_count:
            raise InputError("an ID list holds nulls", "leave them out of the query")
        if pc.count_distinct(ids).as_py() != columns.num_rows:
            raise InputError("an ID list holds a key twice", "add DISTINCT to the query")
        return cls(columns.cast(SCHEMA), table, identity, version, **said)

    @property
    def count(self) -> int:
        """The number of rows."""
        return int(self.rows.num_rows)

    @property
    def ids(self) -> pa.ChunkedArray:
        """The keys."""
        return self.rows.column("id")

    @property
    def row_ids(self) -> pa.ChunkedArray:
        """The row ids."""
        return self.rows.column("_rowid")

    def write(self, uri: str | Path) -> str:
        """Write the list, and the JSON last; returns the URI. `uri` ends in `.parquet`."""
        place = _parquet(uri)
        with written(place) as sink:
            pq.write_table(self.rows, pa.PythonFile(sink, "w"), compression="zstd")
        created = self.created or datetime.datetime.now(datetime.UTC)
        said = {
            "format": FORMAT,
            "rule": self.rule,
            "parameters": dict(self.parameters),
            "where": self.where,
            "table": self.table,
            "identity": self.identity,
            "version": self.version,
            "count": self.count,
            "created": created.isoformat(),
            "blake3": sink.digest,
        }
        with written(_beside(place)) as sink:
            sink.write(json.dumps(said, indent=1, ensure_ascii=False, default=str).encode())
        return place

    @classmethod
    def read(cls, uri: str | Path) -> IdList:
        """Read a list. Raises InputError where there is none, Corrupt where it is not what was written."""
        place = _parquet(uri)
        broken = "mine it again"
        try:
            said = json.loads(read_bytes(_beside(place)))
            if said["format"] != FORMAT:
                raise Corrupt(f"{place} has format {said['format']}", "read it with a newer release")
            content = read_bytes(place)
            if digest_of(content) != said["blake3"]:
                raise Corrupt(f"{place} is not what its digest says", broken)
            rows = pq.read_table(io.BytesIO(content)).cast(SCHEMA)
            if rows.num_rows != said["count"]:
                raise Corrupt(f"{place} holds {rows.num_rows} rows, not {said['count']}", broken)
            return cls(
                rows,
                said["table"],
                said["identity"],
                int(said["version"]),
                said["rule"],
                said["parameters"],
                said["where"],
                datetime.datetime.fromisoformat(said["created"]),
            )
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise Corrupt(f"{place} is no ID list: {error}", broken) from error


def stored_digest(uri: str | Path) -> str:
    """Return the BLAKE3 digest of a written list, as its JSON tells it. Raises InputError, Corrupt."""
    place = _parquet(uri)
    try:
        return str(json.loads(read_bytes(_beside(place)))["blake3"])
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{place} is no ID list: {error}", "mine it again") from error


def _parquet(uri: str | Path) -> str:
    place = as_uri(uri)
    if not place.endswith(".parquet"):
        raise InputError(f"{uri} is no place for an ID list", "let it end in .parquet")
    return place


def _beside(place: str) -> str:
    return place.removesuffix(".parquet") + ".json"
