"""What a gate, a disk or an enemy does to a bundle on its way."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bundle_making import ALLOWED, ENTRIES, KEY, MADE, OTHER_KEY, header, members, of, put
from examples import tries
from isthmus.core.errors import Corrupt, Refused
from isthmus.core.header import Kind
from isthmus.transfer.archive import block
from isthmus.transfer.bundle import open_bundle, pack
from isthmus.transfer.limits import Limits
from isthmus.transfer.opened import STRETCH
from isthmus.transfer.refusal import NewerFormat, Tampered, TooLarge, Truncated, UnknownKey

REFUSALS = (Truncated, Tampered, TooLarge, UnknownKey, NewerFormat)


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    pack(tmp_path / "good.tar", header(), members(), KEY)
    return (tmp_path / "good.tar").read_bytes()


@tries("flips", 500, 2000)
def test_a_flipped_bit_anywhere_is_never_opened(tmp_path: Path, good: bytes, flips: int) -> None:
    bits = len(good) * 8
    stride = next(
        stride for stride in range(bits // flips, 0, -1) if stride % 2
    )  # odd: every bit of a byte in turn
    reasons: dict[str, int] = {}
    places = set()
    for bit in range(0, bits, stride):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Corrupt, Refused)) as caught:
            open_bundle(put(tmp_path / "flipped.tar", bytes(flipped)), ALLOWED)
        reasons[caught.typename] = reasons.get(caught.typename, 0) + 1
        places.add(bit // 8 // 512)
    told = sum(reasons.values())
    print(f"{told} bits flipped one at a time in {len(good)} bytes, none opened: {reasons}")
    assert told >= flips
    assert places == set(range(len(good) // 512)), "every block had its turn"


@pytest.mark.parametrize("codec", ["zstd", "none"])
def test_a_flipped_bit_in_a_large_member_is_never_opened(tmp_path: Path, codec: str) -> None:
    content = random.Random(7).randbytes(3 * STRETCH + 17)
    file = pack(tmp_path / "large.tar", header(codec=codec), members(content), KEY).file
    size = file.stat().st_size
    assert size > 3 * STRETCH
    with file.open("r+b", buffering=0) as raw:
        for turn in range(60):
            at, bit = turn * (size - 1) // 59, 1 << turn % 8
            before = os.pread(raw.fileno(), 1, at)
            os.pwrite(raw.fileno(), bytes([before[0] ^ bit]), at)
            with pytest.raises(REFUSALS):
                open_bundle(file, ALLOWED)
            os.pwrite(raw.fileno(), before, at)
    assert b"".join(open_bundle(file, ALLOWED).read("entries.bson")) == content


def test_a_huge_file_of_zeros_is_told_apart_without_being_read(tmp_path: Path, good: bytes) -> None:
    file = put(tmp_path / "hole.tar", good[:600])
    os.truncate(file, 31 << 30)
    with pytest.raises(Truncated, match="ends in zeros"):
        open_bundle(file, ALLOWED)
    with file.open("ab") as more:
        more.write(b"x")
    with pytest.raises(Tampered):
        open_bundle(file, ALLOWED)


def lengths(whole: int) -> list[int]:
    """Lengths at which a file may end early: every third, and all around the borders of blocks."""
    return [length for length in range(whole) if length % 3 == 0 or (length + 2) % 512 < 5]


def test_a_file_that_merely_ends_early_is_truncated_wherever_it_ends(tmp_path: Path, good: bytes) -> None:
    for length in lengths(len(good)):
        with pytest.raises(Truncated):
            open_bundle(put(tmp_path / "cut.tar", good[:length]), ALLOWED)


def test_a_file_of_full_size_that_is_not_filled_yet_is_truncated(tmp_path: Path, good: bytes) -> None:
    filled = len(good.rstrip(b"\0"))
    for length in (*lengths(filled), filled - 1):
        with pytest.raises(Truncated):
            open_bundle(put(tmp_path / "hole.tar", good[:length] + bytes(len(good) - length)), ALLOWED)
    assert open_bundle(put(tmp_path / "hole.tar", good[:filled] + bytes(len(good) - filled)), ALLOWED)


def test_a_file_that_grows_opens_once_all_of_it_is_there(tmp_path: Path, good: bytes) -> None:
    file = put(tmp_path / "growing.tar", b"")
    for at in range(0, len(good), 700):
        with pytest.raises(Truncated):
            open_bundle(file, ALLOWED)
        with file.open("ab") as growing:
            growing.write(good[at : at + 700])
    assert b"".join(open_bundle(file, ALLOWED).read("entries.bson")) == ENTRIES


@pytest.mark.parametrize("noise", [b"\0", b"x", bytes(512), bytes(10240), b"x" * 4000])
def test_nothing_may_follow_a_bundle_or_stand_before_it(tmp_path: Path, good: bytes, noise: bytes) -> None:
    for content in (good + noise, noise + good, good[:512] + noise + good[512:]):
        with pytest.raises(Tampered):
            open_bundle(put(tmp_path / "more.tar", content), ALLOWED)


def test_two_bundles_in_one_file_are_none(tmp_path: Path, good: bytes) -> None:
    with pytest.raises(Tampered):
        open_bundle(put(tmp_path / "two.tar", good + good), ALLOWED)


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"header.jsonx", b"\x1f\x8b" + bytes(600), b"a" * 512])
def test_what_never_was_a_bundle_is_not_waited_for(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Tampered):
        open_bundle(put(tmp_path / "other.tar", content), ALLOWED)


@given(st.binary(max_size=3000))
def test_any_bytes_at_all_are_refused_in_the_words_of_this_room(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    with pytest.raises(REFUSALS):
        open_bundle(put(tmp_path_factory.getbasetemp() / "any.tar", content), ALLOWED)


@given(st.data())
def test_a_bundle_with_a_stretch_changed_taken_out_or_put_in_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    good = pack(folder / "good.tar", header(), members(), KEY).file.read_bytes()
    at = data.draw(st.integers(0, len(good)))
    end = data.draw(st.integers(at, min(len(good), at + 700)))
    new = data.draw(st.binary(max_size=20) | st.sampled_from([b"", good[:512], good[at:end] * 2, bytes(512)]))
    changed = good[:at] + new + good[end:]
    assume(changed != good)
    with pytest.raises(REFUSALS):
        open_bundle(put(folder / "changed.tar", changed), ALLOWED)


def test_a_packer_that_is_killed_leaves_what_was_there_before(tmp_path: Path) -> None:
    for before in (None, pack(tmp_path / "a.tar", header(), members(b"before"), KEY)):
        (tmp_path / "a.tar").unlink(missing_ok=True)
        if before is not None:
            before = pack(tmp_path / "a.tar", header(), members(b"before"), KEY)
        script = Path(__file__).parents[1] / "packing_process.py"
        done = subprocess.run([sys.executable, script, tmp_path / "a.tar"], check=False)
        assert done.returncode == -signal.SIGKILL
        assert any(file.name.endswith(".part") for file in tmp_path.iterdir()), "it was killed while it wrote"
        if before is None:
            assert not (tmp_path / "a.tar").exists()
        else:
            assert open_bundle(tmp_path / "a.tar", ALLOWED).digest == before.digest


def test_a_folder_is_no_bundle_and_a_missing_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(Tampered, match="no file"):
        open_bundle(tmp_path, ALLOWED)
    with pytest.raises(FileNotFoundError):
        open_bundle(tmp_path / "none.tar", ALLOWED)


@pytest.mark.parametrize("kind", Kind)
def test_a_key_that_is_unknown_or_another_streams_opens_nothing(tmp_path: Path, kind: Kind) -> None:
    strange = pack(tmp_path / "strange.tar", header(kind), of(kind), OTHER_KEY).file
    own = pack(tmp_path / "own.tar", header(kind), of(kind), KEY).file
    elsewhere = pack(tmp_path / "elsewhere.tar", header(kind, stream="things"), of(kind), KEY).file
    for file, allowed in (
        (strange, ALLOWED),
        (elsewhere, ALLOWED),
        (own, {}),
        (own, {"persons": frozenset()}),
        (own, {"things": frozenset({KEY.public})}),
    ):
        with pytest.raises(UnknownKey, match="not allowed for stream"):
            open_bundle(file, allowed)  # type: ignore[arg-type]
    assert open_bundle(own, {"persons": frozenset({OTHER_KEY.public, KEY.public})}).signer == KEY.public


def test_the_content_of_one_bundle_cannot_be_put_into_another(tmp_path: Path) -> None:
    one = pack(tmp_path / "one.tar", header(), members(b"1" * 400), KEY).file.read_bytes()
    two = pack(tmp_path / "two.tar", header(), members(b"2" * 400), KEY).file.read_bytes()
    assert len(one) == len(two)
    for at in range(0, len(one), 512):
        span = slice(at, at + 512)
        if one[span] != two[span]:
            with pytest.raises(Tampered):
                open_bundle(put(tmp_path / "mixed.tar", one[: span.start] + two[span] + one[span.stop :]), ALLOWED)


def test_a_file_that_changes_after_it_was_verified_is_not_read_further(tmp_path: Path) -> None:
    content = b"".join(number.to_bytes(4, "big") for number in range(STRETCH))
    file = pack(tmp_path / "a.tar", header(codec="none"), members(content), KEY).file
    opened = open_bundle(file, ALLOWED)
    stream = opened.read("entries.bson")
    assert next(stream) == content[:STRETCH]
    with file.open("r+b") as changing:
        changing.seek(opened.members["entries.bson"].offset + 2 * STRETCH + 5)
        changing.write(b"!")
    assert next(stream) == content[STRETCH : 2 * STRETCH]
    with pytest.raises(Tampered, match="changed after it was verified"):
        next(stream)


@pytest.mark.parametrize("codec", ["zstd", "none"])
def test_a_file_that_is_cut_or_replaced_after_it_was_verified_hands_out_nothing(
    tmp_path: Path, codec: str
) -> None:
    file = pack(tmp_path / "a.tar", header(codec=codec), members(), KEY).file
    opened = open_bundle(file, ALLOWED)
    for content in (file.read_bytes()[:1024], bytes(file.stat().st_size), b""):
        put(file, content)
        with pytest.raises(Tampered, match="changed after it was verified"):
            list(opened.read("entries.bson"))


def remade(good: bytes, change: Callable[[tarfile.TarInfo], None], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """Write the bundle's own entries anew with tarfile, one of them changed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(good)) as archive:
        for entry in archive:
            content = archive.extractfile(entry).read()  # type: ignore[union-attr]
            if entry.name == "entries.bson.zst":
                change(entry)
            out.write(entry.tobuf(form))
            if entry.isreg():
                out.write(content + bytes(-len(content) % 512))
    return out.getvalue() + bytes(1024)


def turned(**fields: object) -> Callable[[tarfile.TarInfo], None]:
    def change(entry: tarfile.TarInfo) -> None:
        for name, value in fields.items():
            setattr(entry, name, value)

    return change


def test_tarfile_can_write_a_bundle_anew_when_nothing_is_changed(tmp_path: Path, good: bytes) -> None:
    assert remade(good, turned()) == good


@pytest.mark.parametrize(
    "fields",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd", "size": 0},
        {"type": tarfile.LNKTYPE, "linkname": "header.json", "size": 0},
        {"type": tarfile.SYMTYPE, "linkname": "header.json"},
        {"type": tarfile.DIRTYPE, "size": 0},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5, "size": 0},
        {"type": tarfile.FIFOTYPE, "size": 0},
        {"type": tarfile.CONTTYPE},
        {"type": tarfile.GNUTYPE_SPARSE},
        {"type": tarfile.AREGTYPE},
        {"type": b"V"},
        {"name": "../entries.bson.zst"},
        {"name": "/entries.bson.zst"},
        {"name": "./entries.bson.zst"},
        {"name": "a/entries.bson.zst"},
        {"name": "Entries.bson.zst"},
        {"name": "entries.bson.zst\x7f"},
        {"name": "entries\\bson.zst"},
        {"name": "header.json"},
        {"name": "manifest.json"},
        {"name": "signature"},
        {"name": "another.zst"},
        {"name": "a" * 90 + "/" + "b" * 60},
        {"mode": 0o4755},
        {"uid": 1},
        {"gid": 1},
        {"uname": "root"},
        {"gname": "root"},
        {"mtime": int(MADE.timestamp()) + 1},
        {"linkname": "x"},
    ],
    ids=str,
)
def test_an_entry_that_is_not_exactly_a_bundles_is_never_opened(
    tmp_path: Path, good: bytes, fields: dict[str, object]
) -> None:
    hostile = remade(good, turned(**fields))
    assert hostile != good
    with pytest.raises(Tampered):
        open_bundle(put(tmp_path / "hostile.tar", hostile), ALLOWED)


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (tarfile.PAX_FORMAT, {"name": "ä.zst"}),
        (tarfile.PAX_FORMAT, {"name": "x" * 120}),
        (tarfile.PAX_FORMAT, {"mtime": MADE.timestamp()}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"comment": "hello"}}),
        (tarfile.PAX_FORMAT, {"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.name": "x"}}),
        (tarfile.GNU_FORMAT, {}),
        (tarfile.GNU_FORMAT, {"name": "x" * 120}),
    ],
    ids=str,
)
def test_extended_headers_are_never_followed(
    tmp_path: Path, good: bytes, form: int, fields: dict[str, object]
) -> None:
    with pytest.raises(Tampered):
        open_bundle(put(tmp_path / "hostile.tar", remade(good, turned(**fields), form)), ALLOWED)


def entries_of(good: bytes) -> dict[str, bytes]:
    """Cut a bundle into its entries, blocks and padding included."""
    with tarfile.open(fileobj=io.BytesIO(good)) as archive:
        return {
            entry.name: good[entry.offset : entry.offset_data + -(-entry.size // 512) * 512] for entry in archive
        }


@pytest.mark.parametrize(
    "order",
    [
        "hmms",
        "heems",
        "hhems",
        "hemss",
        "hmes",
        "hesm",
        "ehms",
        "hems" * 2,
        "hemms",
        "hemse",
        "hem",
        "hes",
        "ems",
        "ms",
        "h",
        "",
    ],
)
def test_entries_twice_missing_or_out_of_order_are_never_opened(tmp_path: Path, good: bytes, order: str) -> None:
    parts = {name[0]: content for name, content in entries_of(good).items()}
    assert b"".join(parts[letter] for letter in "hems") + bytes(1024) == good
    hostile = b"".join(parts[letter] for letter in order) + bytes(1024)
    ends_in_zeros = order in ("hem", "h", "")  # which is how a file looks that is still being filled
    with pytest.raises(Truncated if ends_in_zeros else Tampered):
        open_bundle(put(tmp_path / "hostile.tar", hostile), ALLOWED)


@pytest.mark.parametrize("name", ["header.json", "entries.bson.zst", "manifest.json", "signature"])
@pytest.mark.parametrize("size", [1 << 20, 8**11 - 1, 1 << 62, (1 << 88) - 1])
def test_a_huge_claimed_size_is_refused_without_reading(tmp_path: Path, good: bytes, name: str, size: int) -> None:
    with tarfile.open(fileobj=io.BytesIO(good)) as archive:
        at = archive.getmember(name).offset
    hostile = good[:at] + block(name, size, int(MADE.timestamp())) + good[at + 512 :]
    with pytest.raises(Tampered if name == "signature" else TooLarge):
        open_bundle(put(tmp_path / "huge.tar", hostile), ALLOWED, Limits(most_file_bytes=(1 << 20) - 1))


def test_a_negative_or_odd_size_is_refused(tmp_path: Path, good: bytes) -> None:
    for length in (
        b"-0000000001\0",
        b"            ",
        b"\xff" * 12,
        b"00000000008\0",
        b"000000000010",
        b"\x80" + bytes(11),
    ):
        with pytest.raises(Tampered):
            open_bundle(put(tmp_path / "odd.tar", good[:124] + length + good[136:]), ALLOWED)
