"""A session is one device's, not one name's: it ends where its device was revoked, whoever has the name by now."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from desk_process import GALLERY, opened
from gallery_doubles import scene
from gallery_making import text_of
from gallery_sites import OUTER, SYNC, write
from isthmus.app.galleries.serving import SyncService
from isthmus.core.digest import new_key
from isthmus.core.errors import Refused
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.messages import FORMAT, End, Hello, Items, Pull, Refusal, Want, Welcome
from isthmus.gallery.sync.mode import Mode
from isthmus.transfer.channel import ChannelClosed, MemoryChannel, memory_pair
from isthmus.transfer.signing import SigningKey


@pytest.fixture
def service(tmp_path: Path) -> SyncService:
    (tmp_path / "gate-outer").mkdir()
    text = OUTER.format(extractor="phash", trust=SigningKey.create().public) + SYNC.format(port=0)
    service = opened(write(tmp_path / "outer", text))
    with service.outer.set.changing() as change:
        change.begin_stream(new_key())
        change.put(GALLERY, {"_id": 1, "url": text_of(scene(1))})
    service.devices.grant([], ["*"], Mode.IMAGES, by="ann")
    return service


async def heard(channel: MemoryChannel) -> messages.FromServer:
    return messages.of_server(await channel.receive())


def test_a_session_ends_where_its_device_was_revoked_and_another_was_enrolled_under_its_name(
    service: SyncService,
) -> None:
    devices = service.devices
    stolen, new = SigningKey.create().public, SigningKey.create().public
    devices.enrol(devices.invite("b12", [], by="ann"), stolen)

    async def story() -> None:
        ours, theirs = memory_pair()
        serving = asyncio.create_task(service.session("b12", stolen, theirs))
        await ours.send(messages.encode(Hello(FORMAT, [])))
        welcome, page, end = [await heard(ours) for _ in range(3)]
        assert isinstance(welcome, Welcome) and isinstance(page, Items) and isinstance(end, End)
        image = page.items[0].image
        assert image is not None

        devices.revoke("b12", by="ann")
        devices.enrol(devices.invite("b12", [], by="ann"), new)
        await ours.send(messages.encode(Pull([Want(image.digest, 0, image.size)])))
        answer = await heard(ours)
        assert isinstance(answer, Refusal) and "revoked" in answer.reason
        with pytest.raises(ChannelClosed):
            await heard(ours)
        await serving

    asyncio.run(story())
    assert devices.known("b12") == new, "the new device of that name is not touched"
    with pytest.raises(Refused):
        devices.require("b12", stolen)
