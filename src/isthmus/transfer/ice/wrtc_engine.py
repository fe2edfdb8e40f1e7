"""The engine wrtc: Chrome's WebRTC (libwebrtc) bound to Python, tens of megabytes a second.

Its own threads move the bytes; it hands events to the event loop on which the handlers were set, so no handler
here runs on another thread.
"""

from __future__ import annotations

import asyncio
from typing import Literal

import webrtc

from isthmus.core.errors import Corrupt, InputError
from isthmus.transfer.ice.channel import LOW_WATER_BYTES
from isthmus.transfer.ice.port import LABEL, STREAM, Events
from isthmus.transfer.ice.settings import IceSettings


class WrtcPeer:
    """One end of a connection, by wrtc."""

    def __init__(self, settings: IceSettings, events: Events) -> None:
        self._settings = settings
        self._events = events
        if settings.loopback:
            _offer_loopback()
        try:
            self._connection = webrtc.RTCPeerConnection(_configuration(settings))
        except (webrtc.RTCException, SyntaxError, ValueError, TypeError) as error:
            raise InputError(f"a STUN or TURN server that wrtc cannot use: {error}", "see [ice]") from error
        self._gathered = asyncio.Event()
        self._connection.on("icegatheringstatechange", self._gathering)
        self._connection.on("connectionstatechange", self._changed)
        channel = self._connection.create_data_channel(
            LABEL, webrtc.RTCDataChannelInit(negotiated=True, id=STREAM)
        )
        channel.buffered_amount_low_threshold = LOW_WATER_BYTES
        channel.on("open", self._opened)
        channel.on("message", self._arrived)
        channel.on("bufferedamountlow", self._drained)
        channel.on("close", self._closed)
        self._wire = WrtcWire(channel)

    @property
    def wire(self) -> WrtcWire:
        """The data channel."""
        return self._wire

    async def offer(self) -> str:
        """Gather addresses and return the offer."""
        return await self._describe(await self._connection.create_offer())

    async def answer(self, offer: str) -> str:
        """Take an offer and return the answer."""
        await self._take("offer", offer)
        return await self._describe(await self._connection.create_answer())

    async def take(self, answer: str) -> None:
        """Take the answer."""
        await self._take("answer", answer)

    async def close(self) -> None:
        """Give everything back."""
        self._connection.close()

    async def _describe(self, description: webrtc.RTCSessionDescriptionInit) -> str:
        await self._connection.set_local_description(description)
        try:
            async with asyncio.timeout(self._settings.gather_s):
                await self._gathered.wait()
        except TimeoutError:
            pass  # a server that does not answer: go on with the addresses found so far
        gathered = self._connection.local_description
        return str(description.sdp if gathered is None else gathered.sdp)

    async def _take(self, kind: Literal["offer", "answer"], sdp: str) -> None:
        try:
            await self._connection.set_remote_description(webrtc.RTCSessionDescriptionInit(kind, sdp))
        except (webrtc.RTCException, ValueError, TypeError) as error:
            raise Corrupt(f"a session description that wrtc cannot take: {error}") from error

    def _opened(self, _: webrtc.Event) -> None:
        self._events.opened()

    def _arrived(self, event: webrtc.MessageEvent) -> None:
        message = event.data
        self._events.arrived(message if isinstance(message, (bytes, str)) else bytes(message))

    def _drained(self, _: webrtc.Event) -> None:
        self._events.drained()

    def _closed(self, _: webrtc.Event) -> None:
        self._events.lost("the connection was closed")

    def _gathering(self, _: webrtc.Event) -> None:
        if self._connection.ice_gathering_state == "complete":
            self._gathered.set()

    def _changed(self, _: webrtc.Event) -> None:
        state = self._connection.connection_state
        if state in ("failed", "closed"):
            self._events.lost("the connection was lost" if state == "failed" else "the connection was closed")


class WrtcWire:
    """A data channel of wrtc."""

    def __init__(self, channel: webrtc.RTCDataChannel) -> None:
        self._channel = channel

    def send(self, message: bytes | str) -> None:
        """Queue a message."""
        try:
            self._channel.send(message)
        except webrtc.RTCException as error:
            raise ConnectionError(f"the connection was closed: {error}") from error

    def waiting(self) -> int:
        """Return the bytes that are queued."""
        return int(self._channel.buffered_amount)


def _configuration(settings: IceSettings) -> webrtc.RTCConfiguration:
    servers = [webrtc.RTCIceServer(settings.stun)] if settings.stun else []
    if (credential := settings.turn_credential()) is not None:
        servers.append(
            webrtc.RTCIceServer(settings.turn, username=settings.turn_user, credential=credential.reveal())
        )
    policy: Literal["relay", "all"] = "relay" if settings.relay_only else "all"
    return webrtc.RTCConfiguration(ice_servers=servers, ice_transport_policy=policy)


_loopback_offered = False


def _offer_loopback() -> None:
    """Let the process offer its loopback; the engine takes this only before its first connection."""
    global _loopback_offered  # noqa: PLW0603  the engine's own switch is one a process
    if _loopback_offered:
        return
    try:
        webrtc.allow_loopback()
    except webrtc.InvalidStateError as error:
        what = "wrtc already runs in this process without the loopback's addresses"
        raise InputError(what, "set [ice] loopback alike for all connections of a process") from error
    _loopback_offered = True
