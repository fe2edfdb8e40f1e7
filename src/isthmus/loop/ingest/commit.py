"""Brings the part files of a day into the warehouse, as one replacement of what the source gave for that day."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from isthmus.core.errors import Corrupt
from isthmus.loop.fields import REJECTS
from isthmus.loop.ingest.journal import UnitDone
from isthmus.loop.record import Reject
from isthmus.warehouse.declared import to_arrow


def slice_of(source: str, day: datetime.date) -> str:
    """Return the predicate of the rows that a source gave for a day."""
    quoted = source.replace("'", "''")
    return f"source = '{quoted}' AND day = date '{day.isoformat()}'"


def parts(units: Sequence[UnitDone], staging: Path, rejects: list[Reject]) -> Iterator[pa.RecordBatch]:
    """Stream the staged scenes in the order of the units.

    A record that an earlier unit gave already is left out and added to `rejects`. Raises Corrupt where a
    part file is not what its worker wrote.
    """
    owner: dict[str, str] = {}
    for unit in units:
        if not unit.part:
            continue
        path = staging / unit.part
        try:
            with pa.memory_map(str(path)) as file:
                reader = pa.ipc.open_file(file)
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    found = pc.unique(batch.column("record_id")).to_pylist()
                    twice = [record for record in found if owner.setdefault(record, unit.key) != unit.key]
                    if twice:
                        said = {item.record_id for item in rejects}
                        rejects.extend(
                            Reject(record, "duplicate", unit.key, f"also in {owner[record]}")
                            for record in twice
                            if record not in said
                        )
                        batch = batch.filter(pc.invert(pc.is_in(batch.column("record_id"), pa.array(twice))))
                    if batch.num_rows:
                        yield batch
        except (pa.ArrowInvalid, OSError) as error:
            raise Corrupt(f"staged part {path.name} is broken: {error}", "run the same ingest again") from error


def reject_rows(source: str, day: datetime.date, rejects: Iterable[Reject]) -> pa.RecordBatch:
    """Make the rows of the rejects table."""
    rows = [
        {
            "reject_id": f"{source}.{day:%Y%m%d}.{number:06d}",
            "day": day,
            "source": source,
            "record_id": reject.record_id,
            "reason": reject.reason,
            "place": reject.where,
            "detail": reject.detail,
        }
        for number, reject in enumerate(rejects)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=to_arrow(REJECTS))
