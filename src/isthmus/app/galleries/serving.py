"""The sync server, wired: devices' registry, sessions and status, for the faces to put a door before."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from isthmus.app.galleries.aside import Aside
from isthmus.app.galleries.config import GalleryConfig, SyncPart
from isthmus.app.galleries.follower import Follower, Say
from isthmus.app.galleries.outer import Outer
from isthmus.core.errors import IsthmusError
from isthmus.gallery.registry import Devices, DeviceState
from isthmus.gallery.store.files import REMEDY
from isthmus.gallery.sync.server import SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.transfer.channel import Channel
from isthmus.transfer.signing import PublicKey, SigningKey


def server_key(config: GalleryConfig) -> SigningKey:
    """Return the sync server's key; the first time it is made. Raises Refused where others may read it."""
    part: SyncPart = config.need("sync")
    path = config.place(part.key)
    if not path.exists():
        SigningKey.create().save(path)
    return SigningKey.load(path)


@dataclass
class Counts:
    """What sessions did since the server was started."""

    sessions: int = 0
    refused: int = 0
    content_bytes: int = 0
    items: int = 0
    removed: int = 0


class SyncService:
    """What the sync server's doors open to. Belongs to the thread of the server's event loop."""

    def __init__(self, config: GalleryConfig, say: Say) -> None:
        self.config, self.say = config, say
        self.part: SyncPart = config.need("sync")
        self.outer = Outer(config)
        self.key = server_key(config)
        self.follower = Follower(config, say)
        self._aside = Aside(config)
        self.counts = Counts()
        self.active: set[asyncio.Task[None]] = set()

    @property
    def devices(self) -> Devices:
        """The devices and the rules."""
        return self.outer.desk.devices

    @cached_property
    def server(self) -> SyncServer:
        """What serves sessions."""
        outer = self.outer
        return SyncServer(outer.set, outer.epochs, self.devices, outer.audit, outer.model_of)

    def check(self) -> None:
        """Prove that the site can be served. Raises InputError and its like for what the TOML has wrong.

        Whatever is written when a part is first used is written here: later the follower may hold the set's file.
        """
        if self.outer.gated:
            _ = self.outer.inbound
        _ = self.server, self.outer.extractor, self.outer.thresholds

    def known(self, device: str) -> PublicKey | None:
        """Return the key of a device that may connect."""
        return self.devices.known(device)

    def enrol(self, body: bytes) -> bytes:
        """Answer an enrolment. Raises Refused."""
        return self.devices.answer(body, self.key.public)

    async def session(self, device: str, key: PublicKey, channel: Channel) -> None:
        """Serve a device that was let in by its key, to the end of its session."""
        self.counts.sessions += 1
        served = await serve(self.server, channel, device, lambda: self.devices.require(device, key))
        for told in served.galleries.values():
            self.counts.content_bytes += told.content_bytes
            self.counts.items += told.items
            self.counts.removed += told.removed
        tiers = ", ".join(f"{name} {'+'.join(told.tiers)}" for name, told in served.galleries.items())
        self.say(f"device {device}: {tiers or 'nothing to do'}{'; ' + served.ended if served.ended else ''}")
        if any(told.withheld for told in served.galleries.values()):
            for damage in self.server.damages.standing():
                self.say(str(damage))

    def failure(self) -> str:
        """Say what keeps the site from following; empty where nothing does."""
        return self.follower.failure

    async def end_sessions(self) -> None:
        """End all sessions; devices go on from where they are when they connect again."""
        for task in list(self.active):
            task.cancel()
        await asyncio.gather(*self.active, return_exceptions=True)

    async def status(self) -> dict[str, Any]:
        """Tell everything as plain JSON values. Raises IsthmusError, OSError where the state cannot be read."""
        told = await self._aside.ask(lambda outer: _told(outer, self.part.lag_alarm))
        told["alarms"] += [
            {"kind": "DAMAGED", "stream": self.outer.part.stream, "what": str(one), "hint": REMEDY}
            for one in self.server.damages.standing()
        ]
        return {
            "site": self.config.site.name,
            **told,
            "sessions": {
                "active": len(self.active),
                "served": self.counts.sessions,
                "refused": self.counts.refused,
                "content_bytes": self.counts.content_bytes,
                "items": self.counts.items,
                "removed": self.counts.removed,
            },
            "failure": self.failure(),
        }

    async def healthy(self) -> tuple[bool, str]:
        """Tell whether the site can do its work, and what is wrong if not."""
        if failure := self.failure():
            return False, failure
        try:
            await self._aside.ask(lambda outer: _gate(outer, self.part.lag_alarm))
        except (IsthmusError, OSError) as error:
            return False, str(error)
        return True, ""

    async def close(self) -> None:
        """End all sessions and the following."""
        await self.end_sessions()
        await asyncio.to_thread(self.follower.stop)
        await asyncio.to_thread(self._aside.close)
        self.outer.close()


def _told(outer: Outer, lag_alarm: int) -> dict[str, Any]:
    """Tell what the site's files say."""
    gate, alarms = _gate(outer, lag_alarm)
    devices = outer.desk.devices.list()
    return {
        "gate": gate,
        "alarms": alarms,
        "galleries": [
            {
                "gallery": one.gallery,
                "records": one.records,
                "image_bytes": one.image_bytes,
                "refused": one.refused,
                "vectors": one.vectors,
                "changed": one.changed,
            }
            for one in outer.set.galleries()
        ],
        "devices": {state.value: sum(one.state is state for one in devices) for state in DeviceState},
    }


def _gate(outer: Outer, lag_alarm: int) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Tell where the stream stands and what alarms there are; no stream where the site has no gate."""
    if not outer.gated:
        return None, []
    inbound = outer.inbound.status()
    alarms = [alarm.to_json() for alarm in inbound.alarms]
    if inbound.lag > lag_alarm:
        what = f"{inbound.lag} changes behind the sender"
        alarms.append({"kind": "LAG", "stream": inbound.stream, "what": what, "hint": "see what is missing"})
    return inbound.to_json(), alarms
