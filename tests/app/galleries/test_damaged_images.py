"""One image file that is damaged at the outer site: told by its name wherever it matters, in nobody else's way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from desk_process import GALLERY, enrolled, opened, synced
from gallery_doubles import scene
from gallery_making import alter, text_of
from gallery_sites import OUTER, SYNC, write
from isthmus.app.galleries.serving import SyncService
from isthmus.core.digest import new_key
from isthmus.core.errors import Corrupt
from isthmus.faces.http import metrics
from isthmus.gallery.sync.mode import Mode
from isthmus.transfer.signing import SigningKey
from isthmus.transfer.standing import Event


@pytest.fixture
def service(tmp_path: Path) -> SyncService:
    (tmp_path / "gate-outer").mkdir()
    text = OUTER.format(extractor="phash", trust=SigningKey.create().public) + SYNC.format(port=0)
    service = opened(write(tmp_path / "outer", text))
    with service.outer.set.changing() as change:
        change.begin_stream(new_key())
        for number in range(3):
            change.put(GALLERY, {"_id": number, "url": text_of(scene(number))})
    service.devices.grant([], ["*"], Mode.BOTH, by="ann")
    return service


def alarms(service: SyncService) -> list[tuple[str, str, str]]:
    async def told() -> list[tuple[str, str, str]]:
        status = await service.status()
        text = metrics.exposition(status)
        assert ('isthmus_alarms{stream="galleries",kind="DAMAGED"} 1\n' in text) == bool(status["alarms"])
        return [(one["kind"], one["what"], one["hint"]) for one in status["alarms"]]

    return asyncio.run(told())


@pytest.mark.parametrize("gone", [False, True], ids=["altered", "gone"])
def test_a_damaged_image_is_named_by_the_server_until_the_inner_site_sends_it_again(
    service: SyncService, tmp_path: Path, gone: bool
) -> None:
    service.outer.make_vectors()
    said: list[str] = []
    service.say = said.append
    record = next(service.outer.set.records(GALLERY))
    alter(service.outer.set, record.image.digest, None if gone else scene(99))
    place = str(service.outer.set.image(record.image.digest))
    assert not alarms(service), "it was not looked at yet"
    with enrolled(service, tmp_path / "device", service.devices.invite("b12", [], by="ann")) as device:
        with pytest.raises(Corrupt, match=record.image.digest.hex()[:16]):
            synced(service, device, "b12")
        assert [one.records for one in device.list()] == [2]
        ((kind, what, hint),) = alarms(service)
        assert kind == "DAMAGED" and place in what and what in said and "replace it by itself" in hint
        assert asyncio.run(service.healthy()) == (True, ""), "it can do its work for everybody else"

        with service.outer.set.changing() as change:
            change.put(GALLERY, {"_id": 0, "url": text_of(scene(0))})
        assert service.outer.set.files.read(record.image.digest) == scene(0) and not alarms(service)
        synced(service, device, "b12")
        assert [(one.records, one.verified) for one in device.list()] == [(3, True)]


def test_a_damaged_image_whose_record_is_removed_is_no_alarm_any_more(
    service: SyncService, tmp_path: Path
) -> None:
    record = next(service.outer.set.records(GALLERY))
    alter(service.outer.set, record.image.digest, b"")
    with enrolled(service, tmp_path / "device", service.devices.invite("b12", [], by="ann")) as device:
        with pytest.raises(Corrupt, match="1 records"):
            synced(service, device, "b12")
        assert alarms(service)
        with service.outer.set.changing() as change:
            change.delete(GALLERY, 0)
        assert not alarms(service)
        assert synced(service, device, "b12").galleries[0].verified


def test_receiving_that_watches_tells_a_damaged_image_once_and_goes_on(service: SyncService) -> None:
    outer, waited = service.outer, []
    digest = next(outer.set.records(GALLERY)).image.digest
    whole, name = outer.set.files.read(digest), digest.hex()[:16]

    class Interrupted(BaseException):
        pass

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            alter(outer.set, digest, whole)
        if len(waited) == 5:
            raise Interrupted

    alter(outer.set, digest, b"")
    with pytest.raises(Corrupt, match=name):
        list(outer.receiving(watch=False))
    told: list[Event] = []
    with pytest.raises(Interrupted):
        told.extend(outer.receiving(watch=True, wait=wait))
    assert [event.kind for event in told] == ["alarm", "cleared"] and name in told[0].detail
    assert outer.extractor is not None
    assert not outer.set.without_vector(outer.extractor.model.name, 1)
