"""Bundles whose signature holds, but whose signer lies or errs: allowed keys are not trusted with everything."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from bundle_making import ALLOWED, ENTRIES, KEY, forge, header, members, put
from isthmus.core.header import Kind
from isthmus.transfer.bundle import open_bundle, pack
from isthmus.transfer.claims import Listed, write_header, write_manifest
from isthmus.transfer.limits import MIB, STANDARD, Limits
from isthmus.transfer.opened import Opened
from isthmus.transfer.refusal import NewerFormat, Tampered, TooLarge, UnknownKey

PATH = "entries.bson.zst"
PACKED = zstandard.ZstdCompressor().compress(ENTRIES)
HONEST = Listed(PATH, len(PACKED), len(ENTRIES), blake3(PACKED).digest())
FIRST = write_header(header())


def listed(packed: bytes, unpacked: int, path: str = PATH) -> Listed:
    return Listed(path, len(packed), unpacked, blake3(packed).digest())


def opened(
    folder: Path, first: bytes, packed: dict[str, bytes], manifest: bytes, limits: Limits = STANDARD
) -> Opened:
    return open_bundle(put(folder / "forged.tar", forge(first, packed, manifest)), ALLOWED, limits)


def test_what_is_forged_here_is_opened_where_nothing_is_wrong(tmp_path: Path) -> None:
    found = opened(tmp_path, FIRST, {PATH: PACKED}, write_manifest([HONEST]))
    assert b"".join(found.read("entries.bson")) == ENTRIES


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]\n",
        b"{}\n",
        b'{"format":1}\n',
        b"[" * 60_000,
        write_manifest([]),
        write_manifest([HONEST, HONEST]),
        write_manifest([HONEST, dataclasses.replace(HONEST, path="more.zst")]),
        write_manifest([HONEST])[:-1],
        b" " + write_manifest([HONEST]),
        write_manifest([HONEST]).replace(b'"format":1', b'"format":2'),
        write_manifest([HONEST]).replace(b'"format":1', b'"format":1,"format":1'),
        json.dumps({"format": 1, "members": "abc"}, separators=(",", ":")).encode() + b"\n",
        *(
            write_manifest([dataclasses.replace(HONEST, **change)])
            for change in (
                {"path": "other.zst"},
                {"path": "../entries.bson.zst"},
                {"path": "entries.bson"},
                {"path": 5},
                {"path": ["a"]},
                {"size": len(PACKED) + 1},
                {"size": -1},
                {"size": float(len(PACKED))},
                {"size": True},
                {"unpacked": -1},
                {"unpacked": "2048"},
                {"unpacked": None},
                {"blake3": b""},
                {"blake3": bytes(32)},
            )
        ),
    ],
    ids=lambda manifest: manifest[:90].decode(),
)
def test_a_manifest_that_is_not_exactly_so_opens_nothing(tmp_path: Path, manifest: bytes) -> None:
    with pytest.raises(Tampered):
        opened(tmp_path, FIRST, {PATH: PACKED}, manifest)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"null\n",
        b"[1]\n",
        b"\xff\xfe",
        b"[" * 60_000,
        b'{"format":1}\n',
        b'{"format":0}\n',
        FIRST[:-1],
        FIRST + b" ",
        FIRST.replace(b",", b", ", 1),
        FIRST.replace(b'"format":1', b'"format":true'),
        FIRST.replace(b'"format":1', b'"format":1.0'),
        FIRST.replace(b'"format":1', b'"format":1,"format":1'),
        FIRST.replace(b'"codec":"zstd"', b'"codec":"gzip"'),
        FIRST.replace(b'"codec":"zstd"', b'"codec":{}'),
        FIRST.replace(b'"entries":5', b'"entries":-5'),
        FIRST.replace(b'"entries":5', b'"entries":' + b"[" * 900 + b"]" * 900),
        FIRST.replace(b'"entries":5', b'"entries":' + b"9" * 5000),
        FIRST.replace(b'"since":{', b'"since":[{').replace(b'},"site"', b'}],"site"'),
        FIRST.replace(b'"entries":5', b'"entries":9223372036854775808'),
        FIRST.replace(b'"entries":5', b'"\\u00e4":5'),
        FIRST.replace(b'"seq":17', b'"seq":11'),
        FIRST.replace(b'"seq":17', b'"seq":' + b"9" * 19),
        FIRST.replace(b'"epoch":3', b'"epoch":99999999999'),
        FIRST.replace(b"persons", b"../sons"),
        FIRST.replace(b"persons", b"person\\u0073"),
        FIRST.replace(b"2026-11-20T", b"0001-01-01T").replace(b"+00:00", b"+23:59"),
        FIRST.replace(b"2026-11-20T", b"1969-11-20T"),
        FIRST.replace(b"+00:00", b""),
        FIRST.replace(b"+00:00", b"Z"),
        FIRST.replace(b'"key":"40', b'"key":"'),
    ],
    ids=lambda first: first[:40].decode("latin-1"),
)
def test_a_header_that_is_not_exactly_so_opens_nothing(tmp_path: Path, first: bytes) -> None:
    assert first != FIRST
    with pytest.raises(Tampered):
        opened(tmp_path, first, {PATH: PACKED}, write_manifest([HONEST]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(sorted(header().to_json())), JSON)
def test_whatever_a_header_says_it_opens_as_it_stands_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object
) -> None:
    told = {**json.loads(FIRST), field: value}
    first = json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    try:
        found = opened(tmp_path_factory.getbasetemp(), first, {PATH: PACKED}, write_manifest([HONEST]))
    except (Tampered, NewerFormat, UnknownKey):
        return
    assert write_header(found.header) == first


@given(st.sampled_from(["path", "size", "unpacked", "blake3"]), JSON)
def test_whatever_a_manifest_says_it_opens_as_it_stands_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: object
) -> None:
    told = json.loads(write_manifest([HONEST]))
    told["members"][0][field] = value
    manifest = json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    try:
        found = opened(tmp_path_factory.getbasetemp(), FIRST, {PATH: PACKED}, manifest)
    except (Tampered, TooLarge):
        return
    assert field == "unpacked"
    assert type(value) is int and 0 <= value <= 64 * MIB
    assert list(found.members) == ["entries.bson"]


def test_a_bundle_of_a_later_format_is_told_as_such(tmp_path: Path) -> None:
    first = FIRST.replace(b'"format":1', b'"format":2')
    with pytest.raises(NewerFormat, match="format 2"):
        opened(tmp_path, first, {PATH: PACKED}, write_manifest([HONEST]))


def test_entries_marked_with_another_time_than_the_headers_open_nothing(tmp_path: Path) -> None:
    first = FIRST.replace(b"02:03:04", b"02:03:05")
    with pytest.raises(Tampered, match="another time"):
        opened(tmp_path, first, {PATH: PACKED}, write_manifest([HONEST]))


def test_a_heartbeat_that_carries_something_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(Tampered, match="heartbeat"):
        opened(tmp_path, write_header(header(Kind.HEARTBEAT)), {PATH: PACKED}, write_manifest([HONEST]))


def test_an_unpacked_member_with_two_sizes_opens_nothing(tmp_path: Path) -> None:
    first, manifest = write_header(header(codec="none")), write_manifest([listed(PACKED, 10**9, "entries.bson")])
    with pytest.raises(Tampered, match="two sizes"):
        opened(tmp_path, first, {"entries.bson": PACKED}, manifest)


def test_more_members_than_allowed_open_nothing(tmp_path: Path) -> None:
    for many, limits in ((65, Limits()), (3, Limits(most_members=2))):
        packed = {f"m{number:03}.zst": PACKED for number in range(many)}
        manifest = write_manifest(listed(PACKED, len(ENTRIES), path) for path in packed)
        with pytest.raises(TooLarge, match="members"):
            opened(tmp_path, FIRST, packed, manifest, limits)
        smaller = dict(list(packed.items())[:-1])
        assert opened(
            tmp_path,
            FIRST,
            smaller,
            write_manifest(listed(PACKED, len(ENTRIES), path) for path in smaller),
            limits,
        )


def test_a_member_that_claims_too_much_opens_nothing(tmp_path: Path) -> None:
    for claimed, limits in (
        (65 << 30, Limits()),
        (1 << 200, Limits()),
        (1 << 30, Limits()),  # more than 4096 times its packed size
        (len(ENTRIES), Limits(most_member_bytes=len(ENTRIES) - 1)),
    ):
        with pytest.raises(TooLarge):
            opened(tmp_path, FIRST, {PATH: PACKED}, write_manifest([listed(PACKED, claimed)]), limits)


def test_a_bomb_that_tells_its_size_is_not_opened(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(256 * MIB))
    assert len(bomb) < 32 * 1024
    with pytest.raises(TooLarge, match="more than 4096 times"):
        opened(tmp_path, FIRST, {PATH: bomb}, write_manifest([listed(bomb, 256 * MIB)]))


def test_a_bomb_that_hides_its_size_is_cut_off_at_what_it_claims(tmp_path: Path) -> None:
    bomb = zstandard.ZstdCompressor(level=1).compress(bytes(64 * MIB))
    found = opened(tmp_path, FIRST, {PATH: bomb}, write_manifest([listed(bomb, MIB)]))
    got = 0
    with pytest.raises(Tampered, match="more than the 1,048,576 bytes signed"):
        for piece in found.read("entries.bson"):
            got += len(piece)
    assert got <= MIB


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no zstd at all",
        PACKED[: len(PACKED) // 2],
        PACKED[:-1],
        PACKED + b"rubbish behind",
        PACKED + PACKED,
        zstandard.ZstdCompressor().compress(ENTRIES[:-1]),
        zstandard.ZstdCompressor().compress(ENTRIES + b"!"),
    ],
    ids=["empty", "other", "cut", "nearly", "rubbish", "twice", "less", "more"],
)
def test_a_member_that_unpacks_to_anything_but_its_size_ends_in_an_error(tmp_path: Path, packed: bytes) -> None:
    found = opened(tmp_path, FIRST, {PATH: packed}, write_manifest([listed(packed, len(ENTRIES))]))
    with pytest.raises(Tampered):
        list(found.read("entries.bson"))


def test_a_frame_that_wants_much_memory_is_refused(tmp_path: Path) -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    packed = packer.compress(ENTRIES) + packer.flush()
    found = opened(tmp_path, FIRST, {PATH: packed}, write_manifest([listed(packed, len(ENTRIES))]))
    with pytest.raises(Tampered, match="cannot be unpacked"):
        list(found.read("entries.bson"))


def test_a_signature_for_another_purpose_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.transfer.bundle.PURPOSE", "isthmus plain 1")
    file = pack(tmp_path / "a.tar", header(), members(), KEY).file
    assert open_bundle(file, ALLOWED)
    monkeypatch.undo()
    with pytest.raises(Tampered, match="not what key"):
        open_bundle(file, ALLOWED)
