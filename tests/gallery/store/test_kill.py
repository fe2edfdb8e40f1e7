"""Processes that die at any step leave the old state or the new one, and the next start tidies up."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import bson
import pytest

import gallery_process
from gallery_making import STREAM, SteppingClock, alter, carried, content, held_of, jpeg, lying, sqlite_set
from isthmus.core.position import Position
from isthmus.gallery.inner import InnerSite
from isthmus.gallery.source import OplogSource
from isthmus.gallery.store.log import Retention
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.gallery.target import SetTarget

SCRIPT = Path(gallery_process.__file__)
COMMITTED = ("committed", "unlinked", "removed")


def die(role: str, folder: Path, step: str, packed: bool = False) -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), role, str(folder), step, *(["packed"] if packed else [])],
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, "it was to die"


def assert_no_stray_files(held: SqliteSet) -> None:
    held.tidy()
    rows = held.store.rows("SELECT digest FROM image WHERE refused IS NULL")
    assert lying(held.files.folder) == {row["digest"].hex() for row in rows}
    files = {path.name for path in held.files.folder.rglob("*") if path.is_file() and len(path.name) != 64}
    assert files <= {"pin.lock", "small.pack", "small-1.sqlite", "small-1.sqlite-wal", "small-1.sqlite-shm"}
    assert not held.store.rows("SELECT * FROM unlink")


@pytest.mark.parametrize("step", ["applied", "placed", "synced", "committed", "removed"])
def test_an_inner_site_killed_while_adding_has_the_record_and_its_entry_or_neither(
    tmp_path: Path, step: str
) -> None:
    site = InnerSite(sqlite_set(tmp_path / "inner"), SteppingClock(), "anna")
    site.add("faces.staff", "p0", jpeg(0))
    die("add", tmp_path, step)
    held = sqlite_set(tmp_path / "inner")
    there = step in COMMITTED
    assert len(content(held)["faces.staff"]) == 1 + there
    source = OplogSource(held)
    assert source.position().seq == 1 + there
    assert len(held.store.rows("SELECT * FROM audit")) == 1 + there
    assert_no_stray_files(held)
    cut = source.after(Position(1, 0), 1 << 30)
    assert cut is not None
    assert len(bson.decode_all(b"".join(cut.members["entries.bson"]()))) == 1 + there


@pytest.mark.parametrize("step", ["applied", "committed", "removed"])
def test_a_removal_that_was_cut_short_still_reaches_the_file(tmp_path: Path, step: str) -> None:
    clock = SteppingClock()
    site = InnerSite(sqlite_set(tmp_path / "inner"), clock, "anna")
    site.add("faces.staff", "p0", jpeg(0))
    die("remove", tmp_path, step)
    held = sqlite_set(tmp_path / "inner")
    there = step not in COMMITTED
    assert len(content(held)["faces.staff"]) == there
    InnerSite(held, clock, "anna").tidy(Retention(removed_s=-1e9))
    assert_no_stray_files(held)
    assert len([path for path in held.files.folder.rglob("*") if len(path.name) == 64]) == there


@pytest.mark.parametrize("step", ["applied", "placed", "synced", "committed", "unlinked", "removed"])
@pytest.mark.parametrize("role", ["apply", "snapshot"])
@pytest.mark.parametrize("packed", [False, True], ids=["files", "packed"])
def test_a_receiver_killed_while_applying_stands_at_the_old_position_or_the_new_one(
    tmp_path: Path, role: str, step: str, packed: bool
) -> None:
    inner = sqlite_set(tmp_path / "inner")
    site, source = InnerSite(inner, SteppingClock(), "anna"), OplogSource(inner)
    outer = sqlite_set(tmp_path / "outer", check=True, packed=packed)
    for number in range(6):
        site.add("faces.staff", f"p{number}", jpeg(number))
    first = source.after(Position(1, 0), 1 << 30)
    assert first is not None
    SetTarget(outer).apply(carried(source, first))
    before = content(outer)
    for number in range(3):
        site.replace("faces.staff", f"p{number}", jpeg(number + 50))
    site.remove("faces.staff", "p3")
    second = source.snapshot() if role == "snapshot" else source.after(first.until, 1 << 30)
    assert second is not None
    (tmp_path / "delivery").write_bytes(pickle.dumps(carried(source, second)))
    outer.close()
    outer.store.close()
    die(role, tmp_path, step, packed)
    outer = sqlite_set(tmp_path / "outer", check=True, packed=packed)
    if step in COMMITTED:
        assert content(outer) == content(inner)
        assert outer.position() == second.until
        assert outer.seen(1, second.until.seq) == str(second.until.digest)
    else:
        assert content(outer) == before
        assert SetTarget(outer).position(STREAM) == first.until
        SetTarget(outer).apply(carried(source, second))
        assert content(outer) == content(inner)
    assert_no_stray_files(outer)


def followed(folder: Path, numbers: range, size: int) -> tuple[SqliteSet, SqliteSet, Position]:
    """Make a set that packs small images and follows another, and a delivery of more for it, in a file."""
    inner = sqlite_set(folder / "inner")
    site, source = InnerSite(inner, SteppingClock(), "anna"), OplogSource(inner)
    outer = sqlite_set(folder / "outer", check=True, packed=True)
    for number in range(4):
        site.add("faces.staff", f"p{number}", jpeg(number))
    first = source.after(Position(1, 0), 1 << 30)
    assert first is not None
    SetTarget(outer).apply(carried(source, first))
    for number in numbers:
        site.add("faces.staff", f"p{number}", jpeg(number, size))
    second = source.after(first.until, 1 << 30)
    assert second is not None
    (folder / "delivery").write_bytes(pickle.dumps(carried(source, second)))
    return inner, outer, first.until


def deliver(folder: Path, outer: SqliteSet) -> None:
    SetTarget(outer).apply(pickle.loads((folder / "delivery").read_bytes()))  # noqa: S301 - written here


def test_images_that_were_packed_but_never_committed_by_their_set_are_not_trusted(tmp_path: Path) -> None:
    inner, outer, position = followed(tmp_path, range(4, 12), 16)
    before = content(outer)
    outer.close()
    outer.store.close()
    die("apply", tmp_path, "synced", packed=True)
    images = tmp_path / "outer" / "images"
    assert len(lying(images)) == 12, "their own transaction was committed"
    outer = sqlite_set(tmp_path / "outer", check=True, packed=True)
    assert content(outer) == before and outer.position() == position
    for number in (5, 6):
        alter(outer, held_of(jpeg(number)).digest, jpeg(99) if number == 5 else None)
    deliver(tmp_path, outer)
    assert content(outer) == content(inner)
    assert_no_stray_files(outer)


def test_images_that_were_packed_and_never_come_again_are_swept(tmp_path: Path) -> None:
    _, outer, _ = followed(tmp_path, range(4, 12), 16)
    outer.close()
    outer.store.close()
    die("apply", tmp_path, "synced", packed=True)
    outer = sqlite_set(tmp_path / "outer", check=True, packed=True)
    assert outer.tidy() == 8
    assert_no_stray_files(outer)
    assert len(lying(outer.files.folder)) == 4


@pytest.mark.parametrize("step", ["applied", "placed", "synced"])
@pytest.mark.parametrize("left", range(0, 101, 20))
def test_a_log_of_packed_images_that_was_lost_from_anywhere_on_takes_nothing_along(
    tmp_path: Path, step: str, left: int
) -> None:
    """What the kernel had not yet written when the power went; `left` percent of it reached the disk."""
    inner, outer, position = followed(tmp_path, range(4, 12), 700)
    before, images = content(outer), tmp_path / "outer" / "images"
    kept = (images / "small.pack").stat().st_size
    outer.close()
    outer.store.close()
    die("apply", tmp_path, step, packed=True)
    for log in images.glob("small-*.sqlite-wal"):
        os.truncate(log, log.stat().st_size * left // 100)
    for index in images.glob("small-*.sqlite-shm"):
        index.unlink()  # it is in memory alone
    if step != "synced":  # before its rows were committed the file itself was made durable
        written = (images / "small.pack").stat().st_size
        os.truncate(images / "small.pack", kept + (written - kept) * left // 100)
    outer = sqlite_set(tmp_path / "outer", check=True, packed=True)
    assert content(outer) == before and outer.position() == position
    deliver(tmp_path, outer)
    assert content(outer) == content(inner)
    assert_no_stray_files(outer)
