"""What there is to see of gate. Drawn from the description of the doors, never changed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from isthmus.client.calls import AsyncSees, Sees
from isthmus.client.see.environments import AlarmShown, Receiving, Sending


class GateShown(msgspec.Struct, frozen=True, kw_only=True):
    """A site's gate. `problem` says why nothing is known of it, such as a key that is not there."""

    side: Literal["receiving", "sending"]
    form: str
    sending: Sending | None = None
    receiving: Receiving | None = None
    alarms: Sequence[AlarmShown] = ()
    problem: str = ""


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
