"""What a report of a site of a pair says, and its one form in bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, get_args

from isthmus.core.errors import InputError
from isthmus.core.position import Position
from isthmus.recovery.proof import PROOF_BYTES
from isthmus.transfer.refusal import NewerFormat, Tampered
from isthmus.warehouse.fence import Role

FORMAT = 1
MOST_BYTES = 1 << 20
"""Of a whole report."""
MOST_MISSING = 4096
"""So many missing contents are told by name; `missing_count` tells how many there are."""
MOST_PLAIN = 1 << 18
"""Bytes that a plain part of a report may have as JSON; a larger one is left out, and that is told."""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER_END = 10**18
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TEXTS = ("stream", "site", "barrier", "request", "version", "took_over", "switchover")
_NO_REPORT = (KeyError, TypeError, AttributeError, ValueError, RecursionError, OverflowError, InputError)


@dataclass(frozen=True, slots=True)
class Report:
    """What a site tells of itself. Times are aware; what it knows nothing of is left at its default.

    `standing` is where its target stands in the stream, `barrier` the key and `barrier_at` the moment of what it
    shows (or, a primary, took last). `missing` names contents that a change speaks of and nobody here has (BLAKE3
    in hexadecimal), `request` is the line that asks the sender for what is missing in the stream. `took_over` is
    the key of the barrier that the site took over at, `switchover` how the last one that it was asked for ended.
    """

    stream: str
    site: str
    role: Role
    epoch: int
    made: datetime
    standing: Position | None = None
    barrier: str = ""
    barrier_at: datetime | None = None
    missing: tuple[str, ...] = ()
    missing_count: int = 0
    request: str = ""
    verify: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    free_bytes: int = 0
    version: str = ""
    took_over: str = ""
    switchover: str = ""
    number: int = 0

    def to_bytes(self) -> bytes:
        """Write the report as one line of JSON; missing contents and plain parts beyond the caps are cut.

        Raises InputError for one that cannot travel.
        """
        try:
            line = _one_form(self._plain()) + b"\n"
        except (ValueError, TypeError) as error:
            raise InputError(f"a report of {self.site} cannot be written: {error}") from error
        if len(line) + PROOF_BYTES > MOST_BYTES:
            raise InputError(f"a report of {len(line):,} bytes is not read by anybody", "let it tell less")
        return line

    def _plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "stream": self.stream,
            "site": self.site,
            "role": self.role,
            "epoch": self.epoch,
            "number": self.number,
            "made": _time(self.made),
            "standing": self.standing.to_json() if self.standing else None,
            "barrier": self.barrier,
            "barrier_at": _time(self.barrier_at),
            "missing": list(self.missing[:MOST_MISSING]),
            "missing_count": max(self.missing_count, len(self.missing)),
            "request": self.request,
            "verify": _capped(self.verify),
            "progress": _capped(self.progress),
            "free_bytes": self.free_bytes,
            "version": self.version,
            "took_over": self.took_over,
            "switchover": self.switchover,
        }

    @classmethod
    def of_bytes(cls, where: object, line: bytes) -> Report:
        """Read a report whose signature was verified. Raises Tampered, NewerFormat."""
        try:
            value = json.loads(line)
            if value["format"] != FORMAT:
                raise NewerFormat.at(where, f"made in format {value['format']!r}, this release reads {FORMAT}")
            report = _of_json(value)
            again = report.to_bytes()
        except _NO_REPORT as error:
            raise Tampered.at(where, f"it cannot be read as a report: {str(error)[:200]}") from error
        if again != line:
            raise Tampered.at(where, "it is not in its one form")
        return report

    @property
    def essence(self) -> bytes:
        """What it tells beside its number, its time and the free space: equal where nothing else has changed."""
        return replace(self, number=0, made=_BEGINNING, free_bytes=0).to_bytes()


def _of_json(value: Mapping[str, Any]) -> Report:
    standing, missing, epoch = value["standing"], value["missing"], value["epoch"]
    counts = (epoch, value["number"], value["missing_count"], value["free_bytes"])
    if not all(type(count) is int and 0 <= count < _NUMBER_END for count in counts) or not epoch:
        raise ValueError("its numbers are none")
    if value["role"] not in get_args(Role) or not all(_DIGEST.fullmatch(digest) for digest in missing):
        raise ValueError("its role or what it misses is none")
    texts = {name: value[name] for name in _TEXTS}
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its texts are none")
    if not all(isinstance(value[name], dict) for name in ("verify", "progress")):
        raise ValueError("its plain parts are none")
    return Report(
        role=value["role"],
        epoch=epoch,
        made=_moment(value["made"]),
        standing=None if standing is None else Position.of_json(standing),
        barrier_at=None if value["barrier_at"] is None else _moment(value["barrier_at"]),
        missing=tuple(missing),
        missing_count=value["missing_count"],
        verify=value["verify"],
        progress=value["progress"],
        free_bytes=value["free_bytes"],
        number=value["number"],
        **texts,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def _time(moment: datetime | None) -> str | None:
    if moment is not None and moment.tzinfo is None:
        raise ValueError("a time needs its zone")
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _one_form(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _capped(plain: Mapping[str, Any]) -> dict[str, Any]:
    size = len(_one_form(plain))
    return dict(plain) if size <= MOST_PLAIN else {"left_out_bytes": size}
