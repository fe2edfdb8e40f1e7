from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from forecasting_scenes import drive, drives, packed
from isthmus.core.errors import Corrupt, RunFailed
from isthmus.loop.forecasting.samples import samples_of
from isthmus.loop.forecasting.shards import Shards, write_shards


def test_shards_hold_every_sample_with_its_scene_and_group(tmp_path: Path) -> None:
    scenes = drives(12, steps=56)
    shards = write_shards(packed(scenes), tmp_path / "s", stride=2, shard_samples=10)
    assert len(shards.counts) > 2
    assert len(shards) == sum(len(samples_of(scene, 2)) for scene in scenes)
    assert shards.scenes["scene_id"].to_pylist() == [scene.scene_id for scene in scenes]
    assert shards.group_counts == {scene.leak_group: 3 for scene in scenes}
    seen = np.concatenate([shards.take(number).seen for number in range(len(shards.counts))])
    np.testing.assert_array_equal(seen, np.concatenate([samples_of(scene, 2).seen for scene in scenes]))


def test_complete_shards_of_the_same_question_are_taken_as_they_are(tmp_path: Path) -> None:
    def never() -> Iterator[pa.RecordBatch]:
        raise AssertionError("read again")
        yield

    asked = {"version": 7}
    write_shards(packed(drives(3)), tmp_path / "s", stride=5, asked=asked)
    assert len(write_shards(never(), tmp_path / "s", stride=5, asked=asked)) == 12
    assert len(write_shards(packed(drives(6)), tmp_path / "s", stride=5, asked={"version": 8})) == 24


def test_a_writer_that_dies_leaves_nothing_that_looks_complete_and_the_next_one_finishes(tmp_path: Path) -> None:
    def dies() -> Iterator[pa.RecordBatch]:
        yield from packed(drives(6))
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_shards(dies(), tmp_path / "s", stride=2, shard_samples=8)
    with pytest.raises(Corrupt):
        Shards.open(tmp_path / "s")
    assert len(write_shards(packed(drives(2)), tmp_path / "s", stride=5)) == 8


def test_shards_that_were_cut_short_are_noticed(tmp_path: Path) -> None:
    shards = write_shards(packed(drives(3)), tmp_path / "s", stride=5)
    path = tmp_path / "s" / "00000.seen.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Corrupt, match="seen"):
        shards.take(0)


def test_scenes_too_short_for_one_sample_are_a_failed_run_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="long enough"):
        write_shards(packed([drive("short", steps=20)]), tmp_path / "s", stride=1)
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    def peak(scenes: int) -> int:
        stream = packed((drive(f"s{number}", seed=number) for number in range(scenes)), rows=4)
        tracemalloc.start()
        write_shards(stream, tmp_path / str(scenes), stride=4, shard_samples=20)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(8)  # what is imported and cached once
    grown = (peak(160) - peak(16)) / (160 - 16)
    written = sum(path.stat().st_size for path in (tmp_path / "160").iterdir()) / 160
    assert grown < 1024 < written / 16, "a scene may leave a line of bookkeeping in memory, never its samples"
