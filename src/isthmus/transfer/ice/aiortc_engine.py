"""The engine aiortc: WebRTC in Python, well kept, some megabytes a second.

Two things that its surface does not offer are set at the aioice connection beneath: the longest wait for STUN and
TURN servers, and addresses of the loopback.
"""

from __future__ import annotations

from typing import Any

import aiortc
from aiortc.exceptions import InternalError, InvalidAccessError, InvalidStateError, OperationError

from isthmus.core.errors import Corrupt, InputError
from isthmus.transfer.ice.channel import LOW_WATER_BYTES
from isthmus.transfer.ice.port import LABEL, STREAM, Events
from isthmus.transfer.ice.settings import IceSettings

_UNREADABLE = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    InternalError,
    InvalidAccessError,
    InvalidStateError,
    OperationError,
)  # what its parser raises for descriptions that it cannot read


class AiortcPeer:
    """One end of a connection, by aiortc."""

    def __init__(self, settings: IceSettings, events: Events) -> None:
        self._settings = settings
        self._events = events
        self._connection = aiortc.RTCPeerConnection(_configuration(settings))
        channel = self._connection.createDataChannel(LABEL, negotiated=True, id=STREAM)
        channel.bufferedAmountLowThreshold = LOW_WATER_BYTES
        channel.on("open", events.opened)
        channel.on("message", events.arrived)
        channel.on("bufferedamountlow", events.drained)
        channel.on("close", lambda: events.lost("the connection was closed"))
        self._connection.on("connectionstatechange", self._changed)
        self._wire = AiortcWire(channel)
        _shape(self._connection.sctp.transport.transport.iceGatherer._connection, settings)

    @property
    def wire(self) -> AiortcWire:
        """The data channel."""
        return self._wire

    async def offer(self) -> str:
        """Gather addresses and return the offer."""
        await self._describe()
        return str(self._connection.localDescription.sdp)

    async def answer(self, offer: str) -> str:
        """Take an offer and return the answer."""
        await self._take("offer", offer)
        await self._describe()
        return str(self._connection.localDescription.sdp)

    async def take(self, answer: str) -> None:
        """Take the answer."""
        await self._take("answer", answer)

    async def close(self) -> None:
        """Give everything back."""
        await self._connection.close()

    async def _describe(self) -> None:
        try:
            await self._connection.setLocalDescription()
        except OSError as error:
            raise InputError(f"no addresses could be gathered: {error}", "check [ice] stun and turn") from error

    async def _take(self, kind: str, sdp: str) -> None:
        try:
            await self._connection.setRemoteDescription(aiortc.RTCSessionDescription(sdp=sdp, type=kind))
        except _UNREADABLE as error:
            raise Corrupt(f"a session description that aiortc cannot take: {error}") from error

    def _changed(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            self._events.lost("the connection was lost" if state == "failed" else "the connection was closed")


class AiortcWire:
    """A data channel of aiortc."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def send(self, message: bytes | str) -> None:
        """Queue a message."""
        try:
            self._channel.send(message)
        except InvalidStateError as error:
            raise ConnectionError("the connection was closed") from error

    def waiting(self) -> int:
        """Return the bytes that are queued."""
        return int(self._channel.bufferedAmount)


def _configuration(settings: IceSettings) -> Any:
    servers = [aiortc.RTCIceServer(settings.stun)] if settings.stun else []
    if (credential := settings.turn_credential()) is not None:
        servers.append(
            aiortc.RTCIceServer(settings.turn, username=settings.turn_user, credential=credential.reveal())
        )
    policy = aiortc.RTCIceTransportPolicy.RELAY if settings.relay_only else aiortc.RTCIceTransportPolicy.ALL
    return aiortc.RTCConfiguration(iceServers=servers, iceTransportPolicy=policy)


def _shape(connection: Any, settings: IceSettings) -> None:
    gather = connection.get_component_candidates

    async def shaped(component: int, addresses: list[str], timeout: float = 0) -> Any:
        if settings.loopback and not settings.relay_only:
            addresses = [*addresses, "127.0.0.1"]
        return await gather(component=component, addresses=addresses, timeout=settings.gather_s)

    connection.get_component_candidates = shaped
