"""Writes filed images as rows of the warehouse table `<database>.acquire.images`, so that they can be queried.

It follows the ledger by the number of the done events. The number is a field of the row, and rows are put in by
batches in the order of the numbers: the greatest number in the table is the position, and it is in the same commit
as the rows. A batch is put in as the slice of its numbers (`Table.replace`), so that doing it again changes
nothing.

Images that were removed from the disk become deleted rows (`forget`); only the row with the greatest number stays
until a newer one is there, because it holds the position.

It runs in a process of its own: the interface server stays free of the warehouse's memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from isthmus.acquire.ledger_port import Ledger
from isthmus.acquire.ports import Line
from isthmus.acquire.states import State
from isthmus.core.progress import Progress, Report, silent
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.name import TableName
from isthmus.warehouse.schema import Field, FieldType, Schema
from isthmus.warehouse.table import Table

_S, _I, _F, _T = FieldType.STRING, FieldType.INT, FieldType.FLOAT, FieldType.TIMESTAMP

IMAGES = Schema(
    key="request",
    fields=(
        Field("request", _S, "names the row: the request's number in the ledger", nullable=False),
        Field("number", _I, "the number of the event that told of the image; it grows", nullable=False),
        Field("record_id", _S, "the client's id of the image's record", nullable=False),
        Field("batch", _S, "the batch that asked for it", nullable=False),
        Field("owner", _S, "the name of the key that asked for it", nullable=False),
        Field("environment", _S, "the network environment that it came from", nullable=False),
        Field("address", _S, "where it lay there", nullable=False),
        Field("tags", FieldType.STRINGS, "the request's tags", nullable=False),
        Field(
            "place", _S, "folder of the place where it was taken; unknown-place where nobody knows", nullable=False
        ),
        Field("place_name", _S, "the place, for people"),
        Field("country", _S, "the country's code (ISO 3166)"),
        Field("latitude", _F, "where it was taken", "°"),
        Field("longitude", _F, "where it was taken", "°"),
        Field("taken", _T, "when it was taken"),
        Field("taken_from", _S, "who knew when: exif, server or client"),
        Field("camera", _S, "maker and model of the camera"),
        Field("format", _S, "jpeg, png or webp", nullable=False),
        Field("width", _I, "of the upright picture", "pixels", nullable=False),
        Field("height", _I, "of the upright picture", "pixels", nullable=False),
        Field("size", _I, "of the stored file", "bytes", nullable=False),
        Field("phash", _S, "perceptual hash, 16 hexadecimal digits; null for a picture of one colour"),
        Field("digest", _S, "BLAKE3 of the stored bytes", nullable=False),
        Field("path", _S, "where it is filed, relative to the images' root", nullable=False),
        Field("filed_at", _T, "when its request was done", nullable=False),
    ),
)

TABLE = "images"
_MOST_FRAGMENTS = 64
"""Each run adds one; more are joined."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a run of the clerk did: rows put in, and the number of the last event that the table knows."""

    rows: int
    number: int


class Clerk:
    """Keeps the table behind one ledger. One at a time: the table has one writer."""

    def __init__(self, ledger: Ledger, catalog: Catalog, database: str = "main", schema: str = "acquire") -> None:
        """Make the table where it is not there. Raises InputError where another one is in its place."""
        self._ledger = ledger
        self.table: Table = catalog.create(TableName(database, schema, TABLE), IMAGES)

    def position(self) -> int:
        """Return the number of the last event that the table knows; 0 before the first."""
        self.table.refresh()
        last = 0
        for batch in self.table.scan(["number"]):
            last = max(last, max(batch.column("number").to_pylist(), default=0))
        return last

    def write(self, most: int = 10_000, report: Report = silent) -> Written:
        """Put in the rows of all images that the table does not know yet. Raises Busy; may be called again."""
        number, rows = self.position(), 0
        while found := self._ledger.images_after(number, most):
            last = found[-1][0]
            batch = _batch([(at, line) for at, line in found if line.filed is not None])
            if batch.num_rows:
                self.table.replace([batch], f"number > {number} AND number <= {last}")
            rows += batch.num_rows
            number = last
            report(Progress("write rows", rows, None, "rows"))
        if len(self.table.dataset.get_fragments()) > _MOST_FRAGMENTS:
            self.table.compact()
        return Written(rows, number)

    def forget(self, requests: Sequence[int] | None = None) -> int:
        """Delete the rows of images that were removed; return how many.

        Without `requests` every row's request is looked up in the ledger: for a nightly run.
        """
        last = self.position()
        if requests is None:
            known = [
                int(one) for batch in self.table.scan(["request"]) for one in batch.column("request").to_pylist()
            ]
            requests = [one for one in known if not _has_image(self._ledger.line(one))]
        deleted = 0
        for first in range(0, len(requests), 1000):
            listed = ", ".join(f"'{int(one)}'" for one in requests[first : first + 1000])
            deleted += self.table.delete(f"request IN ({listed}) AND number < {last}")
        return deleted


def _has_image(line: Line | None) -> bool:
    return line is not None and line.state == State.DONE and line.filed is not None


def _batch(found: Sequence[tuple[int, Line]]) -> pa.RecordBatch:
    rows = [_row(number, line) for number, line in found]
    schema = pa.schema([pa.field(item.name, item.arrow(), item.nullable) for item in IMAGES.fields])
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _row(number: int, line: Line) -> dict[str, str | int | float | datetime | list[str] | None]:
    filed = line.filed
    assert filed is not None
    return {
        "request": str(line.request),
        "number": number,
        "record_id": line.wish.record,
        "batch": line.batch,
        "owner": line.owner,
        "environment": line.wish.environment,
        "address": line.wish.address,
        "tags": list(line.wish.tags),
        "place": filed.place,
        "place_name": filed.place_name or None,
        "country": filed.country or None,
        "latitude": filed.latitude,
        "longitude": filed.longitude,
        "taken": filed.taken,
        "taken_from": filed.taken_from or None,
        "camera": filed.camera or None,
        "format": filed.format,
        "width": filed.width,
        "height": filed.height,
        "size": filed.size,
        "phash": filed.phash or None,
        "digest": filed.digest,
        "path": filed.path,
        "filed_at": line.changed,
    }
