from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_doubles import content_of
from isthmus.acquire.agent.spool import Spool
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got, Held, Parcel, Task

MUCH = 1 << 30


def parcel(number: int, size: int = 100, folder: Path | None = None) -> Parcel:
    content = content_of(f"mem://{number}", size)
    digest = blake3(content).hexdigest()
    where: bytes | Path = content
    if folder is not None:
        where = folder / f"large-{number}"
        where.write_bytes(content)
    return Parcel(Task(number, 3, 1, f"mem://{number}", "r", "t"), Got(where, size, digest, Told(meta={"a": "b"})))


def missed(number: int) -> Parcel:
    return Parcel(Task(number, 3, 1, "a", "r", "t"), Failure(Kind.GONE, "404", 3.0))


def test_results_come_back_oldest_first_also_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MUCH)
    groups = [(parcel(1), missed(2)), (parcel(3),), (missed(4), parcel(5), parcel(6))]
    for group in groups:
        assert spool.put("http://callback", group)
    assert spool.held() == [Held(n, 3) for n in range(1, 7)]
    spool.let_go([Held(2, 3), Held(6, 3), Held(1, 9)])
    assert spool.held() == [Held(n, 3) for n in (1, 3, 4, 5)]
    again = Spool(tmp_path / "spool", MUCH)
    assert again.held() == []  # leases of another process's time are not prolonged
    assert (len(again), again.bytes) == (3, spool.bytes)
    for group in groups:
        entry = again.take()
        assert entry is not None and (entry.callback, entry.parcels) == ("http://callback", group)
        again.remove(entry.number)
    assert again.take() is None and again.bytes == 0
    assert not list((tmp_path / "spool").iterdir())


def test_a_large_content_is_moved_not_copied(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", MUCH)
    large = parcel(1, 400_000, tmp_path)
    inode = (tmp_path / "large-1").stat().st_ino
    assert spool.put("c", [large])
    assert not (tmp_path / "large-1").exists()
    entry = Spool(tmp_path / "spool", MUCH).take()
    assert entry is not None and isinstance(entry.parcels[0].outcome, Got)
    kept = entry.parcels[0].outcome.content
    assert isinstance(kept, Path) and kept.stat().st_ino == inode
    assert kept.read_bytes() == content_of("mem://1", 400_000)


def test_an_entry_is_taken_out_by_one_alone_until_it_is_given_back(tmp_path: Path) -> None:
    spool = Spool(tmp_path, MUCH)
    spool.put("c", [parcel(1)])
    spool.put("c", [parcel(2)])
    first, second = spool.take(), spool.take()
    assert first and second and not spool.ready and spool.take() is None
    spool.give_back(second.number)
    spool.give_back(first.number)
    assert spool.take() == first


def test_no_more_is_kept_than_allowed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 10_000)
    kept = [spool.put("c", [parcel(n, 2000)]) for n in range(10)]
    assert kept == [True] * 3 + [False] * 7
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 10_000
    entry = spool.take()
    assert entry is not None
    spool.remove(entry.number)
    assert spool.put("c", [parcel(1, 2000)])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_a_crash_or_the_disk_hurt_is_dropped_and_the_rest_stays(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spool = Spool(folder, MUCH)
        for number in range(3):
            spool.put("c", [parcel(number), missed(10 + number)])
        file = data.draw(st.sampled_from(sorted(folder.iterdir())))
        content = bytearray(file.read_bytes())
        match data.draw(st.sampled_from(["cut", "flip", "gone", "empty"])):
            case "cut":
                file.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
            case "flip":
                content[data.draw(st.integers(0, len(content) - 1))] ^= 1
                file.write_bytes(content)
            case "gone":
                file.unlink()
            case _:
                file.write_bytes(b"")
        again, found = Spool(folder, MUCH), []
        while entry := again.take():
            found.append(entry.number)
            for one in entry.parcels:
                if isinstance(one.outcome, Got) and isinstance(one.outcome.content, bytes):
                    assert blake3(one.outcome.content).hexdigest() == one.outcome.digest
            again.remove(entry.number)
        assert len(found) >= 2 and not list(folder.iterdir())


def test_a_full_disk_keeps_nothing_by_halves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool", MUCH)
    large = parcel(1, 400_000, tmp_path)
    writes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "no room", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    for group in ([large], [parcel(2)]):
        with pytest.raises(OSError, match="no room"):
            spool.put("c", group)
    monkeypatch.setattr(Path, "write_bytes", writes)
    assert (tmp_path / "large-1").exists() and spool.bytes == 0
    assert not [file for file in (tmp_path / "spool").iterdir() if not file.name.startswith(".")]
    assert spool.put("c", [large])


@pytest.mark.parametrize("last", ["spool content", "spooled"])
def test_an_entry_is_there_or_it_is_not(tmp_path: Path, last: str) -> None:
    class Killed(Exception):
        pass

    def die(step: str) -> None:
        if step == last:
            raise Killed

    spool = Spool(tmp_path, MUCH, die)
    with pytest.raises(Killed):
        spool.put("c", [parcel(1)])
    entry = Spool(tmp_path, MUCH).take()
    assert (entry is not None) == (last == "spooled")
    assert len(list(tmp_path.iterdir())) == (2 if entry else 0)
