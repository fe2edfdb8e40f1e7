"""What goes wrong with a channel: ends that die, stall, flood or speak nonsense, and ways that do not exist."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.core.errors import Corrupt
from isthmus.transfer.channel import HIGH_WATER_BYTES, MOST_MESSAGE_BYTES, ChannelClosed
from isthmus.transfer.ice import channel as channel_module
from isthmus.transfer.ice import sdp
from isthmus.transfer.ice.attempt import Attempt, attempt
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.port import NotConnected
from isthmus.transfer.ice.settings import EngineName, IceSettings
from transfer.ice.channel_contract import pieces, rest, run
from transfer.ice.connecting import QUICK, direct, needs

ENGINES: tuple[EngineName, ...] = ("aiortc", "wrtc")
WATCHFUL = replace(QUICK, silence_s=1.0, linger_s=0.5)


@asynccontextmanager
async def process(
    engine: EngineName, role: str, settings: IceSettings = WATCHFUL
) -> AsyncIterator[tuple[IceChannel, asyncio.subprocess.Process]]:
    """Lend a channel to another process, and the process."""
    needs(engine)
    script = Path(__file__).with_name("ice_process.py")
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(script), engine, role,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 20,
    )  # fmt: skip
    assert child.stdin is not None
    assert child.stdout is not None
    channel = None
    try:
        async with attempt(replace(settings, engine=engine)) as one:
            child.stdin.write(json.dumps(await one.offer()).encode() + b"\n")
            await one.take(json.loads(await child.stdout.readline()))
            channel = await one.opened()
        assert json.loads(await child.stdout.readline()) == "open"
        yield channel, child
    finally:
        if channel is not None:
            await channel.close()
        if child.returncode is None:
            child.kill()
        await child.wait()
        child._transport.close()  # type: ignore[attr-defined]  # else its pipes are closed after the loop is


@pytest.mark.parametrize("engine", ENGINES)
def test_an_end_that_dies_is_noticed(engine: EngineName) -> None:
    async def work() -> None:
        async with process(engine, "silent") as (channel, child):
            os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(ChannelClosed):
                await channel.receive()
            with pytest.raises(ChannelClosed):
                await channel.send(b"anybody there?")

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sender_that_waits_for_room_learns_that_the_other_end_stands_still(engine: EngineName) -> None:
    async def work() -> None:
        async with process(engine, "silent") as (channel, child):
            os.kill(child.pid, signal.SIGSTOP)
            with pytest.raises(ChannelClosed):
                for message in pieces(4 * HIGH_WATER_BYTES):
                    await channel.send(message)

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_came_before_the_death_can_still_be_read(engine: EngineName) -> None:
    async def work() -> None:
        async with process(engine, "talk") as (channel, child):
            assert await channel.receive() == bytes(MOST_MESSAGE_BYTES)
            os.kill(child.pid, signal.SIGKILL)
            async for message in rest(channel):
                assert message == bytes(MOST_MESSAGE_BYTES)

    run(work)


@pytest.mark.parametrize(("engine", "size"), [("wrtc", 64_000_000), ("aiortc", 1_000_000)])
def test_a_receiver_that_keeps_up_needs_little_memory(engine: EngineName, size: int) -> None:
    async def work() -> None:
        async with process(engine, "sink", QUICK) as (channel, child):
            sent = hashlib.blake2b()
            for message in pieces(size):
                sent.update(message)
                await channel.send(message)
            await channel.close()
            assert child.stdout is not None
            told = json.loads(await child.stdout.readline())
            assert (told["size"], told["digest"]) == (size, sent.hexdigest())
            assert told["grown_kib"] < 32 * 1024

    run(work)


@pytest.mark.parametrize(
    ("engine", "size"), [("wrtc", 2 * HIGH_WATER_BYTES), ("aiortc", HIGH_WATER_BYTES + 300_000)]
)
def test_no_more_than_the_high_water_ever_waits_to_be_sent(engine: EngineName, size: int) -> None:
    async def work() -> None:
        async with direct(engine, engine) as (here, there):
            most = 0

            async def talk() -> None:
                nonlocal most
                for message in pieces(size):
                    await here.send(message)
                    most = max(most, here._wire.waiting())

            talking = asyncio.create_task(talk())
            for message in pieces(size):
                assert await there.receive() == message
            await talking
            assert HIGH_WATER_BYTES - 2 * MOST_MESSAGE_BYTES < most <= HIGH_WATER_BYTES

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_end_that_sends_far_more_than_is_read_is_cut_off(engine: EngineName) -> None:
    async def work() -> None:
        async with direct(engine, engine, replace(QUICK, most_waiting_bytes=1 << 20)) as (here, there):
            with pytest.raises(ChannelClosed):
                for message in pieces(16 << 20):
                    await here.send(message)
            came = [message async for message in rest(there)]
            assert sum(len(message) for message in came) <= 1 << 20
            with pytest.raises(ChannelClosed, match="bytes ahead"):
                await there.receive()

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("nonsense", ["a word", bytes(MOST_MESSAGE_BYTES + 1)])
def test_an_end_that_speaks_nonsense_is_cut_off(engine: EngineName, nonsense: str | bytes) -> None:
    async def work() -> None:
        async with direct(engine, engine) as (here, there):
            here._wire.send(nonsense)
            with pytest.raises(ChannelClosed, match="the other end sent a"):
                await there.receive()
            with pytest.raises(ChannelClosed):
                await here.receive()

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_way_to_the_other_end_is_told_in_time_with_what_was_tried(engine: EngineName) -> None:
    def nowhere(description: str) -> str:
        return re.sub(r"(a=candidate:\S+ 1 (?:udp|tcp) \d+ \S+) \d+", r"\1 9", description)

    async def work() -> None:
        with pytest.raises(NotConnected) as caught:
            async with direct(engine, engine, replace(QUICK, connect_s=1.0), nowhere, nowhere):
                pass
        assert caught.value.retryable
        assert re.search(r"own addresses: \d+ host; the other end's: \d+ host", str(caught.value))
        assert "TURN" in caught.value.hint

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_certificate_with_another_fingerprint_than_described_opens_no_channel(engine: EngineName) -> None:
    """Somebody who answers in the other end's place, but has not its certificate, gets no byte through DTLS."""

    def other(description: str) -> str:
        return re.sub(
            r"(a=fingerprint:sha-\d+ )(\S\S)",
            lambda found: f"{found[1]}{int(found[2], 16) ^ 1:02X}",
            description,
        )

    async def work() -> None:
        with pytest.raises(NotConnected):
            async with direct(engine, engine, replace(QUICK, connect_s=2.0), answered=other):
                pass

    run(work)


BARE = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
BROKEN = [
    BARE + "a=setup:actpass\r\n",
    BARE + "a=setup:actpass\r\na=mid:0\r\na=candidate:nonsense\r\n",
    BARE + "a=setup:actpass\r\na=mid:0\r\na=sctp-port:many\r\n",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("description", BROKEN)
def test_a_description_that_an_engine_cannot_take_is_corrupt(engine: EngineName, description: str) -> None:
    needs(engine)
    whole = description + f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n"
    sdp.check(whole)

    async def work() -> None:
        with pytest.raises(Corrupt):
            async with attempt(replace(QUICK, engine=engine)) as one:
                await one.answer(whole)

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_many_connections_leave_no_thread_and_no_open_file(engine: EngineName) -> None:
    counts: list[tuple[int, int]] = []

    def tally() -> tuple[int, int]:
        threads = len(list(Path("/proc/self/task").iterdir()))
        return max(threads, threading.active_count()), len(list(Path("/proc/self/fd").iterdir()))

    def grew(before: tuple[int, int], now: tuple[int, int]) -> bool:
        return now[0] > before[0] or now[1] > before[1]

    async def work() -> None:
        for _ in range(8):
            async with direct(engine, engine) as (here, there):
                await here.send(b"hello")
                assert await there.receive() == b"hello"
            counts.append(tally())

    run(work)  # what an engine keeps for the life of a process is there after this
    gc.collect()  # and what earlier tests left is not
    before = tally()
    run(work)
    deadline = time.monotonic() + 60
    while grew(before, now := tally()) and time.monotonic() < deadline:
        time.sleep(0.05)
        gc.collect()
    assert not grew(before, now), f"{before} threads and files, then {now}"
    assert max(counts[8:])[0] <= max(counts[:8])[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_events_come_on_the_thread_of_the_loop(engine: EngineName, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    arrived = channel_module.IceChannel.arrived

    def noted(self: IceChannel, message: bytes | str) -> None:
        seen.add(threading.get_ident())
        arrived(self, message)

    monkeypatch.setattr(channel_module.IceChannel, "arrived", noted)

    async def work() -> None:
        async with direct(engine, engine) as (here, there):
            await here.send(b"hello")
            await there.receive()

    run(work)
    assert seen == {threading.get_ident()}


def test_an_attempt_that_is_given_up_leaves_nothing() -> None:
    async def work() -> None:
        for engine in ENGINES:
            needs(engine)
            one = Attempt(replace(QUICK, engine=engine))
            await one.offer()
            await one.channel.close()
            with pytest.raises(ChannelClosed):
                await one.channel.opening()

    run(work)


def test_a_connection_that_is_cancelled_on_the_way_is_given_back() -> None:
    peers: list[Attempt] = []

    async def work() -> None:
        async def connecting() -> None:
            async with attempt(QUICK) as one:
                peers.append(one)
                await one.offer()
                await one.opened()

        task = asyncio.create_task(connecting())
        while not peers:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work)
    assert peers[0].channel._gone
