"""Where both sides of a gate stand, as plain values: for the faces, metrics and tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from isthmus.core.position import Position
from isthmus.transfer.alarm import Alarm
from isthmus.transfer.arrival import Missing
from isthmus.transfer.journal import SetAside


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a round did.

    Kinds: staged, applied, duplicate, noted, growing, evicted, lost, quarantined, alarm, cleared.
    """

    kind: str
    about: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.about}{f': {self.detail}' if self.detail else ''}"

    def to_json(self) -> dict[str, Any]:
        """Write the event as plain JSON values."""
        return {"kind": self.kind, "about": self.about, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class Staged:
    """A verified bundle that waits for its turn; `size` in bytes."""

    file: str
    kind: str
    since: Position
    until: Position
    size: int

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            "file": self.file,
            "kind": self.kind,
            "since": self.since.to_json(),
            "until": self.until.to_json(),
            "bytes": self.size,
        }


@dataclass(frozen=True, slots=True)
class InboundStatus:
    """Where one stream stands at its receiver.

    `standing` is what was applied, `latest` the furthest position that any verified bundle told of, `heard` when
    the last new one was taken (this site's clock). `snapshot_needed`: no increment leads on. `content` is what the
    sender counted in its content at `latest`, such as {"records": n}; empty where nothing told.
    """

    stream: str
    standing: Position | None
    latest: Position | None
    heard: datetime | None
    staged: tuple[Staged, ...]
    growing: tuple[str, ...]
    missing: tuple[Missing, ...]
    snapshot_needed: bool
    quarantined: tuple[SetAside, ...]
    alarms: tuple[Alarm, ...]
    counts: Mapping[str, int]
    content: Mapping[str, int] = field(default_factory=dict)

    @property
    def lag(self) -> int:
        """How many changes the receiver is known to be behind."""
        if self.latest is None:
            return 0
        if self.standing is None or self.standing.epoch != self.latest.epoch:
            return self.latest.seq
        return max(0, self.latest.seq - self.standing.seq)

    def to_json(self) -> dict[str, Any]:
        """Write the status as plain JSON values."""
        return {
            "stream": self.stream,
            "standing": self.standing and self.standing.to_json(),
            "latest": self.latest and self.latest.to_json(),
            "lag": self.lag,
            "heard": self.heard and self.heard.isoformat(),
            "staged": [one.to_json() for one in self.staged],
            "growing": list(self.growing),
            "missing": [{"epoch": one.epoch, "since": one.since, "until": one.until} for one in self.missing],
            "snapshot_needed": self.snapshot_needed,
            "quarantined": [one.to_json() for one in self.quarantined],
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "counts": dict(self.counts),
            "content": dict(self.content),
        }


@dataclass(frozen=True, slots=True)
class OutboundStatus:
    """Where the sending stands. `head` is the last position that was sent, `position` the source's latest."""

    stream: str
    head: Position | None
    position: Position
    kept: tuple[str, ...]
    unfinished: tuple[str, ...]
    beat: int
    carousel: datetime | None
    heartbeat: datetime | None
    snapshot: datetime | None
    alarms: tuple[Alarm, ...]

    @property
    def waiting(self) -> int:
        """How many changes are not cut yet."""
        if self.head is not None and self.head.epoch == self.position.epoch:
            return max(0, self.position.seq - self.head.seq)
        return self.position.seq

    def to_json(self) -> dict[str, Any]:
        """Write the status as plain JSON values."""
        return {
            "stream": self.stream,
            "head": self.head and self.head.to_json(),
            "position": self.position.to_json(),
            "waiting": self.waiting,
            "kept": list(self.kept),
            "unfinished": list(self.unfinished),
            "beat": self.beat,
            "carousel": self.carousel and self.carousel.isoformat(),
            "heartbeat": self.heartbeat and self.heartbeat.isoformat(),
            "snapshot": self.snapshot and self.snapshot.isoformat(),
            "alarms": [alarm.to_json() for alarm in self.alarms],
        }
