from __future__ import annotations

import datetime
import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from bundle_making import ALLOWED, ENTRIES, KEY, MADE, header, members, of
from isthmus.core.errors import Corrupt, InputError
from isthmus.core.header import Kind
from isthmus.core.ports import Delivery
from isthmus.transfer.archive import block
from isthmus.transfer.bundle import open_bundle, pack
from isthmus.transfer.limits import Limits
from isthmus.transfer.opened import STRETCH
from isthmus.transfer.refusal import TooLarge

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,94}", fullmatch=True).filter(
    lambda name: name not in ("header.json", "manifest.json", "signature")
)


@given(
    st.dictionaries(NAMES, st.lists(st.binary(max_size=3000), max_size=4), max_size=5),
    st.sampled_from(["zstd", "none"]),
    st.sampled_from([Kind.INCREMENT, Kind.SNAPSHOT]),
    st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)),
)
def test_what_is_packed_is_opened_again(
    tmp_path_factory: pytest.TempPathFactory,
    content: dict[str, list[bytes]],
    codec: str,
    kind: Kind,
    made: datetime.datetime,
) -> None:
    file = tmp_path_factory.getbasetemp() / "round.tar"
    told = header(kind, codec=codec, made=made)
    packed = pack(file, told, {name: lambda pieces=pieces: iter(pieces) for name, pieces in content.items()}, KEY)
    opened: Delivery = open_bundle(file, ALLOWED)
    assert opened.header == told
    assert {name: b"".join(opened.read(name)) for name in content} == {
        name: b"".join(pieces) for name, pieces in content.items()
    }
    assert (packed.size, packed.digest) == (file.stat().st_size, blake3(file.read_bytes()).digest())


@pytest.mark.parametrize("kind", Kind)
def test_an_opened_bundle_tells_its_digest_its_signer_and_its_members(tmp_path: Path, kind: Kind) -> None:
    packed = pack(tmp_path / "a.tar", header(kind), of(kind), KEY)
    opened = open_bundle(packed.file, ALLOWED)
    assert (opened.digest, opened.signer) == (packed.digest, KEY.public)
    assert list(opened.members) == list(of(kind))
    with pytest.raises(Corrupt, match="no 'other'"):
        opened.read("other")


def test_the_same_content_gives_the_same_bytes_however_it_arrives(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000 + b"end"
    whole = pack(tmp_path / "whole.tar", header(), members(content), KEY)
    cut = {"entries.bson": lambda: (content[at : at + 7001] for at in range(0, len(content), 7001))}
    pieces = pack(tmp_path / "pieces.tar", header(), cut, KEY)
    assert pieces.file.read_bytes() == whole.file.read_bytes()
    assert pieces.digest == whole.digest


def test_the_order_in_which_members_are_given_does_not_show(tmp_path: Path) -> None:
    one, two = members(b"1", "a"), members(b"2", "a.b")
    there = pack(tmp_path / "there.tar", header(), {**one, **two}, KEY)
    back = pack(tmp_path / "back.tar", header(), {**two, **one}, KEY)
    assert there.digest == back.digest
    assert b"".join(open_bundle(back.file, ALLOWED).read("a.b")) == b"2"


def test_any_tar_and_any_zstd_open_a_bundle(tmp_path: Path) -> None:
    packed = pack(tmp_path / "a.tar", header(), members(), KEY)
    with tarfile.open(packed.file, "r:") as archive:
        found = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
        assert all(entry.isreg() and entry.mtime == int(MADE.timestamp()) for entry in archive)
    assert list(found) == ["header.json", "entries.bson.zst", "manifest.json", "signature"]
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(found["entries.bson.zst"])).read() == ENTRIES


@pytest.mark.parametrize("size", [0, 1, 8**11 - 1])
def test_a_block_is_the_one_that_tarfile_writes(size: int) -> None:
    entry = tarfile.TarInfo("entries.bson.zst")
    entry.size, entry.mtime = size, 1_700_000_000
    assert block(entry.name, size, entry.mtime) == entry.tobuf(tarfile.USTAR_FORMAT)


def test_a_member_of_more_than_8_gib_is_understood_by_tarfile() -> None:
    entry = tarfile.TarInfo.frombuf(block("entries.bson.zst", 9 << 30, 5), "ascii", "strict")
    assert (entry.name, entry.size, entry.isreg()) == ("entries.bson.zst", 9 << 30, True)


def test_neither_packing_nor_reading_holds_a_member_in_memory(tmp_path: Path) -> None:
    size = 48 * STRETCH
    block_of = [blake3(bytes([turn])).digest(length=STRETCH // 2) for turn in range(7)]  # does not pack well

    def content() -> Iterator[bytes]:
        for turn in range(96):
            yield block_of[turn % 7]

    tracemalloc.start()
    packed = pack(tmp_path / "a.tar", header(), {"entries.bson": content}, KEY)
    opened = open_bundle(packed.file, ALLOWED)
    assert sum(map(len, opened.read("entries.bson"))) == size
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert packed.size > 3 * STRETCH
    assert peak < 12 * STRETCH


def test_a_bundle_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"begun"
        raise OSError("the disk is gone")

    for before in (None, b"the one before"):
        file = tmp_path / "a.tar"
        if before is not None:
            file.write_bytes(before)
        with pytest.raises(OSError, match="gone"):
            pack(file, header(), {"entries.bson": breaks}, KEY)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if before is None else [before])


@pytest.mark.parametrize("name", ["", ".a", "A", "a/b", "../a", "a b", "ä", "x" * 96, "signature", "header.json"])
def test_a_member_with_a_name_that_cannot_travel_is_not_packed(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no name of a member"):
        pack(tmp_path / "a.tar", header(codec="none"), members(b"", name), KEY)
    assert not list(tmp_path.iterdir())


def test_a_header_that_cannot_travel_is_not_packed(tmp_path: Path) -> None:
    for told, words in (
        (header(made=datetime.datetime(1969, 12, 31, tzinfo=datetime.UTC)), "does not fit"),
        (header(made=datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC)), "does not fit"),
        (header(key=b"short"), "has 32 bytes"),
    ):
        with pytest.raises(InputError, match=words):
            pack(tmp_path / "a.tar", told, members(), KEY)
    with pytest.raises(InputError, match="carries nothing"):
        pack(tmp_path / "a.tar", header(Kind.HEARTBEAT), members(), KEY)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(most_file_bytes=3000),
        Limits(most_member_bytes=len(ENTRIES) - 1),
        Limits(most_members=0),
        Limits(most_header_bytes=100),
        Limits(most_manifest_bytes=100),
        Limits(most_ratio=1, ratio_free_bytes=1000),
    ],
)
def test_what_a_receiver_with_the_same_limits_refuses_is_not_packed(tmp_path: Path, limits: Limits) -> None:
    packed = pack(tmp_path / "a.tar", header(), members(), KEY)
    with pytest.raises(TooLarge):
        open_bundle(packed.file, ALLOWED, limits)
    with pytest.raises(TooLarge):
        pack(tmp_path / "b.tar", header(), members(), KEY, limits)
    assert [file.name for file in tmp_path.iterdir()] == ["a.tar"]
