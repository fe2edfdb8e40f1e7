"""Two ends that become sure of each other over a WebSocket, and everybody who must not get between them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from dataclasses import replace

import pytest

from isthmus.core.errors import Corrupt, InputError, IsthmusError, MissingExtra, Refused
from isthmus.transfer.channel import ChannelClosed
from isthmus.transfer.ice import engines
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.handshake import MOST_SIGNAL_BYTES
from isthmus.transfer.ice.port import NotConnected
from isthmus.transfer.ice.settings import EngineName
from isthmus.transfer.ice.signalling import connect
from isthmus.transfer.signing import SigningKey
from transfer.ice.calling import DEVICE, FAST, SERVER, STRANGER, Site, Tamper, serving
from transfer.ice.channel_contract import run
from transfer.ice.connecting import needs


def other_fingerprint(text: str) -> str:
    """Put another certificate's fingerprint into the description within a message."""
    return re.sub(r"(sha-\d+ )([0-9A-F]{2})", lambda found: f"{found[1]}{int(found[2], 16) ^ 1:02X}", text)


async def dial(site: Site, key: SigningKey = DEVICE, server: SigningKey = SERVER) -> IceChannel:
    return await connect(site.url, "gate-7", key, server.public, FAST)


def refused_on_both_sides(site: Site, key: SigningKey = DEVICE) -> str:
    """Prove that the server refuses and tells the device only that it does; return the server's reason."""

    async def work() -> None:
        async with serving(site):
            with pytest.raises(Refused, match="the server refused the connection: this device may not connect"):
                await dial(site, key)

    run(work)
    (outcome,) = site.outcomes
    assert isinstance(outcome, Refused)
    return str(outcome)


@pytest.mark.parametrize("device", ["aiortc", "wrtc"])
@pytest.mark.parametrize("server", ["aiortc", "wrtc"])
def test_a_device_that_is_known_gets_a_channel_to_the_server(device: EngineName, server: EngineName) -> None:
    needs(device)
    needs(server)
    site = Site(settings=replace(FAST, engine=server))

    async def work() -> None:
        async with serving(site):
            there = await connect(site.url, "gate-7", DEVICE, SERVER.public, replace(FAST, engine=device))
            await there.send(b"hello")
            while not site.outcomes:
                await asyncio.sleep(0)
            name, here = site.outcomes[0]  # type: ignore[misc]
            assert name == "gate-7"
            assert await here.receive() == b"hello"
            await here.send(b"hello to you")
            assert await there.receive() == b"hello to you"
            await there.close()

    run(work)


def test_a_device_that_is_unknown_is_refused() -> None:
    assert "unknown or revoked" in refused_on_both_sides(Site(known={}))


def test_a_device_whose_key_was_replaced_is_refused() -> None:
    assert "not signed by device 'gate-7'" in refused_on_both_sides(Site(known={"gate-7": STRANGER.public}))


def test_a_device_that_is_revoked_after_it_connected_once_is_refused() -> None:
    site = Site()

    async def work() -> None:
        async with serving(site):
            await (await dial(site)).close()
            site.known.clear()
            with pytest.raises(Refused):
                await dial(site)

    run(work)
    assert isinstance(site.outcomes[1], Refused)


def test_an_offer_whose_fingerprint_was_swapped_on_the_way_is_refused() -> None:
    assert "not signed by device" in refused_on_both_sides(Site(on_offer=other_fingerprint))


def test_an_offer_whose_candidates_were_swapped_on_the_way_is_refused() -> None:
    swap: Tamper = lambda text: re.sub(r" (\d+) typ host", " 9 typ host", text)  # noqa: E731
    assert "not signed by device" in refused_on_both_sides(Site(on_offer=swap))


def test_a_hello_whose_nonce_was_swapped_on_the_way_makes_the_offer_worthless() -> None:
    swap: Tamper = lambda text: json.dumps(json.loads(text) | {"nonce": "A" * 43 + "="})  # noqa: E731
    assert "not signed by device" in refused_on_both_sides(Site(on_hello=swap))


def test_an_offer_that_was_recorded_and_is_replayed_is_refused() -> None:
    recorded = Site()

    async def record() -> None:
        async with serving(recorded):
            await (await dial(recorded)).close()

    run(record)
    assert "not signed by device" in refused_on_both_sides(Site(on_offer=lambda _: recorded.heard[0]))


def test_a_stranger_with_a_key_of_its_own_is_refused() -> None:
    assert "not signed by device" in refused_on_both_sides(Site(), key=STRANGER)


def test_an_answer_whose_fingerprint_was_swapped_on_the_way_is_refused_by_the_device() -> None:
    site = Site(on_answer=other_fingerprint, settings=replace(FAST, connect_s=1.0))

    async def work() -> None:
        async with serving(site):
            with pytest.raises(Refused, match="somebody stands between"):
                await dial(site)

    run(work)


def test_an_answer_that_was_recorded_and_is_replayed_is_refused_by_the_device() -> None:
    recorded = Site()

    async def record() -> None:
        async with serving(recorded):
            await (await dial(recorded)).close()

    run(record)
    site = Site(on_answer=lambda _: recorded.said[1], settings=replace(FAST, connect_s=1.0))

    async def work() -> None:
        async with serving(site):
            with pytest.raises(Refused, match="somebody stands between"):
                await dial(site)

    run(work)


def test_a_server_with_another_key_than_the_device_knows_gets_nothing() -> None:
    """It cannot even use the offer: that is signed for the server with the known key."""
    site = Site(key=STRANGER)

    async def work() -> None:
        async with serving(site):
            with pytest.raises(Refused):
                await dial(site)

    run(work)
    assert isinstance(site.outcomes[0], Refused)


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 60_000, '{"kind":"offer"}', "x" * (MOST_SIGNAL_BYTES + 1)], ids=range(5)
)
def test_a_malformed_message_ends_the_call_and_starts_no_engine(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()
    monkeypatch.setattr("isthmus.transfer.ice.attempt.maker", lambda _: pytest.fail)

    async def work() -> None:
        from websockets.asyncio.client import connect as plain

        async with serving(site), plain(site.url) as websocket:
            assert json.loads(await websocket.recv())["kind"] == "hello"
            await websocket.send(text)
            assert json.loads(await websocket.recv())["kind"] == "refusal"
        assert isinstance(site.outcomes[0], Corrupt)

    run(work)


@pytest.mark.parametrize("text", ["", "[]", '{"kind":"hello"}', '{"kind":"answer"}', "x" * 70_000], ids=range(5))
def test_a_server_that_speaks_nonsense_is_left(text: str) -> None:
    async def speak(websocket) -> None:  # type: ignore[no-untyped-def]
        await websocket.send(text)

    async def work() -> None:
        websockets = pytest.importorskip("websockets.asyncio.server")
        async with websockets.serve(speak, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            with pytest.raises((Corrupt, NotConnected)):
                await connect(url, "gate-7", DEVICE, SERVER.public, FAST)

    run(work)


def test_a_device_that_connects_and_says_nothing_is_left_in_time() -> None:
    site = Site(settings=replace(FAST, connect_s=0.3))

    async def work() -> None:
        from websockets.asyncio.client import connect as plain

        async with serving(site), plain(site.url) as websocket:
            with pytest.raises(Exception, match="1000"):
                while True:
                    await websocket.recv()
        (outcome,) = site.outcomes
        assert isinstance(outcome, NotConnected)
        assert "said nothing" in str(outcome)

    run(work)


def test_a_device_that_hangs_up_is_left_at_once() -> None:
    site = Site()

    async def work() -> None:
        from websockets.asyncio.client import connect as plain

        async with serving(site):
            async with plain(site.url) as websocket:
                await websocket.recv()
            while not site.outcomes:
                await asyncio.sleep(0)
        assert isinstance(site.outcomes[0], ChannelClosed)

    run(work)


def test_a_server_that_says_nothing_is_left_in_time() -> None:
    async def mute(websocket) -> None:  # type: ignore[no-untyped-def]
        await websocket.wait_closed()

    async def work() -> None:
        websockets = pytest.importorskip("websockets.asyncio.server")
        async with websockets.serve(mute, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            with pytest.raises(NotConnected, match="said nothing"):
                await connect(url, "gate-7", DEVICE, SERVER.public, replace(FAST, connect_s=0.3))

    run(work)


@pytest.mark.parametrize(
    ("url", "kind", "why"),
    [
        ("http://127.0.0.1/", InputError, "no address of a signalling server"),
        ("ws://sync.example.org/ice", InputError, "not encrypted"),
        ("ws://127.0.0.1:9/ice", NotConnected, "does not answer"),
        ("wss://127.0.0.1:9/ice", NotConnected, "does not answer"),
    ],
)
def test_a_wrong_address_is_told(url: str, kind: type[IsthmusError], why: str) -> None:
    async def work() -> None:
        with pytest.raises(kind, match=why):
            await connect(url, "gate-7", DEVICE, SERVER.public, FAST)

    run(work)


def test_the_fast_engine_is_taken_where_it_is_installed_and_a_missing_one_names_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there: set[str] = set()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in there else None)
    with pytest.raises(MissingExtra, match=r"isthmus\[ice\]"):
        engines.chosen("auto")
    with pytest.raises(MissingExtra, match=r"isthmus\[ice\]"):
        engines.chosen("aiortc")
    with pytest.raises(MissingExtra, match=r"isthmus\[ice-fast\]"):
        engines.chosen("wrtc")
    there.add("aiortc")
    assert engines.chosen("auto") == "aiortc"
    there.add("webrtc")
    assert engines.chosen("auto") == "wrtc"
    assert engines.chosen("aiortc") == "aiortc"
