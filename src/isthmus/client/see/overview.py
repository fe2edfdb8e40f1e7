"""What there is to see of overview. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees


class AlarmSeen(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person has to know, and what to do."""

    kind: str
    what: str
    hint: str
    since: str | None = None


class End(msgspec.Struct, frozen=True, kw_only=True):
    """A site's end of a boundary. `mark` joins it to the other end: a stream, an environment."""

    boundary: Literal["acquire", "acquire-gate", "gate", "recovery", "sync"]
    mark: str
    gives: bool
    far: str
    figures: Sequence[LookingFigure] = ()
    health: Literal["alarm", "unknown", "waiting", "well"] = "well"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What crosses one boundary, from a node to another, by name.

    `far` tells which of them is no shown site.
    """

    boundary: Literal["acquire", "acquire-gate", "gate", "recovery", "sync"]
    source: str
    target: str
    health: Literal["alarm", "unknown", "waiting", "well"]
    figures: Sequence[LookingFigure] = ()
    far: Literal["", "source", "target"] = ""


class LookingFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a site or a flow; the faces find its words by `name` and write it by its `unit`."""

    name: str
    value: Any
    unit: Literal["count", "moment", "seconds", "text"] = "count"


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment."""

    now: str
    sites: Sequence[SiteSeen]
    flows: Sequence[Flow] = ()


class PartSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a site, as its supervisor wrote it down. `state` is 'down' where the site is not up."""

    name: str
    state: str
    since: str | None = None
    restarts: int = 0
    why: str = ""


class SiteSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One site.

    `kinds` say what it is: inner, outer, sync, acquire, agent, loop, device, its role of a pair.
    """

    name: str
    kinds: Sequence[str] = ()
    own: bool = False
    up: bool = False
    parts: Sequence[PartSeen] = ()
    figures: Sequence[LookingFigure] = ()
    alarms: Sequence[AlarmSeen] = ()
    ends: Sequence[End] = ()
    flaws: Sequence[str] = ()
    health: Literal["alarm", "unknown", "waiting", "well"] = "unknown"


class SeesOverview(Sees):
    """Calls of overview, for the blocking client."""

    def overview(self) -> Overview:
        """See every site: how it stands, its alarms, and what flows between them. Raises ApiError."""
        found: Overview = self._site.get("/v1/overview", Overview)
        return found


class AsyncSeesOverview(AsyncSees):
    """Calls of overview, for asyncio."""

    async def overview(self) -> Overview:
        """See every site: how it stands, its alarms, and what flows between them. Raises ApiError."""
        found: Overview = await self._site.get("/v1/overview", Overview)
        return found
