"""What a bundle says of itself, and the name of its file.

A name is `<stream>-<epoch>-<seq>.<ending>`, where epoch and seq are those of the position that the bundle leads
to; they are padded with zeros, so that names sort as positions do. Names are hints for people and for the order of
work: what counts is the header, and that only once it is verified.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from isthmus.core.position import Position

FORMAT = 1

_STREAM = r"[a-z0-9][a-z0-9_-]{0,62}"
_NAME = re.compile(rf"({_STREAM})-(\d{{6,10}})-(\d{{12,18}})(?:\.(\d{{1,18}}))?\.([a-z.]+)")
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_KEYS = frozenset(("format", "stream", "kind", "since", "until", "site", "made", "codec", "key", "counts"))


class Kind(enum.Enum):
    """What a bundle holds."""

    INCREMENT = "increment"
    SNAPSHOT = "snapshot"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Header:
    """What a bundle says of itself.

    An increment leads from `since` to `until`; a snapshot is the whole content at `until`, and its `since` is the
    epoch's beginning; a heartbeat carries nothing and tells that the sender stands at `until`. `key` is the key of
    the stream's digests, `counts` says how many of what are inside, `codec` how each member is packed.
    """

    stream: str
    kind: Kind
    since: Position
    until: Position
    site: str
    made: datetime
    key: bytes
    codec: str = "zstd"
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(_STREAM, self.stream):
            raise ValueError(f"{self.stream!r} is no name of a stream: small letters, digits, - and _")
        if not _SITE.fullmatch(self.site):
            raise ValueError(f"{self.site!r} is no name of a site: letters, digits, _ . and -")
        if self.made.tzinfo is None:
            raise ValueError("the time of a bundle needs its zone")
        if self.since.epoch != self.until.epoch or self.since.seq > self.until.seq:
            raise ValueError(f"no bundle leads from {self.since} to {self.until}")
        if self.kind is Kind.INCREMENT and self.since.seq == self.until.seq:
            raise ValueError("an increment without a change")
        if self.codec not in ("zstd", "none"):
            raise ValueError(f"unknown codec {self.codec!r}")

    def to_json(self) -> dict[str, Any]:
        """Write the header as plain JSON values."""
        return {
            "format": FORMAT,
            "stream": self.stream,
            "kind": self.kind.value,
            "since": self.since.to_json(),
            "until": self.until.to_json(),
            "site": self.site,
            "made": self.made.astimezone(UTC).isoformat(),
            "codec": self.codec,
            "key": self.key.hex(),
            "counts": dict(self.counts),
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Header:
        """Read what `to_json` writes. Raises ValueError on anything else, a later format included."""
        if value.get("format") != FORMAT:
            raise ValueError(f"format {value.get('format')!r} is not known here (this release reads {FORMAT})")
        if value.keys() != _KEYS:
            raise ValueError(f"the header has the keys {sorted(value)}, not {sorted(_KEYS)}")
        counts = value["counts"]
        texts = (value["stream"], value["kind"], value["site"], value["made"], value["codec"], value["key"])
        if not all(isinstance(text, str) for text in texts) or not isinstance(counts, dict):
            raise ValueError("the header has values of other types than it should")
        if not all(type(count) is int and count >= 0 for count in counts.values()):
            raise ValueError(f"the counts {counts!r} are not counts")
        return cls(
            value["stream"],
            Kind(value["kind"]),
            Position.of_json(value["since"]),
            Position.of_json(value["until"]),
            value["site"],
            datetime.fromisoformat(value["made"]),
            bytes.fromhex(value["key"]),
            value["codec"],
            counts,
        )


@dataclass(frozen=True, slots=True)
class BundleName:
    """The name of a bundle's file, as far as it tells something. `beat` numbers heartbeats at one position."""

    stream: str
    epoch: int
    seq: int
    ending: str
    beat: int | None = None

    def __str__(self) -> str:
        beat = "" if self.beat is None else f".{self.beat}"
        return f"{self.stream}-{self.epoch:06d}-{self.seq:012d}{beat}.{self.ending}"

    @classmethod
    def of(cls, text: str) -> BundleName | None:
        """Read a file's name; None for a name that no bundle has."""
        match = _NAME.fullmatch(text)
        if match is None:
            return None
        stream, epoch, seq, beat, ending = match.groups()
        return cls(stream, int(epoch), int(seq), ending, None if beat is None else int(beat))
