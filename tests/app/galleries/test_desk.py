"""What the sync server writes lies beside the set: no session waits for the gate, and old sites are moved over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import desk_process
from desk_process import GALLERY, enrolled, old_site, opened, synced
from gallery_doubles import scene
from gallery_sites import OUTER, SYNC, write
from isthmus.app.galleries.desk import FILE
from isthmus.app.galleries.outer import Outer, any_audit
from isthmus.app.galleries.serving import SyncService
from isthmus.core.errors import InputError
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.registry import Devices
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.state.audit import Audit
from isthmus.state.store import Store
from isthmus.transfer.signing import SigningKey

SCRIPT = Path(desk_process.__file__)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "gate-outer").mkdir()
    text = OUTER.format(extractor="phash", trust=SigningKey.create().public) + SYNC.format(port=0)
    return write(tmp_path / "outer", text)


def filled(site: Path, records: int = 3) -> SyncService:
    service = opened(site)
    for number in range(records):
        inner = InnerSite(service.outer.set, service.outer.clock, "ann")  # type: ignore[arg-type]
        inner.add(GALLERY, f"p{number}", scene(number))
    service.devices.grant([], ["*"], Mode.BOTH, by="ann")
    return service


def test_a_device_enrols_and_synchronises_while_the_set_is_being_changed(site: Path, tmp_path: Path) -> None:
    service = filled(site)
    service.outer.make_vectors()
    service.outer.desk.gathered()
    token = service.devices.invite("b12", [], by="ann")
    writer = Store(service.outer.store.path)
    for store in (service.outer.store, service.outer.desk.store):
        store.rows("PRAGMA busy_timeout = 0")  # whoever would have to wait fails
    with writer.transaction() as held:
        held.execute("UPDATE gallery SET change = change")
        with enrolled(service, tmp_path / "device", token) as device:
            report = synced(service, device, "b12")
            assert [(one.tiers, one.verified) for one in report.galleries] == [([Tier.SNAPSHOT], True)]
            service.devices.withdraw(1, by="ann")
            assert synced(service, device, "b12").dropped == [GALLERY]
        assert asyncio.run(service.status())["devices"]["enrolled"] == 1
        assert asyncio.run(service.healthy()) == (True, "")
        told = [entry.act for entry in any_audit(site / "isthmus.toml").entries()]
    assert told[-5:] == ["device enrolled", "sending", "received", "rule removed", "told to delete"]


def test_a_whole_site_is_opened_and_asked_while_the_set_is_being_changed(site: Path) -> None:
    service = filled(site)
    asyncio.run(service.close())
    with Store(site / "state" / "isthmus.sqlite") as writer, writer.transaction() as held:
        held.execute("UPDATE gallery SET change = change")
        again = Outer.open(site / "isthmus.toml")
        again.store.rows("PRAGMA busy_timeout = 0")
        assert [stat.records for stat in again.set.galleries()] == [3]
        again.desk.devices.invite("b13", [], by="ann")
        again.close()


def test_the_event_loop_goes_on_while_a_question_is_answered(site: Path) -> None:
    service = opened(site)
    asked, answered = threading.Event(), threading.Event()

    def question(outer: Outer) -> bool:
        asked.set()
        return answered.wait(60)

    async def story() -> bool:
        task = asyncio.create_task(service._aside.ask(question))
        while not asked.is_set():
            await asyncio.sleep(0)
        answered.set()
        return await task

    assert asyncio.run(story()), "the loop could answer it"
    asyncio.run(service.close())


def test_a_site_of_one_file_is_moved_over_with_all_it_knows(site: Path, tmp_path: Path) -> None:
    before = old_site(site, tmp_path / "device")
    service = opened(site)
    try:
        assert service.devices.list() == before.devices
        assert service.devices.rules() == before.rules
        assert service.outer.epochs.of(GALLERY) == before.epoch
        assert service.outer.desk.gathered().entries() == before.entries
        with pytest.raises(InputError, match="newer release"):
            Devices(service.outer.store, service.outer.clock, Audit(service.outer.store, service.outer.clock))
        assert not service.outer.store.rows("SELECT 1 FROM sqlite_master WHERE name LIKE 'device%'")
        service.devices.withdraw(1, by="ann")
        assert service.devices.grant([], ["*"], Mode.IMAGES, by="ann").number == 3, "a number is used once"
    finally:
        asyncio.run(service.close())


@pytest.mark.parametrize("step", ["gathered", "copied", "committed", "dropped"])
def test_a_moving_that_is_killed_loses_and_doubles_nothing(site: Path, tmp_path: Path, step: str) -> None:
    before = old_site(site, tmp_path / "device")
    die("move", site, step)
    outer = Outer.open(site / "isthmus.toml")
    assert outer.desk.devices.list() == before.devices
    assert outer.desk.devices.rules() == before.rules
    assert outer.epochs.of(GALLERY) == before.epoch
    assert outer.desk.gathered().entries() == before.entries
    outer.close()


def test_positions_of_devices_outlive_the_moving(site: Path, tmp_path: Path) -> None:
    old_site(site, tmp_path / "device")
    service = opened(site)
    try:
        inner = InnerSite(service.outer.set, service.outer.clock, "ann")  # type: ignore[arg-type]
        inner.add(GALLERY, "later", scene(9))
        with enrolled(service, tmp_path / "device") as device:
            report = synced(service, device, "b12")
        assert [(one.tiers, one.written) for one in report.galleries] == [([Tier.CHANGES], 1)]
    finally:
        asyncio.run(service.close())


def test_what_is_noted_with_a_change_is_gathered_once_and_in_order(site: Path) -> None:
    service = filled(site, 2)
    desk, store = service.outer.desk, service.outer.store
    desk.gathered()
    with store.transaction() as connection:
        Audit(store, service.outer.clock).note("site x", "apply", "", "bundle", connection=connection)
    desk.devices.invite("b12", [], by="ann")
    for _ in range(2):
        assert [entry.act for entry in desk.gathered().entries()] == [
            "rule added", "add", "add", "device invited", "apply",
        ]  # fmt: skip
    assert [entry.number for entry in desk.audit.entries()] == [1, 2, 3, 4, 5]
    asyncio.run(service.close())


def test_a_set_that_comes_back_from_a_backup_loses_no_note_and_doubles_none(site: Path, tmp_path: Path) -> None:
    service = filled(site, 2)
    with Store(tmp_path / "backup.db") as backup:
        service.outer.store._connection.backup(backup._connection)
    inner = InnerSite(service.outer.set, service.outer.clock, "ann")  # type: ignore[arg-type]
    inner.add(GALLERY, "lost", scene(7))
    before = service.outer.desk.gathered().entries()
    with Store(tmp_path / "backup.db") as backup:
        Audit(backup, service.outer.clock).note("ann", "add", GALLERY, "after")
        Audit(backup, service.outer.clock).note("ann", "add", GALLERY, "more")
        log = service.outer.audit
        assert log.gather(backup, "set") == 2
        assert log.gather(backup, "set") == 0
        assert log.entries()[: len(before)] == before
        assert [entry.subject for entry in log.entries()[len(before) :]] == ["after", "more"]
    asyncio.run(service.close())


def test_a_gallery_of_a_set_built_anew_has_another_epoch(site: Path) -> None:
    service = filled(site)
    epoch = service.outer.epochs.of(GALLERY)
    asyncio.run(service.close())
    for file in (site / "state").glob("isthmus.sqlite*"):
        file.unlink()
    again = filled(site)
    assert again.outer.epochs.of(GALLERY) != epoch
    asyncio.run(again.close())


def test_a_server_killed_while_it_sends_has_noted_to_whom(site: Path, tmp_path: Path) -> None:
    service = filled(site)
    with enrolled(service, tmp_path / "device", service.devices.invite("b12", [], by="ann")):
        asyncio.run(service.close())
    die("serve", site, str(tmp_path / "device"))
    last = [entry for entry in any_audit(site / "isthmus.toml").entries() if entry.who == "b12"][-1]
    assert (last.act, last.gallery) == ("sending", GALLERY)
    assert last.detail == "both, snapshot: from nothing to change 3, 3 records"


def test_state_is_for_its_owner_alone(site: Path, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        service = filled(site)
        with enrolled(service, tmp_path / "device", service.devices.invite("b12", [], by="ann")) as device:
            synced(service, device, "b12")
            device.thumbnail(GALLERY, "p1")
            modes = {path: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
        asyncio.run(service.close())
    finally:
        os.umask(mask)
    state, held = site / "state", tmp_path / "device"
    assert {modes[folder] for folder in (state, state / "images", held, held / "content")} == {0o700}
    of_the_server = [state / f"{name}{end}" for name in ("isthmus.sqlite", FILE) for end in ("", "-wal", "-shm")]
    of_the_device = [held / f"device.db{end}" for end in ("", "-wal", "-shm")]
    images = [*(path for path in modes if path.match("images/small*")), *(held / "content").glob("??/*")]
    assert len(images) == 4 + 3 + 1, (
        "packed images, their index with its log, those of the device, and a thumbnail"
    )
    assert {modes[file] for file in [*of_the_server, *of_the_device, *images]} == {0o600}


def die(role: str, *words: str | Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), role, *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, "it was to die"
