from __future__ import annotations

from collections.abc import Iterator

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.acquire.gate.framing import Record, Records
from isthmus.core.errors import Corrupt

NAMES = st.text("0123456789.", min_size=1, max_size=64)
RECORDS = st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=60)), max_size=8)
MOST = 1000


def written(records: list[tuple[str, bytes | None]]) -> bytes:
    return b"".join(
        piece
        for name, body in records
        for piece in Record(name, body is None, len(body or b"")).stretches(iter((body or b"",)))
    )


def pieces(content: bytes, step: int) -> Iterator[bytes]:
    return (content[at : at + step] for at in range(0, len(content), step))


def read(content: bytes, step: int) -> list[tuple[str, bytes | None]]:
    records, found = Records(pieces(content, step), MOST), list[tuple[str, bytes | None]]()
    while record := records.next():
        body = b"".join(records.body())
        found.append((record.name, None if record.gone else body))
    return found


@given(RECORDS, st.integers(1, 50))
def test_records_are_read_as_they_were_written_in_any_pieces(
    records: list[tuple[str, bytes | None]], step: int
) -> None:
    assert read(written(records), step) == records


@given(RECORDS.filter(bool), st.data())
def test_records_that_end_early_are_never_read_as_whole(
    records: list[tuple[str, bytes | None]], data: st.DataObject
) -> None:
    content = written(records)
    ends = {len(written(records[:count])) for count in range(len(records) + 1)}
    cut = data.draw(st.integers(0, len(content) - 1).filter(lambda at: at not in ends))
    with pytest.raises(Corrupt):
        read(content[:cut], 7)


@given(RECORDS)
def test_each_record_is_a_bson_document_that_any_library_reads(records: list[tuple[str, bytes | None]]) -> None:
    documents = [
        {"op": "d", "name": name} if body is None else {"op": "p", "name": name, "body": body}
        for name, body in records
    ]
    assert bson.decode_all(written(records)) == documents
    assert b"".join(map(bson.encode, documents)) == written(records)


@given(RECORDS.filter(bool), st.data())
def test_a_flipped_bit_of_the_frame_never_gives_other_records_silently(
    records: list[tuple[str, bytes | None]], data: st.DataObject
) -> None:
    content = bytearray(written(records))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = read(bytes(content), 16)
    except Corrupt:
        return
    assert written(found) == content, "what is read is what was there, in its one form"


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_read_within_bounds(garbage: bytes) -> None:
    try:
        found = read(garbage, 16)
    except Corrupt as error:
        assert "\n" not in str(error)
    else:
        assert written(found) == garbage


def test_a_body_beyond_the_bound_is_refused_before_it_is_read() -> None:
    for head in (Record("1.1", False, MOST + 1).encoded(), Record("1.1", True, 1).encoded()):
        with pytest.raises(Corrupt):
            Records(iter((head,)), MOST).next()
