"""What there is to see of a pair's site, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["backup", "restore"]
RULES = ("primary", "yielding")
"""The roles of a site whose tables are written there."""


@dataclass(frozen=True, slots=True)
class RoundSeen:
    """A round on one side. `bytes` are those of contents; `at` is the moment of its barrier.

    `seconds` is how long it took, none while it runs.
    """

    action: Kind
    key: str
    prior: str
    full: bool
    state: str
    tables: int | None
    contents: int
    bytes: int
    at: datetime
    begun: datetime | None
    ended: datetime | None
    error: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TableSeen:
    """A published table. `why` says what keeps it from travelling, empty where nothing does."""

    name: str
    distribution: str
    rows: int | None
    version: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class PublicationSeen:
    """A publication and the objects that it names."""

    name: str
    objects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OtherSeen:
    """What the other site told last, by its own clock."""

    site: str
    role: str
    epoch: int
    made: datetime
    barrier: str
    barrier_at: datetime | None
    missing: int
    free_bytes: int
    version: str


@dataclass(frozen=True, slots=True)
class DrillSeen:
    """A practised restore, as its signed report tells."""

    file: str
    site: str
    barrier: str
    ended: datetime
    outcome: str
    recovery_time_s: float
    bytes: int
    tables: int
    error: str


@dataclass(frozen=True, slots=True)
class AlarmSeen:
    """Something that a person has to know, and what to do."""

    kind: str
    what: str
    hint: str
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ActionSeen:
    """How one side stands now. `state` is backuping, restoring, stopped, waiting or abnormal."""

    state: str
    key: str = ""
    step: str = ""
    fraction: float = 0.0
    done: int = 0
    total: int = 0
    error: str = ""
    succeeded: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecoverySeen:
    """All of it. `shows` is the barrier that the site shows or took last, `behind_s` what a failover would lose.

    `flaws` say what could not be read, such as a key that is not there yet.
    """

    site: str
    peer: str
    road: str
    role: str
    epoch: int
    now: datetime
    held: str = ""
    shows: str = ""
    shows_at: datetime | None = None
    behind_s: float | None = None
    stopped: bool = False
    answers: bool = True
    other: OtherSeen | None = None
    primary: ActionSeen = field(default_factory=lambda: ActionSeen("abnormal"))
    standby: ActionSeen = field(default_factory=lambda: ActionSeen("abnormal"))
    rounds: tuple[RoundSeen, ...] = ()
    publications: tuple[PublicationSeen, ...] = ()
    tables: tuple[TableSeen, ...] = ()
    drills: tuple[DrillSeen, ...] = ()
    alarms: tuple[AlarmSeen, ...] = ()
    missing: int = 0
    findings: tuple[str, ...] = ()
    request: str = ""
    unsent: int = 0
    lag: int = 0
    flaws: tuple[str, ...] = ()

    @property
    def rules(self) -> bool:
        """Whether the tables are written here."""
        return self.role in RULES
