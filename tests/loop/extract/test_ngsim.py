"""Real traffic: everything is finite, plausible, and bounded by what vehicles do."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from isthmus.loop.extract import batch_of, row_of
from isthmus.loop.fields import SCENES
from isthmus.loop.record import Record, Track
from samples import SAMPLES, needs_samples
from scripted_driving import rejects, scenes

pytestmark = needs_samples

EVERY = 6  # recordings: enough of both roads to see what is odd, and quick


def recordings() -> list[Record]:
    folder = SAMPLES / "driving" / "ngsim"
    about = {item["scenario_id"]: item for item in pq.read_table(folder / "scenarios.parquet").to_pylist()}
    table = pq.read_table(folder / "agents.parquet").sort_by(
        [("scenario_id", "ascending"), ("agent_id", "ascending"), ("step", "ascending")]
    )
    names = table["scenario_id"].to_numpy(zero_copy_only=False)
    found = []
    for name in np.unique(names)[::EVERY]:
        begin, end = np.searchsorted(names, [name, name], "left")[0], np.searchsorted(names, name, "right")
        part = {
            column: table[column][begin:end].to_numpy() for column in table.column_names[1:] if column != "type"
        }
        borders = np.flatnonzero(np.diff(part["agent_id"], prepend=-1, append=-1))
        tracks = []
        for first, last in itertools.pairwise(borders):
            rows = slice(int(first), int(last))
            states = [part[column][rows].astype(np.float32) for column in ("x", "y", "heading", "v", "a")]
            size = float(part["length"][first]), float(part["width"][first])
            tracks.append(Track(str(part["agent_id"][first]), part["step"][rows].astype(np.int32), *states, *size))
        found.append(
            Record(str(name), 0.1, tuple(tracks), str(about[name]["leak_group"]), tuple(about[name]["tags"]))
        )
    return found


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [row_of(scene, "batch") for record in recordings() for scene in scenes(record)]


def column(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    return np.array([row[name] for row in rows if row[name] is not None], np.float64)


def test_every_recording_gives_scenes_or_says_why_not(rows: list[dict[str, Any]]) -> None:
    assert len(rows) > 250
    assert len({row["scene_id"] for row in rows}) == len(rows)
    named = {row["record_id"] for row in rows}
    for record in recordings():
        told = {reject.reason for reject in rejects(record)}
        assert told == (set() if record.record_id in named else {"too_short"})


def test_all_figures_are_finite_or_null_and_go_into_a_batch(rows: list[dict[str, Any]]) -> None:
    batch = batch_of(rows)
    assert batch.num_rows == len(rows)
    for field in SCENES.fields:
        values = batch.column(field.name)
        assert field.nullable or values.null_count == 0
        if str(values.type) == "double":
            assert np.isfinite(values.drop_null().to_numpy()).all(), field.name
    assert np.isfinite(np.array(batch.column("vector").to_pylist())).all()


def test_no_vehicle_does_what_none_can(rows: list[dict[str, Any]]) -> None:
    assert column(rows, "speed_max").max() < 35
    assert column(rows, "accel_min").min() > -9
    assert column(rows, "accel_max").max() < 9
    assert column(rows, "lat_accel_max").max() < 8
    assert column(rows, "gap_min_m").min() >= 0
    assert np.abs(column(rows, "turn_rad")).max() < 3.5
    assert (column(rows, "duration_s") <= 20).all()


def test_what_is_rare_in_traffic_is_rare_here_and_does_occur(rows: list[dict[str, Any]]) -> None:
    hours = column(rows, "duration_s").sum() / 3600
    changes, cut_ins = column(rows, "lane_changes").sum(), column(rows, "cut_ins").sum()
    assert 5 < changes / hours < 120
    assert 5 < cut_ins / hours < 120
    assert 0 < (column(rows, "accel_min") < -4).mean() < 0.05
    assert 0.5 < np.median(column(rows, "headway_min_s")) < 2.5
    assert len(column(rows, "lane_changes")) > 0.9 * len(rows)
