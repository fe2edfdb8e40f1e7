"""What a picture's EXIF block tells: when it was taken, where, and with which camera. Never an error, only flaws.

A block is at most 64 KB (a JPEG segment) and is read where it lies: three directories, each once, and of them only
the tags named here, each value up to a fixed length. Nothing follows a maker note or a further directory, so no
circle, offset or count costs more than one pass over the entries. (Pillow reads every tag there is, with a warning
for each bad one, in about eight times the time. The tests hold this reader against it.)

Source of tags and formats: EXIF 2.32 (CIPA DC-008), 4.6.2 to 4.6.6.
"""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Literal

MOST_BLOCK = 65_536
"""Of a longer block (PNG and WebP set no bound) only so many bytes are looked at."""
MOST_TEXT = 256
"""Of a longer text only so many bytes are read."""
MOST_DESCRIPTION = 2048
MOST_CAMERA = 64

EARLIEST_YEAR = 1900
_NEVER_SET = frozenset({(1970, 1, 1), (1904, 1, 1), (1980, 1, 1), (1980, 1, 6)})
"""Days on which clocks start that nobody set: Unix, Macintosh, MS-DOS, GPS."""

_POINTERS = {0x8769: "exif", 0x8825: "gps"}
_DESCRIPTION, _MAKE, _MODEL = 0x010E, 0x010F, 0x0110
_TIMES = (
    (0x9003, 0x9291, 0x9011, ""),
    (0x9004, 0x9292, 0x9012, ""),
    (0x0132, 0x9290, 0x9010, "the time is that of the last change"),
)
"""Tags of a time, its fraction and its zone, the best first, and what is to be said of it."""
_FIRST_TAGS = frozenset({_DESCRIPTION, _MAKE, _MODEL, 0x0132, *_POINTERS})
_EXIF_TAGS = frozenset({tag for row in _TIMES for tag in row[:3]})
_GPS_TAGS = frozenset({1, 2, 3, 4, 7, 9, 29})

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 129: 1}
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d"}

_TIME = re.compile(
    r"\s*(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})[ T]+(\d{1,2}):(\d{1,2})(?::(\d{1,2}))?"
    r"(?:\.\d*)?\s*(Z|[+-]\d\d:?\d\d)?"
)
_DATE = re.compile(r"\s*(\d{4})[:/.-](\d{1,2})[:/.-](\d{1,2})(?!\d)")
_ZONE = re.compile(r"\s*(?:Z|([+-])(\d{1,2}):?(\d\d))")
_MAPILLARY = re.compile(r'"MAPCaptureTime":\s*"(\d{4})_(\d\d)_(\d\d)_(\d\d)_(\d\d)_(\d\d)_(\d{3})"')
"""Mapillary's cameras write the time, in UTC, into the description and nowhere else."""
_QUARTER = timedelta(minutes=15)
_NEAR = timedelta(minutes=3)
"""So far the satellites' time may lie from the clock's and still tell its zone."""
_FARTHEST_ZONE = timedelta(hours=14)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Exif:
    """What could be read. `taken` is aware; `zone_from` says who knew its zone: exif, gps, or nobody (assumed).

    Latitude and longitude are degrees, both or neither. `camera` is maker and model for people, printable, at most
    MOST_CAMERA letters. `flaws` says in words what was left aside.
    """

    taken: datetime | None = None
    zone_from: Literal["", "exif", "gps", "assumed"] = ""
    latitude: float | None = None
    longitude: float | None = None
    camera: str = ""
    flaws: tuple[str, ...] = ()


NOTHING = Exif()


def read(block: bytes, assumed: tzinfo = UTC, now: datetime | None = None) -> Exif:
    """Read an EXIF block that begins with its TIFF header. An empty block tells nothing, a bad one its flaws.

    Times without a zone take it from the satellites' time where that is near by, else they are `assumed`. A time
    more than a day after `now` is left aside.
    """
    if not block:
        return NOTHING
    reader = _Reader(block)
    if not reader.opened:
        return Exif(flaws=tuple(reader.flaws))
    gps_time = _gps_time(reader)
    taken, zone_from = _taken(reader, gps_time, assumed, now or datetime.now(UTC))
    latitude, longitude = _position(reader)
    return Exif(taken, zone_from, latitude, longitude, _camera(reader), tuple(dict.fromkeys(reader.flaws)))


def printable(text: str, most: int) -> str:
    """Return a text without what does not show (control, format, direction, unassigned), blanks joined, cut."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if letter.isspace() else letter for letter in text if _shows(letter))
    return " ".join(text.split())[:most].rstrip()


def _shows(letter: str) -> bool:
    return letter.isspace() or unicodedata.category(letter)[0] != "C"


@dataclass(slots=True)
class _Entry:
    """Where the value of a tag lies in the block."""

    type: int
    count: int
    at: int
    place: int
    """Where the entry itself has its value or the offset of it."""


@dataclass(slots=True)
class _Reader:
    """The entries of the three directories, by tag, and what was wrong with them."""

    block: bytes
    opened: bool = False
    flaws: list[str] = field(default_factory=list)
    _order: str = "<"
    _entries: dict[tuple[str, int], _Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.block) > MOST_BLOCK:
            self.block = self.block[:MOST_BLOCK]
            self.flaws.append("EXIF is longer than 64 KB")
        if self.block[:4] not in (b"II*\0", b"MM\0*") or len(self.block) < 8:
            self.flaws.append("EXIF has no header")
            return
        self.opened = True
        self._order = "<" if self.block[:2] == b"II" else ">"
        self._directory("first", struct.unpack_from(self._order + "I", self.block, 4)[0], _FIRST_TAGS)
        for tag, name in _POINTERS.items():
            entry = self._entries.get(("first", tag))
            if entry is not None:
                at = struct.unpack_from(self._order + "I", self.block, entry.place)[0]  # some give it an odd type
                self._directory(name, at, _EXIF_TAGS if name == "exif" else _GPS_TAGS)

    def _directory(self, name: str, at: int, wanted: frozenset[int]) -> None:
        block = self.block
        if not 8 <= at <= len(block) - 2:
            self.flaws.append(f"the EXIF directory {name} lies outside")
            return
        count = struct.unpack_from(self._order + "H", block, at)[0]
        fits = (len(block) - at - 2) // 12
        if count > fits:
            self.flaws.append(f"the EXIF directory {name} is cut short")
        rows = memoryview(block)[at + 2 : at + 2 + 12 * min(count, fits)]
        place = at + 10
        for tag, kind, length, value in struct.iter_unpack(self._order + "HHII", rows):
            if tag in wanted and (name, tag) not in self._entries:
                size = _SIZES.get(kind, 0) * length
                self._entries[name, tag] = _Entry(kind, length, place if size <= 4 else value, place)
            place += 12

    def has(self, directory: str, tag: int) -> bool:
        return (directory, tag) in self._entries

    def text(self, directory: str, tag: int, most: int = MOST_TEXT) -> str:
        """Return a text; empty where there is none. Bytes that are no UTF-8 are taken for Latin-1."""
        entry = self._entries.get((directory, tag))
        if entry is None:
            return ""
        if entry.type not in (1, 2, 7, 129):
            self.flaws.append(f"EXIF tag 0x{tag:04x} is no text")
            return ""
        raw = self.block[entry.at : entry.at + min(entry.count, most)]
        if len(raw) < min(entry.count, most):
            self.flaws.append(f"EXIF tag 0x{tag:04x} lies outside")
        raw = raw.partition(b"\0")[0]
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw.decode("latin-1")

    def numbers(self, directory: str, tag: int, most: int) -> list[float] | None:
        """Return up to `most` numbers, NaN for a fraction over zero; None where they cannot be read."""
        entry = self._entries.get((directory, tag))
        if entry is None:
            return None
        count = min(entry.count, most)
        if entry.type not in _NUMBERS and entry.type not in (5, 10):
            self.flaws.append(f"EXIF tag 0x{tag:04x} is no number")
            return None
        if not count or entry.at + count * _SIZES[entry.type] > len(self.block):
            self.flaws.append(f"EXIF tag 0x{tag:04x} lies outside")
            return None
        if entry.type in _NUMBERS:
            return [
                float(v)
                for v in struct.unpack_from(f"{self._order}{count}{_NUMBERS[entry.type]}", self.block, entry.at)
            ]
        code = "I" if entry.type == 5 else "i"
        parts = struct.unpack_from(f"{self._order}{2 * count}{code}", self.block, entry.at)
        return [over / under if under else math.nan for over, under in zip(parts[::2], parts[1::2], strict=True)]


def _taken(
    reader: _Reader, gps: datetime | None, assumed: tzinfo, now: datetime
) -> tuple[datetime | None, Literal["", "exif", "gps", "assumed"]]:
    for tag, fraction, zone, remark in _TIMES:
        directory = "first" if tag == 0x0132 else "exif"
        if not reader.has(directory, tag):
            continue
        text = reader.text(directory, tag)
        naive, own_zone = _moment(reader, text)
        if naive is None:
            continue
        digits = re.match(r"\d{1,6}", reader.text("exif", fraction).strip())
        if digits:
            naive = naive.replace(microsecond=int(digits[0].ljust(6, "0")))
        offset = own_zone or next(
            (found for item in (zone, 0x9011, 0x9012, 0x9010) if (found := _zone(reader.text("exif", item)))), None
        )
        taken, zone_from = _zoned(reader, naive, offset, gps, assumed)
        if taken.year < EARLIEST_YEAR or taken > now + _DAY:
            reader.flaws.append(f"the time {naive.isoformat(' ')} cannot be")
            continue
        if remark:
            reader.flaws.append(remark)
        return taken, zone_from
    if gps is not None and gps <= now + _DAY:
        return gps, "gps"
    described = _MAPILLARY.search(reader.text("first", _DESCRIPTION, MOST_DESCRIPTION))
    if described is not None:
        written = "{}:{}:{} {}:{}:{}Z".format(*described.groups()[:6])
        naive, _ = _moment(reader, written)
        if naive is not None and naive.year >= EARLIEST_YEAR and naive.replace(tzinfo=UTC) <= now + _DAY:
            return naive.replace(tzinfo=UTC, microsecond=1000 * int(described[7])), "exif"
    return None, ""


def _zoned(
    reader: _Reader, naive: datetime, offset: tzinfo | None, gps: datetime | None, assumed: tzinfo
) -> tuple[datetime, Literal["exif", "gps", "assumed"]]:
    """Find the zone of a clock's time: as written, from the satellites' time near by, or as assumed."""
    if offset is not None:
        return _aware(naive, offset), "exif"
    if gps is not None:
        apart = naive.replace(tzinfo=UTC) - gps
        nearest = round(apart / _QUARTER) * _QUARTER
        for off in (timedelta(), _DAY, -_DAY):
            if abs(apart - nearest) <= _NEAR and abs(nearest + off) <= _FARTHEST_ZONE:
                if off:  # a known fault of receivers
                    reader.flaws.append("the satellites' date is a day off")
                return _aware(naive, timezone(nearest + off)), "gps"
        reader.flaws.append("the satellites' time is another one than the camera's")
    reader.flaws.append("the time has no zone")
    return _aware(naive, assumed), "assumed"


def _aware(naive: datetime, zone: tzinfo) -> datetime:
    """Give a time its zone, in UTC where it can be written there (years 1 to 9999)."""
    try:
        return naive.replace(tzinfo=zone).astimezone(UTC)
    except OverflowError:
        return naive.replace(tzinfo=UTC)


def _moment(reader: _Reader, text: str) -> tuple[datetime | None, tzinfo | None]:
    found = _TIME.match(text)
    if found is None:
        if text.strip(" :0") != "":
            reader.flaws.append(f"{printable(text, 24)!r} is no time")
        return None, None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    if not year:
        return None, None
    if (year, month, day) in _NEVER_SET:
        reader.flaws.append(f"the clock was never set: {year}-{month:02}-{day:02}")
        return None, None
    try:
        return datetime(year, month, day, hour, minute, min(second, 59)), _zone(found[7] or "")
    except ValueError:
        reader.flaws.append(f"{printable(text, 24)!r} is no time")
        return None, None


def _zone(text: str) -> tzinfo | None:
    found = _ZONE.match(text)
    if found is None:
        return None
    if not found[1]:
        return UTC
    away = timedelta(hours=int(found[2]), minutes=int(found[3]))
    if away > _FARTHEST_ZONE:
        return None
    return timezone(away if found[1] == "+" else -away)


def _gps_time(reader: _Reader) -> datetime | None:
    clock, date = reader.numbers("gps", 7, 3), _DATE.match(reader.text("gps", 29))
    if clock is None or len(clock) < 3 or date is None or not all(map(math.isfinite, clock)):
        return None
    hour, minute, second = clock
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 61):
        return None
    year, month, day = (int(part) for part in date.groups())
    if year < EARLIEST_YEAR or (year, month, day) in _NEVER_SET:
        return None
    try:
        midnight = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None
    return midnight + timedelta(hours=hour, minutes=minute, seconds=int(second))


def _position(reader: _Reader) -> tuple[float | None, float | None]:
    if not (reader.has("gps", 2) or reader.has("gps", 4)):
        return None, None
    if reader.text("gps", 9).strip().upper() == "V":
        reader.flaws.append("GPS had no fix")
        return None, None
    latitude = _angle(reader, 2, 1, ("N", "S"), 90)
    longitude = _angle(reader, 4, 3, ("E", "W"), 180)
    if latitude is None or longitude is None:
        return None, None
    if abs(latitude) < 1e-6 and abs(longitude) < 1e-6:
        reader.flaws.append("GPS had no fix: 0, 0")
        return None, None
    return latitude, longitude


def _angle(reader: _Reader, tag: int, half: int, halves: tuple[str, str], most: int) -> float | None:
    parts = reader.numbers("gps", tag, 3)
    if parts is None:
        if not reader.has("gps", tag):
            reader.flaws.append("GPS has half a position")
        return None
    if not all(map(math.isfinite, parts)):
        reader.flaws.append("GPS divides by zero")
        return None
    degrees, minutes, seconds = (*parts, 0.0, 0.0)[:3]
    value = abs(degrees) + minutes / 60 + seconds / 3600
    if not (0 <= minutes <= 60 and 0 <= seconds <= 60 and value <= most):
        reader.flaws.append(f"GPS is out of range: {degrees:.6g}° {minutes:.6g}' {seconds:.6g}\"")
        return None
    side = reader.text("gps", half).strip().upper()[:1]
    if side not in halves and degrees >= 0:
        reader.flaws.append(f"GPS does not say {halves[0]} or {halves[1]}")
        return None
    return -value if side == halves[1] or degrees < 0 else value


def _camera(reader: _Reader) -> str:
    make = printable(reader.text("first", _MAKE), MOST_CAMERA)
    model = printable(reader.text("first", _MODEL), MOST_CAMERA)
    if not make or not model:
        return make or model
    if model.lower().startswith(make.split()[0].lower()):
        return model
    return printable(f"{make} {model}", MOST_CAMERA)
