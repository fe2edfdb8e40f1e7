"""What every carrier keeps to: one suite for memory, a folder, HTTP and an S3-type store."""

from __future__ import annotations

import contextlib
import itertools
import os
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from carrying import door, line_to
from isthmus.core.errors import InputError, MissingExtra, Refused
from isthmus.core.ports import Carrier
from isthmus.transfer.gate import Gate
from isthmus.transfer.memory import MemoryCarrier
from isthmus.transfer.s3 import S3Carrier
from s3_server import S3Store, seaweed

KINDS = ("memory", "gate", "http", "s3")
NAMES = [f"faces-000001-{number:012d}.tar" for number in range(1, 20)]
_numbers = itertools.count()


@pytest.fixture(scope="module")
def store() -> Iterator[S3Store]:
    with seaweed() as running:
        carrier = S3Carrier("s3://roads/first", running.options)
        carrier._store.mkdir("roads")
        yield running


@pytest.fixture(params=KINDS)
def carrier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Carrier]:
    if request.param == "memory":
        yield MemoryCarrier()
    elif request.param == "gate":
        (tmp_path / "gate").mkdir()
        yield Gate(tmp_path / "gate")
    elif request.param == "http":
        with door(tmp_path / "inbox") as open_door:
            road = open_door.carrier()
            yield road
            road.close()
    else:
        options = request.getfixturevalue("store").options
        yield S3Carrier(f"s3://roads/{os.getpid()}-{next(_numbers)}", options)


def lay(folder: Path, content: bytes, name: str = "file") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def test_a_file_that_was_put_arrives_as_it_is(carrier: Carrier, tmp_path: Path) -> None:
    assert carrier.names() == []
    for name, content in zip(NAMES, (b"one", b"", os.urandom(300_000)), strict=False):
        carrier.put(name, lay(tmp_path, content))
        assert carrier.look(name).size == len(content)
        assert carrier.take(name, tmp_path / "copy") == len(content)
        assert (tmp_path / "copy").read_bytes() == content
    assert carrier.names() == NAMES[:3]


def test_names_are_sorted_whatever_the_order_of_their_coming(carrier: Carrier, tmp_path: Path) -> None:
    file = lay(tmp_path, b"x")
    for name in (NAMES[2], NAMES[0], NAMES[1]):
        carrier.put(name, file)
    assert carrier.names() == NAMES[:3]


def test_a_name_that_is_still_there_is_replaced_and_its_stamp_is_another(carrier: Carrier, tmp_path: Path) -> None:
    name, stamps = NAMES[0], set()
    for content in (b"first", b"other", b"another"):
        carrier.put(name, lay(tmp_path, content))
        look = carrier.look(name)
        assert carrier.look(name) == look, "it stays the same while nobody writes"
        stamps.add((look.size, look.stamp))
        carrier.take(name, tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == content
    assert len(stamps) == 3
    assert carrier.names() == [name]


def test_what_has_gone_is_not_found_and_leaves_no_copy(carrier: Carrier, tmp_path: Path) -> None:
    carrier.put(NAMES[0], lay(tmp_path, b"x"))
    carrier.drop(NAMES[0])
    for name in NAMES[:2]:
        with pytest.raises(FileNotFoundError):
            carrier.look(name)
        with pytest.raises(FileNotFoundError):
            carrier.take(name, tmp_path / "copy")
        carrier.drop(name)
    assert not (tmp_path / "copy").exists()
    assert carrier.names() == []


def test_a_copy_takes_the_place_of_what_lay_there_before(carrier: Carrier, tmp_path: Path) -> None:
    carrier.put(NAMES[0], lay(tmp_path, b"short"))
    into = lay(tmp_path, b"something much longer", "copy")
    assert carrier.take(NAMES[0], into) == 5
    assert into.read_bytes() == b"short"


def test_a_put_that_fails_leaves_what_was_there(carrier: Carrier, tmp_path: Path) -> None:
    carrier.put(NAMES[0], lay(tmp_path, b"whole"))
    for name in NAMES[:2]:
        with pytest.raises(OSError):
            carrier.put(name, tmp_path / "missing")
    assert carrier.names() == NAMES[:1]
    carrier.take(NAMES[0], tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"whole"


def test_several_threads_put_and_take_at_a_time(carrier: Carrier, tmp_path: Path) -> None:
    contents = {name: os.urandom(400_000) for name in NAMES[:6]}
    for name, content in contents.items():
        lay(tmp_path, content, name)

    def both(name: str) -> bytes:
        carrier.put(name, tmp_path / name)
        into = tmp_path / f"{name}.copy"
        carrier.take(name, into)
        return into.read_bytes()

    with ThreadPoolExecutor(3) as threads:
        assert list(threads.map(both, contents)) == list(contents.values())
    assert carrier.names() == NAMES[:6]


@pytest.mark.parametrize("carrier", KINDS[1:], indirect=True)
def test_a_large_file_goes_through_in_little_memory(carrier: Carrier, tmp_path: Path) -> None:
    size, file = 64 << 20, tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(size)
        out.write(b"begin")
        out.seek(size - 3)
        out.write(b"end")
    tracemalloc.start()
    try:
        carrier.put(NAMES[0], file)
        assert carrier.take(NAMES[0], tmp_path / "copy") == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 << 20
    with (tmp_path / "copy").open("rb") as copy:
        assert copy.read(5) == b"begin"
        copy.seek(size - 3)
        assert copy.read() == b"end"


Behind = Callable[[int], Carrier]
"""Makes a carrier to the same place, through another port."""


@pytest.fixture(params=["http", "s3"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Behind]]:
    """A place behind a network: its port, and what makes a carrier to it."""
    with contextlib.ExitStack() as stack:
        if request.param == "http":
            open_door = stack.enter_context(door(tmp_path / "inbox"))
            yield open_door.port, lambda port: open_door.carrier(port=port)
        else:
            store: S3Store = request.getfixturevalue("store")
            uri = f"s3://roads/{os.getpid()}-{next(_numbers)}"

            def behind(port: int) -> Carrier:
                return S3Carrier(uri, {**store.options, "endpoint_url": f"http://127.0.0.1:{port}"})

            yield store.port, behind


def test_a_line_cut_while_a_file_is_put_leaves_nothing_visible(far: tuple[int, Behind], tmp_path: Path) -> None:
    port, behind = far
    file, direct = lay(tmp_path, os.urandom(3_000_000)), behind(port)
    with line_to(port) as line:
        carrier = behind(line.port)
        line.cut_there, line.times = 1_500_000, 99
        with pytest.raises(OSError):
            carrier.put(NAMES[0], file)
        assert direct.names() == []
        line.times = 0
        carrier.put(NAMES[0], file)
    direct.take(NAMES[0], tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_line_cut_while_a_file_is_fetched_is_taken_up_where_it_was_cut(
    far: tuple[int, Behind], tmp_path: Path
) -> None:
    port, behind = far
    file = lay(tmp_path, os.urandom(6_000_000))
    behind(port).put(NAMES[0], file)
    with line_to(port) as line:
        line.cut_back, line.times = 4_000_000, 1
        assert behind(line.port).take(NAMES[0], tmp_path / "copy") == 6_000_000
        assert line.times == 0
        assert line.back_bytes < 8_500_000, "what came before the cut did not come again"
    assert (tmp_path / "copy").read_bytes() == file.read_bytes()


def test_a_place_that_nobody_answers_for_is_an_error_that_is_tried_again(far: tuple[int, Behind]) -> None:
    port, behind = far
    with line_to(port) as line:
        carrier = behind(line.port)
        carrier.names()
    with pytest.raises(OSError):
        carrier.names()


@pytest.mark.parametrize("wrong", [{"secret": "of-somebody-else"}, {"key": "nobody"}], ids=["secret", "key"])
def test_who_may_not_ask_a_store_is_refused_without_a_word_of_the_secret(
    store: S3Store, tmp_path: Path, wrong: dict[str, str]
) -> None:
    carrier, file = S3Carrier("s3://roads/x", {**store.options, **wrong}), lay(tmp_path, b"x")
    for call in (
        carrier.names,
        lambda: carrier.put(NAMES[0], file),
        lambda: carrier.look(NAMES[0]),
        lambda: carrier.take(NAMES[0], tmp_path / "copy"),
        lambda: carrier.drop(NAMES[0]),
    ):
        with pytest.raises(Refused, match="see key, secret") as caught:
            call()
        assert "somebody" not in f"{caught.value!r}{carrier!r}"


def test_a_bucket_that_is_not_there_is_an_error_and_not_an_empty_list(store: S3Store) -> None:
    with pytest.raises(OSError):
        S3Carrier("s3://no-such-bucket/x", store.options).names()


def test_without_s3fs_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(MissingExtra, match=r"isthmus\[recovery\]"):
        S3Carrier("s3://roads/x")


@pytest.mark.parametrize(
    "uri", ["roads/x", "http://roads/x", "s3:///x", "s3://key:secret@roads/x", "s3://roads/x?y"]
)
def test_what_is_no_address_of_a_store_is_refused(uri: str) -> None:
    pytest.importorskip("s3fs")
    with pytest.raises(InputError, match="s3://<bucket>/<prefix>"):
        S3Carrier(uri)
