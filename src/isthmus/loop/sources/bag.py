"""Reads one bag into records. Imported only where a bag is read.

Only the chosen topics are decoded. A bag is read as a whole before anything is handed on, so that of a broken
one nothing goes in.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.core.errors import MissingExtra, suggestion
from isthmus.loop.record import Record, Reject
from isthmus.loop.sources import units, wgs84
from isthmus.loop.sources.resample import MOVE_M, Body, Channel, Motion, averaged, cut, on_grid
from isthmus.loop.sources.ros_settings import AgentSettings, RosSettings, TopicSettings
from isthmus.loop.sources.weather import refuse_bad_weather

try:
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore
except ImportError as error:
    raise MissingExtra.named("rosbags", "loop") from error

_NS = 1e-9


class _FieldMissing(Exception):
    """A message lacks a field; the text says which and names the nearest."""


@dataclass(slots=True)
class _Series:
    """What came on one topic for one agent."""

    topic: str
    fields: Mapping[str, str]
    times: list[float] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)


def first_message(path: Path, definitions: str) -> datetime.datetime | None:
    """Return when the first message of a bag was logged; None where the bag cannot tell."""
    try:
        with AnyReader([path], default_typestore=get_typestore(Stores(definitions))) as reader:
            if not reader.message_count:
                return None
            return datetime.datetime.fromtimestamp(reader.start_time * _NS, datetime.UTC)
    except Exception:  # noqa: BLE001  a broken bag may raise anything; `records_of_bag` then says what is wrong
        return None


def records_of_bag(path: Path, name: str, leak_group: str, settings: RosSettings) -> Iterator[Record | Reject]:
    """Yield the records of one bag, or why it gives none. Raises MissingExtra; SourceError where a disk fails."""
    try:
        if path.stat().st_size == 0:
            yield Reject(name, "empty", str(path), "the file has 0 bytes")
            return
        content = _content(path, name, settings)
    except Exception as error:  # noqa: BLE001  a broken or hostile file may raise anything in the parser
        refuse_bad_weather(error, str(path))
        detail = f"the bag cannot be read: {_one_line(error)}"
        yield Reject(name, "unreadable", str(path), detail)
        return
    if isinstance(content, Reject):
        yield content
        return
    yield from content.rejects
    yield from _records(content, str(path), name, leak_group, settings)


@dataclass(slots=True)
class _Content:
    """A bag's chosen series by agent. Times are in s after `base_ns`."""

    base_ns: int
    series: dict[str, list[_Series]]
    rejects: list[Reject]


def _content(path: Path, name: str, settings: RosSettings) -> _Content | Reject:
    with AnyReader([path], default_typestore=get_typestore(Stores(settings.definitions))) as reader:
        if not reader.message_count:
            return Reject(name, "empty", str(path), "the bag has no messages")
        content = _Content(reader.start_time, {}, [])
        counts = _counts(reader)
        for agent, chosen in settings.agents.items():
            fault = _topic_fault(agent, chosen, counts)
            if fault:
                content.rejects.append(Reject(name, fault[0], str(path), fault[1]))
            else:
                content.series[agent] = [_Series(topic, told.fields()) for topic, told in chosen.topics.items()]
        if not content.series:
            return content
        _read_messages(
            reader,
            content,
            settings.time == "header",
            lambda agent, detail: content.rejects.append(
                Reject(name, "missing_field", str(path), f"agent {agent!r}: {detail}")
            ),
        )
    return content


def _counts(reader: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for connection in reader.connections:
        counts[connection.topic] = counts.get(connection.topic, 0) + connection.msgcount
    return counts


def _topic_fault(agent: str, chosen: AgentSettings, counts: Mapping[str, int]) -> tuple[str, str] | None:
    for topic in chosen.topics:
        if topic not in counts:
            return "missing_field", f"agent {agent!r}: there is no topic {topic!r}; {suggestion(topic, counts)}"
        if not counts[topic]:
            return "empty", f"agent {agent!r}: no message came on topic {topic!r}"
    return None


def _read_messages(reader: Any, content: _Content, by_header: bool, missing: Callable[[str, str], None]) -> None:
    takers: dict[str, list[tuple[str, _Series]]] = {}
    for agent, all_series in content.series.items():
        for series in all_series:
            takers.setdefault(series.topic, []).append((agent, series))
    wanted = [connection for connection in reader.connections if connection.topic in takers]
    for connection, logged_ns, raw in reader.messages(connections=wanted):
        message = reader.deserialize(raw, connection.msgtype)
        time = ((_stamp(message) if by_header else 0) or logged_ns) - content.base_ns
        for agent, series in takers[connection.topic]:
            if agent not in content.series:
                continue
            try:
                row = tuple(
                    value for name, path in series.fields.items() for value in _values(message, name, path)
                )
            except _FieldMissing as error:
                missing(agent, f"topic {series.topic!r}: {error}")
                del content.series[agent]
                continue
            series.times.append(time * _NS)
            series.values.append(row)


def _stamp(message: Any) -> int:
    """Return the header's time in ns, 0 where there is none or it was never set."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    return 0 if stamp is None else int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _values(message: Any, quantity: str, path: str) -> tuple[float, ...]:
    found = message
    for part in path.split("."):
        found = _part(found, part, path)
    if quantity == "orientation":
        return (_yaw(*(float(_part(found, axis, f"{path}.{axis}")) for axis in "xyzw")),)
    status = getattr(getattr(message, "status", None), "status", 0) if quantity == "latitude" else 0
    if status == -1:  # NavSatStatus: no fix, whatever the numbers say
        return (math.nan,)
    try:
        return (float(found),)
    except (TypeError, ValueError):
        raise _FieldMissing(f"field {path!r} is no number but {type(found).__name__}") from None


def _part(found: Any, part: str, path: str) -> Any:
    if part.isdigit():
        try:
            return found[int(part)]
        except (TypeError, IndexError, KeyError):
            raise _FieldMissing(f"there is no element {part} in field {path!r}") from None
    names = [name for name in getattr(found, "__dataclass_fields__", {}) if not name.startswith("__")]
    if part not in names:
        near = suggestion(part, names) if names else "it has no fields below it"
        raise _FieldMissing(f"there is no field {part!r} (of {path!r}); {near}")
    return getattr(found, part)


def _yaw(x: float, y: float, z: float, w: float) -> float:
    if x == y == z == w == 0:
        return math.nan  # never set: a quaternion has length 1
    return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def _records(
    content: _Content, where: str, name: str, leak_group: str, settings: RosSettings
) -> Iterator[Record | Reject]:
    sampled: dict[str, dict[str, Channel]] = {}
    for agent, all_series in content.series.items():
        channels = _channels(all_series, settings.agents[agent], settings.longest_gap_s)
        if isinstance(channels, dict):
            sampled[agent] = channels
        else:
            yield Reject(name, channels[0], where, f"agent {agent!r}: {channels[1]}")
    if not sampled:
        return
    start = min(float(channels["x"].times[0]) for channels in sampled.values())
    motions: list[Motion] = []
    still: set[str] = set()
    for agent, channels in sampled.items():
        chosen = settings.agents[agent]
        body = Body(agent, chosen.length, chosen.width, chosen.kind)
        own = on_grid(body, channels, start=start, longest_gap_s=settings.longest_gap_s)
        if not own:
            detail = "its topics share no time; where only some have a header, set time to 'log'"
            yield Reject(name, "empty", where, f"agent {agent!r}: {detail}")
            continue
        way = _extent(own)
        if way < MOVE_M and chosen.ego:
            detail = f"it never moves ({way:.2f} m in all): kept as a neighbour, no scene follows it"
            yield Reject(name, "empty", where, f"agent {agent!r}: {detail}")
        if way < MOVE_M or not chosen.ego:
            still.update(motion.body.agent_id for motion in own)
        motions.extend(own)
    if all(motion.body.agent_id in still for motion in motions):
        return
    yield from cut(
        motions,
        record_id=name,
        leak_group=leak_group,
        record_s=settings.record_s,
        tags=settings.tags,
        still=frozenset(still),
        start=_moment(content.base_ns, start),
    )


def _extent(motions: list[Motion]) -> float:
    x, y = np.concatenate([m.x for m in motions]), np.concatenate([m.y for m in motions])
    return math.hypot(float(np.ptp(x)), float(np.ptp(y)))  # NaN is not small: the validation says what is wrong


def _channels(
    all_series: list[_Series], chosen: AgentSettings, longest_gap_s: float
) -> dict[str, Channel] | tuple[str, str]:
    """Make the channels of one agent in a record's units, or say why that cannot be (reason, detail)."""
    channels: dict[str, Channel] = {}
    for series in all_series:
        if not series.times:
            return "empty", f"no message came on topic {series.topic!r}"
        times, rows = np.array(series.times, np.float64), np.array(series.values, np.float64)
        back = float(np.max(np.maximum.accumulate(times) - times))
        if back > longest_gap_s:
            return "out_of_order", f"topic {series.topic!r} jumps back by {back:.1f} s"
        times, first = np.unique(times, return_index=True)
        columns = {quantity: rows[first, i] for i, quantity in enumerate(series.fields)}
        told = chosen.topics[series.topic]
        if "latitude" in columns:
            fixed = _plane(times, columns)
            if fixed is None:
                return "empty", f"topic {series.topic!r} never has a GNSS fix"
            channels["x"], channels["y"] = fixed
        channels.update(_converted(times, columns, told))
    return channels


def _plane(times: Any, columns: Mapping[str, Any]) -> tuple[Channel, Channel] | None:
    """Turn fixes into metres east and north of the first; no fix is NaN, or 0, 0, or beyond the globe."""
    latitude, longitude = columns["latitude"], columns["longitude"]
    fixed = np.isfinite(latitude) & np.isfinite(longitude) & ((latitude != 0) | (longitude != 0))
    fixed &= (np.abs(latitude) <= 90) & (np.abs(longitude) <= 360)
    if not fixed.any():
        return None
    first = int(np.argmax(fixed))
    origin = (float(latitude[first]), float(longitude[first]))
    east, north = wgs84.east_north(latitude[fixed], longitude[fixed], origin)
    return Channel(times[fixed], east), Channel(times[fixed], north)


def _converted(times: Any, columns: Mapping[str, Any], told: TopicSettings) -> dict[str, Channel]:
    channels = {}
    for quantity, values in columns.items():
        if quantity in ("x", "y"):
            channels[quantity] = Channel(times, values * units.LENGTH[told.length_unit])
        elif quantity == "heading":
            channels["heading"] = Channel(times, units.radians(values, told.angle_unit), angular=True)
        elif quantity == "orientation":
            channels["heading"] = Channel(times, values, angular=True)
        elif quantity == "v":
            channels["v"] = averaged(Channel(times, values * units.SPEED[told.speed_unit]))
        elif quantity == "a":
            channels["a"] = averaged(Channel(times, values * units.ACCEL[told.accel_unit]))
    return channels


def _moment(base_ns: int, offset_s: float) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromtimestamp(base_ns * _NS + offset_s, datetime.UTC)
    except (OverflowError, ValueError, OSError):  # a mad time stamp: the record is judged by its states
        return None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
