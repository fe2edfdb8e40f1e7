"""A signalling server for tests, which remembers what became of each call."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from isthmus.core.errors import Corrupt, IsthmusError
from isthmus.transfer.channel import ChannelClosed
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.settings import IceSettings
from isthmus.transfer.ice.signalling import accept
from isthmus.transfer.signing import PublicKey, SigningKey
from transfer.ice.connecting import QUICK

DEVICE, SERVER, STRANGER = SigningKey.create(), SigningKey.create(), SigningKey.create()
FAST = replace(QUICK, connect_s=10.0, engine="aiortc")

Tamper = Callable[[str], str]


@dataclass
class Site:
    """A signalling server: who may connect, what became of each call, who tampers with what it says and hears."""

    known: dict[str, PublicKey] = field(default_factory=lambda: {"gate-7": DEVICE.public})
    key: SigningKey = SERVER
    settings: IceSettings = FAST
    on_offer: Tamper = str
    on_answer: Tamper = str
    on_hello: Tamper = str
    outcomes: list[tuple[str, IceChannel] | IsthmusError] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ice"

    async def call(self, websocket) -> None:  # type: ignore[no-untyped-def]
        from websockets.exceptions import ConnectionClosed

        async def receive() -> str:
            try:
                text = await websocket.recv()
            except ConnectionClosed as error:
                raise ChannelClosed("closed") from error
            if isinstance(text, bytes):
                raise Corrupt("a signalling message of bytes where text is expected")
            self.heard.append(text)
            return self.on_offer(text)

        async def send(text: str) -> None:
            self.said.append(text)
            changed = {"hello": self.on_hello, "answer": self.on_answer}.get(json.loads(text)["kind"], str)(text)
            try:
                await websocket.send(changed)
            except ConnectionClosed as error:
                raise ChannelClosed("closed") from error

        try:
            self.outcomes.append(await accept(receive, send, self.known.get, self.key, self.settings))
        except IsthmusError as error:
            self.outcomes.append(error)


@asynccontextmanager
async def serving(site: Site, **options: object) -> AsyncIterator[Site]:
    websockets = pytest.importorskip("websockets.asyncio.server")
    async with websockets.serve(site.call, "127.0.0.1", 0, **options) as server:
        site.port = server.sockets[0].getsockname()[1]
        yield site
        for outcome in site.outcomes:
            if isinstance(outcome, tuple):
                await outcome[1].close()
