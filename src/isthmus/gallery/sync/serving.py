"""Serves one authenticated device over one channel, whatever it sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from isthmus.core.errors import IsthmusError, Refused
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.messages import Refusal
from isthmus.gallery.sync.server import Served, SyncServer
from isthmus.gallery.sync.session import Session
from isthmus.transfer.channel import Channel, ChannelClosed


async def serve(
    server: SyncServer, channel: Channel, device: str, still: Callable[[], None] = lambda: None
) -> Served:
    """Serve a device until it says goodbye. What a device does never raises: it ends the session.

    `still` raises Refused where the device that was let in is not known any more; the policy knows names only, and
    another device may be enrolled under this one's by now. It is asked before every answer.

    Many sessions may be served at once on the server's event loop. Raises OSError where this site's disk refuses;
    the channel is closed then, too.
    """
    served = Served(device)
    session = Session(server, channel, served, still)
    try:
        await session.run()
    except ChannelClosed:
        served.ended = "the channel closed"
    except TimeoutError:
        served.ended = f"silent for {server.settings.idle_s:g} s"
    except IsthmusError as error:
        served.ended = str(error)
        server.audit.note(device, "refused", subject=device, detail=str(error)[:500])
        await _refuse(channel, error)
    finally:
        try:
            session.audit_unfinished()
        finally:
            await channel.close()  # also where the disk is full: a device does not wait for one that gave up
    return served


async def _refuse(channel: Channel, error: IsthmusError) -> None:
    reason = error.what if isinstance(error, Refused) and not error.hint else str(error)
    try:
        async with asyncio.timeout(5):
            await channel.send(messages.encode(Refusal(reason[:1000])))
    except (ChannelClosed, TimeoutError):
        return  # it has gone already; the audit log has the reason
