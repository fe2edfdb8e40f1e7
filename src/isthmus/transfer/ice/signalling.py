"""Signalling: two ends exchange their session descriptions over a WebSocket and become sure of each other.

The device dials (`connect`), the server takes the call (`accept`); the messages and what they prove are in
`handshake`. Neither end lets an engine see a description before it has verified who signed it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from isthmus.core.errors import Corrupt, InputError, IsthmusError, MissingExtra, Refused
from isthmus.transfer.channel import ChannelClosed
from isthmus.transfer.ice import handshake
from isthmus.transfer.ice.attempt import attempt
from isthmus.transfer.ice.channel import IceChannel
from isthmus.transfer.ice.handshake import MOST_SIGNAL_BYTES, Known
from isthmus.transfer.ice.port import NotConnected
from isthmus.transfer.ice.settings import IceSettings, is_loopback
from isthmus.transfer.signing import PublicKey, SigningKey

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

Receive = Callable[[], Awaitable[str]]
"""Returns the next text message of a WebSocket. Raises ChannelClosed where it was closed, Corrupt for bytes."""

Send = Callable[[str], Awaitable[None]]
"""Sends a text message. Raises ChannelClosed where the WebSocket was closed."""


async def connect(url: str, device: str, key: SigningKey, server: PublicKey, settings: IceSettings) -> IceChannel:
    """Dial a server as `device` and return the open channel.

    `url` is that of the server's signalling: `wss://…`, or `ws://…` on the loopback. Raises Refused where the
    server refuses or is not the one with key `server`, NotConnected where there is no way, Corrupt for messages
    that cannot be read, InputError for a bad URL, MissingExtra.
    """
    async with attempt(settings) as one, _dialled(url, settings) as (receive, send):
        greeting = handshake.read(await receive(), handshake.Hello)
        offer = handshake.offer(greeting, device, await one.offer(), key, server)
        await send(handshake.write(offer))
        reply = handshake.read_reply(await receive())
        await one.take(handshake.check_answer(greeting, offer, key.public, reply, server))
        return await one.opened()


async def accept(
    receive: Receive, send: Send, known: Known, key: SigningKey, settings: IceSettings
) -> tuple[str, IceChannel]:
    """Take a device's call and return its name and the open channel.

    `known` decides who may connect. Raises Refused for a device that may not, after telling it so without the
    reason; Corrupt for messages that cannot be read; ChannelClosed where it hung up; NotConnected where there is
    no way.
    """
    async with attempt(settings) as one:
        greeting = handshake.hello()
        await send(handshake.write(greeting))
        try:
            offer = handshake.read(await receive(), handshake.Offer)
            device_key = handshake.check_offer(greeting, offer, known, key.public)
            description = await one.answer(offer.sdp)
        except (Refused, Corrupt) as error:
            with suppress(IsthmusError):  # the reason why is worth more than that it could not be told
                await send(handshake.write(_refusal(error)))
            raise
        await send(handshake.write(handshake.answer(greeting, offer, device_key, description, key)))
        return offer.device, await one.opened()


def of_starlette(websocket: WebSocket) -> tuple[Receive, Send]:
    """Return the two functions that `accept` needs, of a WebSocket that Starlette has accepted."""
    from starlette.websockets import WebSocketDisconnect

    async def receive() -> str:
        try:
            came = await websocket.receive()
        except RuntimeError as error:  # how it says that the WebSocket is closed already
            raise ChannelClosed("the device closed the signalling") from error
        if came["type"] == "websocket.disconnect":
            raise ChannelClosed("the device closed the signalling")
        if not isinstance(text := came.get("text"), str):
            raise Corrupt("a signalling message of bytes where text is expected")
        return text

    async def send(text: str) -> None:
        try:
            await websocket.send_text(text)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ChannelClosed("the device closed the signalling") from error

    return receive, send


def _refusal(error: Refused | Corrupt) -> handshake.Refusal:
    if isinstance(error, Refused):
        return handshake.Refusal("this device may not connect")  # not which of name, key and right is wrong
    return handshake.Refusal(error.what[:200])


@asynccontextmanager
async def _dialled(url: str, settings: IceSettings) -> AsyncIterator[tuple[Receive, Send]]:
    """Lend the two functions of a WebSocket to `url`; it is closed afterwards."""
    scheme = urlsplit(url).scheme
    if scheme not in ("ws", "wss"):
        raise InputError(f"{url!r} is no address of a signalling server", "it begins with wss://")
    if scheme == "ws" and not is_loopback(url):
        raise InputError(f"{url!r} is not encrypted", "take wss:// for every host but this one")
    try:
        from websockets.asyncio.client import connect as dial
        from websockets.exceptions import ConnectionClosed, WebSocketException
    except ImportError as error:
        raise MissingExtra.named("websockets", "ice") from error
    secure = _context(settings) if scheme == "wss" else None
    try:
        websocket = await dial(
            url,
            ssl=secure,
            proxy=None if is_loopback(url) else True,
            max_size=MOST_SIGNAL_BYTES,
            open_timeout=None,  # the attempt has its own
            close_timeout=1,
            compression=None,
        )
    except (OSError, WebSocketException) as error:
        what = f"the signalling server at {url} does not answer: {error}"
        raise NotConnected(what, "check the address and the network, then try again") from error

    async def receive() -> str:
        try:
            text = await websocket.recv()
        except ConnectionClosed as error:
            raise NotConnected("the signalling server closed the connection", "see its log") from error
        if not isinstance(text, str):
            raise Corrupt("a signalling message of bytes where text is expected")
        return text

    async def send(text: str) -> None:
        try:
            await websocket.send(text)
        except ConnectionClosed as error:
            raise NotConnected("the signalling server closed the connection", "see its log") from error

    try:
        yield receive, send
    finally:
        await websocket.close()


def _context(settings: IceSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.authorities or None)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"no certificates can be read from {settings.authorities}: {error}") from error
