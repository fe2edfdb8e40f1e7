from __future__ import annotations

import errno
from pathlib import Path

import pytest

from full_disk import Disk
from gate_bench import Bench, sending
from isthmus.core.ports import Carrier


def test_a_full_disk_at_any_write_of_the_sender_is_an_alarm_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    undisturbed = Bench(tmp_path / "undisturbed", sending(heartbeat_s=10.0))
    undisturbed.send(("a", "1"), ("b", "2"))
    for writes in range(100):
        bench = Bench(tmp_path / str(writes), sending(heartbeat_s=10.0))
        disk.left = writes
        bench.send(("a", "1"), ("b", "2"))
        full = disk.left < 0
        if full:
            assert [alarm.kind.name for alarm in bench.sender.status().alarms] == ["DISK"]
        disk.left = None
        bench.send()
        assert bench.inside.files == undisturbed.inside.files, writes
        assert bench.sender.status().alarms == ()
        if not full:
            break
    assert 10 < writes < 99


def test_a_full_disk_at_any_write_of_the_receiver_is_an_alarm_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    for writes in range(200):
        bench = Bench(tmp_path / str(writes), sending(heartbeat_s=10.0))
        bench.send(("a", "1"), ("b", "2"))
        bench.send(("c", "3"))
        bench.carry()
        bench.outside.hold("faces-000001-000000000099.tar", b"\1" * 3000)
        disk.left = writes
        bench.receive()
        full = disk.left < 0
        assert bench.true_past()
        assert ("DISK" in bench.alarms()) == full
        disk.left = None
        for _ in range(3):
            bench.receive()
        assert bench.level(), writes
        status = bench.receiver.status()
        assert [alarm.kind.name for alarm in status.alarms] == ["TAMPERED"], writes
        assert len(status.quarantined) == 1
        folder = tmp_path / str(writes) / "staging" / "faces" / "quarantine" / status.quarantined[0].folder
        assert (folder / "reason.json").exists()
        assert bench.outside.files == {}
        if not full:
            break
    assert 20 < writes < 199


def test_a_target_whose_disk_is_full_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.send(("a", "1"))
    bench.carry()

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.target.before = full
    for _ in range(3):
        bench.receive()
        assert bench.alarms() == ["DISK"]
    bench.target.before = lambda: None
    bench.outside.files.clear()
    bench.receive()
    assert bench.level()
    assert bench.alarms() == []


def test_a_gate_folder_that_is_not_there_is_an_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)

    def gone(self: Carrier) -> list[str]:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "/gate")

    with monkeypatch.context() as patch:
        patch.setattr(type(bench.outside), "names", gone)
        bench.receive()
    (alarm,) = bench.receiver.status().alarms
    assert (alarm.kind.name, alarm.what) == ("DISK", "No such file or directory (/gate)")
    bench.receive()
    assert bench.alarms() == []


def test_a_file_that_may_not_be_read_does_not_keep_the_others_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.send(("a", "1"))
    bench.send(("b", "1"))
    bench.carry()
    bench.outside.hold("faces-000001-000000000000.tar", b"x")
    take = bench.outside.take

    def denied(name: str, into: Path) -> int:
        if name.endswith("000.tar"):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return take(name, into)

    bench.outside.take = denied  # type: ignore[method-assign]
    bench.receive()
    assert bench.level()
    assert bench.alarms() == ["DISK"]
