from __future__ import annotations

import io
import re
import struct
import tracemalloc
import warnings
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from examples import examples
from isthmus.imaging import exif
from isthmus.imaging.decode import look
from isthmus.imaging.exif import Exif, read
from samples import SAMPLES, needs_samples

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _block(entries: dict[str, dict[int, tuple[int, int, bytes]]], order: str = "<") -> bytes:
    """Build a TIFF block: directories by name, each tag with type, count and the bytes of its value."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    first = dict(entries.get("first", {}))
    for tag, name in ((0x8769, "exif"), (0x8825, "gps")):
        if name in entries:
            first[tag] = (4, 1, b"\0\0\0\0")
    layout = [("first", first), *((name, entries[name]) for name in ("exif", "gps") if name in entries)]
    places, at = {}, 8
    for name, tags in layout:
        places[name] = at
        at += 6 + 12 * len(tags)
    body, tail = b"", b""
    for _, tags in layout:
        body += struct.pack(order + "H", len(tags))
        for tag, (kind, count, value) in sorted(tags.items()):
            if tag in (0x8769, 0x8825):
                value = struct.pack(order + "I", places["exif" if tag == 0x8769 else "gps"])
            if len(value) > 4:
                body += struct.pack(order + "HHII", tag, kind, count, at + len(tail))
                tail += value
            else:
                body += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
        body += bytes(4)
    return start + struct.pack(order + "I", 8) + body + tail


def _text(text: str | bytes) -> tuple[int, int, bytes]:
    raw = (text.encode() if isinstance(text, str) else text) + b"\0"
    return 2, len(raw), raw


def _fractions(*parts: tuple[int, int], order: str = "<") -> tuple[int, int, bytes]:
    return 5, len(parts), b"".join(struct.pack(order + "II", *part) for part in parts)


def _gps(
    latitude: object = None, north: str = "N", longitude: object = None, east: str = "E", **more: object
) -> Exif:
    tags = {1: _text(north), 2: latitude, 3: _text(east), 4: longitude, **{int(k[1:]): v for k, v in more.items()}}
    return read(_block({"gps": {tag: value for tag, value in tags.items() if value}}), now=NOW)  # type: ignore[misc]


def _taken(text: str | bytes, **more: object) -> Exif:
    tags = {0x9003: _text(text), **{int(key[1:], 16): value for key, value in more.items()}}
    return read(_block({"exif": tags}), now=NOW)  # type: ignore[dict-item]


ANGLE, OTHER = _fractions((41, 1), (30, 1), (36, 10)), _fractions((12, 1), (29, 1), (0, 1))


@pytest.mark.parametrize("order", ["<", ">"])
def test_time_position_and_camera_are_read_in_both_byte_orders(order: str) -> None:
    block = _block(
        {
            "first": {0x010F: _text("Canon"), 0x0110: _text("Canon EOS 5D")},
            "exif": {0x9003: _text("2019:07:14 15:16:17"), 0x9291: _text("25"), 0x9011: _text("+02:00")},
            "gps": {
                1: _text("S"),
                2: _fractions((41, 1), (30, 1), (36, 10), order=order),
                3: _text("W"),
                4: _fractions((12, 1), (29, 1), (0, 1), order=order),
            },
        },
        order,
    )
    found = read(block, now=NOW)
    assert found.taken == datetime(2019, 7, 14, 13, 16, 17, 250_000, UTC)
    assert found.zone_from == "exif"
    assert found.latitude == pytest.approx(-41.501)
    assert found.longitude == pytest.approx(-12.483333)
    assert found.camera == "Canon EOS 5D"
    assert found.flaws == ()


def test_without_a_zone_the_satellites_time_near_by_tells_it_and_else_it_is_assumed() -> None:
    def shot(clock: tuple[int, int, int], date: str) -> Exif:
        gps = {7: _fractions(*((part, 1) for part in clock)), 29: _text(date)}
        return read(
            _block({"exif": {0x9003: _text("2019:07:14 15:16:17")}, "gps": gps}), ZoneInfo("Asia/Tokyo"), NOW
        )

    assert (shot((9, 45, 0), "2019:07:14").taken, shot((9, 45, 0), "2019:07:14").zone_from) == (
        datetime(2019, 7, 14, 9, 46, 17, tzinfo=UTC),
        "gps",
    )  # +05:30, a minute apart
    off = shot((13, 15, 0), "2019:07:15")
    assert off.taken == datetime(2019, 7, 14, 13, 16, 17, tzinfo=UTC)
    assert "the satellites' date is a day off" in off.flaws
    for clock, date in (((13, 8, 0), "2019:07:14"), ((13, 16, 0), "2019:07:09"), ((25, 0, 0), "2019:07:14")):
        found = shot(clock, date)
        assert found.zone_from == "assumed"
        assert found.taken == datetime(2019, 7, 14, 6, 16, 17, tzinfo=UTC)
        assert "the time has no zone" in found.flaws


def test_a_picture_without_a_clock_has_the_satellites_time() -> None:
    gps = {7: _fractions((13, 1), (1, 1), (2, 1)), 29: _text("2019:07:14")}
    assert read(_block({"gps": gps}), now=NOW).taken == datetime(2019, 7, 14, 13, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["0000:00:00 00:00:00", "    :  :     :  :  ", "", "1970:01:01 00:00:00", "1980:01:01 00:00:03",
     "2019:13:14 15:16:17", "2019:02:30 15:16:17", "2027:01:01 00:00:00", "9999:12:31 23:59:59",
     "1899:01:01 00:00:00", "gestern", "2019-07-14", b"\xff\xfe2\x000\x001\x009\x00"],
)  # fmt: skip
def test_times_that_cannot_be_are_left_aside(text: str | bytes) -> None:
    assert _taken(text).taken is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2019-07-14T15:16:17Z", datetime(2019, 7, 14, 15, 16, 17, tzinfo=UTC)),
        ("2019:07:14 15:16:17-0330", datetime(2019, 7, 14, 18, 46, 17, tzinfo=UTC)),
        ("2019/7/4 5:06", datetime(2019, 7, 4, 5, 6, tzinfo=UTC)),
        ("2019:07:14 15:16:60", datetime(2019, 7, 14, 15, 16, 59, tzinfo=UTC)),
    ],
)
def test_other_ways_to_write_a_time_are_understood(text: str, wanted: datetime) -> None:
    assert _taken(text).taken == wanted


def test_of_several_times_the_one_of_the_shot_counts_and_the_last_change_is_named_as_such() -> None:
    change = {0x0132: _text("2020:01:02 03:04:05")}
    shot = {0x9003: _text("0000:00:00 00:00:00"), 0x9004: _text("2019:07:14 15:16:17")}
    assert read(_block({"first": change, "exif": shot}), now=NOW).taken == datetime(
        2019, 7, 14, 15, 16, 17, tzinfo=UTC
    )
    found = read(_block({"first": change}), now=NOW)
    assert found.taken == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert "the time is that of the last change" in found.flaws


@pytest.mark.parametrize("offset", ["+25:00", "+2", "Berlin", "", b"\0\0\0"])
def test_a_zone_that_makes_no_sense_is_none(offset: str | bytes) -> None:
    assert _taken("2019:07:14 15:16:17", x9011=_text(offset)).zone_from == "assumed"


def test_positions_without_a_fix_or_with_nonsense_are_none() -> None:
    assert _gps(ANGLE, "N", OTHER, "E").latitude is not None
    zero = _fractions((0, 1), (0, 1), (0, 1))
    for found, words in (
        (_gps(zero, "N", zero, "E"), "no fix"),
        (_gps(_fractions((41, 0), (30, 1), (3, 1)), "N", OTHER, "E"), "divides by zero"),
        (_gps(_fractions((0, 0), (0, 0), (0, 0)), "N", OTHER, "E"), "divides by zero"),
        (_gps(_fractions((91, 1), (0, 1), (0, 1)), "N", OTHER, "E"), "out of range"),
        (_gps(ANGLE, "N", _fractions((181, 1), (0, 1), (0, 1)), "E"), "out of range"),
        (_gps(_fractions((41, 1), (99, 1), (0, 1)), "N", OTHER, "E"), "out of range"),
        (_gps(ANGLE, "", OTHER, "E"), "does not say N or S"),
        (_gps(ANGLE, "N", OTHER, "X"), "does not say E or W"),
        (_gps(ANGLE, "N", None, "E"), "half a position"),
        (_gps(_text("41.5"), "N", OTHER, "E"), "no number"),
        (_gps(ANGLE, "N", OTHER, "E", x9=_text("V")), "no fix"),
    ):
        assert (found.latitude, found.longitude) == (None, None)
        assert any(words in flaw for flaw in found.flaws), found.flaws


def test_whole_degrees_and_single_numbers_are_positions_too() -> None:
    assert _gps(
        _fractions((41_500_001, 1_000_000)), "S", _fractions((12, 1), (30, 1)), "W"
    ).latitude == pytest.approx(-41.500001)


def test_texts_lose_what_does_not_show() -> None:
    dirty = "Evil\u202eCam\x07\u200b  \x1b[31m\tX\u0000tail"
    found = read(_block({"first": {0x0110: _text(dirty)}}), now=NOW)
    assert found.camera == "EvilCam [31m X"
    assert read(_block({"first": {0x0110: _text(b"Caf\xe9")}}), now=NOW).camera == "Café"
    assert len(read(_block({"first": {0x0110: _text("x" * 5000)}}), now=NOW).camera) <= exif.MOST_CAMERA
    assert read(_block({"first": {0x0110: (3, 1, b"\1\0\0\0")}}), now=NOW).camera == ""


def test_circles_huge_counts_and_odd_offsets_cost_nothing() -> None:
    def first(tags: list[tuple[int, int, int, int]]) -> bytes:
        rows = b"".join(struct.pack("<HHII", *row) for row in tags)
        return b"II*\0" + struct.pack("<IH", 8, len(tags)) + rows + struct.pack("<I", 8)

    circle = first([(0x8769, 4, 1, 8), (0x8825, 4, 1, 8)])
    bomb = first([(tag % 65536, 2, 0xFFFF_FFFF, 8) for tag in range(5000)]).ljust(65_000, b"A")
    outside = first([(0x8769, 4, 1, 0xFFFF_FFF0), (0x010F, 2, 99, 0xFFFF_FFFF), (2, 5, 0x4000_0000, 0xFFFF_FFF9)])
    tracemalloc.start()
    try:
        for block in (circle, bomb, outside, bomb[:30], b"II*\0\xff\xff\xff\xff", b"MM\0*", b"x" * 100_000):
            assert read(block, now=NOW).taken is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def _real_blocks() -> dict[str, bytes]:
    found = {}
    for file in sorted((SAMPLES / "photos").rglob("*.jpg")):
        content = file.read_bytes()
        at = content.find(b"Exif\0\0")
        if at > 0:
            size = int.from_bytes(content[at - 2 : at], "big")
            found[file.name] = content[at + 6 : at - 2 + size]
    return found


REAL = _real_blocks() if SAMPLES.is_dir() else {}


@needs_samples
def test_real_photos_tell_what_their_table_says() -> None:
    """The table was made with other readers; rows of files whose EXIF is broken on purpose are not in it."""
    row = re.compile(r"^\| \w+/(\S+) \|(?:[^|]*\|){4} (\S+ \S+|None|) \| (\([^)]*\)|None|) \|", re.MULTILINE)
    table = row.findall((SAMPLES / "photos/EXIF-ORIGINS.md").read_text())
    seen = 0
    for name, time, position in table:
        if name not in REAL or not time or name in ("30_type_error.jpg",):  # its table row is the last change
            continue
        found = read(REAL[name], now=NOW)
        assert (found.taken is None) == (time == "None"), name
        if found.taken is not None:
            local = datetime.strptime(time, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
            away = local - found.taken.replace(microsecond=0)
            assert abs(away) <= timedelta(hours=14), name
            assert away % timedelta(minutes=15) == timedelta(0), name
        numbers = [float(part) for part in re.findall(r"-?[\d.]+", position)] if "nan" not in position else []
        if not any(numbers):
            assert found.latitude is None, name
        else:
            assert (found.latitude, found.longitude) == pytest.approx(tuple(numbers), abs=1e-6), name
        seen += 1
    assert seen > 40


@needs_samples
def test_a_real_walk_has_its_times_in_order_and_its_zone_from_the_satellites() -> None:
    walk = [read(REAL[name], now=NOW) for name in sorted(REAL) if name.startswith("dscn")]
    times = [found.taken for found in walk if found.taken]
    assert len(times) == 9
    assert times == sorted(times)
    assert times[0] == datetime(2008, 10, 22, 14, 28, 39, tzinfo=UTC), "16:28 in Italy"
    assert {found.zone_from for found in walk} == {"gps"}


@needs_samples
def test_reading_all_hostile_photos_takes_next_to_no_memory() -> None:
    odd = [REAL[file.name] for file in (SAMPLES / "photos/exif-odd").iterdir() if file.name in REAL]
    assert len(odd) > 15
    tracemalloc.start()
    try:
        for block in odd:
            assert isinstance(read(block, now=NOW), Exif)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@needs_samples
@settings(max_examples=examples(120), deadline=None)
@given(st.data())
def test_damaged_real_blocks_never_raise(data: st.DataObject) -> None:
    block = bytearray(REAL[data.draw(st.sampled_from(sorted(REAL)))][:4000])
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12)):
        block[min(place, len(block) - 1)] = value
    found = read(bytes(block[: data.draw(st.integers(0, len(block)))]), now=NOW)
    assert (found.latitude is None) == (found.longitude is None)
    if found.latitude is not None and found.longitude is not None:
        assert abs(found.latitude) <= 90
        assert abs(found.longitude) <= 180
    assert found.taken is None or exif.EARLIEST_YEAR - 1 <= found.taken.year <= 2026
    assert found.camera.isprintable()
    assert all(flaw.isprintable() for flaw in found.flaws)


@needs_samples
def test_what_pillow_reads_of_whole_real_blocks_is_what_is_read_here() -> None:
    compared = 0
    for name, block in REAL.items():
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            try:
                theirs = Image.Exif()
                theirs.load(b"Exif\0\0" + block)
                shot = theirs.get_ifd(0x8769).get(0x9003)
                angle = theirs.get_ifd(0x8825).get(2)
            except Exception:  # noqa: BLE001 - whatever it cannot read is not compared
                continue
        ours = read(block, UTC, NOW)
        if complaints or not isinstance(shot, str) or ours.taken is None:
            continue
        assert shot[14:16] == f"{ours.taken.minute:02}" or ours.zone_from == "gps", name
        if ours.latitude is not None and angle is not None:
            degrees, minutes, seconds = (float(part) for part in angle)
            assert abs(ours.latitude) == pytest.approx(degrees + minutes / 60 + seconds / 3600), name
        compared += 1
    assert compared > 25


def test_the_blocks_of_all_three_formats_are_found() -> None:
    block = _block({"exif": {0x9003: _text("2019:07:14 15:16:17")}})
    for format in ("JPEG", "PNG", "WEBP"):
        into = io.BytesIO()
        Image.new("RGB", (40, 40), "red").save(into, format, exif=b"Exif\0\0" + block)
        assert read(look(into.getvalue()).exif, now=NOW).taken == datetime(2019, 7, 14, 15, 16, 17, tzinfo=UTC)
