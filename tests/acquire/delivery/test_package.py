from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.acquire.delivery import receiving as receiving_module
from isthmus.acquire.delivery.package import (
    INLINE_BYTES,
    MOST_ITEMS,
    Caps,
    Content,
    decoded,
    pack,
    travels_alone,
    unpack,
)
from isthmus.acquire.delivery.receiving import Receiving
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got, Parcel, Task
from isthmus.core.errors import Corrupt, InputError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
TOLD = st.builds(
    Told,
    content_type=TEXTS,
    modified=st.none() | st.datetimes(timezones=st.just(UTC)),
    etag=TEXTS,
    meta=st.dictionaries(TEXTS, TEXTS, max_size=3),
)
NUMBERS = st.integers(0, 2**62)


def got(content: bytes, told: Told | None = None) -> Got:
    return Got(content, len(content), blake3(content).hexdigest(), told or Told())


def parcel(number: int, outcome: Got | Failure) -> Parcel:
    return Parcel(Task(number, number + 1, 1, "http://a/b", "r", f"trace-{number}"), outcome)


OUTCOMES = st.builds(got, st.binary(max_size=300), TOLD) | st.builds(
    Failure, st.sampled_from(Kind), TEXTS, st.none() | st.floats(0, 1e6)
)
PARCELS = st.lists(st.builds(parcel, NUMBERS, OUTCOMES), min_size=1, max_size=MOST_ITEMS)


@given(PARCELS)
def test_what_is_packed_is_unpacked_the_same(parcels: list[Parcel]) -> None:
    packed = pack("north-1", parcels)
    body = b"".join(packed.stretches())
    assert len(body) == packed.size
    head = int.from_bytes(body[:4], "big")
    assert blake3(body[: 4 + head]).hexdigest() == packed.digest
    package = unpack(body)
    assert package.agent == "north-1"
    assert [(one.request, one.fence, one.trace) for one in package.parts] == [
        (one.task.request, one.task.fence, one.task.trace) for one in parcels
    ]
    for part, one in zip(package.parts, parcels, strict=True):
        if isinstance(one.outcome, Failure):
            assert part.outcome == one.outcome
        else:
            assert isinstance(part.outcome, Content)
            assert (part.outcome.read(), part.outcome.told) == (one.outcome.content, one.outcome.told)


def _plain(outcome: Content | Failure) -> object:
    return outcome if isinstance(outcome, Failure) else (outcome.read(), outcome.digest, outcome.told)


@given(PARCELS, st.data())
def test_a_body_cut_short_or_grown_is_never_unpacked(parcels: list[Parcel], data: st.DataObject) -> None:
    body = b"".join(pack("a", parcels).stretches())
    with pytest.raises(Corrupt):
        unpack(body[: data.draw(st.integers(0, len(body) - 1))])
    with pytest.raises(Corrupt):
        unpack(body + data.draw(st.binary(min_size=1, max_size=9)))


@given(PARCELS, st.data())
def test_a_flipped_bit_never_brings_other_content_under_its_digest(
    parcels: list[Parcel], data: st.DataObject
) -> None:
    body = bytearray(b"".join(pack("a", parcels).stretches()))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        parts = unpack(bytes(body)).parts
    except Corrupt:
        return
    for part in parts:
        if isinstance(part.outcome, Content):
            assert blake3(part.outcome.read()).hexdigest() == part.outcome.digest


@given(st.binary(max_size=400))
def test_garbage_is_refused_in_one_line(garbage: bytes) -> None:
    with pytest.raises(Corrupt) as caught:
        unpack(garbage)
    assert "\n" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS, lambda x: st.lists(x) | st.dictionaries(TEXTS, x)
    )
)
def test_any_other_json_as_head_is_refused(value: object) -> None:
    import json

    head = json.dumps({"agent": "a", "items": [value]}).encode()
    with pytest.raises(Corrupt):
        unpack(struct.pack(">I", len(head)) + head)


def test_content_that_was_hurt_before_it_was_packed_becomes_a_failure() -> None:
    hurt = replace(got(b"abc"), content=b"abd")
    first, second = unpack(b"".join(pack("a", [parcel(1, hurt), parcel(2, got(b"fine"))]).stretches())).parts
    assert isinstance(first.outcome, Failure) and first.outcome.kind is Kind.DAMAGED
    assert isinstance(second.outcome, Content)


def test_no_more_is_packed_than_may_travel_together(tmp_path: Path) -> None:
    small, large = got(b"x"), got(bytes(INLINE_BYTES + 1))
    file = tmp_path / "large"
    file.write_bytes(b"y" * 10)
    in_file = replace(got(b"y" * 10), content=file)
    assert travels_alone(large) and travels_alone(in_file)
    assert not travels_alone(small) and not travels_alone(Failure(Kind.GONE, ""))
    for wrong in ([small] * 17, [small, large], [small, in_file], []):
        with pytest.raises(InputError):
            pack("a", [parcel(n, one) for n, one in enumerate(wrong)])
    with pytest.raises(InputError):
        pack("a", [parcel(1, large)], Caps(most_large=INLINE_BYTES))


def test_a_file_that_changed_since_is_not_packed(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"y" * 10)
    one = parcel(1, replace(got(b"y" * 10), content=file))
    file.write_bytes(b"y" * 9)
    with pytest.raises(Corrupt):
        pack("a", [one])


def test_what_a_storage_server_says_too_much_is_left_out() -> None:
    chatty = Told("image/jpeg", datetime(2026, 1, 1, tzinfo=UTC), "e" * 9000, {"a": "b" * 90_000})
    parcels = [parcel(n, got(b"x", chatty)) for n in range(15)] + [parcel(15, Failure(Kind.GONE, "z" * 300_000))]
    parts = unpack(b"".join(pack("a", parcels).stretches())).parts
    content = parts[0].outcome
    assert isinstance(content, Content)
    assert content.told.content_type == "image/jpeg" and not content.told.meta
    failure = parts[15].outcome
    assert isinstance(failure, Failure) and len(failure.reason) == 1000


@pytest.mark.parametrize("size", [INLINE_BYTES + 1, 5 << 20])
def test_a_large_content_ends_in_a_file_of_its_own(tmp_path: Path, size: int) -> None:
    content = tmp_path / "content"
    content.write_bytes(blake3(b"seed").digest(length=size))
    digest = blake3(content.read_bytes()).hexdigest()
    packed = pack("a", [parcel(1, Got(content, size, digest)), parcel(2, Failure(Kind.GONE, "not there"))])
    with Receiving(tmp_path / "in", packed.digest, packed.size) as receiving:
        for piece in packed.stretches():
            for at in range(0, len(piece), 70_001):
                receiving.feed(piece[at : at + 70_001])
        first, second = receiving.finish().parts
    assert isinstance(first.outcome, Content) and first.outcome.where == tmp_path / "in"
    assert first.outcome.digest == digest and first.outcome.read() == content.read_bytes()
    assert second.outcome == Failure(Kind.GONE, "not there")


@given(PARCELS, st.integers(1, 200), st.booleans())
def test_a_body_may_come_in_any_pieces(parcels: list[Parcel], step: int, announced: bool) -> None:
    packed = pack("a", parcels)
    body = b"".join(packed.stretches())
    receiving = Receiving(Path("/nowhere/none"), packed.digest, packed.size if announced else None)
    for at in range(0, len(body), step):
        receiving.feed(body[at : at + step])
    package, whole = receiving.finish(), unpack(body)
    assert package.agent == whole.agent
    assert [(part.request, part.fence, part.trace, _plain(part.outcome)) for part in package.parts] == [
        (part.request, part.fence, part.trace, _plain(part.outcome)) for part in whole.parts
    ]


@given(PARCELS, st.integers(1, 200), st.data())
def test_a_body_with_a_flipped_bit_cut_or_grown_is_not_taken_by_whoever_knows_what_was_signed(
    parcels: list[Parcel], step: int, data: st.DataObject
) -> None:
    packed = pack("a", parcels)
    body = bytearray(b"".join(packed.stretches()))
    match data.draw(st.sampled_from(["flip", "cut", "grow"])):
        case "flip":
            body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        case "cut":
            del body[data.draw(st.integers(0, len(body) - 1)) :]
        case "grow":
            body += data.draw(st.binary(min_size=1, max_size=9))
    receiving = Receiving(Path("/nowhere/none"), packed.digest)
    with pytest.raises(Corrupt):
        for at in range(0, len(body), step):
            receiving.feed(bytes(body[at : at + step]))
        receiving.finish()


def test_a_head_that_was_not_signed_is_refused_before_it_is_parsed_and_before_the_contents_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr(receiving_module, "decoded", lambda encoded: parsed.append(encoded) or decoded(encoded))
    packed = pack("a", [parcel(1, got(b"x" * 9))])
    other = pack("b", [parcel(1, got(b"x" * 9))])
    refused, taken = (
        Receiving(Path("/nowhere/none"), other.digest),
        Receiving(Path("/nowhere/none"), packed.digest),
    )
    with pytest.raises(Corrupt, match="head of the delivery is not what was signed"):
        refused.feed(packed.pieces[0])
    assert not parsed
    taken.feed(packed.pieces[0])
    assert len(parsed) == 1


def test_hurt_content_is_refused_under_a_signature_and_a_failure_where_the_body_was_proven() -> None:
    packed = pack("a", [parcel(1, replace(got(b"abc"), content=b"abd")), parcel(2, got(b"fine"))])
    body = b"".join(packed.stretches())
    signed, proven = Receiving(Path("/nowhere/none"), packed.digest), Receiving(Path("/nowhere/none"), None)
    signed.feed(body)
    with pytest.raises(Corrupt, match="content of request 1 is not what was signed"):
        signed.finish()
    proven.feed(body)
    first, second = proven.finish().parts
    assert isinstance(first.outcome, Failure) and first.outcome.kind is Kind.DAMAGED
    assert isinstance(second.outcome, Content) and second.outcome.read() == b"fine"


def test_contents_stay_in_the_pieces_in_which_they_came() -> None:
    contents = [b"first" * 2000, b"", b"third" * 2000]
    packed = pack("a", [parcel(number, got(content)) for number, content in enumerate(contents)])
    body = b"".join(packed.stretches())
    receiving = Receiving(Path("/nowhere/none"), packed.digest)
    cut = len(body) - 14_000
    receiving.feed(body[:cut])
    receiving.feed(body[cut:])
    first, second, third = (part.outcome for part in receiving.finish().parts)
    assert isinstance(first, Content) and isinstance(second, Content) and isinstance(third, Content)
    assert isinstance(first.where, tuple) and len(first.where) == 2
    assert isinstance(third.where, memoryview)
    assert [one.read() for one in (first, second, third)] == contents


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_that_comes_byte_by_byte_lies_in_few_pieces(announced: bool) -> None:
    packed = pack("a", [parcel(number, got(bytes([number]) * 20_000)) for number in range(3)])
    body = b"".join(packed.stretches())
    receiving = Receiving(Path("/nowhere/none"), packed.digest, packed.size if announced else None)
    for at in range(len(body)):
        receiving.feed(body[at : at + 1])
    for number, part in enumerate(receiving.finish().parts):
        assert isinstance(part.outcome, Content) and isinstance(part.outcome.where, tuple)
        assert len(part.outcome.where) <= 7
        assert part.outcome.read() == bytes([number]) * 20_000


def test_a_body_that_lies_about_itself_leaves_nothing_behind(tmp_path: Path) -> None:
    packed = pack("a", [parcel(1, got(bytes(5 << 20)))])
    body = b"".join(packed.stretches())
    tampered = body[:-1] + b"\x01"
    for announced, sent, digest in (
        (len(body) - 1, body, packed.digest),
        (len(body) + 1, body, packed.digest),
        (len(body), tampered, packed.digest),
        (None, tampered, packed.digest),
        (None, body[:-1], packed.digest),
        (None, body + b"x", packed.digest),
        (len(body), body, "0" * 64),
        (None, bytes(Caps().most_body + 1), packed.digest),
    ):
        with pytest.raises(Corrupt), Receiving(tmp_path / "in", digest, announced) as receiving:
            receiving.feed(sent[: 5 << 20])
            receiving.feed(sent[5 << 20 :])
            receiving.finish()
        assert not (tmp_path / "in").exists()
    with pytest.raises(Corrupt):
        Receiving(tmp_path / "in", packed.digest, Caps().most_body + 1)
