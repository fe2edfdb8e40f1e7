"""A channel: messages both ways between two ends, whole and in order, over whatever lies beneath."""

from __future__ import annotations

import asyncio
from typing import Protocol

from isthmus.core.errors import IsthmusError

MOST_MESSAGE_BYTES = 64 * 1024
"""What every engine passes whole; larger content is sent in pieces."""

HIGH_WATER_BYTES = 4 * 1024 * 1024
"""So many bytes may wait to be sent before `send` waits."""


class ChannelClosed(IsthmusError):
    """The other end, or the network, closed the channel."""

    retryable = True


class Channel(Protocol):
    """Two ends that send each other messages of at most MOST_MESSAGE_BYTES. One task sends, one receives.

    No engine slows a sender down because its receiver is slow: whoever receives asks for no more than it can hold.
    """

    async def send(self, message: bytes) -> None:
        """Send a message; waits while HIGH_WATER_BYTES wait to be sent. Raises ChannelClosed, ValueError."""
        ...

    async def receive(self) -> bytes:
        """Wait for the next message. Raises ChannelClosed once all that came has been handed out."""
        ...

    async def close(self) -> None:
        """Close both directions; closing twice does nothing."""
        ...


class MemoryChannel:
    """One end of a channel inside a process: for tests, and the measure of what a protocol itself costs."""

    def __init__(self, sent: asyncio.Queue[bytes | None], coming: asyncio.Queue[bytes | None]) -> None:
        self._sent, self._coming = sent, coming
        self._closed = False
        self.bytes_sent = 0
        self.messages_sent = 0

    async def send(self, message: bytes) -> None:
        """Send a message."""
        if self._closed:
            raise ChannelClosed("the channel is closed")
        if len(message) > MOST_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes is more than {MOST_MESSAGE_BYTES}")
        self.bytes_sent += len(message)
        self.messages_sent += 1
        await self._sent.put(message)

    async def receive(self) -> bytes:
        """Wait for the next message."""
        message = None if self._closed else await self._coming.get()
        if message is None:
            self._closed = True
            raise ChannelClosed("the channel is closed")
        return message

    async def close(self) -> None:
        """Close both directions."""
        if not self._closed:
            self._closed = True
            await self._sent.put(None)


def memory_pair() -> tuple[MemoryChannel, MemoryChannel]:
    """Make both ends of a channel."""
    there: asyncio.Queue[bytes | None] = asyncio.Queue()
    back: asyncio.Queue[bytes | None] = asyncio.Queue()
    return MemoryChannel(there, back), MemoryChannel(back, there)
