from __future__ import annotations

import datetime
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from isthmus.core.errors import ConfigError, SourceError
from isthmus.loop.record import REASONS
from isthmus.loop.sources.ros import RosJob
from isthmus.loop.sources.ros_settings import RosSettings
from samples import SAMPLES, needs_samples
from source_making import DAY, START_S, drive, ingest, odometry, read_settings, write_bag, write_mcap

ODOM = """
{head}
[agents.{agent}.topics."{topic}"]
x = "pose.pose.position.x"
y = "pose.pose.position.y"
orientation = "pose.pose.orientation"
v = "twist.twist.linear.x"
{more}
"""
TURTLES = """
files = "{folder}"
day_from = "any"
leak_group = "folder"
tags = ["turtles"]
[agents.turtle1]
kind = "robot"
length = 0.5
width = 0.5
topics."/turtle1/pose" = {{ x = "x", y = "y", heading = "theta", v = "linear_velocity" }}
[agents.turtle2]
kind = "robot"
topics."/turtle2/pose" = {{ x = "x", y = "y", heading = "theta", v = "linear_velocity" }}
"""
DRIVE = """
files = "{file}"
day_from = "any"
[agents.ego.topics]
"/gps/fix" = {{ latitude = "latitude", longitude = "longitude" }}
"/vehicle/speed" = {{ v = "twist.linear.x" }}
"/imu" = {{ a = "linear_acceleration.x" }}
"""


def job(toml: str) -> RosJob:
    return RosJob("bags", read_settings(RosSettings, toml))


def odom(folder: Path, head: str = "", agent: str = "ego", topic: str = "/odom", more: str = "") -> RosJob:
    head = f'files = "{folder}"\n{head}' + ("" if "day_from" in head else '\nday_from = "any"')
    return job(ODOM.format(head=head, agent=agent, topic=topic, more=more))


@needs_samples
def test_real_bags_go_in_and_the_empty_ones_beside_them_are_set_aside() -> None:
    records, rejects = ingest(job(TURTLES.format(folder=SAMPLES / "driving" / "rosbag")))
    assert sorted((reject.record_id, reject.reason) for reject in rejects) == [
        ("empty-file_bag", "empty"),
        ("no-messages_bag", "empty"),
    ]
    assert len(records) == 6
    assert {record.leak_group for record in records} == {"bags-rosbag"}
    assert all({track.agent_id for track in record.tracks} == {"turtle1", "turtle2"} for record in records)
    plain, lz4, bz2 = (
        [r for r in records if r.record_id.startswith(n)] for n in ("example_", "example-lz4", "example-bz2")
    )
    for one, other, third in zip(plain, lz4, bz2, strict=True):
        assert np.array_equal(one.tracks[0].x, other.tracks[0].x)
        assert np.array_equal(one.tracks[0].x, third.tracks[0].x)
    assert plain[0].start is not None and plain[0].start.date() == datetime.date(2014, 3, 31)


@needs_samples
def test_a_real_drive_gets_its_path_from_gnss_and_its_speed_from_the_vehicle() -> None:
    records, rejects = ingest(job(DRIVE.format(file=SAMPLES / "driving" / "comma2k19" / "drive.mcap")))
    assert not rejects and len(records) == 3
    assert len({record.leak_group for record in records}) == 1
    assert sum(len(record.tracks[0].step) for record in records) == pytest.approx(598, abs=3)
    for record in records:
        (ego,) = record.tracks
        driven = np.hypot(np.diff(ego.x), np.diff(ego.y)).sum()
        assert driven == pytest.approx(ego.v.sum() * 0.1, rel=0.03)
        assert np.isfinite(ego.a).mean() > 0.99
        change = np.gradient(ego.v, 0.1)
        assert (
            np.corrcoef(np.convolve(change, np.ones(10), "valid"), np.convolve(ego.a, np.ones(10), "valid"))[0, 1]
            > 0.7
        )


@needs_samples
@pytest.mark.parametrize("part", [0.01, 0.3, 0.7, 0.95, 0.999])
@pytest.mark.parametrize("sample", ["rosbag/example.bag", "rosbag/example-lz4.bag", "comma2k19/drive.mcap"])
def test_a_truncated_bag_is_set_aside_and_the_rest_goes_in(tmp_path: Path, sample: str, part: float) -> None:
    whole = SAMPLES / "driving" / sample
    raw = whole.read_bytes()
    (tmp_path / f"cut{whole.suffix}").write_bytes(raw[: int(len(raw) * part)])
    write_bag(tmp_path / "good.bag", drive())
    toml = DRIVE if whole.suffix == ".mcap" else TURTLES
    records, rejects = ingest(job(toml.replace('"{file}"', '"{folder}"').format(folder=tmp_path)))
    assert not records  # the good one lacks these topics
    assert {reject.record_id: reject.reason for reject in rejects}[f"cut_{whole.suffix[1:]}"] == "unreadable"
    assert len(ingest(odom(tmp_path))[0]) == 1


@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.floats(0, 1),
    flips=st.integers(1, 40),
    mask=st.integers(1, 255),
    which=st.sampled_from(["a.bag", "b.mcap"]),
)
def test_flipped_bytes_never_raise_and_what_goes_in_is_sound(
    tmp_path: Path, where: float, flips: int, mask: int, which: str
) -> None:
    source, spoiled = tmp_path / "whole", tmp_path / "spoiled"
    if not (source / which).exists():
        source.mkdir(exist_ok=True)
        spoiled.mkdir(exist_ok=True)
        (write_bag if which.endswith("bag") else write_mcap)(source / which, drive(seconds=3))
    raw = bytearray((source / which).read_bytes())
    start = int(where * (len(raw) - 1))
    for at in range(start, min(start + flips, len(raw))):
        raw[at] ^= mask
    (spoiled / which).write_bytes(raw)
    reading = odom(spoiled / which)
    records, rejects = ingest(reading)
    assert all(np.isfinite(track.x).all() for record in records for track in record.tracks)
    assert all(reject.reason in REASONS and "\n" not in reject.detail for reject in rejects)


@pytest.mark.parametrize("write", [write_bag, write_mcap])
def test_what_was_driven_is_what_is_read(tmp_path: Path, write: object) -> None:
    write(tmp_path / ("d.bag" if write is write_bag else "d.mcap"), drive(seconds=6, v=10))  # type: ignore[operator]
    ((record,), rejects) = ingest(odom(tmp_path))
    assert not rejects
    (ego,) = record.tracks
    assert len(ego.step) == 61
    assert np.allclose(ego.x, ego.step * 1.0, atol=1e-3) and np.allclose(ego.v, 10) and np.allclose(ego.heading, 0)


def test_units_are_converted_and_a_wrong_one_is_noticed(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", drive(v=10, told=36.0))
    ((record,), _) = ingest(odom(tmp_path, more='speed_unit = "km/h"'))
    assert np.allclose(record.tracks[0].v, 10)
    records, (reject,) = ingest(odom(tmp_path))
    assert not records and reject.reason == "wrong_unit"
    assert "v says 36.00 m/s on average, the path 10.00 m/s" in reject.detail


def test_a_missing_topic_names_the_nearest_and_the_other_agents_go_in(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", [*drive("/odom"), *drive("/odom_two")])
    toml = ODOM.format(head=f'files = "{tmp_path}"\nday_from = "any"', agent="ego", topic="/odom", more="")
    toml += ODOM.format(head="", agent="other", topic="/odom_tow", more="")
    ((record,), (reject,)) = ingest(job(toml))
    assert [track.agent_id for track in record.tracks] == ["ego"]
    assert reject.reason == "missing_field"
    assert reject.detail == "agent 'other': there is no topic '/odom_tow'; did you mean '/odom_two'?"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("twist.twist.linear.w", "there is no field 'w' (of 'twist.twist.linear.w'); known: x, y, z"),
        ("twits.twist.linear.x", "did you mean 'twist'?"),
        ("twist.twist.linear", "is no number but"),
        ("twist.twist.linear.x.deeper", "it has no fields below it"),
        ("pose.covariance.99", "there is no element 99"),
    ],
)
def test_a_missing_field_is_told_once_with_the_nearest(tmp_path: Path, path: str, told: str) -> None:
    write_bag(tmp_path / "d.bag", drive())
    toml = ODOM.format(head=f'files = "{tmp_path}"\nday_from = "any"', agent="ego", topic="/odom", more="")
    records, (reject,) = ingest(job(toml.replace("twist.twist.linear.x", path)))
    assert not records and reject.reason == "missing_field" and told in reject.detail


def test_an_element_of_an_array_is_a_field(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", drive())
    ((record,), _) = ingest(odom(tmp_path, more='a = "pose.covariance.7"'))
    assert np.allclose(record.tracks[0].a, 0.0)


def test_an_agent_that_never_moves_is_told_and_stays_as_a_neighbour(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", [*drive("/odom"), *drive("/parked", v=0)])
    toml = ODOM.format(head=f'files = "{tmp_path}"\nday_from = "any"', agent="ego", topic="/odom", more="")
    toml += ODOM.format(head="", agent="parked", topic="/parked", more="")
    ((record,), (reject,)) = ingest(job(toml))
    assert record.egos == ("ego",) and len(record.tracks) == 2
    assert reject.reason == "empty" and "agent 'parked': it never moves (0.00 m in all)" in reject.detail


def test_a_silence_splits_a_track_and_is_never_bridged(tmp_path: Path) -> None:
    written = [message for message in drive(seconds=9) if not 3 < message[1] - START_S < 5]
    write_bag(tmp_path / "d.bag", written)
    ((record,), _) = ingest(odom(tmp_path))
    assert [track.agent_id for track in record.tracks] == ["ego", "ego~2"]
    steps = np.concatenate([track.step for track in record.tracks])
    assert not ((steps > 30) & (steps < 50)).any()


def test_a_long_bag_is_cut_into_records_of_one_leak_group(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", drive(seconds=21))
    records, _ = ingest(odom(tmp_path, "record_s = 8.0"))
    assert [record.record_id for record in records] == ["d_bag-000", "d_bag-001", "d_bag-002"]
    assert {record.leak_group for record in records} == {"bags-d_bag"}


@pytest.mark.parametrize(
    ("head", "groups"),
    [
        ("", {"bags-drive", "bags-y_0_mcap", "bags-y_1_mcap", "bags-d_bag"}),
        (
            'leak_group = "file"',
            {f"bags-{name}" for name in ("x_0_mcap", "x_1_mcap", "y_0_mcap", "y_1_mcap", "d_bag")},
        ),
    ],
)
def test_a_ros_2_bag_in_several_files_is_one_leak_group(tmp_path: Path, head: str, groups: set[str]) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "metadata.yaml").write_text("rosbag2_bagfile_information: {}\n")
    for name in ("drive/x_0.mcap", "drive/x_1.mcap", "y_0.mcap", "y_1.mcap"):
        write_mcap(tmp_path / name, drive(seconds=5))
    write_bag(tmp_path / "d.bag", drive(seconds=5))
    records, _ = ingest(odom(tmp_path, head))
    assert {record.leak_group for record in records} == groups
    assert {r.leak_group for r in records if r.record_id.startswith("x_")} <= groups


def test_nan_in_a_message_costs_its_record_only(tmp_path: Path) -> None:
    written = drive(seconds=16)
    written[300] = ("/odom", written[300][1], odometry(float("nan"), 0.0, 10.0, written[300][1]))
    write_bag(tmp_path / "d.bag", written)
    records, (reject,) = ingest(odom(tmp_path, "record_s = 8.0"))
    assert [record.record_id for record in records] == ["d_bag-000", "d_bag-001"]
    assert reject.reason == "not_finite" and "x is nan" in reject.detail


def test_time_that_jumps_back_is_out_of_order(tmp_path: Path) -> None:
    back = [(topic, when + 6.1, make) for topic, when, make in drive(seconds=6)]
    write_bag(tmp_path / "d.bag", [*drive(seconds=6), *back])
    records, (reject,) = ingest(odom(tmp_path))
    assert not records and reject.reason == "out_of_order" and "jumps back by 6.0 s" in reject.detail


def test_the_time_of_logging_serves_where_stamps_are_of_another_clock(tmp_path: Path) -> None:
    stuck = [("/odom", START_S + k * 0.1, odometry(k * 1.0, 0.0, 10.0, 77.0)) for k in range(40)]
    write_bag(tmp_path / "d.bag", stuck)
    assert ingest(odom(tmp_path))[0] == []
    ((record,), _) = ingest(odom(tmp_path, 'time = "log"'))
    assert len(record.tracks[0].step) == 40


def test_a_message_whose_stamp_was_never_set_has_its_log_time(tmp_path: Path) -> None:
    unset = [("/odom", START_S + k * 0.1, odometry(k * 1.0, 0.0, 10.0, None)) for k in range(40)]
    write_bag(tmp_path / "d.bag", unset)
    ((record,), _) = ingest(odom(tmp_path))
    assert len(record.tracks[0].step) == 40


def test_a_folder_for_each_day_gives_each_day_its_bags(tmp_path: Path) -> None:
    for name in ("2026-11-19", "2026-11-20"):
        (tmp_path / name).mkdir()
        write_bag(tmp_path / name / "d.bag", drive())
    reading = odom(tmp_path / "{day}" / "*.bag", 'day_from = "path"')
    assert [unit.key for unit in reading.discover(DAY)] == [str(tmp_path / "2026-11-20" / "d.bag")]
    assert reading.discover(datetime.date(2026, 11, 21)) == []
    compact = odom(tmp_path / "{yyyymmdd}.bag", 'day_from = "auto"')
    assert compact.discover(DAY) == []


def test_bags_of_one_folder_are_taken_by_the_day_on_which_they_start(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", drive())
    (tmp_path / "broken.bag").write_bytes(b"#ROSBAG V2.0\n")
    os.utime(tmp_path / "broken.bag", (START_S, START_S))
    reading = odom(tmp_path, 'day_from = "start"')
    assert [Path(unit.key).name for unit in reading.discover(DAY)] == ["broken.bag", "d.bag"]
    assert reading.discover(DAY + datetime.timedelta(days=1)) == []
    eastern = odom(tmp_path, 'day_from = "start"\ntimezone = "Pacific/Kiritimati"')  # 14 hours ahead
    assert len(eastern.discover(DAY + datetime.timedelta(days=1))) == 2


def test_a_folder_that_is_not_there_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        odom(tmp_path / "nowhere" / "*.bag").discover(DAY)
    assert odom(tmp_path / "*.bag").discover(DAY) == []


def test_a_changed_file_or_setting_changes_the_fingerprint(tmp_path: Path) -> None:
    write_bag(tmp_path / "d.bag", drive())
    prints = [
        odom(tmp_path).discover(DAY)[0].fingerprint,
        odom(tmp_path, "record_s = 9.0").discover(DAY)[0].fingerprint,
    ]
    os.utime(tmp_path / "d.bag", (1, 1))
    prints.append(odom(tmp_path).discover(DAY)[0].fingerprint)
    assert len(set(prints)) == 3


def test_two_files_of_one_name_have_different_record_ids(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_bag(tmp_path / name / "d.bag", drive())
    records, _ = ingest(odom(tmp_path))
    assert len({record.record_id for record in records}) == 2


def test_a_job_can_be_pickled(tmp_path: Path) -> None:
    assert pickle.loads(pickle.dumps(odom(tmp_path))).settings == odom(tmp_path).settings  # noqa: S301


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (
            'files = "x"\n[agents.a.topics]\n"/p" = { x = "x", y = "y" }',
            "put one in, or set day_from to start or any",
        ),
        ('files = "{day}"\n[agents.a.topics]\n"/p" = { v = "v" }', "no topic gives a position"),
        ('files = "{day}"\n[agents.a.topics]\n"/p" = { x = "x" }', "a position needs both x and y"),
        ('files = "{day}"\n[agents.a.topics]\n"/p" = { x = "x", z = "y" }', "unknown key 'z'"),
        ('files = "{day}"\n[agents]\n', "agents is empty"),
        ('files = "{day}"\ntimezone = "Mars/Base"\n[agents.a.topics]\n"/p" = { x = "x", y = "y" }', "Mars/Base"),
        (
            'files = "{day}"\n[agents.a.topics]\n"/p" = { x = "x", y = "y", v = "v" }\n"/q" = { v = "v" }',
            "both /p and /q give v",
        ),
    ],
)
def test_settings_that_contradict_themselves_are_refused(toml: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_settings(RosSettings, toml)
    assert told in str(caught.value)
