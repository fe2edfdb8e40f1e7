"""Ways from end to end: through a network that loses, delays and reorders; through a relay; by a STUN server."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.transfer.ice import sdp
from isthmus.transfer.ice.attempt import Attempt
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.port import NotConnected
from isthmus.transfer.ice.settings import EngineName
from transfer.ice.channel_contract import pieces, run
from transfer.ice.connecting import QUICK, direct, needs
from transfer.ice.lossy import bad_path
from transfer.ice.turnserver import SECRET, Turn, turn_server

ENGINES: tuple[EngineName, ...] = ("aiortc", "wrtc")
PAIRS = [("aiortc", "aiortc"), ("wrtc", "wrtc"), ("aiortc", "wrtc")]


@pytest.fixture(scope="module")
def turn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Turn]:
    with turn_server(tmp_path_factory.mktemp("turn")) as running:
        yield running


async def carry(here: IceChannel, there: IceChannel, size: int) -> None:
    """Send content there and its digest back; both ends must have the same."""

    async def listen() -> None:
        came = hashlib.blake2b()
        left = size
        while left:
            came.update(message := await there.receive())
            left -= len(message)
        await there.send(came.digest())

    listening = asyncio.create_task(listen())
    sent = hashlib.blake2b()
    for message in pieces(size):
        sent.update(message)
        await here.send(message)
    assert await here.receive() == sent.digest()
    await listening


@pytest.mark.parametrize(("device", "server"), PAIRS)
def test_content_survives_a_network_that_loses_delays_and_reorders(device: EngineName, server: EngineName) -> None:
    async def work() -> None:
        with bad_path(lose=0.02, delay_s=0.001, spread_s=0.004) as path:
            async with direct(device, server, offered=path.rewritten, answered=path.rewritten) as (here, there):
                await carry(here, there, 300_000)
                assert path.lost > 5
                assert path.carried > 300

    run(work)


@pytest.mark.parametrize(("device", "server"), PAIRS)
def test_two_ends_that_see_each_other_through_a_relay_only_are_connected(
    turn: Turn, device: EngineName, server: EngineName
) -> None:
    seen: list[str] = []

    def note(description: str) -> str:
        seen.append(description)
        return description

    async def work() -> None:
        settings = turn.settings(QUICK)
        async with direct(device, server, settings, offered=note, answered=note) as (here, there):
            await carry(here, there, 300_000)

    run(work)
    assert [set(sdp.candidates(description)) for description in seen] == [{"relay"}, {"relay"}]


def test_content_survives_a_bad_network_before_the_relay(turn: Turn) -> None:
    async def work() -> None:
        with bad_path(lose=0.02, delay_s=0.001, spread_s=0.004) as path:
            settings = turn.settings(QUICK, path.to(turn.port))
            async with direct("aiortc", "aiortc", settings) as (here, there):
                await carry(here, there, 200_000)
                assert path.lost > 5

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stun_server_tells_the_outer_address(turn: Turn, engine: EngineName) -> None:
    """The path stands for a NAT: the server sees its outer port, which no interface of this machine has."""
    needs(engine)

    async def work() -> None:
        with bad_path(lose=0.0, delay_s=0.0, spread_s=0.0) as nat:
            settings = replace(QUICK, engine=engine, stun=f"stun:127.0.0.1:{nat.to(turn.port)}")
            attempt = Attempt(settings)
            counted = sdp.candidates(await attempt.offer())
            await attempt.channel.close()
            assert counted["srflx"] >= 1
            assert counted["host"] >= 1

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_credential_gives_no_relay_and_the_error_says_so(
    turn: Turn, engine: EngineName, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the credential")
    wrong.chmod(0o600)

    async def work() -> None:
        settings = replace(turn.settings(QUICK), turn_credential_file=str(wrong), gather_s=0.7, connect_s=1.2)
        with pytest.raises(NotConnected, match="gave no relay") as caught:
            async with direct(engine, engine, settings):
                pass
        assert "own addresses: none" in str(caught.value)

    run(work)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_credential_appears_in_no_log_no_description_and_no_repr(
    turn: Turn, engine: EngineName, caplog: pytest.LogCaptureFixture
) -> None:
    settings = turn.settings(QUICK)
    seen: list[str] = [repr(settings), repr(settings.turn_credential())]

    def note(description: str) -> str:
        seen.append(description)
        return description

    async def work() -> None:
        async with direct(engine, engine, settings, offered=note, answered=note) as (here, there):
            await carry(here, there, 1_000)

    with caplog.at_level(logging.DEBUG):
        run(work)
    assert SECRET not in caplog.text
    assert SECRET not in "".join(seen)
