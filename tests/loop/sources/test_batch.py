from __future__ import annotations

import datetime
import math
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isthmus.core.errors import ConfigError, SourceError
from isthmus.loop.sources.batch import BatchJob
from isthmus.loop.sources.batch_settings import BatchSettings
from samples import SAMPLES, needs_samples
from source_making import DAY, ingest, read_settings

NGSIM = """
folder = "{folder}"
files = "agents.parquet"
day_from = "any"
require_success = false
tags = ["ngsim"]
[columns]
record = "scenario_id"
agent = "agent_id"
step = "step"
x = "x"
y = "y"
heading = "heading"
v = "v"
a = "a"
length = "length"
width = "width"
kind = "type"
[records]
file = "scenarios.parquet"
record = "scenario_id"
tags = "tags"
leak_group = "leak_group"
{more}
"""
PLAIN = """
folder = "{folder}"
{head}
[columns]
record = "rec"
agent = "who"
step = "k"
x = "x"
y = "y"
{more}
"""
ORIGINAL = """
folder = "{folder}"
format = "csv"
day_from = "any"
require_success = false
record_s = 8.0
[columns]
agent = "Vehicle_ID"
time = "Global_Time"
x = "Local_X"
y = "Local_Y"
v = "v_Vel"
a = "v_Acc"
length = "v_Length"
width = "v_Width"
lane = "Lane_ID"
[units]
time = "ms"
position = "ft"
size = "ft"
speed = "ft/s"
accel = "ft/s2"
"""


def job(toml: str) -> BatchJob:
    return BatchJob("tables", read_settings(BatchSettings, toml))


def plain(folder: Path | str, head: str = 'day_from = "any"', more: str = "") -> BatchJob:
    return job(PLAIN.format(folder=folder, head=head, more=more))


def rows(
    records: Iterable[Any] = ("one", "two"), agents: Iterable[Any] = (1, 2), count: int = 30, v: float = 10.0
) -> dict[str, list[Any]]:
    found = [(r, a, k) for r in records for a in agents for k in range(count)]
    return {
        "rec": [r for r, _, _ in found],
        "who": [a for _, a, _ in found],
        "k": [k for _, _, k in found],
        "x": [k * 0.1 * v for _, _, k in found],
        "y": [float(a) for _, a, _ in found],
    }


def write(path: Path, columns: dict[str, Any], success: bool = True, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        lines = [",".join(columns)] + [
            ",".join(str(v) for v in row) for row in zip(*columns.values(), strict=True)
        ]
        path.write_text("\n".join(lines) + "\n")
    else:
        pq.write_table(pa.table(columns), path, **options)
    if success:
        (path.parent / "_SUCCESS").touch()
    return path


@needs_samples
def test_the_real_ngsim_recordings_go_in_unchanged() -> None:
    folder = SAMPLES / "driving" / "ngsim"
    records, rejects = ingest(job(NGSIM.format(folder=folder, more="")))
    assert len(records) == 70
    assert {reject.reason for reject in rejects} == {"too_short"} and len(rejects) == 8
    table = pq.read_table(folder / "agents.parquet")
    told = {name: table[name].to_numpy() for name in ("agent_id", "step", "x", "y", "v", "a", "heading")}
    of = np.array(table["scenario_id"].to_pylist())
    assert len({record.record_id for record in records} & set(of)) == 70
    for record in records[::9]:
        mine = of == record.record_id
        first = told["step"][mine].min()
        for track in record.tracks:
            here = mine & (told["agent_id"] == int(track.agent_id))
            assert np.array_equal(track.step, told["step"][here] - first)
            assert np.array_equal(track.a, told["a"][here], equal_nan=True)
            for name in ("x", "y", "v", "heading"):
                assert np.array_equal(getattr(track, name), told[name][here])
    second = pq.read_table(folder / "scenarios.parquet").to_pydict()
    told_groups = dict(zip(second["scenario_id"], second["leak_group"], strict=True))
    assert all(record.leak_group == told_groups[record.record_id] for record in records)
    assert len({record.leak_group for record in records}) < len(records)
    assert "urban" in next(r for r in records if r.record_id == "USA_Lanker-1_13_T-1").tags


def test_a_flag_in_the_second_table_leaves_recordings_out(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows(["one", "two", "three"]))
    second = {"rec": ["one", "two"], "unique": [True, False], "group": pa.array([None, "g"])}
    pq.write_table(pa.table(second), tmp_path / "second.parquet")
    more = '[records]\nfile = "second.parquet"\nrecord = "rec"\nonly = "unique"\nleak_group = "group"'
    ((record,), rejects) = ingest(plain(tmp_path, more=more))
    assert not rejects and (record.record_id, record.leak_group) == ("one", "one")


@needs_samples
@pytest.mark.parametrize("part", [0.001, 0.5, 0.999])
def test_a_truncated_parquet_file_is_set_aside_and_the_rest_goes_in(tmp_path: Path, part: float) -> None:
    raw = (SAMPLES / "driving" / "ngsim" / "agents.parquet").read_bytes()
    write(tmp_path / "good.parquet", rows())
    (tmp_path / "cut.parquet").write_bytes(raw[: int(len(raw) * part)])
    records, (reject,) = ingest(plain(tmp_path))
    assert len(records) == 2
    assert (reject.record_id, reject.reason) == ("cut_parquet", "unreadable")
    assert reject.where.endswith("cut.parquet")


@pytest.mark.parametrize("at", range(100, 2000, 150))
def test_flipped_bytes_never_raise(tmp_path: Path, at: int) -> None:
    path = write(tmp_path / "t.parquet", rows())
    raw = bytearray(path.read_bytes())
    for place in range(at, min(at + 20, len(raw))):
        raw[place] ^= 0x5A
    path.write_bytes(raw)
    try:
        records, rejects = ingest(plain(tmp_path))
    except SourceError:  # the flip renamed a column of the only file: nothing is ingested
        return
    assert all(np.isfinite(track.x).all() for record in records for track in record.tracks)
    assert records or rejects


def test_the_original_ngsim_layout_is_read_in_feet_and_milliseconds(tmp_path: Path) -> None:
    header = (
        "Vehicle_ID,Frame_ID,Total_Frames,Global_Time,Local_X,Local_Y,v_Length,v_Width,v_Class,v_Vel,v_Acc,Lane_ID"
    )
    lines = [header]
    for frame in range(201):  # 20 s at 60 ft/s, moving over from lane 2 to lane 3
        x = 20.0 + (12.0 if frame > 100 else 0.0) * min(1.0, (frame - 100) / 30)
        lane = 2 if frame < 115 else 3
        lines.append(f"7,{frame + 5},201,{1118846980200 + 100 * frame},{x},{6.0 * frame},14.5,4.9,2,60,0,{lane}")
        if frame < 30:
            lines.append(f"8,{frame + 5},30,{1118846980200 + 100 * frame},8,{3.0 * frame},14.5,4.9,2,30,0,1")
    (tmp_path / "trajectories-0750am.csv").write_text("\n".join(lines) + "\n")
    records, rejects = ingest(job(ORIGINAL.format(folder=tmp_path)))
    assert not rejects
    assert len(records) == 3 and len({record.leak_group for record in records}) == 1
    first, second = records[0], records[1]
    assert [track.agent_id for track in first.tracks] == ["7", "8"]
    seven = first.tracks[0]
    assert seven.v[0] == pytest.approx(18.288) and seven.length == pytest.approx(4.4196)
    assert seven.heading[0] == pytest.approx(math.pi / 2)
    assert seven.y[10] - seven.y[0] == pytest.approx(18.288)
    assert second.tracks[0].lane is not None and set(second.tracks[0].lane.tolist()) == {2, 3}
    assert second.tracks[0].heading.min() == pytest.approx(math.pi / 2 - math.atan2(4, 60), abs=0.01)
    assert first.start is not None and first.start.isoformat().startswith("2005-06-15T14:49:40.2")


def test_a_folder_without_success_is_not_finished(tmp_path: Path) -> None:
    write(tmp_path / "part-0.parquet", rows(), success=False)
    with pytest.raises(SourceError, match="is not finished: it has no _SUCCESS"):
        plain(tmp_path).discover(DAY)
    assert plain(tmp_path, 'day_from = "any"\nrequire_success = false').discover(DAY)
    (tmp_path / "_SUCCESS").touch()
    assert plain(tmp_path).discover(DAY)


def test_partitions_of_other_days_are_left_alone_and_half_written_files_too(tmp_path: Path) -> None:
    write(tmp_path / "day=2026-11-20" / "part-0.parquet", rows(["today"]), success=False)
    write(tmp_path / "day=2026-11-19" / "part-0.parquet", rows(["before"]), success=False)
    (tmp_path / "day=2026-11-20" / "_temporary").mkdir()
    (tmp_path / "day=2026-11-20" / "_temporary" / "part-1.parquet").write_bytes(b"half")
    (tmp_path / "day=2026-11-20" / ".part-0.parquet.crc").write_bytes(b"crc")
    (tmp_path / "_SUCCESS").touch()
    records, rejects = ingest(plain(tmp_path, ""))
    assert [record.record_id for record in records] == ["today"] and not rejects
    assert plain(tmp_path, "").discover(datetime.date(2026, 11, 21)) == []
    with pytest.raises(SourceError, match="no file lies in a folder date="):
        plain(tmp_path, 'partition = "date"').discover(DAY)


def test_a_partition_folder_can_name_the_recording(tmp_path: Path) -> None:
    columns = rows(["x"])
    del columns["rec"]
    for name in ("a", "b"):
        write(tmp_path / "day=2026-11-20" / f"rec={name}" / "part-0.parquet", columns, success=False)
    (tmp_path / "_SUCCESS").touch()
    records, _ = ingest(plain(tmp_path, ""))
    assert [record.record_id for record in records] == ["a", "b"]


@pytest.mark.parametrize(("pattern", "folder"), [("{day}", "2026-11-20"), ("d/{yyyymmdd}", "d/20261120")])
def test_a_folder_for_each_day_is_that_day(tmp_path: Path, pattern: str, folder: str) -> None:
    write(tmp_path / folder / "t.parquet", rows())
    assert len(ingest(plain(tmp_path / pattern, ""))[0]) == 2
    assert plain(tmp_path / pattern, "").discover(datetime.date(2026, 11, 21)) == []
    with pytest.raises(SourceError, match="there is no folder"):
        plain(tmp_path / "nowhere" / pattern, "").discover(DAY)


@pytest.mark.parametrize(
    "days",
    [
        pa.array([datetime.date(2026, 11, 20)] * 60 + [datetime.date(2026, 11, 21)] * 60),
        pa.array([datetime.datetime(2026, 11, 20, 23)] * 60 + [datetime.datetime(2026, 11, 21, 1)] * 60),
        pa.array([20261120] * 60 + [20261121] * 60),
        pa.array(["2026-11-20"] * 60 + ["2026-11-21T00:00:00"] * 60),
    ],
)
def test_a_day_column_chooses_the_rows_of_the_day(tmp_path: Path, days: pa.Array) -> None:
    write(tmp_path / "t.parquet", {**rows(), "recorded": days})
    records, _ = ingest(plain(tmp_path, "", 'day = "recorded"'))
    assert [record.record_id for record in records] == ["one"]
    assert ingest(plain(tmp_path, "", 'day = "recorded"'), datetime.date(2026, 11, 22)) == ([], [])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("flag", [[True, False], [1, 0], ["true", "false"]])
def test_rows_without_the_flag_are_left_out(tmp_path: Path, suffix: str, flag: list[Any]) -> None:
    columns = {**rows(), "good": [flag[0]] * 60 + [flag[1]] * 60}
    write(tmp_path / f"t.{suffix}", columns)
    head = f'day_from = "any"\nformat = "{suffix}"'
    records, _ = ingest(plain(tmp_path, head, 'only = "good"'))
    assert [record.record_id for record in records] == ["one"]


def test_a_nan_state_costs_its_track_and_nothing_else(tmp_path: Path) -> None:
    columns = rows()
    columns["x"][35] = math.nan  # agent 2 of recording one
    write(tmp_path / "t.parquet", columns)
    records, (reject,) = ingest(plain(tmp_path))
    assert [[track.agent_id for track in record.tracks] for record in records] == [["1"], ["1", "2"]]
    assert (reject.record_id, reject.reason) == ("one", "not_finite")
    assert reject.where.endswith("record one, agent 2") and reject.detail.startswith("x is nan at 0.500 s")


def test_a_broken_csv_line_and_a_broken_number_cost_themselves_only(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows())
    lines = path.read_text().splitlines()
    lines[5] = "one,1,4"
    lines[40] = (
        lines[40].replace(",3.", ",3x.").replace(",0.9", ",zero").replace(",9.0", ",nine").replace(",8.0", ",?")
    )
    path.write_text("\n".join(lines) + "\n")
    records, rejects = ingest(plain(tmp_path, 'day_from = "any"\nformat = "csv"'))
    assert len(records) == 2
    found = {reject.reason: reject for reject in rejects}
    assert set(found) == {"unreadable", "not_finite"}
    assert found["unreadable"].detail == "1 broken lines are left out; line 6 has 3 columns instead of 5"
    assert found["not_finite"].where.endswith("agent 2")
    (missing,) = (track for track in records[0].tracks if track.agent_id == "1")
    assert len(missing.step) == 30  # one lost row is bridged


def test_kilometres_an_hour_told_as_metres_a_second_are_noticed(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", {**rows(v=10.0), "v": [36.0] * 120})
    records, rejects = ingest(plain(tmp_path, more='v = "v"'))
    assert not records and {reject.reason for reject in rejects} == {"wrong_unit"}
    records, rejects = ingest(plain(tmp_path, more='v = "v"\n[units]\nspeed = "km/h"'))
    assert len(records) == 2 and not rejects
    assert np.allclose(records[0].tracks[0].v, 10.0)


def test_rows_that_were_delivered_twice_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", rows())
    write(tmp_path / "b.parquet", rows(["two", "three"]))
    records, rejects = ingest(plain(tmp_path))
    assert sorted(record.record_id for record in records) == ["one", "three"]
    assert {(reject.record_id, reject.reason) for reject in rejects} == {("two", "duplicate")}


def test_the_order_of_rows_does_not_matter_nor_how_they_lie_in_files(tmp_path: Path) -> None:
    columns = rows()
    order = np.random.default_rng(1).permutation(120)
    mixed = {name: [values[i] for i in order] for name, values in columns.items()}
    write(tmp_path / "sorted" / "t.parquet", columns)
    for number, part in enumerate((slice(0, 50), slice(50, 120))):
        write(tmp_path / "mixed" / f"part-{number}.parquet", {n: v[part] for n, v in mixed.items()})
    one = {r.record_id: r for r in ingest(plain(tmp_path / "sorted"))[0]}
    other = {r.record_id: r for r in ingest(plain(tmp_path / "mixed"))[0]}
    assert one.keys() == other.keys() == {"one", "two"}
    for name in one:
        tracks = {track.agent_id: track for track in other[name].tracks}
        assert all(np.array_equal(track.x, tracks[track.agent_id].x) for track in one[name].tracks)


def test_units_of_work_are_some_recordings_and_the_same_each_time(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows([f"r{i}" for i in range(10)]))
    reading = plain(tmp_path, 'day_from = "any"\nrows_per_unit = 120')
    units = reading.discover(DAY)
    assert [unit.args["records"] for unit in units] == [[f"r{i}", f"r{i + 1}"] for i in range(0, 10, 2)]
    assert units == reading.discover(DAY)
    write(tmp_path / "t.parquet", rows([f"r{i}" for i in range(10)], count=31))
    assert not {unit.fingerprint for unit in units} & {unit.fingerprint for unit in reading.discover(DAY)}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_table_without_recordings_is_cut_by_time_over_several_units(tmp_path: Path, suffix: str) -> None:
    columns = rows(["r"], count=400)
    head = f'day_from = "any"\nrows_per_unit = 100\nrecord_s = 10.0\nformat = "{suffix}"'
    toml = PLAIN.format(folder=tmp_path, head=head, more="").replace('record = "rec"\n', "")
    write(tmp_path / f"t.{suffix}", columns)
    reading = job(toml)
    assert len(reading.discover(DAY)) == 4
    records, rejects = ingest(reading)
    assert not rejects and len({record.record_id for record in records}) == len(records) == 4
    assert {record.leak_group for record in records} == {f"tables-t_{suffix}"}
    assert sum(len(record.tracks[0].step) for record in records) == 400


def test_25_hz_rows_come_to_the_grid(tmp_path: Path) -> None:
    columns = rows(["r"], [1], count=101, v=4.0)  # x is 0.4 m a row, a row is 0.04 s: 10 m/s
    write(tmp_path / "t.parquet", columns)
    ((record,), _) = ingest(plain(tmp_path, more="[units]\nstep_s = 0.04"))
    (track,) = record.tracks
    assert (
        len(track.step) == 41 and np.allclose(track.v, 10.0, atol=1e-3) and np.allclose(track.x, track.step * 1.0)
    )


def test_time_can_be_a_time_stamp_and_lanes_can_have_names(tmp_path: Path) -> None:
    columns = rows(["r"], [1])
    start = datetime.datetime(2026, 11, 20, 8)
    stamps = [start + datetime.timedelta(milliseconds=100 * k) for k in columns["k"]]
    toml = PLAIN.format(folder=tmp_path, head='day_from = "any"\nformat = "FORMAT"', more='lane = "lane"')
    toml = toml.replace('step = "k"', 'time = "t"')
    more = {"lane": ["left"] * 15 + ["right"] * 15}
    write(tmp_path / "t.parquet", {**columns, **more, "t": pa.array(stamps, pa.timestamp("ms"))})
    write(tmp_path / "t.csv", {**columns, **more, "t": [stamp.isoformat(" ") for stamp in stamps]})
    for kind in ("parquet", "csv"):
        ((record,), rejects) = ingest(job(toml.replace("FORMAT", kind)))
        assert not rejects
        (track,) = record.tracks
        assert len(track.step) == 30 and record.start is not None and record.start.hour == 8
        assert track.lane is not None and track.lane.tolist() == [0] * 15 + [1] * 15


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows())
    with pytest.raises(SourceError, match=r"there is no column 'kk' \(for step\); did you mean 'k'\?"):
        job(PLAIN.format(folder=tmp_path, head='day_from = "any"', more="").replace('"k"', '"kk"')).discover(DAY)


def test_one_file_with_other_columns_is_set_aside(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", rows())
    write(tmp_path / "b.parquet", {"other": [1]})
    records, (reject,) = ingest(plain(tmp_path))
    assert len(records) == 2 and reject.reason == "missing_field"


def test_a_second_table_that_is_missing_is_a_source_error(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows())
    with pytest.raises(SourceError, match=r"groups\.csv cannot be read"):
        plain(tmp_path, more='[records]\nfile = "groups.csv"\nrecord = "rec"').discover(DAY)


def test_a_second_table_in_csv_gives_tags_and_groups(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows())
    (tmp_path / "groups.csv").write_text('rec,tags,group\none,"rain, night",g1\ntwo,,\n')
    more = '[records]\nfile = "groups.csv"\nrecord = "rec"\ntags = "tags"\nleak_group = "group"'
    one, two = ingest(plain(tmp_path, more=more))[0]
    assert (one.tags, one.leak_group, two.tags, two.leak_group) == (("rain", "night"), "g1", (), "two")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_rows_without_a_time_are_told_once_and_not_lost(tmp_path: Path, suffix: str) -> None:
    columns = rows(["r"], count=400)
    columns["k"] = [float(k) for k in columns["k"]]
    columns["k"][405] = math.nan  # a row of agent 2
    write(tmp_path / f"t.{suffix}", columns)
    head = f'day_from = "any"\nrows_per_unit = 100\nrecord_s = 10.0\nformat = "{suffix}"'
    _, (reject,) = ingest(job(PLAIN.format(folder=tmp_path, head=head, more="").replace('record = "rec"\n', "")))
    assert reject.reason == "not_finite" and "1 of its" in reject.detail


def test_a_folder_can_be_a_uri(tmp_path: Path) -> None:
    write(tmp_path / "2026-11-20" / "t.parquet", rows())
    records, rejects = ingest(plain(f"file://{tmp_path}/{{day}}", ""))
    assert len(records) == 2 and not rejects


def test_empty_files_are_told(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", pa.table(rows()).slice(0, 0).to_pydict() | {"rec": pa.array([], pa.string())})
    (tmp_path / "b.parquet").touch()
    write(tmp_path / "c.parquet", rows())
    records, rejects = ingest(plain(tmp_path))
    assert len(records) == 2
    assert {reject.record_id: reject.reason for reject in rejects} == {
        "a_parquet": "empty",
        "b_parquet": "unreadable",
    }


def test_a_job_can_be_pickled(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", rows())
    reading = pickle.loads(pickle.dumps(plain(tmp_path)))  # noqa: S301
    units = pickle.loads(pickle.dumps(reading.discover(DAY)))  # noqa: S301
    assert len(list(reading.read(units[0]))) == 2


@pytest.mark.parametrize(
    ("head", "more", "told"),
    [
        ('day_from = "path"', "", "folder has no {day}"),
        ('day_from = "column"', "", "columns.day is not set"),
        ("", 'time = "t"', "give either step or time"),
        ("", 'speed = "v"', "unknown key 'speed'"),
        ('delimiter = ";;"', "", "delimiter is not one character"),
        ("", '[units]\nspeed = "kmh"', "allowed: 'm/s', 'km/h', 'mph', 'ft/s', 'kn'"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(head: str, more: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plain("x", head, more)
    assert told in str(caught.value)
