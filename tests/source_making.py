"""Makes settings from TOML, and small bags, for the tests of the job types."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from isthmus.core.settings import Reader
from isthmus.loop.record import Record, Reject, Unit
from isthmus.loop.sources.validate import validate

DAY = datetime.date(2026, 11, 20)
START_S = 1_795_176_000  # 2026-11-20 12:00 UTC

T = TypeVar("T")


def read_settings(cls: type[T], toml: str) -> T:
    reader = Reader(toml, "site.toml")
    settings = reader.read(cls, reader.root, ())
    reader.finish()
    assert settings is not None
    return settings


def ingest(job: Any, day: datetime.date = DAY) -> tuple[list[Record], list[Reject]]:
    """Read a day and judge its records, as the ingest does."""
    records: list[Record] = []
    rejects: list[Reject] = []
    for unit in job.discover(day):
        for item in job.read(unit):
            if isinstance(item, Reject):
                rejects.append(item)
                continue
            kept, faults = validate(item)
            rejects.extend(faults)
            records.extend([kept] if kept else [])
    return records, rejects


def first_record(job: Any, unit: Unit) -> Record:
    """Read the one record of a unit; lies here so that a spawned process can import it."""
    (record,) = (item for item in job.read(unit) if isinstance(item, Record))
    return record


def odometry(x: float, y: float, v: float, stamp: float | None) -> Callable[[Any], Any]:
    """Make a nav_msgs/Odometry, heading along x, with a header stamp in s (0 where None)."""

    def make(store: Any) -> Any:
        kinds = store.types
        zeros = [0.0] * 36
        vector, point = kinds["geometry_msgs/msg/Vector3"], kinds["geometry_msgs/msg/Point"]
        pose = kinds["geometry_msgs/msg/Pose"](
            position=point(x=x, y=y, z=0.0),
            orientation=kinds["geometry_msgs/msg/Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0),
        )
        twist = kinds["geometry_msgs/msg/Twist"](
            linear=vector(x=v, y=0.0, z=0.0), angular=vector(x=0.0, y=0.0, z=0.0)
        )
        import numpy as np

        seconds = int(stamp or 0)
        time = kinds["builtin_interfaces/msg/Time"](sec=seconds, nanosec=round(((stamp or 0) - seconds) * 1e9))
        header = {"stamp": time, "frame_id": "map"}
        if "seq" in kinds["std_msgs/msg/Header"].__dataclass_fields__:
            header["seq"] = 0
        return kinds["nav_msgs/msg/Odometry"](
            header=kinds["std_msgs/msg/Header"](**header),
            child_frame_id="base",
            pose=kinds["geometry_msgs/msg/PoseWithCovariance"](pose=pose, covariance=np.array(zeros)),
            twist=kinds["geometry_msgs/msg/TwistWithCovariance"](twist=twist, covariance=np.array(zeros)),
        )

    return make


Message = tuple[str, float, Callable[[Any], Any]]
"""Topic, time of logging in s, and what makes the odometry message."""


def write_bag(path: Path, messages: Iterable[Message]) -> Path:
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS1_NOETIC)
    kind = "nav_msgs/msg/Odometry"
    with Writer(path) as writer:
        topics: dict[str, Any] = {}
        for topic, seconds, make in messages:
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=store)
            raw = store.serialize_ros1(make(store), kind)
            writer.write(topics[topic], round(seconds * 1e9), raw)
    return path


def write_mcap(path: Path, messages: Iterable[Message]) -> Path:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_HUMBLE)
    kind = "nav_msgs/msg/Odometry"
    folder = path.with_suffix(".folder")
    with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics: dict[str, Any] = {}
        for topic, seconds, make in messages:
            if topic not in topics:
                topics[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(topics[topic], round(seconds * 1e9), store.serialize_cdr(make(store), kind))
    next(folder.glob("*.mcap")).rename(path)
    return path


def drive(topic: str = "/odom", seconds: float = 6.0, v: float = 10.0, told: float | None = None) -> list[Message]:
    """A straight drive at v m/s that tells its speed as `told`, 20 times a second."""
    times = [START_S + k * 0.05 for k in range(round(seconds * 20) + 1)]
    return [(topic, t, odometry(v * (t - START_S), 0.0, v if told is None else told, t)) for t in times]
