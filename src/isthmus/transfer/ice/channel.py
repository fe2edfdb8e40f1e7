"""A channel over an engine's data channel: what `transfer.channel.Channel` promises, the same for every engine.

Binary messages are the content. Text messages are the channel's own:

    alive?  its sender heard nothing for a third of `silence_s`: is anybody there?
    alive   the answer to `alive?`; where nothing comes for `silence_s`, the other end is taken for dead
    end     its sender sends no more; everything it sent before has come, since messages keep their order
    ended   the answer to `end`: only now does the one who closes let the connection go

Whatever else comes, or a message that is too large, closes the channel. Received messages wait in memory until
they are read: the protocol above asks for no more than it can hold, and an end that sends more than
`most_waiting_bytes` ahead is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from isthmus.transfer.channel import HIGH_WATER_BYTES, MOST_MESSAGE_BYTES, ChannelClosed
from isthmus.transfer.ice.port import Peer, Wire
from isthmus.transfer.ice.settings import IceSettings

LOW_WATER_BYTES: Final = HIGH_WATER_BYTES // 2
"""A sender that waits goes on when so many bytes still wait to be sent."""

_OVERHEAD_BYTES: Final = 128  # of a message in the queue, so that empty ones count too

ASKED, ALIVE, END, ENDED = "alive?", "alive", "end", "ended"


class IceChannel:
    """A Channel, and the Events of the wire beneath it. Made before the wire; `attach` gives it its peer.

    Must be made, and used, within one running event loop.
    """

    def __init__(self, settings: IceSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._peer: Peer | None = None
        self._came: deque[bytes] = deque()
        self._came_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._open = asyncio.Event()
        self._settled = asyncio.Event()
        self._why = ""  # once told, nothing more is sent or taken
        self._ended = False
        self._gone = False
        self._closing: asyncio.Task[None] | None = None
        self._releasing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard = self._due = 0.0

    def attach(self, peer: Peer) -> None:
        """Give the channel the peer whose wire carries it."""
        self._peer = peer

    async def opening(self) -> None:
        """Wait until the channel is open. Raises ChannelClosed where it never will be."""
        await self._open.wait()
        if self._gone:
            raise ChannelClosed(self._why)

    # Channel

    async def send(self, message: bytes) -> None:
        """Send a message; waits while HIGH_WATER_BYTES wait to be sent. Raises ChannelClosed, ValueError."""
        if len(message) > MOST_MESSAGE_BYTES:
            raise ValueError(f"a message of {len(message)} bytes is more than {MOST_MESSAGE_BYTES}")
        while not self._why and self._wire.waiting() + len(message) > HIGH_WATER_BYTES:
            self._room.clear()
            await self._room.wait()
        if self._why:
            raise ChannelClosed(self._why)
        self._pass(message)
        if self._gone:
            raise ChannelClosed(self._why)

    async def receive(self) -> bytes:
        """Wait for the next message. Raises ChannelClosed once all that came has been handed out."""
        while not self._came:
            if self._why:
                raise ChannelClosed(self._why)
            self._news.clear()
            await self._news.wait()
        message = self._came.popleft()
        self._came_bytes -= len(message) + _OVERHEAD_BYTES
        return message

    async def close(self) -> None:
        """Close both directions once what was sent has arrived, or cannot; closing twice does nothing."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="isthmus: close a channel")
        await asyncio.shield(self._closing)

    # Events

    def opened(self) -> None:
        """Begin to listen whether the other end lives."""
        if self._gone or self._open.is_set():
            return
        self._heard = self._loop.time()
        self._watch()
        self._open.set()

    def arrived(self, message: bytes | str) -> None:
        """Take a message of the other end."""
        self._heard = self._loop.time()
        if isinstance(message, str):
            self._told(message)
            return
        if self._why:
            return
        if len(message) > MOST_MESSAGE_BYTES:
            self._lose(f"the other end sent a message of {len(message)} bytes, more than {MOST_MESSAGE_BYTES}")
        elif self._came_bytes + len(message) + _OVERHEAD_BYTES > self._settings.most_waiting_bytes:
            self._lose(f"the other end sent more than {self._settings.most_waiting_bytes} bytes ahead")
        else:
            self._came.append(message)
            self._came_bytes += len(message) + _OVERHEAD_BYTES
            self._news.set()

    def drained(self) -> None:
        """Let the sender go on."""
        self._room.set()

    def lost(self, why: str) -> None:
        """Take note that the wire is gone."""
        self._lose(why)

    # inside

    def _told(self, word: str) -> None:
        if word == END:
            self._ended = True
            self._stop("the other end closed the channel")
            self._pass(ENDED)
        elif word == ENDED:
            self._settled.set()
        elif word == ASKED:
            if self._wire.waiting() <= HIGH_WATER_BYTES:  # else it hears of this end soon enough
                self._pass(ALIVE)
        elif word != ALIVE:
            self._lose("the other end sent a word that is no word of a channel")

    def _watch(self) -> None:
        now, every = self._loop.time(), self._settings.silence_s / 3
        if self._due and now - self._due > every:
            self._heard = now  # this process stood still, so what the other end sent may lie unread
        if now - self._heard > self._settings.silence_s:
            self._lose(f"nothing was heard of the other end for {self._settings.silence_s:g} s")
            return
        if now - self._heard > every / 2 and self._wire.waiting() <= HIGH_WATER_BYTES:
            self._pass(ASKED)
        if not self._gone:
            self._due = now + every
            self._timer = self._loop.call_at(self._due, self._watch)

    def _pass(self, message: bytes | str) -> None:
        try:
            self._wire.send(message)
        except ConnectionError as error:
            self._lose(str(error))

    def _stop(self, why: str) -> None:
        self._why = self._why or why
        self._news.set()
        self._room.set()

    def _lose(self, why: str) -> None:
        if self._gone:
            return
        self._gone = True
        self._stop(why)
        self._open.set()
        self._settled.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._peer is not None:
            self._releasing = self._loop.create_task(self._peer.close(), name="isthmus: give a connection back")

    async def _close(self) -> None:
        self._stop("the channel is closed")
        self._came.clear()
        if self._open.is_set() and not self._gone:
            if not self._ended:
                self._pass(END)
            await self._settle()
        self._lose("the channel is closed")
        if self._releasing is not None:
            await self._releasing

    async def _settle(self) -> None:
        """Wait until the other end has everything and says so, or has gone, or nothing gets away any more."""
        waiting = self._wire.waiting()
        while not self._settled.is_set():
            try:
                async with asyncio.timeout(self._settings.linger_s):
                    await self._settled.wait()
            except TimeoutError:
                if (left := self._wire.waiting()) >= waiting:
                    return
                waiting = left

    @property
    def _wire(self) -> Wire:
        if self._peer is None:
            raise RuntimeError("a channel is used before it has a peer")
        return self._peer.wire
