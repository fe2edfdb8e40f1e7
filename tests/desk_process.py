"""An outer site that serves one device in this process; as a script, one that dies while it moves over or sends.

python desk_process.py move SITE STEP
python desk_process.py serve SITE DEVICE_FOLDER
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gallery_doubles import scene
from isthmus.app.clock import SystemClock
from isthmus.app.galleries.config import read_gallery_config
from isthmus.app.galleries.desk import FILE, Desk
from isthmus.app.galleries.outer import Outer
from isthmus.app.galleries.serving import SyncService
from isthmus.gallery.device.site import DeviceSite
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.registry import Device, Devices, Rule
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.epochs import Epoch
from isthmus.gallery.sync.messages import Piece
from isthmus.gallery.sync.mode import Mode
from isthmus.gallery.sync.pull import SyncReport
from isthmus.gallery.sync.server import SyncServer
from isthmus.gallery.sync.serving import serve
from isthmus.state.audit import Audit, AuditEntry
from isthmus.transfer.channel import Channel, MemoryChannel, memory_pair

GALLERY = "galleries.staff"


def opened(site: Path) -> SyncService:
    """Open the site as its server does, before it listens."""
    service = SyncService(read_gallery_config(site / "isthmus.toml"), lambda text: None)
    service.check()
    return service


@contextlib.contextmanager
def enrolled(service: SyncService, folder: Path, token: str = "") -> Iterator[DeviceSite]:
    """Lend a device, enrolled with a token where one is given."""
    with DeviceSite(folder, SystemClock()) as device:
        if token:
            device.take_enrolment(service.enrol(device.enrolment_request(token)), "http://127.0.0.1")
        yield device


def synced(
    service: SyncService,
    device: DeviceSite,
    name: str,
    between: Callable[[MemoryChannel], Channel] = lambda channel: channel,
) -> SyncReport:
    """Synchronise in memory, on one event loop."""

    async def both() -> SyncReport:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(service.session(name, device.key.public, between(theirs)))
        try:
            return await device.sync(ours)
        finally:
            await ours.close()
            await serving

    return asyncio.run(both())


@dataclass(frozen=True)
class Old:
    """What a site knew while it had one file."""

    devices: Sequence[Device]
    rules: Sequence[Rule]
    epoch: Epoch
    entries: list[AuditEntry]


def old_site(site: Path, folder: Path) -> Old:
    """Make a site as the release before wrote it, with a device that synchronised."""
    outer = Outer(read_gallery_config(site / "isthmus.toml"))
    store, clock = outer.store, outer.clock
    audit = Audit(store, clock)
    devices = Devices(store, clock, audit)
    with store.transaction() as connection:
        connection.execute(
            "CREATE TABLE sync_epoch (gallery TEXT PRIMARY KEY, id BLOB NOT NULL, key BLOB NOT NULL)"
        )
        connection.execute("INSERT INTO migration VALUES ('sync_epoch', 1)")
        epoch = Epoch(os.urandom(8), os.urandom(32))
        connection.execute("INSERT INTO sync_epoch VALUES (?, ?, ?)", (GALLERY, epoch.id, epoch.key))
    for number in range(3):
        InnerSite(outer.set, clock, "ann").add(GALLERY, f"p{number}", scene(number))  # type: ignore[arg-type]
    devices.grant([], ["*"], Mode.IMAGES, by="ann")
    devices.grant(["airport"], ["galleries.*"], Mode.BOTH, by="ann")
    devices.withdraw(2, by="ann")
    devices.invite("b13", ["airport"], by="ann")
    with DeviceSite(folder, SystemClock()) as device:
        devices.enrol(devices.invite("b12", ["gate"], by="ann"), device.key.public)
        server = SyncServer(outer.set, _Kept(epoch), devices, audit)  # type: ignore[arg-type]
        asyncio.run(_both(server, device))
    known = Old(devices.list(), devices.rules(), epoch, audit.entries())
    outer.close()
    return known


class _Kept:
    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch

    def of(self, gallery: str) -> Epoch:
        return self._epoch


async def _both(server: SyncServer, device: DeviceSite) -> None:
    ours, theirs = memory_pair()
    serving = asyncio.create_task(serve(server, theirs, "b12"))
    await device.sync(ours)
    await ours.close()
    await serving


class _Fatal:
    """The server's end of a channel: the process dies when the first piece of a content is to leave."""

    def __init__(self, inner: MemoryChannel) -> None:
        self._inner = inner
        self.receive, self.close = inner.receive, inner.close

    async def send(self, message: bytes) -> None:
        if isinstance(messages.of_server(message), Piece):
            os.kill(os.getpid(), signal.SIGKILL)
        await self._inner.send(message)


def main(role: str, site: Path, word: str) -> None:
    def step(name: str) -> None:
        if name == word:
            os.kill(os.getpid(), signal.SIGKILL)

    if role == "move":
        outer = Outer(read_gallery_config(site / "isthmus.toml"))
        Desk(outer.config.state_folder / FILE, outer.clock, outer.store, lambda: outer.identity, step)
    else:
        service = opened(site)
        with enrolled(service, Path(word)) as device:
            synced(service, device, "b12", _Fatal)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
