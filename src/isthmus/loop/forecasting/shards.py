"""Sample shards: packed scenes stream from the warehouse into memory-mapped arrays on disk, a shard at a time.

A folder of shards is complete or not there: it is built beside its place and renamed as a whole.

    index.json                what was asked for, and the number of samples in each shard
    scenes.arrow              one row for each scene: scene_id, leak_group, source (Arrow IPC, memory-mapped)
    00000.seen.npy …          the arrays of `samples.Samples`, and `scene`, the row in scenes.arrow
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from isthmus.core.errors import Corrupt, RunFailed
from isthmus.core.progress import Progress, Report, silent
from isthmus.loop.forecasting.samples import ARRAYS, Samples, joined, samples_of
from isthmus.loop.scene import Scene

FORMAT = 1
SHARD_SAMPLES = 4096
"""About 16 MB a shard."""

SIMPLE = ("scene_id", "source", "day", "record_id", "leak_group", "tags")
COLUMNS = (*SIMPLE, "complex")
"""The columns that a batch of packed scenes must have."""

_SCENES = pa.schema([("scene_id", pa.string()), ("leak_group", pa.string()), ("source", pa.string())])


def scenes_in(batch: pa.RecordBatch) -> Iterator[Scene]:
    """Unpack the scenes of one batch, one at a time. Raises Corrupt where a complex field is not sound."""
    simple = batch.select(list(SIMPLE)).to_pylist()
    packed = batch.column("complex")
    for row, fields in enumerate(simple):
        yield Scene.unpack(fields, memoryview(packed[row].as_buffer()))


def write_shards(
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    *,
    stride: int,
    asked: Mapping[str, Any] | None = None,
    shard_samples: int = SHARD_SAMPLES,
    report: Report = silent,
) -> Shards:
    """Cut the samples of all scenes into shards at `folder`; memory holds one batch and one shard.

    `asked` says what the shards are made from (table version, ids, …). Where complete shards of the same
    `asked` and `stride` stand already they are taken as they are and `batches` is not read; any other content
    of `folder` is replaced. Raises RunFailed where no scene is long enough for one sample.
    """
    asked = {"format": FORMAT, "stride": stride, **(asked or {})}
    with contextlib.suppress(Corrupt):
        found = Shards.open(folder)
        if found.asked == json.loads(json.dumps(asked)):
            return found
    building = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    counts = _build(batches, building, stride, shard_samples, report)
    if not counts:
        shutil.rmtree(building)
        raise RunFailed(
            "no scene is long enough for one training sample", "take more scenes, or longer ones (5.1 s and more)"
        )
    (building / "index.json").write_text(json.dumps({"asked": asked, "counts": counts}))
    for path in building.iterdir():
        _sync(path)
    _sync(building)
    shutil.rmtree(folder, ignore_errors=True)
    building.rename(folder)
    _sync(folder.parent)
    return Shards.open(folder)


@dataclass(frozen=True)
class Shards:
    """A complete folder of shards, read through memory maps."""

    folder: Path
    asked: dict[str, Any]
    counts: tuple[int, ...]

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Open complete shards. Raises Corrupt where they are not complete."""
        try:
            index = json.loads((folder / "index.json").read_text())
            return cls(folder, index["asked"], tuple(index["counts"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Corrupt(f"{folder} holds no complete sample shards", "cut them again") from error

    def __len__(self) -> int:
        return sum(self.counts)

    @cached_property
    def scenes(self) -> pa.Table:
        """The scenes as a memory-mapped table: scene_id, leak_group, source."""
        with pa.memory_map(str(self.folder / "scenes.arrow")) as source:
            return pa.ipc.open_file(source).read_all()

    @cached_property
    def group_names(self) -> tuple[str, ...]:
        """The leak groups, in the order of their codes."""
        return tuple(self._groups.dictionary.to_pylist())

    @cached_property
    def group_counts(self) -> dict[str, int]:
        """The number of samples of each leak group."""
        total = np.zeros(len(self.group_names), np.int64)
        for shard in range(len(self.counts)):
            total += np.bincount(self.groups(shard), minlength=len(total))
        return dict(zip(self.group_names, total.tolist(), strict=True))

    def groups(self, shard: int) -> NDArray[np.int32]:
        """Return the code of the leak group of each sample of a shard."""
        codes: NDArray[np.int32] = self._groups.indices.to_numpy()[self.array(shard, "scene")]
        return codes

    def array(self, shard: int, name: str) -> NDArray[Any]:
        """Map one array of a shard into memory. Raises Corrupt where it is cut short or missing."""
        try:
            found: NDArray[Any] = np.load(
                self.folder / f"{shard:05d}.{name}.npy", mmap_mode="r", allow_pickle=False
            )
        except (OSError, ValueError) as error:
            raise Corrupt(
                f"{self.folder}: shard {shard} has no sound array {name}", "cut the shards again"
            ) from error
        if len(found) != self.counts[shard]:
            raise Corrupt(f"{self.folder}: shard {shard} is not complete", "cut the shards again")
        return found

    def take(self, shard: int, rows: NDArray[np.intp] | slice = slice(None)) -> Samples:
        """Read some samples of a shard into memory."""
        return Samples(**{name: np.ascontiguousarray(self.array(shard, name)[rows]) for name in ARRAYS})

    @cached_property
    def _groups(self) -> Any:
        return self.scenes.column("leak_group").combine_chunks().dictionary_encode()


def _build(
    batches: Iterable[pa.RecordBatch], folder: Path, stride: int, shard_samples: int, report: Report
) -> list[int]:
    counts: list[int] = []
    waiting: list[Samples] = []
    rows: list[NDArray[np.int32]] = []
    held = done = 0
    with pa.OSFile(str(folder / "scenes.arrow"), "wb") as sink, pa.ipc.new_file(sink, _SCENES) as names:
        for batch in batches:
            names.write_batch(batch.select(_SCENES.names).cast(_SCENES))
            for scene in scenes_in(batch):
                cut = samples_of(scene, stride)
                waiting.append(cut)
                rows.append(np.full(len(cut), done, np.int32))
                held += len(cut)
                done += 1
                if held >= shard_samples:
                    _write(folder, len(counts), joined(waiting), np.concatenate(rows))
                    counts.append(held)
                    waiting, rows, held = [], [], 0
            report(Progress("samples", done, unit="scenes", note=f"{sum(counts) + held} samples"))
    if held:
        _write(folder, len(counts), joined(waiting), np.concatenate(rows))
        counts.append(held)
    return counts


def _write(folder: Path, shard: int, samples: Samples, scene: NDArray[np.int32]) -> None:
    for name in ARRAYS:
        np.save(folder / f"{shard:05d}.{name}.npy", getattr(samples, name))
    np.save(folder / f"{shard:05d}.scene.npy", scene)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
