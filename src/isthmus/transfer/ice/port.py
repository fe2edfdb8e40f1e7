"""The port behind which the ICE engines stand.

An engine opens one data channel: ordered, reliable, agreed upon beforehand as stream 0; what else the other end
may open is not listened to. Descriptions are whole (no trickle): one that is signed covers its candidates too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from isthmus.core.errors import IsthmusError
from isthmus.transfer.ice.settings import IceSettings

LABEL = "isthmus"
STREAM = 0


class NotConnected(IsthmusError):
    """The two ends did not find each other; the text says which addresses were tried."""

    retryable = True


class Events(Protocol):
    """What a wire tells its channel, always in the event loop's own thread."""

    def opened(self) -> None:
        """Messages can be sent now."""
        ...

    def arrived(self, message: bytes | str) -> None:
        """A message came whole and in order."""
        ...

    def drained(self) -> None:
        """No more than `ice.channel.LOW_WATER_BYTES` wait to be sent."""
        ...

    def lost(self, why: str) -> None:
        """Nothing more will come or go. May be told several times."""
        ...


class Wire(Protocol):
    """A data channel as an engine has it, before it keeps what `transfer.channel.Channel` promises."""

    def send(self, message: bytes | str) -> None:
        """Queue a message. Raises ConnectionError where the wire is not open."""
        ...

    def waiting(self) -> int:
        """Return how many bytes are queued and not yet handed to the network."""
        ...


class Peer(Protocol):
    """One end of a connection to be. `offer`, then `take`; or `answer`. Then the wire opens, or never does."""

    @property
    def wire(self) -> Wire:
        """The data channel, open after `Events.opened`."""
        ...

    async def offer(self) -> str:
        """Gather addresses and return the session description to send. Raises InputError for a bad server URL."""
        ...

    async def answer(self, offer: str) -> str:
        """Take the other end's offer and return the answer to send. Raises Corrupt where it cannot be read."""
        ...

    async def take(self, answer: str) -> None:
        """Take the other end's answer. Raises Corrupt where it cannot be read."""
        ...

    async def close(self) -> None:
        """Give everything back: sockets, timers, tasks. Closing twice does nothing."""
        ...


Make = Callable[[IceSettings, Events], Peer]
"""Makes a peer within a running event loop. Raises InputError for settings that the engine cannot take."""
