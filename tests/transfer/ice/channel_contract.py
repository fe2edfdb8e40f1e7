"""What every channel promises: one suite, run on the channel in memory and on every pair of ICE engines."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

import pytest

from isthmus.transfer.channel import MOST_MESSAGE_BYTES, Channel, ChannelClosed

Ends = tuple[Channel, Channel]
WITHIN_S = 60
"""No test hangs: whatever it waits for has come by then."""


def run(work: Callable[[], Awaitable[None]]) -> None:
    """Run a test in a loop of its own; whatever was raised unseen, or is left running, fails it."""
    unseen: list[dict[str, object]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
        async with asyncio.timeout(WITHIN_S):
            await work()
        for _ in range(100):  # what was woken last may still have to end
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks left running: {left}"

    asyncio.run(watched())
    assert not unseen, unseen


def pieces(size: int, seed: int = 7) -> Iterator[bytes]:
    """Make `size` bytes of content, in the largest messages."""
    chance = random.Random(seed)
    while size > 0:
        yield chance.randbytes(min(size, MOST_MESSAGE_BYTES))
        size -= MOST_MESSAGE_BYTES


async def rest(channel: Channel) -> AsyncIterator[bytes]:
    """Receive until the channel is closed."""
    while True:
        try:
            yield await channel.receive()
        except ChannelClosed:
            return


class ChannelContract:
    """A test class that derives from this says how a pair is made, and how much a large transfer is."""

    LARGE_BYTES = 64_000_000

    def pair(self) -> AbstractAsyncContextManager[Ends]:
        raise NotImplementedError

    def test_messages_of_every_size_arrive_whole_and_in_order(self) -> None:
        chance = random.Random(1)
        edges = [0, 1, 2, 1_180, 1_200, 16_384, 16_385, MOST_MESSAGE_BYTES - 1, MOST_MESSAGE_BYTES, 0, 1]
        sent = [chance.randbytes(size) for size in edges + [chance.randrange(5_000) for _ in range(80)]]

        async def work() -> None:
            async with self.pair() as (here, there):
                for message in sent:
                    await here.send(message)
                assert [await there.receive() for _ in sent] == sent

        run(work)

    def test_both_directions_work_at_once(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):

                async def talk(end: Channel, seed: int) -> None:
                    for message in pieces(300_000, seed):
                        await end.send(message)

                async def listen(end: Channel, seed: int) -> None:
                    for message in pieces(300_000, seed):
                        assert await end.receive() == message

                await asyncio.gather(talk(here, 1), talk(there, 2), listen(here, 2), listen(there, 1))

        run(work)

    def test_a_large_transfer_is_the_same_byte_for_byte(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                sent, came = hashlib.blake2b(), hashlib.blake2b()

                async def talk() -> None:
                    for message in pieces(self.LARGE_BYTES):
                        sent.update(message)
                        await here.send(message)
                    await here.close()

                async def listen() -> None:
                    async for message in rest(there):
                        came.update(message)

                await asyncio.gather(talk(), listen())
                assert came.digest() == sent.digest()

        run(work)

    def test_a_message_that_is_too_large_is_refused_and_harms_nothing(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                with pytest.raises(ValueError, match="more than"):
                    await here.send(bytes(MOST_MESSAGE_BYTES + 1))
                await here.send(b"still there")
                assert await there.receive() == b"still there"

        run(work)

    def test_what_was_sent_before_the_close_arrives_before_the_end_is_told(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                sent = list(pieces(700_000))
                for message in sent:
                    await here.send(message)
                closing = asyncio.create_task(here.close())
                assert [message async for message in rest(there)] == sent
                await closing

        run(work)

    def test_the_end_is_told_again_and_again(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                await here.close()
                for _ in range(3):
                    with pytest.raises(ChannelClosed):
                        await there.receive()
                with pytest.raises(ChannelClosed):
                    await there.send(b"too late")

        run(work)

    def test_an_end_that_closed_neither_sends_nor_receives(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                await there.send(b"unread")
                await here.close()
                with pytest.raises(ChannelClosed):
                    await here.send(b"")
                with pytest.raises(ChannelClosed):
                    await here.receive()

        run(work)

    def test_closing_twice_and_on_both_sides_at_once_is_fine(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                await here.send(b"one")
                await there.send(b"other")
                await asyncio.gather(here.close(), there.close(), here.close())
                await there.close()

        run(work)

    def test_a_receiver_that_waits_learns_that_the_other_end_closed(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                waiting = asyncio.create_task(there.receive())
                await asyncio.sleep(0)
                await here.close()
                with pytest.raises(ChannelClosed):
                    await waiting

        run(work)

    def test_a_receive_that_is_given_up_loses_no_message(self) -> None:
        async def work() -> None:
            async with self.pair() as (here, there):
                given_up = asyncio.create_task(there.receive())
                await asyncio.sleep(0)
                given_up.cancel()
                await asyncio.gather(given_up, return_exceptions=True)
                await here.send(b"first")
                await here.send(b"second")
                assert [await there.receive(), await there.receive()] == [b"first", b"second"]

        run(work)
