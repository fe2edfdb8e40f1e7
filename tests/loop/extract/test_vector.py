from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

from isthmus.loop.extract import row_of
from isthmus.loop.fields import VECTOR_SIZE
from isthmus.loop.record import Record, Track
from samples import SAMPLES, needs_samples
from scripted_driving import clock, driver, platoon, record_of, row, scenes


def cut(record: Record, first: int, steps: int) -> Record:
    """Return the same recording, seen from step `first` for `steps` steps."""
    tracks = []
    for track in record.tracks:
        kept = (track.step >= first) & (track.step < first + steps)
        if kept.any():
            arrays = {name: getattr(track, name)[kept] for name in ("step", "x", "y", "heading", "v", "a")}
            tracks.append(dataclasses.replace(track, **arrays))
    return dataclasses.replace(record, tracks=tuple(tracks))


def vectors(record: Record) -> np.ndarray:
    return np.stack([row_of(scene, "batch")["vector"] for scene in scenes(record)])


def test_a_vector_is_finite_and_bounded_whatever_is_driven() -> None:
    times = clock(5)
    wild = row(driver("ego", 90 * times - 9 * times**2), driver("b", 0.1 + 90 * times - 9 * times**2))["vector"]
    assert wild.shape == (VECTOR_SIZE,)
    assert wild.dtype == np.float32
    assert np.isfinite(wild).all()
    assert np.abs(wild).max() <= 2


def test_equal_driving_elsewhere_has_an_equal_vector_and_other_driving_another() -> None:
    times = clock(8)
    follow = row(driver("ego", 15 * times), driver("a", 25 + 15 * times))["vector"]
    again = row(driver("ego", 700 + 15 * times, 40.0), driver("z", 725 + 15 * times, 40.0))["vector"]
    slower = row(driver("ego", 14 * times), driver("a", 25 + 14 * times))["vector"]
    braking = row(driver("ego", 15 * times - times**2 * 0.8), driver("a", 25 + 5 * times))["vector"]
    assert np.linalg.norm(follow - again) < 1e-3
    assert np.linalg.norm(follow - slower) < 0.2 * np.linalg.norm(follow - braking)


def test_left_and_right_are_told_apart() -> None:
    times = clock(6)
    left = row(driver("ego", 15 * times), *platoon(times, lanes=(1,)))["vector"]
    right = row(driver("ego", 15 * times), *platoon(times, lanes=(-1,)))["vector"]
    assert np.linalg.norm(left - right) > 0.3


@needs_samples
@pytest.mark.parametrize("shift", [2, 5])
def test_a_recording_shifted_by_up_to_half_a_second_lies_nearer_than_other_scenes(shift: int) -> None:
    folder = SAMPLES / "driving" / "ngsim"
    rows = pq.read_table(folder / "agents.parquet", filters=[("scenario_id", "=", "USA_US101-19_1_T-1")])
    table = {name: rows[name].to_numpy() for name in rows.column_names}
    tracks = []
    for agent in np.unique(table["agent_id"]):
        own = np.flatnonzero(table["agent_id"] == agent)
        own = own[np.argsort(table["step"][own])]
        states = [table[name][own].astype(np.float32) for name in ("x", "y", "heading", "v", "a")]
        tracks.append(Track(str(agent), table["step"][own].astype(np.int32), *states))
    steps = int(table["step"].max()) - 9
    full = tuple(track.agent_id for track in tracks if len(track.step) == table["step"].max() + 1)
    assert len(full) > 10
    record = record_of(*tracks, egos=full)
    before, after = vectors(cut(record, 0, steps)), vectors(cut(record, shift, steps))
    apart = np.linalg.norm(before[:, None] - after[None], axis=2)
    own = np.diag(apart)
    others = apart[~np.eye(len(full), dtype=bool)]
    assert (apart.argmin(axis=1) == np.arange(len(full))).mean() >= 0.95
    assert np.median(own) < 0.25 * np.median(others)
