"""The contract of channels on every pair of engines, and what only a network can do to a channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from isthmus.transfer.channel import memory_pair
from transfer.ice.channel_contract import ChannelContract, Ends
from transfer.ice.connecting import direct


class TestMemoryChannel(ChannelContract):
    def pair(self) -> AbstractAsyncContextManager[Ends]:
        @asynccontextmanager
        async def made() -> AsyncIterator[Ends]:
            yield memory_pair()

        return made()


class TestAiortc(ChannelContract):
    LARGE_BYTES = 1_000_000

    def pair(self) -> AbstractAsyncContextManager[Ends]:
        return direct("aiortc", "aiortc")


class TestWrtc(ChannelContract):
    LARGE_BYTES = 16_000_000

    def pair(self) -> AbstractAsyncContextManager[Ends]:
        return direct("wrtc", "wrtc")


class TestDeviceAiortcServerWrtc(ChannelContract):
    LARGE_BYTES = 500_000

    def pair(self) -> AbstractAsyncContextManager[Ends]:
        return direct("aiortc", "wrtc")


class TestDeviceWrtcServerAiortc(ChannelContract):
    LARGE_BYTES = 500_000

    def pair(self) -> AbstractAsyncContextManager[Ends]:
        return direct("wrtc", "aiortc")
