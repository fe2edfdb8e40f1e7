"""One attempt to connect: within a time, and with nothing left behind where it fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from isthmus.transfer.channel import ChannelClosed
from isthmus.transfer.ice import sdp
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.engines import maker
from isthmus.transfer.ice.port import NotConnected, Peer
from isthmus.transfer.ice.settings import IceSettings


class Attempt:
    """The channel to be, its peer (none before a description is asked for), and what was tried so far."""

    def __init__(self, settings: IceSettings) -> None:
        self._make = maker(settings.engine)
        self._settings = settings
        self.channel = IceChannel(settings)
        self._peer: Peer | None = None
        self._ours: Counter[str] = Counter()
        self._theirs: Counter[str] | None = None

    async def offer(self) -> str:
        """Gather addresses and make the offer."""
        made = await self._begun().offer()
        self._ours = sdp.candidates(made)
        return made

    async def answer(self, offer: str) -> str:
        """Take an offer, gather addresses and make the answer."""
        self._theirs = sdp.candidates(offer)
        made = await self._begun().answer(offer)
        self._ours = sdp.candidates(made)
        return made

    async def take(self, answer: str) -> None:
        """Take the answer."""
        self._theirs = sdp.candidates(answer)
        await self._begun().take(answer)

    async def opened(self) -> IceChannel:
        """Return the channel once it is open. Raises NotConnected."""
        try:
            await self.channel.opening()
        except ChannelClosed as error:
            raise self.failure() from error
        return self.channel

    def failure(self) -> NotConnected:
        """Say why there is no channel: which addresses were tried, and what to check."""
        settings, ours = self._settings, self._ours
        if self._theirs is None:
            what = f"the other end said nothing through the signalling within {settings.connect_s:g} s"
            return NotConnected(what, "check that it runs, then try again")
        what = (
            f"no way to the other end was found (own addresses: {sdp.told(ours)}; "
            f"the other end's: {sdp.told(self._theirs)})"
        )
        if settings.turn and not ours["relay"]:
            return NotConnected(what, f"{settings.turn} gave no relay: check the address, user and credential")
        if settings.stun and not ours["srflx"]:
            return NotConnected(what, f"{settings.stun} told no outer address: check it")
        if not settings.turn:
            return NotConnected(what, "name a TURN server, or let UDP pass between the two")
        return NotConnected(what, "check that the TURN server's relay ports can be reached from both ends")

    def _begun(self) -> Peer:
        if self._peer is None:
            self._peer = self._make(self._settings, self.channel)
            self.channel.attach(self._peer)
        return self._peer


@asynccontextmanager
async def attempt(settings: IceSettings) -> AsyncIterator[Attempt]:
    """Lend an attempt for `connect_s` at most; where the body raises, all that it opened is given back.

    Raises NotConnected where the time is over, MissingExtra where no engine is installed.
    """
    one = Attempt(settings)
    try:
        async with asyncio.timeout(settings.connect_s) as limit:
            yield one
    except TimeoutError as error:
        await one.channel.close()
        if limit.expired():
            raise one.failure() from error
        raise
    except BaseException:
        await one.channel.close()
        raise
