"""Streams chosen rows out of a table, and writes them as Parquet parts with a manifest that is written last."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from isthmus.core.errors import Corrupt, InputError
from isthmus.warehouse import lookup
from isthmus.warehouse.digest import Digesting, read_bytes, written
from isthmus.warehouse.idlist import IdList
from isthmus.warehouse.lookup import Missing
from isthmus.warehouse.place import as_uri, file_system
from isthmus.warehouse.table import BATCH_ROWS, Table

MANIFEST = "manifest.json"
PART_BYTES = 256 << 20
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an export; `blake3` is its digest in hex."""

    name: str
    rows: int
    size: int
    blake3: str


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """What an export holds. It is complete when its manifest is there."""

    uri: str
    rows: int
    parts: tuple[Part, ...]


def export(
    table: Table,
    ids: IdList | None = None,
    columns: Sequence[str] | None = None,
    batch_rows: int = BATCH_ROWS,
    missing: Missing | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream all rows of a table, or exactly those of a list (see `lookup.take`), with bounded memory."""
    if ids is None:
        return table.scan(columns, batch_rows=batch_rows)
    return lookup.take(table, ids, columns, batch_rows=batch_rows, missing=missing)


def write_export(
    batches: Iterable[pa.RecordBatch], uri: str | Path, part_bytes: int = PART_BYTES, compression: str = "zstd"
) -> ExportManifest:
    """Write batches as `part-NNNNN.parquet` of about `part_bytes` each, then the manifest.

    Raises InputError where a finished export is there already; parts of an unfinished one are written over, or
    removed where this one has fewer.
    """
    place = as_uri(uri)
    files, path = file_system(place)
    if files.exists(f"{path}/{MANIFEST}"):
        raise InputError(f"{place} holds an export already", "choose another location or remove it")
    parts: list[Part] = []
    left = iter(batches)
    batch = next(left, None)
    while batch is not None:
        name = f"part-{len(parts):05d}.parquet"
        with written(f"{place}/{name}") as sink:
            rows, batch = _write_part(sink, batch, left, part_bytes, compression)
        parts.append(Part(name, rows, sink.size, sink.digest))
    ours = {part.name for part in parts}
    for rest in files.glob(f"{path}/part-*.parquet") if files.exists(path) else ():
        if str(rest).rsplit("/", 1)[-1] not in ours:
            files.rm_file(rest)  # a longer export that was cut short left it: its rows are none of these
    manifest = ExportManifest(place, sum(part.rows for part in parts), tuple(parts))
    said = {"format": FORMAT, "rows": manifest.rows, "parts": [asdict(part) for part in parts]}
    with written(f"{place}/{MANIFEST}") as sink:
        sink.write(json.dumps(said, indent=1).encode())
    return manifest


def read_manifest(uri: str | Path) -> ExportManifest:
    """Read what an export holds. Raises InputError where none is finished there, Corrupt on a broken one."""
    place = as_uri(uri)
    try:
        said = json.loads(read_bytes(f"{place}/{MANIFEST}"))
        parts = tuple(Part(**part) for part in said["parts"])
        return ExportManifest(place, said["rows"], parts)
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{place}/{MANIFEST} is no manifest: {error}", "export again") from error


def _write_part(
    sink: Digesting,
    batch: pa.RecordBatch,
    left: Iterator[pa.RecordBatch],
    part_bytes: int,
    compression: str,
) -> tuple[int, pa.RecordBatch | None]:
    """Write batches until the part is full; returns its rows and the first batch of the next part."""
    rows = filled = 0
    following: pa.RecordBatch | None = batch
    with pq.ParquetWriter(pa.PythonFile(sink, "w"), batch.schema, compression=compression) as writer:
        while following is not None and filled < part_bytes:
            writer.write_batch(following)
            rows += following.num_rows
            filled += following.nbytes
            following = next(left, None)
    return rows, following
