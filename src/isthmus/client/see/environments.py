"""What there is to see of environments. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class AgentShown(msgspec.Struct, frozen=True, kw_only=True):
    """An agent that the server heard of, so many seconds ago."""

    agent: str
    silent_s: float


class AlarmShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has to know, and what to do. `about` names the file, where it is about one."""

    kind: str
    what: str
    hint: str
    since: str | None = None
    about: str = ""


class AsideShown(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle in the quarantine. `healed`: an authentic one came since, or it is needed no more."""

    file: str
    kind: str
    why: str
    at: str
    size: int
    times: int
    healed: bool
    digest: str


class EnvironmentShown(msgspec.Struct, frozen=True, kw_only=True):
    """One environment: live requests by state, the age of the oldest queued one, its agents."""

    environment: str
    counts: Mapping[str, int]
    oldest_s: float
    left_alone: int
    agents: Sequence[AgentShown] = ()
    request_s: Mapping[str, float] = msgspec.field(default_factory=dict)
    images: int | None = None


class Environments(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the environments.

    `server`: whether the interface server answers; it knows agents and latency.
    """

    items: Sequence[EnvironmentShown]
    next: str
    server: bool


class GateOfEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """One side of an environment's gate."""

    environment: str
    serving: bool
    begun: bool = False
    sending: Sending | None = None
    receiving: Receiving | None = None
    under_way: int = 0
    aside: Sequence[AsideShown] = ()
    alarms: Sequence[AlarmShown] = ()
    problem: str = ""


class MissingShown(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch (since, until] of an epoch that has not come."""

    epoch: int
    since: int
    until: int


class Receiving(msgspec.Struct, frozen=True, kw_only=True):
    """The receiver's side.

    `lag` counts changes behind; `request` is the line to carry back, empty for none.
    """

    stream: str
    standing: Standing | None
    latest: Standing | None
    lag: int
    heard: str | None
    staged: Sequence[StagedShown]
    growing: Sequence[str]
    missing: Sequence[MissingShown]
    snapshot_needed: bool
    quarantined: int
    counts: Mapping[str, int]
    content: Mapping[str, int]
    request: str


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """The sender's side.

    `waiting` counts changes that are not sent yet, `kept` files that can be sent again.
    """

    stream: str
    head: Standing | None
    position: Standing | None
    waiting: int
    kept: int
    unfinished: Sequence[str]
    carousel: str | None
    heartbeat: str | None
    snapshot: str | None


class StagedShown(msgspec.Struct, frozen=True, kw_only=True):
    """A verified bundle that waits for what comes before it; `size` in bytes."""

    file: str
    kind: str
    since: Standing | None
    until: Standing | None
    size: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A position: epoch, number of changes, digest of the content as 64 hexadecimal digits."""

    epoch: int
    seq: int
    digest: str


class SeesEnvironments(Sees):
    """Calls of environments, for the blocking client."""

    def environments(
        self, *, limit: int | None = None, after: str | None = None, site: str | None = None
    ) -> Environments:
        """Show how much lies where, which agents were heard of, and how long requests take. Raises ApiError."""
        found: Environments = self._site.get("/v1/environments", Environments, limit=limit, after=after, site=site)
        return found

    def environments_gates(self, *, site: str | None = None) -> Iterator[GateOfEnvironment]:
        """Tell where the gates of environments stand that no connection leaves, with what is missing.

        Raises ApiError.
        """
        return self._site.pages("/v1/environments/gates", GateOfEnvironment, site=site)


class AsyncSeesEnvironments(AsyncSees):
    """Calls of environments, for asyncio."""

    async def environments(
        self, *, limit: int | None = None, after: str | None = None, site: str | None = None
    ) -> Environments:
        """Show how much lies where, which agents were heard of, and how long requests take. Raises ApiError."""
        found: Environments = await self._site.get(
            "/v1/environments", Environments, limit=limit, after=after, site=site
        )
        return found

    def environments_gates(self, *, site: str | None = None) -> AsyncIterator[GateOfEnvironment]:
        """Tell where the gates of environments stand that no connection leaves, with what is missing.

        Raises ApiError.
        """
        return self._site.pages("/v1/environments/gates", GateOfEnvironment, site=site)
