"""How a site stands: what runs, as its supervisor wrote it down, and how far behind each part of its TOML is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from isthmus.app.product.asked import asked_for
from isthmus.app.product.lags import Lag, lag_of
from isthmus.app.product.parts import Part
from isthmus.app.product.record import PartRecord, UpRecord, read_record
from isthmus.app.product.standing import BACKING_OFF, FAILED
from isthmus.app.upconfig import UpConfig, kind_of
from isthmus.core.errors import IsthmusError

DOWN, LEFT_OUT, LOST = "down", "left out", "lost"


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part: `state` as in `standing`, or "down" where the site is not up, "left out", "lost" with the site.

    `wrong` is what keeps it from its work, and what to do; empty where nothing does.
    """

    name: str
    because: str
    state: str
    since: datetime | None = None
    address: str = ""
    restarts: int = 0
    lag: Lag = field(default_factory=Lag)
    wrong: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            "part": self.name,
            "because": self.because,
            "state": self.state,
            "since": self.since and self.since.isoformat(),
            "address": self.address,
            "restarts": self.restarts,
            "lag": self.lag.text,
            "figures": dict(self.lag.figures),
            "alarms": list(self.lag.alarms),
            "wrong": self.wrong,
        }


@dataclass(frozen=True, slots=True)
class SiteStatus:
    """A whole site. `up`: its supervisor runs; `begun` and `pid` are then told."""

    site: str
    up: bool
    parts: tuple[PartStatus, ...]
    wrong: str = ""
    begun: datetime | None = None
    pid: int = 0

    @property
    def well(self) -> bool:
        """Whether nothing is wrong: no alarm, nothing given up, nothing lost. A site that is down may be well."""
        return not self.wrong and not any(one.wrong or one.lag.alarms for one in self.parts)

    def to_json(self) -> dict[str, Any]:
        """Write it as plain JSON values."""
        return {
            "site": self.site,
            "well": self.well,
            "up": self.up,
            "begun": self.begun and self.begun.isoformat(),
            "pid": self.pid,
            "wrong": self.wrong,
            "parts": [one.to_json() for one in self.parts],
        }


def running_of(config: UpConfig) -> SiteStatus:
    """Look only at what runs: it is wrong that the site is not up."""
    now = status_of(config, lags=False)
    return now if now.up or now.wrong else replace(now, wrong="isthmus up does not run")


def status_of(config: UpConfig, *, lags: bool = True) -> SiteStatus:
    """Look at a site. Nothing has to run. Without `lags` only what the supervisor wrote down is looked at."""
    record = read_record(config.state_folder)
    parts = tuple(_part(config, part, record, lags) for part in asked_for(config, every=True))
    alive = record is not None and record.alive
    lost = record is not None and record.lost
    return SiteStatus(
        config.site.name,
        alive,
        parts,
        "isthmus up was killed, or the machine stopped: start it again" if lost else "",
        record.begun if record is not None and alive else None,
        record.pid if record is not None and alive else 0,
    )


def _part(config: UpConfig, part: Part, record: UpRecord | None, lags: bool) -> PartStatus:
    ran = record.part(part.name) if record is not None else None
    out = kind_of(part.name) in config.up.leave_out
    if record is not None and record.alive and ran is not None:
        state, since, address, restarts = ran.state, ran.since, ran.address, ran.restarts
        wrong = _wrong(ran)
    else:
        state = LEFT_OUT if out else LOST if record is not None and record.lost else DOWN
        since, address, restarts, wrong = None, "", 0, part.lacks if not out else ""
    try:
        lag = lag_of(config, part.name) if lags else Lag()
    except (IsthmusError, OSError) as error:
        lag, wrong = Lag(), wrong or str(error)
    except ModuleNotFoundError as error:
        lag, wrong = Lag(), wrong or f"{error.name} is not installed: isthmus doctor names the extra"
    return PartStatus(part.name, part.because, state, since, address, restarts, lag, wrong)


def _wrong(ran: PartRecord) -> str:
    if ran.state not in (FAILED, BACKING_OFF):
        return ""
    said = f"; it said: {ran.said}" if ran.said else ""
    return f"{'given up: ' if ran.state == FAILED else ''}{ran.why}{said}"
