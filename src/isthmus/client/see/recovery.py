"""What there is to see of recovery. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees, inside
from isthmus.client.see.overview import AlarmSeen


class ActionSeen(msgspec.Struct, frozen=True, kw_only=True):
    """How one side stands now. `state` is backuping, restoring, stopped, waiting or abnormal."""

    state: str
    key: str = ""
    step: str = ""
    fraction: float = 0.0
    done: int = 0
    total: int = 0
    error: str = ""
    succeeded: str | None = None


class DrillSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A practised restore, as its signed report tells."""

    file: str
    site: str
    barrier: str
    ended: str
    outcome: str
    recovery_time_s: float
    bytes: int
    tables: int
    error: str


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """An act before it is done. `word` is what must be typed, `possible` whether nothing forbids it."""

    act: Literal["failback", "failover", "switchover"]
    looks: Sequence[Look]
    word: str
    possible: bool


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    `wrong` forbids the act, `beware` is to be read and may be passed over.
    """

    name: str
    verdict: Literal["beware", "well", "wrong"]
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)


class OtherSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the other site told last, by its own clock."""

    site: str
    role: str
    epoch: int
    made: str
    barrier: str
    barrier_at: str | None
    missing: int
    free_bytes: int
    version: str


class PublicationSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A publication and the objects that it names."""

    name: str
    objects: Sequence[str]


class RecoverySeen(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    `shows` is the barrier that the site shows or took last, `behind_s` what a failover would lose.
    """

    site: str
    peer: str
    road: str
    role: str
    epoch: int
    now: str
    held: str = ""
    shows: str = ""
    shows_at: str | None = None
    behind_s: float | None = None
    stopped: bool = False
    answers: bool = True
    other: OtherSeen | None = None
    primary: ActionSeen = None  # type: ignore
    standby: ActionSeen = None  # type: ignore
    rounds: Sequence[RoundSeen] = ()
    publications: Sequence[PublicationSeen] = ()
    tables: Sequence[TableSeen] = ()
    drills: Sequence[DrillSeen] = ()
    alarms: Sequence[AlarmSeen] = ()
    missing: int = 0
    findings: Sequence[str] = ()
    request: str = ""
    unsent: int = 0
    lag: int = 0
    flaws: Sequence[str] = ()


class RoundSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A round on one side. `bytes` are those of contents; `at` is the moment of its barrier."""

    action: Literal["backup", "restore"]
    key: str
    prior: str
    full: bool
    state: str
    tables: int | None
    contents: int
    bytes: int
    at: str
    begun: str | None
    ended: str | None
    error: str
    seconds: float | None = None


class TableSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A published table. `why` says what keeps it from travelling, empty where nothing does."""

    name: str
    distribution: str
    rows: int | None
    version: int | None
    why: str = ""


class SeesRecovery(Sees):
    """Calls of recovery, for the blocking client."""

    def recovery(self, *, site: str | None = None) -> RecoverySeen:
        """See how the pair stands: role, RPO, rounds, alarms. Raises ApiError."""
        found: RecoverySeen = self._site.get("/v1/recovery", RecoverySeen, site=site)
        return found

    def recovery_rounds(self, *, site: str | None = None) -> Iterator[RoundSeen]:
        """List rounds, newest first. Raises ApiError."""
        return self._site.pages("/v1/recovery/rounds", RoundSeen, site=site)

    def recovery_publications(self, *, site: str | None = None) -> Iterator[PublicationSeen]:
        """List publications. Raises ApiError."""
        return self._site.pages("/v1/recovery/publications", PublicationSeen, site=site)

    def recovery_tables(self, *, site: str | None = None) -> Iterator[TableSeen]:
        """List the published tables. Raises ApiError."""
        return self._site.pages("/v1/recovery/tables", TableSeen, site=site)

    def recovery_act(self, act: str, *, site: str | None = None) -> Guide:
        """See what a switchover, a failover or a failback needs, and whether it is possible now.

        Raises ApiError.
        """
        found: Guide = self._site.get(inside("/v1/recovery/acts/{act}", act=act), Guide, site=site)
        return found


class AsyncSeesRecovery(AsyncSees):
    """Calls of recovery, for asyncio."""

    async def recovery(self, *, site: str | None = None) -> RecoverySeen:
        """See how the pair stands: role, RPO, rounds, alarms. Raises ApiError."""
        found: RecoverySeen = await self._site.get("/v1/recovery", RecoverySeen, site=site)
        return found

    def recovery_rounds(self, *, site: str | None = None) -> AsyncIterator[RoundSeen]:
        """List rounds, newest first. Raises ApiError."""
        return self._site.pages("/v1/recovery/rounds", RoundSeen, site=site)

    def recovery_publications(self, *, site: str | None = None) -> AsyncIterator[PublicationSeen]:
        """List publications. Raises ApiError."""
        return self._site.pages("/v1/recovery/publications", PublicationSeen, site=site)

    def recovery_tables(self, *, site: str | None = None) -> AsyncIterator[TableSeen]:
        """List the published tables. Raises ApiError."""
        return self._site.pages("/v1/recovery/tables", TableSeen, site=site)

    async def recovery_act(self, act: str, *, site: str | None = None) -> Guide:
        """See what a switchover, a failover or a failback needs, and whether it is possible now.

        Raises ApiError.
        """
        found: Guide = await self._site.get(inside("/v1/recovery/acts/{act}", act=act), Guide, site=site)
        return found
