"""Small images packed in one file: trusted, removed, damaged and healed as images that have files are."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from gallery_making import alter, content, lying, sqlite_set, text_of
from isthmus.core.digest import new_key
from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.gallery.store import pack, packfile
from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.pack import SMALL_BYTES, Pack
from isthmus.gallery.store.packfile import Record
from isthmus.gallery.store.sqlite import SqliteSet
from isthmus.state.lock import patiently

G = "faces.staff"


def picture(number: int, size: int = 20_000) -> bytes:
    """Bytes that no other number has, and that nothing makes smaller."""
    return random.Random(number).randbytes(size)


def digest_of(number: int, size: int = 20_000) -> bytes:
    return blake3(picture(number, size)).digest()


def put(held: SqliteSet, *numbers: int, size: int = 20_000) -> None:
    with held.changing() as change:
        change.begin_stream(change.key or new_key())
        for number in numbers:
            change.put(G, {"_id": number, "url": text_of(picture(number, size))})


def remove(held: SqliteSet, *numbers: int) -> None:
    with held.changing() as change:
        for number in numbers:
            assert change.delete(G, number)


def close(held: SqliteSet) -> None:
    held.close()
    held.store.close()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_small_images_are_packed_and_large_ones_have_files(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1, size=SMALL_BYTES - 1)
    put(held, 2, size=SMALL_BYTES)
    put(held, 3, size=0x1234)
    files = [path.name for path in held.files.folder.rglob("*") if len(path.name) == 64]
    assert files == [digest_of(2, SMALL_BYTES).hex()]
    for number, size in ((1, SMALL_BYTES - 1), (2, SMALL_BYTES), (3, 0x1234)):
        image = held.image(digest_of(number, size))
        assert image is not None
        assert held.files.read(digest_of(number, size)) == image.read() == picture(number, size)
        assert image.read(100, 50) == picture(number, size)[100:150]
        assert image.read(size - 10, 50) == picture(number, size)[-10:]
        assert image.there() and image.proven() and digest_of(number, size).hex() in str(image)
    close(held)


def test_a_set_whose_small_images_have_files_goes_on_with_both(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    put(held, 1, 2, 3)
    close(held)
    held = sqlite_set(tmp_path, packed=True)
    put(held, 3, 4, 5)
    assert [record.key for record in held.records(G)] == sorted(content(held)[G])
    for number in range(1, 6):
        assert held.files.read(digest_of(number)) == picture(number)
    assert len([path for path in held.files.folder.rglob("*") if len(path.name) == 64]) == 3, "nothing is moved"
    remove(held, 1, 4)
    assert held.tidy() == 0
    assert lying(held.files.folder) == {digest_of(number).hex() for number in (2, 3, 5)}
    close(held)
    held = sqlite_set(tmp_path)  # as an earlier start of the site did
    assert {held.files.read(digest_of(number)) for number in (2, 3, 5)} == {picture(n) for n in (2, 3, 5)}
    alter(held, digest_of(5), picture(99))
    put(held, 5, 6)
    assert held.files.read(digest_of(5)) == picture(5), "what is packed stays so, and is healed there"
    remove(held, 2, 5)
    assert lying(held.files.folder) == {digest_of(number).hex() for number in (3, 6)}
    close(held)


def test_a_damaged_file_whose_image_comes_again_makes_way_for_the_packed_one(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path)
    put(held, 1, 2)
    close(held)
    held = sqlite_set(tmp_path, packed=True)
    alter(held, digest_of(1), b"rotten")
    before = held.files.image(digest_of(1)).mark()
    with pytest.raises(Corrupt, match="changed on the disk"):
        held.files.read(digest_of(1))
    put(held, 1)
    assert held.files.image(digest_of(1)).mark() != before
    assert held.files.read(digest_of(1)) == picture(1)
    assert held.tidy() == 1
    assert lying(held.files.folder) == {digest_of(number).hex() for number in (1, 2)}
    close(held)


def test_a_row_that_no_record_speaks_of_is_not_trusted_and_swept(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1)
    held.files.place(digest_of(2), picture(3))  # half of what a lost transaction left: not what the digest says
    held.files.place(digest_of(4), picture(4))
    held.files.sync()
    assert len(lying(held.files.folder)) == 3
    put(held, 2)
    assert held.files.read(digest_of(2)) == picture(2)
    assert held.tidy() == 1
    assert lying(held.files.folder) == {digest_of(number).hex() for number in (1, 2)}
    close(held)


def test_what_was_written_in_a_transaction_is_read_in_it_and_gone_when_it_is_lost(tmp_path: Path) -> None:
    held, other = sqlite_set(tmp_path, packed=True), ImageFiles(tmp_path / "images", packed=True)
    put(held, 1)
    assert other.read(digest_of(1)) == picture(1)
    with pytest.raises(ZeroDivisionError), held.changing() as change:
        for number in range(2, 80):
            change.put(G, {"_id": number, "url": text_of(picture(number))})
        assert held.files.read(digest_of(70)) == picture(70)
        assert not other.image(digest_of(70)).there(), "nobody else sees it yet"
        raise ZeroDivisionError
    assert lying(held.files.folder) == {digest_of(1).hex()}
    put(held, *range(2, 80))
    assert len(lying(held.files.folder)) == 79
    assert other.read(digest_of(70)) == picture(70)
    other.close()
    close(held)


def test_a_removed_image_is_overwritten_and_its_space_given_back(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, *range(200))
    pack = tmp_path / "images" / "small.pack"
    parts = {number: [picture(number)[at : at + 64] for at in (0, 9_000, 19_000)] for number in range(200)}
    full = pack.stat().st_blocks
    assert full * 512 >= 200 * 20_000
    remove(held, *range(190))
    there = everything(tmp_path / "images")
    for number, of in parts.items():
        assert [part in there for part in of] == [number >= 190] * 3
    if pack.stat().st_blocks < full:  # where the file system has holes
        assert pack.stat().st_blocks < full / 4
    assert all(held.files.read(digest_of(number)) == picture(number) for number in range(190, 200))
    put(held, *range(200, 210))
    assert held.tidy() == 0
    assert all(held.files.read(digest_of(number)) == picture(number) for number in range(190, 210))
    close(held)


def test_what_a_killed_process_left_in_the_file_is_overwritten_and_what_is_known_of_it_kept(
    tmp_path: Path,
) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1, 2, 3)
    index, pack = tmp_path / "images" / "small-1.sqlite", tmp_path / "images" / "small.pack"
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("DELETE FROM image WHERE digest = ?", (digest_of(2),))  # as in an older backup
    with pack.open("ab") as file:
        for number in (8, 9):
            file.write(Record(0, 20_000, digest_of(number)).header + picture(number))
        file.write(Record(0, 20_000, digest_of(10)).header + picture(10)[:5_000])
    assert held.tidy() == 2
    assert all(held.files.read(digest_of(number)) == picture(number) for number in (1, 2, 3))
    there = everything(tmp_path / "images")
    assert not any(picture(number)[at : at + 64] in there for number in (8, 9, 10) for at in (0, 4_000))
    assert held.tidy() == 0
    close(held)


@pytest.mark.parametrize("lost", ["small-1.sqlite", "small.pack"])
def test_without_its_index_all_is_found_again_and_without_its_file_all_is_missing_and_healed(
    tmp_path: Path, lost: str
) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, *range(10))
    remove(held, 3, 4)
    live = [number for number in range(10) if number not in (3, 4)]
    close(held)
    (tmp_path / "images" / lost).unlink()
    held = sqlite_set(tmp_path, packed=True)
    for number in live:
        with pytest.raises(Corrupt, match="missing"):
            held.files.read(digest_of(number))
    held.tidy()
    if lost == "small.pack":
        patiently(lambda: put(held, *live))
    assert all(held.files.read(digest_of(number)) == picture(number) for number in live)
    assert lying(tmp_path / "images") == {digest_of(number).hex() for number in live}
    close(held)


def test_a_row_that_points_elsewhere_never_has_another_image_overwritten(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1, 2, 3)
    index = tmp_path / "images" / "small-1.sqlite"
    with contextlib.closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("UPDATE image SET at = at - 7, size = size + 9 WHERE digest = ?", (digest_of(2),))
    with pytest.raises(Corrupt, match="changed on the disk"):
        held.files.read(digest_of(2))
    remove(held, 2)
    assert held.files.read(digest_of(1)) == picture(1) and held.files.read(digest_of(3)) == picture(3)
    held.tidy()
    assert picture(2)[9_000:9_064] not in everything(tmp_path / "images")
    assert held.files.read(digest_of(1)) == picture(1) and held.files.read(digest_of(3)) == picture(3)
    close(held)


def test_pinned_images_stay_until_the_pin_is_released(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1, 2)
    pin = held.files.pin()
    remove(held, 1)
    held.tidy()
    assert held.image(digest_of(1)) is None
    assert held.files.read(digest_of(1)) == picture(1)
    pin.release()
    assert held.tidy() == 1
    assert lying(held.files.folder) == {digest_of(2).hex()}
    close(held)


def test_a_large_transaction_is_synced_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "_STRETCH_BYTES", 100_000)
    held = sqlite_set(tmp_path, packed=True)
    put(held, *range(120))
    close(held)
    held = sqlite_set(tmp_path, packed=True)
    assert all(held.files.read(digest_of(number)) == picture(number) for number in range(120))
    close(held)


def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1)
    close(held)
    (path,) = (tmp_path / "images").glob("small-*.sqlite")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    held = sqlite_set(tmp_path, packed=True)
    with pytest.raises(InputError, match="newer release"):
        put(held, 2)
    close(held)


def test_a_reader_finds_the_index_that_was_made_anew(tmp_path: Path) -> None:
    held, other = sqlite_set(tmp_path, packed=True), ImageFiles(tmp_path / "images", packed=True)
    put(held, *range(40))
    close(held)
    assert other.read(digest_of(3)) == picture(3)
    (path,) = (tmp_path / "images").glob("small-*.sqlite")
    other.close()
    spoil(path, 0)
    held, other = sqlite_set(tmp_path, packed=True), ImageFiles(tmp_path / "images", packed=True)
    with pytest.raises(Corrupt, match="missing"):
        other.read(digest_of(3))
    with pytest.raises(Busy, match="damaged"):
        put(held, 50)
    put(held, 50)
    assert [one.name for one in (tmp_path / "images").glob("small-*.sqlite")] == ["small-2.sqlite"]
    assert other.read(digest_of(50)) == picture(50)
    assert other.read(digest_of(3)) == picture(3)
    other.close()
    close(held)


def test_what_the_disk_cannot_read_is_one_image_and_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, *range(20))
    (index,) = (tmp_path / "images").glob("small-*.sqlite")
    with contextlib.closing(sqlite3.connect(index)) as connection:
        ((at,),) = connection.execute("SELECT at FROM image WHERE digest = ?", (digest_of(7),)).fetchall()
    pread, bad = os.pread, (at // 4096 + 2) * 4096

    def failing(handle: int, size: int, at: int) -> bytes:
        if at < bad + 4096 and at + size > bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(handle, size, at)

    monkeypatch.setattr("os.pread", failing)
    with pytest.raises(Corrupt):
        held.files.read(digest_of(7))
    close(held)
    index.unlink()
    held = sqlite_set(tmp_path, packed=True)
    held.tidy()
    assert all(held.files.read(digest_of(n)) == picture(n) for n in range(20) if n != 7)
    put(held, 7)
    assert held.files.read(digest_of(7)) == picture(7)
    close(held)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    held = sqlite_set(folder, packed=True)
    put(held, *range(60), size=500)
    put(held, *range(60, 80))
    put(held, *range(80, 400), size=100)
    remove(held, *range(0, 60, 7))
    close(held)
    return folder


def size_of(number: int) -> int:
    return 500 if number < 60 else 20_000 if number < 80 else 100


def spoil(path: Path, page: int) -> None:
    """Fill a page of a file with what nobody wrote."""
    with path.open("r+b") as file:
        file.seek(page * 4096 % path.stat().st_size)
        file.write(random.Random(page).randbytes(4096))


@settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.sampled_from(["small.pack", "small-1.sqlite"]), page=st.integers(0, 99), flips=st.integers(0, 3))
def test_wherever_it_rots_nothing_wrong_is_read_and_the_set_goes_on_and_is_healed(
    whole: Path, tmp_path: Path, where: str, page: int, flips: int
) -> None:
    folder = tmp_path / "rotten"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    path = folder / "images" / where
    if flips:
        rotten = bytearray(path.read_bytes())
        for number in range(flips):
            rotten[random.Random(page * 10 + number).randrange(len(rotten))] ^= 1 << number
        path.write_bytes(rotten)
    else:
        spoil(path, page)
    held = sqlite_set(folder, packed=True)
    live = [number for number in range(400) if number % 7 or number >= 60]

    def lost() -> list[int]:
        found = []
        for number in live:
            try:
                assert held.files.read(digest_of(number, size_of(number))) == picture(number, size_of(number))
            except Corrupt:
                found.append(number)
        return found

    before = lost()
    patiently(lambda: put(held, 1000))
    remove(held, 1000)
    held.tidy()
    after = lost()
    assert set(after) <= set(before)
    assert len(after) <= (60 if where == "small.pack" else 0), "the index can be made from the images"
    for number in before:
        patiently(lambda number=number: put(held, number, size=size_of(number)))  # type: ignore[misc]
    assert lost() == []
    held.tidy()
    assert lost() == []
    assert lying(folder / "images") == {digest_of(number, size_of(number)).hex() for number in live}
    removed = [picture(number, 500)[100:164] for number in range(0, 60, 7)]
    assert not any(part in everything(folder / "images") for part in removed)
    close(held)


def test_another_process_reads_what_was_committed(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "incoming").mkdir(parents=True)
    one, other = Pack(folder), Pack(folder)
    assert other.content(digest_of(5)) is None
    one.write([(digest_of(number), picture(number)) for number in range(32)])
    assert one.content(digest_of(5)) == picture(5)
    assert other.content(digest_of(5)) is None
    one.rollback()
    assert one.content(digest_of(5)) is None and one.path.stat().st_size == 0
    one.write([(digest_of(number), picture(number)) for number in range(32)])
    one.commit()
    assert other.content(digest_of(5)) == picture(5)
    assert other.content(digest_of(99)) is None
    one.close()
    other.close()


@given(st.lists(st.binary(max_size=300), max_size=6), st.binary(max_size=40), st.integers(0, 5))
def test_records_are_found_among_whatever_else_lies_there(
    contents: list[bytes], rubbish: bytes, damaged: int
) -> None:
    pieces, expected, at = [], [], 0
    for number, one in enumerate(contents):
        record = Record(at + len(rubbish), len(one), blake3(one).digest())
        kept = one if number != damaged or not one else bytes([one[0] ^ 1]) + one[1:]
        pieces += [rubbish, record.header, kept]
        at = record.end
        if kept == one:
            expected.append(record)
    with tempfile.TemporaryFile() as file:
        file.write(b"".join(pieces))
        file.flush()
        assert list(packfile.records(file.fileno(), 0, at)) == expected
