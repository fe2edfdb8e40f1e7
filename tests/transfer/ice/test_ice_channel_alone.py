"""The channel's own decisions, with a wire that does what the test says: silence, waiting, closing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from isthmus.transfer.channel import HIGH_WATER_BYTES, MOST_MESSAGE_BYTES, ChannelClosed
from isthmus.transfer.ice import channel as channel_module
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.settings import IceSettings
from transfer.ice.channel_contract import pieces, run
from transfer.ice.connecting import QUICK


class FakePeer:
    """A peer and its wire in one: keeps what is sent, and empties its queue only when told."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self.queued = 0
        self.closed = 0
        self.wire = self

    def send(self, message: bytes | str) -> None:
        if self.closed:
            raise ConnectionError("closed")
        self.sent.append(message)
        self.queued += len(message)

    def waiting(self) -> int:
        return self.queued

    async def offer(self) -> str:
        return ""

    async def answer(self, offer: str) -> str:
        return offer

    async def take(self, answer: str) -> None:
        return None

    async def close(self) -> None:
        self.closed += 1


def fake(settings: IceSettings = QUICK) -> tuple[IceChannel, FakePeer]:
    channel, peer = IceChannel(settings), FakePeer()
    channel.attach(peer)
    channel.opened()
    return channel, peer


def test_silence_of_the_other_end_closes_the_channel_and_gives_it_back() -> None:
    async def work() -> None:
        channel, peer = fake(replace(QUICK, silence_s=0.3))
        with pytest.raises(ChannelClosed, match=r"nothing was heard of the other end for 0\.3 s"):
            await channel.receive()
        await channel.close()
        assert peer.closed == 1
        assert set(peer.sent) == {"alive?"}

    run(work)


def test_an_end_that_stood_still_itself_does_not_take_the_other_for_dead() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        really = loop.time
        channel, _ = fake(replace(QUICK, silence_s=0.3))
        loop.time = lambda: really() + 0.6  # type: ignore[method-assign]
        waiting = asyncio.create_task(channel.receive())
        await asyncio.sleep(0.05)  # the late look at the clock has been
        channel.arrived(b"this lay unread")
        assert await waiting == b"this lay unread"
        channel.lost("over")
        await channel.close()

    run(work)


def test_a_sender_waits_for_the_low_water_and_not_longer() -> None:
    async def work() -> None:
        channel, peer = fake(QUICK)
        for message in pieces(HIGH_WATER_BYTES):
            await channel.send(message)
        sending = asyncio.create_task(channel.send(bytes(MOST_MESSAGE_BYTES)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not sending.done()
        peer.queued = channel_module.LOW_WATER_BYTES
        channel.drained()
        await sending
        channel.lost("over")
        await channel.close()

    run(work)


def test_closing_does_not_wait_for_ever_where_nothing_gets_away() -> None:
    async def work() -> None:
        channel, peer = fake(replace(QUICK, linger_s=0.1))
        await channel.send(b"never arrives")
        await channel.close()
        assert peer.sent[-1] == "end"
        assert peer.closed == 1

    run(work)


def test_closing_goes_on_waiting_while_something_gets_away() -> None:
    async def work() -> None:
        channel, peer = fake(replace(QUICK, linger_s=0.1))
        await channel.send(bytes(1000))
        closing = asyncio.create_task(channel.close())
        for _ in range(4):
            await asyncio.sleep(0.08)
            peer.queued -= 100
            assert not closing.done()
        channel.arrived("ended")
        await closing
        assert peer.closed == 1

    run(work)
