"""`[up]` of a site's TOML: what `isthmus up` leaves out, and how it starts again what ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus.app.sitepart import SitePart, open_toml
from isthmus.core.errors import suggestion
from isthmus.core.settings import setting

NAMES = (
    "acquire",
    "office",
    "agent",
    "gate-send",
    "gate-receive",
    "sync",
    "recovery",
    "triggers",
    "device",
    "console",
)
"""The parts that a site may have, in the order in which they are shown; the last one ends last."""


@dataclass(frozen=True, slots=True)
class Restarting:
    """`[up.part.NAME]`, and what of `[up]` holds for all parts: how a part that ended is started again."""

    tries: int = setting("failures in a row until a part is given up; 0: never", default=8, minimum=0)
    first_wait_s: float = setting("pause after a first failure; it doubles", default=1.0, minimum=0.01, unit="s")
    longest_wait_s: float = setting("longest pause", default=60.0, minimum=0.01, unit="s")
    steady_s: float = setting("a part that ran so long had no failure before", default=60.0, minimum=0, unit="s")
    grace_s: float = setting(
        "how long a part may take to end before it is killed", default=25.0, minimum=0, unit="s"
    )

    def __post_init__(self) -> None:
        if self.longest_wait_s < self.first_wait_s:
            raise ValueError("longest_wait_s is less than first_wait_s")


@dataclass(frozen=True, slots=True)
class UpPart(Restarting):
    """`[up]`: the site as one process tree."""

    leave_out: tuple[str, ...] = setting(f"parts that are not started, of {', '.join(NAMES)}", default=())
    device_sync_s: float = setting(
        "how often a device is brought up to date; 0: by a person alone", default=300.0, minimum=0, unit="s"
    )
    part: Mapping[str, Restarting] = setting("other values for one part", factory=dict)


def kind_of(name: str) -> str:
    """Return what `[up]` calls a part: there is an office for each environment behind a gate."""
    return "office" if name.startswith("office-") else name


TABLES: dict[str, type] = {"up": UpPart}
"""By name of the table, the class that it is read into."""


@dataclass(frozen=True, slots=True)
class UpConfig:
    """What a site's TOML says of the whole. `tables` are all of its tables as TOML has them, not checked."""

    path: Path
    site: SitePart
    up: UpPart
    tables: Mapping[str, Any]

    @property
    def state_folder(self) -> Path:
        """Where the state lies."""
        return self.path.resolve().parent / self.site.state

    def place(self, path: str) -> Path:
        """Return a path of the TOML: one that is relative starts from the TOML's folder."""
        return self.path.resolve().parent / path

    def restarting(self, part: str) -> Restarting:
        """Return how a part is started again; office-LABEL as all offices are."""
        return self.up.part.get(kind_of(part), self.up)


def read_up_config(path: Path) -> UpConfig:
    """Read `[site]` and `[up]` of a site's TOML, and its other tables as they are.

    Raises ConfigError with every mistake and its line, InputError where the file cannot be read.
    """
    reader = open_toml(path)
    site = reader.read(SitePart, reader.root.get("site", {}), ("site",))
    up = reader.read(UpPart, reader.root.get("up", {}), ("up",))
    for name in up.leave_out if up else ():
        if name not in NAMES:
            reader.mistake(("up", "leave_out"), f"leave_out names no part {name!r}; {suggestion(name, NAMES)}")
    for name in up.part if up else ():
        if name not in NAMES:
            reader.mistake(("up", "part", name), f"there is no part {name!r}; {suggestion(name, NAMES)}")
    reader.finish()
    assert site is not None and up is not None
    return UpConfig(path, site, up, reader.root)
