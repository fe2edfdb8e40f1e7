"""Small images packed in one file: trusted, removed, damaged and healed as images that have files are."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples import examples
from gallery_making import alter, content, lying, sqlite_set, text_of
from isthmus.core.digest import new_key
from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.gallery.store import pack
from isthmus.gallery.store.files import ImageFiles
from isthmus.gallery.store.pack import SMALL_BYTES, Pack
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


def test_a_removed_image_is_overwritten_and_leaves_the_log(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, *range(6))
    parts = [picture(number)[at : at + 64] for number in range(6) for at in (0, 9_000, 19_000)]
    assert all(part in everything(tmp_path / "images") for part in parts)
    remove(held, 1, 2)
    there = everything(tmp_path / "images")
    assert [part in there for part in parts] == [number not in (1, 2) for number in range(6) for _ in range(3)]
    close(held)


def test_a_reader_that_is_in_the_way_delays_only_the_erasing(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, 1, 2)
    part = picture(1)[9_000:9_064]
    (path,) = (tmp_path / "images").glob("small-*.sqlite")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM image").fetchall()
        remove(held, 1)
        assert held.image(digest_of(1)) is None
        assert part in everything(tmp_path / "images"), "the reader still sees it"
        assert held.files.erase() is False
    assert held.files.erase() is True
    assert part not in everything(tmp_path / "images")
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


def test_space_of_removed_images_is_given_back(tmp_path: Path) -> None:
    held = sqlite_set(tmp_path, packed=True)
    put(held, *range(200))
    (path,) = (tmp_path / "images").glob("small-*.sqlite")
    held.files.erase()
    full = path.stat().st_size
    assert full > 200 * 20_000
    remove(held, *range(190))
    held.tidy()
    assert path.stat().st_size < full / 8
    assert all(held.files.read(digest_of(number)) == picture(number) for number in range(190, 200))
    close(held)


def test_a_large_transaction_is_committed_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_reader_finds_what_was_copied_out_of_a_damaged_file(tmp_path: Path) -> None:
    held, other = sqlite_set(tmp_path, packed=True), ImageFiles(tmp_path / "images", packed=True)
    put(held, *range(40))
    assert other.read(digest_of(3)) == picture(3)
    close(held)
    other.erase()
    (path,) = (tmp_path / "images").glob("small-*.sqlite")
    damage(path, 0, 50)
    held = sqlite_set(tmp_path, packed=True)
    with pytest.raises(Busy, match="damaged"):
        put(held, 50)
    put(held, 50)
    assert [one.name for one in (tmp_path / "images").glob("small-*.sqlite")] == ["small-2.sqlite"]
    assert other.read(digest_of(50)) == picture(50)
    other.close()
    close(held)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    held = sqlite_set(folder, packed=True)
    put(held, *range(60), size=5_000)
    put(held, *range(60, 80))
    remove(held, *range(0, 60, 7))
    close(held)
    return folder


def damage(path: Path, page: int, of: int) -> None:
    """Fill one page of a file, a number `of` pages, with what nobody wrote."""
    size = 16 * 1024
    at = path.stat().st_size // size * page // of * size
    with path.open("r+b") as file:
        file.seek(at)
        file.write(random.Random(page).randbytes(size))


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(page=st.integers(0, 99), flips=st.integers(0, 3))
def test_wherever_the_file_rots_nothing_wrong_is_read_and_the_set_goes_on_and_is_healed(
    whole: Path, tmp_path: Path, page: int, flips: int
) -> None:
    folder = tmp_path / "rotten"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (path,) = (folder / "images").glob("small-*.sqlite")
    if flips:
        rotten = bytearray(path.read_bytes())
        for number in range(flips):
            rotten[random.Random(page * 10 + number).randrange(len(rotten))] ^= 1 << number
        path.write_bytes(rotten)
    else:
        damage(path, page, 100)
    held = sqlite_set(folder, packed=True)
    size = {number: 5_000 if number < 60 else 20_000 for number in range(80)}
    live = [number for number in range(80) if number % 7 or number >= 60]
    lost = []
    for number in live:
        try:
            assert held.files.read(digest_of(number, size[number])) == picture(number, size[number])
        except Corrupt:
            lost.append(number)
    patiently(lambda: put(held, 100))
    remove(held, 100)
    held.tidy()
    for number in live:
        if number not in lost:
            assert held.files.read(digest_of(number, size[number])) == picture(number, size[number])
    for number in lost:
        patiently(lambda number=number: put(held, number, size=size[number]))
    for number in live:
        assert held.files.read(digest_of(number, size[number])) == picture(number, size[number])
    held.tidy()
    assert lying(folder / "images") == {digest_of(number, size[number]).hex() for number in live}
    close(held)


def test_several_threads_may_read_while_one_writes(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "incoming").mkdir(parents=True)
    one = Pack(folder)
    one.write([(digest_of(number), picture(number)) for number in range(32)])
    one.commit()
    assert Pack(folder).content(digest_of(5)) == picture(5)
    assert one.content(digest_of(99)) is None
    one.close()
    assert Pack.there(folder)
