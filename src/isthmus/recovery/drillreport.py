"""The report of a drill: a signed JSON file.

The file is one line of canonical JSON (keys sorted, no spaces): `report`, the `key` of the signer as text, and
`signature`, in base64, over the canonical JSON of `report` for the purpose "isthmus drill 1". A file that is
written in any other way is refused, so there is one form of every report.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from isthmus.core.errors import Corrupt, InputError, Refused
from isthmus.state.files import replacing
from isthmus.transfer.signing import PublicKey, SigningKey, signed_form
from isthmus.warehouse.checksum import RowSum

PURPOSE = "isthmus drill 1"
FORMAT = 1
_MOST_BYTES = 64 << 20

Outcome = Literal["restored", "differs", "damaged", "no room", "failed"]
"""All is as it should be; rows are not; files are not, or are missing; the scratch disk is full; another error."""


@dataclass(frozen=True, slots=True)
class TableDrill:
    """A table in a drill: its rows as the barrier counts them, as the primary summed them, and as they were found.

    `damages` names the files that are not what they should be; `error` says why the table could not be read.
    """

    name: str
    identity: str
    version: int
    rows: int
    expected: RowSum | None = None
    found: RowSum | None = None
    damages: tuple[str, ...] = ()
    error: str = ""

    @property
    def sound(self) -> bool:
        """Whether the table was restored, and has the rows that it should have."""
        if self.error or self.damages or self.found is None or self.found.count != self.rows:
            return False
        return self.expected is None or not self.expected.unlike(self.found)

    def to_json(self) -> dict[str, Any]:
        """Write the table as plain JSON values."""
        return {
            "name": self.name,
            "identity": self.identity,
            "version": self.version,
            "rows": self.rows,
            "expected": None if self.expected is None else str(self.expected),
            "found": None if self.found is None else str(self.found),
            "damages": list(self.damages),
            "error": self.error,
            "sound": self.sound,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> TableDrill:
        """Read what `to_json` writes. Raises ValueError, KeyError or TypeError on anything else."""
        expected, found = (
            None if value[side] is None else RowSum.of_text(value[side]) for side in ("expected", "found")
        )
        damages = tuple(map(str, value["damages"]))
        names = (str(value["name"]), str(value["identity"]), int(value["version"]), int(value["rows"]))
        return cls(*names, expected, found, damages, str(value["error"]))


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill found. Times are in UTC and in seconds, `bytes` and `files` are those of the barrier.

    `root` is where the restored tables were kept, empty where they were removed.
    """

    site: str
    barrier: str
    barrier_at: datetime
    began: datetime
    ended: datetime
    outcome: Outcome
    files: int
    bytes: int
    copy_s: float
    check_s: float
    tables: tuple[TableDrill, ...]
    error: str = ""
    root: str = ""

    @property
    def recovery_time_s(self) -> float:
        """The recovery time (RTO) as measured: until all tables were restored and checked."""
        return self.copy_s + self.check_s

    def to_json(self) -> dict[str, Any]:
        """Write the report as plain JSON values."""
        return {
            "format": FORMAT,
            "site": self.site,
            "barrier": self.barrier,
            "barrier_at": self.barrier_at.astimezone(UTC).isoformat(),
            "began": self.began.astimezone(UTC).isoformat(),
            "ended": self.ended.astimezone(UTC).isoformat(),
            "outcome": self.outcome,
            "error": self.error,
            "files": self.files,
            "bytes": self.bytes,
            "copy_s": self.copy_s,
            "check_s": self.check_s,
            "recovery_time_s": self.recovery_time_s,
            "tables": [table.to_json() for table in self.tables],
            "root": self.root,
        }

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> DrillReport:
        """Read what `to_json` writes. Raises ValueError on anything else."""
        try:
            if value["format"] != FORMAT or value["outcome"] not in get_args(Outcome):
                raise ValueError(f"format {value['format']!r} and outcome {value['outcome']!r} are not known here")
            return cls(
                str(value["site"]),
                str(value["barrier"]),
                datetime.fromisoformat(value["barrier_at"]),
                datetime.fromisoformat(value["began"]),
                datetime.fromisoformat(value["ended"]),
                value["outcome"],
                int(value["files"]),
                int(value["bytes"]),
                float(value["copy_s"]),
                float(value["check_s"]),
                tuple(map(TableDrill.of_json, value["tables"])),
                str(value["error"]),
                str(value["root"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no report of a drill: {error!r}") from error


def write_report(path: Path, report: DrillReport, key: SigningKey) -> None:
    """Sign a report and write it durably. Raises OSError."""
    value = report.to_json()
    signature = key.sign(signed_form(PURPOSE, _canonical(value)))
    with replacing(path) as out:
        out.write(_canonical({"report": value, **_signed_by(key.public, signature)}) + b"\n")


def read_report(path: Path, allowed: Iterable[PublicKey]) -> DrillReport:
    """Verify and read a report. Raises InputError where there is none, Corrupt, Refused for the signature."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"there is no report of a drill in {path}", "correct the path") from error
    try:
        whole = json.loads(text)
        value, key = whole["report"], PublicKey.of_text(whole["key"])
        signature = base64.b64decode(whole["signature"], validate=True)
        one_form = _canonical({"report": value, **_signed_by(key, signature)}) + b"\n" == text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, InputError) as error:
        raise Corrupt(f"{path} is no report of a drill: {error}", "get it from its site again") from error
    if not one_form:
        raise Corrupt(f"{path} was written by something else than a drill", "get it from its site again")
    if key not in frozenset(allowed):
        raise Refused(f"{path} is signed by the key {key.fingerprint}", "allow the key if you know its owner")
    key.verify(signature, signed_form(PURPOSE, _canonical(value)))
    try:
        return DrillReport.of_json(value)
    except ValueError as error:
        raise Corrupt(f"{path}: {error}", "install the release that wrote it") from error


def _signed_by(key: PublicKey, signature: bytes) -> dict[str, str]:
    return {"key": str(key), "signature": base64.b64encode(signature).decode()}


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
