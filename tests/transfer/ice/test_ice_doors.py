"""Signalling over TLS, and behind Starlette."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from isthmus.core.errors import Corrupt, InputError, IsthmusError, Refused
from isthmus.transfer.channel import ChannelClosed
from isthmus.transfer.ice.port import NotConnected
from isthmus.transfer.ice.settings import IceSettings
from isthmus.transfer.ice.signalling import accept, connect, of_starlette
from transfer.ice.calling import DEVICE, FAST, SERVER, Site, serving
from transfer.ice.channel_contract import run


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sync server")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return public, private


def test_a_server_over_tls_is_reached_with_its_authority_and_not_without(tmp_path: Path) -> None:
    public, private = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    site = Site()

    async def work() -> None:
        async with serving(site, ssl=context):
            url = site.url.replace("ws:", "wss:")
            with pytest.raises(NotConnected, match=r"(?i)certificate"):
                await connect(url, "gate-7", DEVICE, SERVER.public, FAST)
            trusting = replace(FAST, authorities=str(public))
            await (await connect(url, "gate-7", DEVICE, SERVER.public, trusting)).close()

    run(work)


def test_authorities_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        settings = replace(FAST, authorities=str(tmp_path / name))

        async def work(settings: IceSettings = settings) -> None:
            with pytest.raises(InputError, match="no certificates can be read"):
                await connect("wss://127.0.0.1:9/", "gate-7", DEVICE, SERVER.public, settings)

        run(work)


def test_the_server_answers_behind_starlette() -> None:
    pytest.importorskip("starlette")
    uvicorn = pytest.importorskip("uvicorn")
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    outcomes: list[object] = []

    async def ice(websocket: WebSocket) -> None:
        await websocket.accept()
        receive, send = of_starlette(websocket)
        try:
            name, channel = await accept(receive, send, Site().known.get, SERVER, FAST)
        except IsthmusError as error:
            outcomes.append(error)
            return
        outcomes.append(name)
        await channel.send(await channel.receive())
        await channel.close()

    async def work() -> None:
        app = Starlette(routes=[WebSocketRoute("/ice", ice)])
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
        server.install_signal_handlers = lambda: None
        running = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        url = f"ws://127.0.0.1:{port}/ice"
        channel = await connect(url, "gate-7", DEVICE, SERVER.public, FAST)
        await channel.send(b"echo")
        assert await channel.receive() == b"echo"
        await channel.close()
        with pytest.raises(Refused):
            await connect(url, "gate-9", DEVICE, SERVER.public, FAST)
        from websockets.asyncio.client import connect as plain

        async with plain(url) as websocket:
            await websocket.recv()
            await websocket.send(b"bytes")
            assert json.loads(await websocket.recv())["kind"] == "refusal"
        async with plain(url) as websocket:
            await websocket.recv()
        while len(outcomes) < 4:
            await asyncio.sleep(0.01)
        server.should_exit = True
        await running

    run(work)
    assert outcomes[0] == "gate-7"
    assert [type(outcome) for outcome in outcomes[1:]] == [Refused, Corrupt, ChannelClosed]
