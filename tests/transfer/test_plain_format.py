from __future__ import annotations

from pathlib import Path

import bson
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from bundle_making import ALLOWED, KEY, OTHER_KEY, header, members, of, put
from examples import tries
from isthmus.core.errors import Corrupt, InputError, Refused
from isthmus.core.header import BundleName, Kind
from isthmus.core.ports import Delivery
from isthmus.transfer import claims
from isthmus.transfer.formats import ENDINGS, Format, complete, family, names_of, open_files, seal
from isthmus.transfer.limits import Limits
from isthmus.transfer.plain import _document, open_plain, pack_plain
from isthmus.transfer.refusal import Tampered, TooLarge, Truncated, UnknownKey

DOCUMENTS = b"".join(bson.encode({"op": "i", "ns": "g.persons", "o": {"_id": number}}) for number in range(20))


def sealed(folder: Path, kind: Kind = Kind.INCREMENT) -> tuple[Path, ...]:
    return pack_plain(folder, header(kind), {name: lambda: iter([DOCUMENTS]) for name in of(kind)}, KEY)


@given(st.lists(st.binary(max_size=3000), max_size=4))
def test_what_is_packed_plain_is_opened_again(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    content = b"".join(pieces)
    bare, sidecar = pack_plain(
        tmp_path_factory.getbasetemp(), header(), {"entries.bson": lambda: iter(pieces)}, KEY
    )
    opened: Delivery = open_plain(bare, sidecar, ALLOWED)
    assert opened.header == header(codec="none")
    assert b"".join(opened.read("entries.bson")) == content == bare.read_bytes()


def test_both_files_are_what_bson_tools_read(tmp_path: Path) -> None:
    bare, sidecar = sealed(tmp_path)
    assert [one["o"]["_id"] for one in bson.decode_file_iter(bare.open("rb"))] == list(range(20))
    told = bson.decode(sidecar.read_bytes())
    assert list(told) == ["header", "manifest", "signature"]
    assert told["header"].encode() == claims.write_header(header(codec="none"))
    assert told["signature"].startswith(str(KEY.public))
    opened = open_plain(bare, sidecar, ALLOWED)
    assert (opened.digest, opened.signer) == (blake3(sidecar.read_bytes()).digest(), KEY.public)


def test_a_heartbeat_is_a_sidecar_alone(tmp_path: Path) -> None:
    (sidecar,) = sealed(tmp_path, Kind.HEARTBEAT)
    assert open_plain(None, sidecar, ALLOWED).members == {}


@tries("flips", 200, 1000)
def test_a_flipped_bit_in_either_file_is_never_opened(tmp_path: Path, flips: int) -> None:
    bare, sidecar = sealed(tmp_path / "good")
    told = 0
    for file in (bare, sidecar):
        good = file.read_bytes()
        stride = next(stride for stride in range(len(good) * 8 // flips, 0, -1) if stride % 2)
        for bit in range(0, len(good) * 8, stride):
            flipped = bytearray(good)
            flipped[bit // 8] ^= 1 << bit % 8
            changed = put(tmp_path / "flipped", bytes(flipped))
            pair = (changed, sidecar) if file == bare else (bare, changed)
            with pytest.raises((Corrupt, Refused)):
                open_plain(*pair, ALLOWED)
            told += 1
    print(f"{told} bits flipped one at a time in both files, none opened")
    assert told >= 2 * flips


def test_a_file_that_merely_ends_early_is_truncated_whichever_it_is(tmp_path: Path) -> None:
    bare, sidecar = sealed(tmp_path / "good")
    for file in (bare, sidecar):
        good = file.read_bytes()
        for length in range(len(good)):
            cut = put(tmp_path / "cut", good[:length])
            with pytest.raises(Truncated):
                open_plain(*((cut, sidecar) if file == bare else (bare, cut)), ALLOWED)
    with pytest.raises(Truncated, match="has not come"):
        open_plain(None, sidecar, ALLOWED)


def test_a_file_of_full_size_that_is_not_filled_yet_is_truncated(tmp_path: Path) -> None:
    bare, sidecar = sealed(tmp_path / "good")
    good = sidecar.read_bytes()
    for length in range(len(good) - 2):
        hole = put(tmp_path / "hole", good[:length] + bytes(len(good) - length))
        with pytest.raises(Truncated):
            open_plain(bare, hole, ALLOWED)
    for length in range(0, len(DOCUMENTS) - 512, 31):
        hole = put(tmp_path / "hole", DOCUMENTS[:length] + bytes(len(DOCUMENTS) - length))
        with pytest.raises(Truncated):
            open_plain(hole, sidecar, ALLOWED)


@pytest.mark.parametrize("noise", [b"\0", b"x", bytes(600)])
def test_nothing_may_follow_either_file(tmp_path: Path, noise: bytes) -> None:
    bare, sidecar = sealed(tmp_path / "good")
    more = put(tmp_path / "more", bare.read_bytes() + noise)
    with pytest.raises(Tampered, match="more than were signed"):
        open_plain(more, sidecar, ALLOWED)
    more = put(tmp_path / "more", sidecar.read_bytes() + noise)
    with pytest.raises((Tampered, Truncated)):
        open_plain(bare, more, ALLOWED)


def test_the_sidecar_of_another_file_opens_nothing(tmp_path: Path) -> None:
    _, sidecar = sealed(tmp_path)
    other = put(tmp_path / "other", DOCUMENTS[:-3] + b"!\0\0")
    with pytest.raises(Tampered, match="not what was signed"):
        open_plain(other, sidecar, ALLOWED)


def test_a_key_that_is_unknown_or_another_streams_opens_nothing(tmp_path: Path) -> None:
    strange = pack_plain(tmp_path / "strange", header(), members(), OTHER_KEY)
    elsewhere = pack_plain(tmp_path / "elsewhere", header(stream="things"), members(), KEY)
    for bare, sidecar in (strange, elsewhere):
        with pytest.raises(UnknownKey):
            open_plain(bare, sidecar, ALLOWED)


def test_what_a_bundle_is_signed_for_is_worth_nothing_here(tmp_path: Path) -> None:
    bare, sidecar = sealed(tmp_path)
    told = bson.decode(sidecar.read_bytes())
    first, manifest = told["header"].encode(), told["manifest"].encode()
    signature = claims.write_signature(KEY, "isthmus bundle 1", first, manifest)
    with pytest.raises(Tampered, match="not what key"):
        open_plain(bare, put(tmp_path / "b", _document(first, manifest, signature)), ALLOWED)


@pytest.mark.parametrize(
    "sidecar",
    [
        bson.encode({}),
        bson.encode({"header": "a", "manifest": "b"}),
        bson.encode({"header": "a", "manifest": "b", "signature": "c", "more": 1}),
        bson.encode({"header": "a", "manifest": "b", "signature": "c"}),
        bson.encode({"header": b"a", "manifest": b"b", "signature": b"c"}),
        bson.encode({"manifest": "b", "header": "a", "signature": "c"}),
        bson.encode({"a": {"b": {"c": 0}}}),
        b"\x08\0\0\0\x02he\0",
        b"\xff\xff\0\0" + b"x" * 65531,
        b"x" * 40,
        b"\xff\xff\xff\xff\0",
        b"\xff\xff\xff\x7f" + b"x" * 200_000,
    ],
    ids=lambda sidecar: str(sidecar[:24]),
)
def test_what_is_no_sidecar_opens_nothing(tmp_path: Path, sidecar: bytes) -> None:
    with pytest.raises((Tampered, TooLarge)):
        open_plain(None, put(tmp_path / "a.manifest.bson", sidecar), ALLOWED)


def test_a_signer_cannot_say_what_the_plain_format_does_not_carry(tmp_path: Path) -> None:
    packed = claims.Listed("entries.bson.zst", 3, 3, bytes(32))
    for first, listed in (
        (header(), [packed]),
        (header(codec="none"), []),
        (header(codec="none"), [claims.Listed("other.bson", 3, 3, bytes(32))]),
        (header(Kind.HEARTBEAT), []),
    ):
        parts = claims.write_header(first), claims.write_manifest(listed)
        signature = claims.write_signature(KEY, "isthmus plain 1", *parts)
        sidecar = put(tmp_path / "a.manifest.bson", _document(*parts, signature))
        with pytest.raises(Tampered, match="does not speak of"):
            open_plain(None, sidecar, ALLOWED)


@pytest.mark.parametrize("limits", [Limits(most_file_bytes=100), Limits(most_member_bytes=100)])
def test_what_a_receiver_with_the_same_limits_refuses_is_not_packed(tmp_path: Path, limits: Limits) -> None:
    bare, sidecar = sealed(tmp_path / "good")
    with pytest.raises(TooLarge):
        open_plain(bare, sidecar, ALLOWED, limits)
    with pytest.raises(TooLarge):
        pack_plain(tmp_path / "bad", header(), {"entries.bson": lambda: iter([DOCUMENTS])}, KEY, limits)
    assert not list((tmp_path / "bad").iterdir())


def test_the_plain_format_carries_entries_alone(tmp_path: Path) -> None:
    for kind, wrong in ((Kind.INCREMENT, {}), (Kind.INCREMENT, members(b"", "a")), (Kind.HEARTBEAT, members())):
        with pytest.raises(InputError, match=r"carries entries\.bson alone"):
            pack_plain(tmp_path, header(kind), wrong, KEY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["tar", "plain"])
@pytest.mark.parametrize("kind", Kind)
def test_sealed_files_are_found_by_their_names_and_opened(tmp_path: Path, form: Format, kind: Kind) -> None:
    files = seal(form, tmp_path, header(kind), of(kind), KEY, beat=4 if kind is Kind.HEARTBEAT else None)
    names = [BundleName.of(file.name) for file in files]
    came = {name.ending: file for name, file in zip(names, files, strict=True) if name is not None}
    assert tuple(came) == ENDINGS[form, kind]
    for name in names:
        assert name is not None
        assert family(name.ending) == tuple(came)
        assert (name.stream, name.epoch, name.seq) == ("persons", 3, 17)
        opened = open_files(name, came, ALLOWED)
        assert (opened.header.kind, list(opened.members)) == (kind, list(of(kind)))
        for missing in came:
            rest = {ending: file for ending, file in came.items() if ending != missing}
            assert not complete(rest)
            with pytest.raises(Truncated, match="has not come"):
                open_files(name, rest, ALLOWED)
    assert complete(came)


def test_heartbeats_at_one_position_have_names_of_their_own_in_the_order_of_time() -> None:
    first = names_of("tar", header(Kind.HEARTBEAT))
    later = header(Kind.HEARTBEAT)
    second = names_of("tar", header(Kind.HEARTBEAT, made=later.made.replace(second=59)))
    assert str(first[0]) < str(second[0])
    assert str(names_of("plain", later, 7)[0]) == "persons-000003-000000000017.7.heartbeat.manifest.bson"


def test_a_file_with_another_ending_is_not_read(tmp_path: Path) -> None:
    assert family("txt") == ()
    assert not complete(["txt"])
    with pytest.raises(InputError, match="no name of a bundle"):
        open_files(BundleName("persons", 3, 17, "txt"), {"txt": tmp_path}, ALLOWED)
