from __future__ import annotations

import calendar
import gzip
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.acquire.failure import Kind
from isthmus.acquire.fetch import headers, outcomes
from isthmus.acquire.fetch.receiving import SMALL, Receiver
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MOST = 3 * SMALL
FIXTURE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)


def fed(receiver: Receiver, content: bytes, pieces: list[int]) -> bool:
    at = 0
    for piece in [*pieces, len(content)]:
        if at < len(content) and not receiver.take(memoryview(content)[at : at + piece]):
            return False
        at += piece
    return True


@FIXTURE
@given(
    st.integers(0, MOST + 5),
    st.integers(-2, 2) | st.none(),
    st.lists(st.integers(1, SMALL), max_size=8),
)
def test_content_comes_whole_with_its_digest_whatever_was_announced(
    tmp_path: Path, size: int, lie: int | None, pieces: list[int]
) -> None:
    content = (b"isthmus" * (size // 7 + 1))[:size]
    receiver = Receiver(tmp_path, MOST)
    if lie is not None:
        receiver.expect(size + lie)
    fine = fed(receiver, content, pieces)
    got = receiver.got(Told(), 0.0)
    if size > MOST:
        assert not fine
        assert getattr(got, "kind", None) is Kind.TOO_LARGE
        assert list(tmp_path.iterdir()) == []
        return
    assert isinstance(got, Got)
    assert isinstance(got.content, Path) == (size > SMALL)
    stored = got.content.read_bytes() if isinstance(got.content, Path) else got.content
    assert stored == content
    assert (got.size, got.digest) == (size, blake3(content).hexdigest())
    if isinstance(got.content, Path):
        assert got.content.suffix == ".part"
        got.content.unlink()


@FIXTURE
@given(st.integers(0, MOST), st.lists(st.integers(1, 5000), max_size=8), st.booleans())
def test_packed_content_is_unpacked(tmp_path: Path, size: int, pieces: list[int], deflate: bool) -> None:
    content = bytes(size)
    receiver = Receiver(tmp_path, MOST)
    assert receiver.unpack("deflate" if deflate else "gzip")
    assert fed(receiver, zlib.compress(content) if deflate else gzip.compress(content), pieces)
    got = receiver.got(Told(), 0.0)
    assert isinstance(got, Got)
    assert (got.size, got.digest) == (size, blake3(content).hexdigest())
    if isinstance(got.content, Path):
        got.content.unlink()


def test_a_bomb_ends_at_the_cap_and_leaves_nothing(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, MOST)
    receiver.unpack("gzip")
    assert not receiver.take(gzip.compress(bytes(200 << 20), 1))
    assert receiver.size <= MOST + SMALL
    got = receiver.got(Told(), 0.0)
    assert getattr(got, "kind", None) is Kind.TOO_LARGE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "packed", [b"not gzip at all", gzip.compress(bytes(1000), mtime=0)[:-9], b""], ids=["other", "cut", "empty"]
)
def test_packed_content_that_is_none_or_not_whole_is_cut(tmp_path: Path, packed: bytes) -> None:
    receiver = Receiver(tmp_path, MOST)
    receiver.unpack("gzip")
    receiver.take(packed)
    assert getattr(receiver.got(Told(), 0.0), "kind", None) is Kind.CUT


def test_an_unknown_packing_is_refused_and_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, MOST)
    assert not receiver.unpack("br")
    assert getattr(receiver.got(Told(), 0.0), "kind", None) is Kind.NOT_AN_IMAGE
    nowhere = Receiver(tmp_path / "missing", MOST)
    assert not nowhere.take(bytes(SMALL + 1))
    assert getattr(nowhere.got(Told(), 0.0), "kind", None) is Kind.DISK


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_http_dates_are_read_in_their_usual_form(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    day, month = calendar.day_abbr[moment.weekday()], calendar.month_abbr[moment.month]
    text = f"{day}, {moment:%d} {month} {moment.year:04} {moment:%H:%M:%S} GMT"
    assert headers.moment(text) == moment


@given(st.text(max_size=40) | st.text(alphabet="SunNov 0123456789:,GMT", min_size=29, max_size=29))
def test_no_date_makes_trouble(text: str) -> None:
    found = headers.moment(text)
    assert found is None or found.tzinfo is not None


@given(st.lists(st.binary(max_size=60), max_size=12))
def test_no_header_makes_trouble(lines: list[bytes]) -> None:
    status, heads = headers.read([b"HTTP/1.1 200 OK\r\n", *lines])
    assert isinstance(status, int)
    told = headers.told(heads)
    assert told.content_type.isprintable()
    headers.patience_s(heads, NOW)
    outcomes.onward(302, heads)


def test_what_a_server_tells_is_kept() -> None:
    lines = b"""HTTP/1.1 100 Continue

HTTP/1.1 200 OK
Server: x
content-TYPE: image/jpeg
Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT
ETag: "abc"
X-Amz-Meta-Place: Pier 7
x-amz-meta-bad: a\x00b
""".splitlines(keepends=True)
    status, heads = headers.read(lines)
    assert status == 200
    assert headers.told(heads) == Told(
        "image/jpeg", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC), '"abc"', {"place": "Pier 7", "bad": "ab"}
    )


def test_patience_is_asked_in_seconds_or_as_a_date() -> None:
    assert headers.patience_s({b"retry-after": b"17"}, NOW) == 17
    assert headers.patience_s({b"retry-after": b"Sun, 22 Nov 2026 12:01:00 GMT"}, NOW) == 60
    assert headers.patience_s({b"retry-after": b"Sun, 22 Nov 2020 12:01:00 GMT"}, NOW) == 0
    assert headers.patience_s({b"retry-after": b"soon"}, NOW) is None
    assert headers.patience_s({}, NOW) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Kind.DENIED), (403, Kind.DENIED), (404, Kind.GONE), (410, Kind.GONE), (204, Kind.GONE),
        (408, Kind.TIMEOUT), (429, Kind.THROTTLED), (500, Kind.SERVER), (502, Kind.SERVER), (503, Kind.SERVER),
        (400, Kind.DENIED), (206, Kind.SERVER), (304, Kind.SERVER), (302, Kind.SERVER), (799, Kind.SERVER),
    ],
)  # fmt: skip
def test_each_status_has_its_kind(status: int, kind: Kind) -> None:
    found = outcomes.of_status(status, {}, NOW)
    assert found is not None
    assert found.kind is kind


@given(st.integers(0, 1000), st.integers(0, 120))
def test_every_status_and_every_code_means_something_in_one_line(status: int, code: int) -> None:
    found = outcomes.of_status(status, {b"retry-after": b"5"}, NOW)
    assert (found is None) == (status in (200, 203))
    assert found is None or (found.reason and "\n" not in found.reason)
    assert "\n" not in outcomes.of_code(code, "a\r\nb").reason


def test_a_busy_server_with_retry_after_asks_for_patience() -> None:
    found = outcomes.of_status(503, {b"retry-after": b"30"}, NOW)
    assert found is not None
    assert (found.kind, found.after_s) == (Kind.THROTTLED, 30)
