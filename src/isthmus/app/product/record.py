"""What `isthmus up` tells of itself in a file, `up.json` in the site's state: for status, doctor and the console.

It is written anew at every change, and says at the end that the site was ended. Where it does not, and the process
is no more, the site was killed.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from isthmus.state.files import replacing

FILE, LOCK = "up.json", "up.lock"


@dataclass(frozen=True, slots=True)
class PartRecord:
    """How one part stood. `said` is the last line that it wrote before it ended; `pid` is 0 without a process."""

    name: str
    state: str
    since: datetime
    pid: int = 0
    address: str = ""
    failures: int = 0
    restarts: int = 0
    why: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True)
class UpRecord:
    """How a site's supervisor stood. `ended`: it ended by itself. `ticks` tells it from a later process."""

    pid: int
    ticks: int
    begun: datetime
    ended: bool
    parts: tuple[PartRecord, ...]

    @property
    def alive(self) -> bool:
        """Whether the supervisor runs now."""
        return not self.ended and self.ticks > 0 and ticks_of(self.pid) == self.ticks

    @property
    def lost(self) -> bool:
        """Whether it was killed, or the machine stopped."""
        return not self.ended and not self.alive

    def part(self, name: str) -> PartRecord | None:
        """Return the record of one part; None where it had none."""
        return next((part for part in self.parts if part.name == name), None)


def ticks_of(pid: int) -> int:
    """Return when a process started, in ticks since the machine did (proc(5), field 22); 0 where there is none.

    One that has ended and was not waited for yet is none.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def write_record(folder: Path, record: UpRecord) -> None:
    """Write the record into the state's folder. Raises OSError."""
    with replacing(folder / FILE) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(dataclasses.asdict(record), default=_plain, indent=1).encode())


def read_record(folder: Path) -> UpRecord | None:
    """Read the record of a state's folder; None where the site was never up, or the file cannot be read."""
    try:
        told: Mapping[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        parts = tuple(
            PartRecord(**{**one, "since": datetime.fromisoformat(one["since"])}) for one in told["parts"]
        )
        return UpRecord(**{**told, "begun": datetime.fromisoformat(told["begun"]), "parts": parts})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _plain(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()
