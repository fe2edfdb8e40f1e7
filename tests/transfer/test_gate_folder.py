from __future__ import annotations

import os
from pathlib import Path

import pytest

from isthmus.transfer.gate import Gate


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("at", ["gate copied", "gate synced"])
def test_a_put_that_is_cut_short_shows_no_file_and_the_next_put_leaves_no_rest(tmp_path: Path, at: str) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    (tmp_path / "gate").mkdir()

    def kill(step: str) -> None:
        if step == at:
            raise Killed

    with pytest.raises(Killed):
        Gate(tmp_path / "gate", kill).put("name.tar", tmp_path / "file")
    gate = Gate(tmp_path / "gate")
    assert gate.names() == []
    gate.put("name.tar", tmp_path / "file")
    assert [file.name for file in (tmp_path / "gate").iterdir()] == ["name.tar"]


def test_links_folders_and_hidden_files_are_not_there(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link.tar").symlink_to(tmp_path / "secret")
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / ".hidden.tar").write_text("h")
    os.mkfifo(tmp_path / "pipe.tar")
    assert gate.names() == ["secret"]
    for name in ("link.tar", "pipe.tar", "gone.tar"):
        with pytest.raises(FileNotFoundError):
            gate.take(name, tmp_path / "into")
    gate.drop("gone.tar")


def test_the_stamp_changes_with_the_content_even_where_size_and_time_stay(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    file = tmp_path / "a.tar"
    file.write_bytes(b"1" * 10)
    times = file.stat()
    before = gate.look("a.tar")
    while gate.look("a.tar").stamp == before.stamp:  # until the file system's clock ticks
        file.write_bytes(b"2" * 10)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert gate.look("a.tar").size == before.size
    assert gate.take("a.tar", tmp_path / "copy") == 10


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    (tmp_path / "gate").mkdir()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Gate(tmp_path / "gate").put("name.tar", tmp_path / "file")
    assert list((tmp_path / "gate").iterdir()) == []


def test_what_a_crash_left_of_putting_a_file_goes_with_the_file(tmp_path: Path) -> None:
    """Also where the file is never put again: a copy of people's images must not lie about for good."""

    def kill(step: str) -> None:
        raise Killed

    (tmp_path / "file").write_bytes(b"x" * 100)
    folder = tmp_path / "gate"
    folder.mkdir()
    Gate(folder).put("name.tar", tmp_path / "file")
    with pytest.raises(Killed):
        Gate(folder, kill).put("name.tar", tmp_path / "file")
    (folder / ".name.tar.part").write_bytes(b"the gatekeeper's own")
    assert len(list(folder.iterdir())) == 3
    Gate(folder).drop("name.tar")
    assert [file.name for file in folder.iterdir()] == [".name.tar.part"]
