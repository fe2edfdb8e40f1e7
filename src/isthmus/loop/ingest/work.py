"""What a worker process does with one unit: read, validate, extract, and leave one durable part file."""

from __future__ import annotations

import datetime
import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from isthmus.loop.extract import ExtractSettings, batch_of, row_of, scenes_of
from isthmus.loop.fields import SCENES
from isthmus.loop.ingest.journal import UnitDone
from isthmus.loop.record import Reject, Unit
from isthmus.loop.sources.port import JobType
from isthmus.loop.sources.validate import validate
from isthmus.state.files import replacing
from isthmus.warehouse.declared import to_arrow

_ROWS = 256
"""Scenes that are held at once; a part file is a sequence of batches of this size."""


@dataclass(frozen=True, slots=True)
class Source:
    """A declared source: its name, the name of its job type, and the job that reads it."""

    name: str
    job_type: str
    job: JobType


def recipe(source: Source, extract: ExtractSettings) -> str:
    """Digest all besides the input that decides what a unit's part file holds.

    A killed ingest that goes on with other settings, or after an upgrade, must not mix two kinds of scenes.
    """
    told = (source.job_type, pickle.dumps(source.job), repr(extract), repr(SCENES))
    return hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class UnitTask:
    """Reads units of one source and day; sent to the workers, so everything in it can be pickled."""

    source: Source
    day: datetime.date
    extract: ExtractSettings
    staging: Path

    def __call__(self, unit: Unit) -> UnitDone:
        """Read one unit and write its part file. Raises OSError where the disk does not take it."""
        rejects: list[Reject] = []
        part = self.staging / f"{hashlib.blake2b(unit.key.encode(), digest_size=12).hexdigest()}.arrow"
        rows = 0
        with replacing(part) as file, pa.ipc.new_file(file, to_arrow(SCENES)) as writer:
            for batch in self._batches(unit, rejects):
                writer.write_batch(batch)
                rows += batch.num_rows
        if not rows:
            part.unlink()
        return UnitDone(unit.key, unit.fingerprint, part.name if rows else "", rows, tuple(rejects))

    def _batches(self, unit: Unit, rejects: list[Reject]) -> Iterator[pa.RecordBatch]:
        held: list[dict[str, Any]] = []
        for row in self._rows(unit, rejects):
            held.append(row)
            if len(held) == _ROWS:
                yield batch_of(held)
                held = []
        if held:
            yield batch_of(held)

    def _rows(self, unit: Unit, rejects: list[Reject]) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        for found in self.source.job.read(unit):
            if isinstance(found, Reject):
                rejects.append(found)
                continue
            if found.record_id in seen:
                rejects.append(
                    Reject(found.record_id, "duplicate", unit.key, "the record comes twice in one unit")
                )
                continue
            seen.add(found.record_id)
            record, faults = validate(found)
            rejects.extend(faults)
            if record is None:
                continue
            scenes = scenes_of(
                record,
                source=self.source.name,
                job_type=self.source.job_type,
                day=self.day,
                settings=self.extract,
            )
            for scene in scenes:
                if isinstance(scene, Reject):
                    rejects.append(scene)
                else:
                    yield row_of(scene, self.source.job_type)
