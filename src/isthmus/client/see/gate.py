"""What there is to see of gate. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees
from isthmus.client.see.galleries import Standing


class AlarmShown(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has to know, and what to do. `about` names the file, where it is about one."""

    kind: str
    what: str
    hint: str
    since: str | None = None
    about: str = ""


class GateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A site's gate. `problem` says why nothing is known of it, such as a key that is not there."""

    side: Literal["receiving", "sending"]
    form: str
    sending: Sending | None = None
    receiving: Receiving | None = None
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


class SeesGate(Sees):
    """Calls of gate, for the blocking client."""

    def gate(self, *, site: str | None = None) -> GateShown:
        """Tell where the gate stands, with alarms and what is missing. Raises ApiError."""
        found: GateShown = self._site.get("/v1/gate", GateShown, site=site)
        return found


class AsyncSeesGate(AsyncSees):
    """Calls of gate, for asyncio."""

    async def gate(self, *, site: str | None = None) -> GateShown:
        """Tell where the gate stands, with alarms and what is missing. Raises ApiError."""
        found: GateShown = await self._site.get("/v1/gate", GateShown, site=site)
        return found
