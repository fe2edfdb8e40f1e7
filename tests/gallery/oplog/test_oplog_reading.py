from __future__ import annotations

import datetime
import gzip
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Corrupt, InputError
from isthmus.gallery.oplog.entry import (
    CODEC,
    MOST_DEPTH,
    MOST_ENTRY_BYTES,
    RawEntry,
    deeper_than,
    make_delete,
    make_insert,
    make_replace,
)
from isthmus.gallery.oplog.mongoshake import recorded, tunnel_entries, write_tunnel
from isthmus.gallery.oplog.read import Container, ReadLimits, entries, sniff
from oplog_making import NS, UI, WALL, Site, insert
from samples import SAMPLES, needs_samples

RAWS = [insert({"_id": number, "name": "x" * (number % 40)}, number + 1) for number in range(60)]
TS = Timestamp(1_700_000_000, 1)


def pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    begin = 0
    for cut in sorted(cut % (len(content) + 1) for cut in cuts):
        yield content[begin:cut]
        begin = cut
    yield content[begin:]


def plain(content: bytes) -> list[bytes]:
    return [one.raw for one in entries([content])]


@given(st.lists(st.integers(0, 1 << 16), max_size=30))
def test_entries_are_the_same_however_the_file_comes_in_pieces(cuts: list[int]) -> None:
    content = b"".join(RAWS)
    assert [one.raw for one in entries(pieces(content, cuts))] == RAWS
    tunnel = b"".join(write_tunnel(RAWS, packing=3, in_block=7))
    assert [one.raw for one in recorded(pieces(tunnel, cuts))] == RAWS


def test_a_file_that_comes_byte_by_byte_is_read_too() -> None:
    content = b"".join(RAWS[:5])
    assert [one.raw for one in recorded(bytes([byte]) for byte in content)] == RAWS[:5]


def test_an_empty_file_has_no_entries() -> None:
    assert list(recorded([])) == list(entries([b"", b""])) == []


def test_a_file_cut_off_anywhere_gives_the_whole_entries_and_says_where_it_ends() -> None:
    content = b"".join(RAWS[:3])
    bounds = {0, *(sum(len(raw) for raw in RAWS[: count + 1]) for count in range(3))}
    for end in range(len(content)):
        read: list[bytes] = []
        if end in bounds:
            assert len(plain(content[:end])) == sorted(bounds).index(end)
            continue
        with pytest.raises(Corrupt, match=rf"end at byte {end}"):
            read.extend(one.raw for one in entries([content[:end]]))


@pytest.mark.parametrize("size", [-1, 0, 4, MOST_ENTRY_BYTES + 1, 0x7FFFFFFF])
def test_a_length_that_no_entry_has_is_refused_with_its_place_before_anything_is_taken(size: int) -> None:
    content = RAWS[0] + struct.pack("<i", size) + bytes(64)
    with pytest.raises(Corrupt, match=f"at byte {len(RAWS[0])}"):
        list(entries([content]))


def test_an_entry_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    raw = RAWS[0]
    assert len(list(entries([raw], ReadLimits(most_entry_bytes=len(raw))))) == 1
    with pytest.raises(Corrupt, match="bytes"):
        list(entries([raw], ReadLimits(most_entry_bytes=len(raw) - 1)))


def test_garbage_within_an_entry_names_the_entrys_place() -> None:
    bad = bytearray(RAWS[1])
    bad[4] = 0x77  # a type that BSON does not have
    with pytest.raises(Corrupt, match=f"at byte {len(RAWS[0])}"):
        list(entries([RAWS[0] + bytes(bad)]))


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"": value}
    return value


def test_depth_has_one_bound_on_every_machine() -> None:
    fits = deep(MOST_DEPTH)
    assert not deeper_than(fits, MOST_DEPTH) and deeper_than({"": fits}, MOST_DEPTH)
    assert RawEntry(bson.encode(fits)).fields == fits
    for levels in (MOST_DEPTH + 1, 400, 5000):
        inner = b"\x05\x00\x00\x00\x00"
        for _ in range(levels - 1):
            inner = struct.pack("<i", len(inner) + 7) + b"\x03\x00" + inner + b"\x00"
        with pytest.raises(Corrupt):
            RawEntry(inner)


def test_what_was_read_encodes_to_the_same_bytes() -> None:
    document = {
        "_id": bson.ObjectId(bytes(12)),
        "int": 5,
        "long": bson.Int64(5),
        "float": -0.0,
        "far": bson.datetime_ms.DatetimeMS(1 << 60),
        "date": datetime.datetime(2026, 1, 2, 3, 4, 5, 678000),
        "uuid": UI,
        "bytes": b"\0",
        "regex": bson.Regex("a.*", "i"),
        "code": bson.Code("f()", {"a": 1}),
        "decimal": bson.Decimal128("1.10"),
        "keys": [bson.MinKey(), bson.MaxKey(), None, True, TS],
        "text": "zażółć \0 ok",
    }
    raw = bson.encode({"op": "i", "o": document}, codec_options=CODEC)
    assert bson.encode(RawEntry(raw).fields, codec_options=CODEC) == raw


def test_entries_of_our_own_are_what_mongodb_writes() -> None:
    site = Site()
    made = make_insert(NS, {"name": "An", "_id": 1}, TS, WALL, UI)
    assert list(RawEntry(made).fields) == ["op", "ns", "ui", "o", "ts", "t", "v", "wall"]
    assert list(RawEntry(made).o) == ["_id", "name"] and RawEntry(made).ts == TS and RawEntry(made).wall == WALL
    replaced = make_replace(NS, {"_id": 1, "name": "Ann"}, TS, WALL, UI)
    assert RawEntry(replaced).o2 == {"_id": 1} and RawEntry(replaced).ui == UI
    assert site.apply(made, replaced).refused == () and site.all() == [{"_id": 1, "name": "Ann"}]
    site.apply(make_delete(NS, 1, TS, WALL, None))
    assert site.all() == []


@pytest.mark.parametrize(
    "document",
    [{"name": 1}, {"_id": 1, "$x": 1}, {"_id": 1, "url": "x" * MOST_ENTRY_BYTES}, {"_id": {1}}, {"_id": 1 << 70}],
)
def test_a_document_that_can_be_no_entry_is_refused_before_it_is_one(document: dict[str, Any]) -> None:
    for make in (make_insert, make_replace):
        with pytest.raises(InputError):
            make(NS, document, TS, WALL, None)


def test_a_document_nested_too_deep_is_refused_before_it_is_an_entry() -> None:
    with pytest.raises(InputError, match="deeper"):
        make_insert(NS, {"_id": 1, "x": deep(MOST_DEPTH)}, TS, WALL, None)


@pytest.mark.parametrize("packing", [0, 1, 2, 3, 4])
def test_a_tunnel_file_is_read_with_every_compressor_of_mongoshake(packing: int) -> None:
    content = b"".join(write_tunnel(RAWS, packing=packing, shard=3, in_block=16))
    assert sniff(content) is Container.TUNNEL and sniff(RAWS[0]) is Container.BSON
    assert [one.raw for one in recorded([content])] == RAWS


def test_a_tunnel_file_is_laid_out_as_mongoshake_lays_it_out() -> None:
    raw = RAWS[0]
    header = bytes.fromhex("eeeeeeeeee20131400000001") + bytes(20)
    block = struct.pack(
        ">IIIIII", zlib.crc32(raw) ^ zlib.crc32(RAWS[1]), 0x11000, 0, 0, 0xEEEEEEEE, 8 + len(raw) + len(RAWS[1])
    )
    payload = b"".join(struct.pack(">I", len(one)) + one for one in (raw, RAWS[1]))
    assert b"".join(write_tunnel(RAWS[:2])) == header + block + payload
    unsigned = header + bytes(4) + block[4:] + payload
    assert [one.raw for one in recorded([unsigned])] == RAWS[:2]


def test_a_flipped_bit_anywhere_in_a_tunnel_file_never_gives_another_entry() -> None:
    content = b"".join(write_tunnel(RAWS[:6], in_block=2))
    for at in range(len(content)):
        bad = bytearray(content)
        bad[at] ^= 1 << (at % 8)
        read: list[bytes] = []
        try:
            read.extend(one.raw for one in tunnel_entries([bytes(bad)]))
        except Corrupt:
            continue
        assert read == RAWS[:6]  # the header's checksum, the reserved bytes, tag and shard are not looked at


def tunnel_of(piece: bytes, packing: int, *, magic: int = 0xEEEEEEEE, length: int | None = None) -> bytes:
    payload = struct.pack(">I", len(piece)) + piece
    size = len(payload) if length is None else length
    header = bytes.fromhex("eeeeeeeeee20131400000001") + bytes(20)
    return header + struct.pack(">IIIIII", zlib.crc32(piece), 0, 0, packing, magic, size) + payload


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tunnel_of(RAWS[0], 9), "compressor 9"),
        (tunnel_of(RAWS[0], 0, magic=1), "no block"),
        (tunnel_of(RAWS[0], 1), "unpacked"),
        (tunnel_of(zlib.compress(bytes(1 << 25)), 3), "more than"),
        (tunnel_of(gzip.compress(RAWS[0]) * 2, 1), "in pieces"),
        (tunnel_of(gzip.compress(RAWS[0])[:-3], 1), "in pieces"),
        (tunnel_of(RAWS[0], 0, length=1 << 30), "at most"),
        (tunnel_of(RAWS[0], 0, length=2), "does not end"),
        (tunnel_of(RAWS[0], 0, length=6), "beyond its block"),
        (tunnel_of(b"\x05\0\0\0\x07", 0), "at byte 60"),
        (tunnel_of(RAWS[0], 0)[:-4], "cut off"),
        (bytes.fromhex("eeeeeeeeee20131400000002") + bytes(20), "protocol 2"),
        (bytes.fromhex("eeeeeeeeee201314"), "too early"),
    ],
)
def test_a_tunnel_file_that_is_not_as_its_format_says_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(Corrupt, match=said):
        list(recorded([content]))


def test_a_file_that_is_no_tunnel_is_not_read_as_one() -> None:
    with pytest.raises(Corrupt, match="does not begin"):
        list(tunnel_entries([b"".join(RAWS)]))


@needs_samples
@pytest.mark.parametrize("packing", [0, 4])
def test_real_oplogs_come_through_a_tunnel_unchanged(packing: int) -> None:
    for file in sorted((SAMPLES / "oplog").glob("*.bson")):
        content = file.read_bytes()
        raws = plain(content)
        assert b"".join(raws) == content
        assert [one.raw for one in recorded(write_tunnel(raws, packing=packing))] == raws
