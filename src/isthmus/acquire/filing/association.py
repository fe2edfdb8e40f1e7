"""When and where a picture was taken, by whoever knows best: the picture, the storage server, or the client.

The order, for time and place apart:

1. the picture's EXIF block;
2. the storage server's own metadata of the object (as S3's `x-amz-meta-latitude`);
3. the client's hints in its request;
4. for the time alone, and only where the rules allow it: the server's time of last change.

No I/O.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec
from blake3 import blake3

from isthmus.acquire.filing.naming import UNKNOWN_PLACE
from isthmus.acquire.image import Told
from isthmus.acquire.request import Wish
from isthmus.imaging.exif import EARLIEST_YEAR, Exif, printable
from isthmus.imaging.place import Place, slug

Nearest = Callable[[float, float], Place | None]

MOST_NAME = 80

_PREFIX = re.compile(r"^(x-(amz|goog|ms|object|oss|cos|obs|tos)-meta-|x-meta-|meta-)")
_LATITUDE = ("latitude", "lat", "gps-latitude", "gpslatitude", "geo-lat")
_LONGITUDE = ("longitude", "lon", "lng", "long", "gps-longitude", "gpslongitude", "geo-lon", "geo-long")
_TAKEN = ("taken", "taken-at", "captured", "captured-at", "capture-time", "datetime-original", "datetimeoriginal")
_PLACE = ("place", "city", "place-name")
_SECONDS = re.compile(r"\d{9,10}(\.\d+)?")
_EXIF_FORM = re.compile(r"(\d{4}):(\d\d):(\d\d)(?=[ T])")


class Association(msgspec.Struct, frozen=True):
    """What is known of a picture's time and place. The fields are those of `Filed`."""

    place: str = UNKNOWN_PLACE
    place_name: str = ""
    place_from: str = ""
    country: str = ""
    latitude: float | None = None
    longitude: float | None = None
    taken: datetime | None = None
    taken_from: str = ""
    flaws: tuple[str, ...] = ()


class _Spot(msgspec.Struct, frozen=True):
    latitude: float | None
    longitude: float | None
    place: str
    source: str


def associate(
    exif: Exif,
    told: Told,
    wish: Wish,
    nearest: Nearest,
    *,
    zone: tzinfo = UTC,
    modified_is_taken: bool = True,
    now: datetime,
) -> Association:
    """Put together what is known. `nearest` tells the town of a position; `zone` is that of times without one."""
    meta = _plain(told.meta)
    flaws = list(exif.flaws)
    taken, taken_from = _when(exif, told if modified_is_taken else Told(), meta, wish, zone, now, flaws)
    latitude = longitude = None
    found: Place | None = None
    source = text = ""
    for spot in _spots(exif, meta, wish, flaws):
        if latitude is None and spot.latitude is not None:
            latitude, longitude = spot.latitude, spot.longitude
        if spot.place:
            text, source = spot.place, spot.source
            break
        if spot.latitude is not None and spot.longitude is not None:
            found = nearest(spot.latitude, spot.longitude)
            if found is not None:
                source = spot.source
                break
    if found is not None:
        place, name, country = found.slug, found.name, found.country
    elif text:
        place, name, country = slug(text) or f"place-{blake3(text.encode()).hexdigest()[:12]}", text, ""
    else:
        place, name, country = UNKNOWN_PLACE, "", ""
    return Association(
        place, name, source, country, latitude, longitude, taken, taken_from, tuple(dict.fromkeys(flaws))
    )


def _spots(exif: Exif, meta: Mapping[str, str], wish: Wish, flaws: list[str]) -> Iterator[_Spot]:
    """Say who knows a position or a place's name, the best first. A name goes before a position of the same."""
    if exif.latitude is not None:
        yield _Spot(exif.latitude, exif.longitude, "", "exif")
    if meta:
        latitude, longitude = _position(meta, flaws)
        yield _Spot(latitude, longitude, printable(_first(meta, _PLACE), MOST_NAME), "server")
    if wish.place or wish.latitude is not None:
        yield _Spot(wish.latitude, wish.longitude, printable(wish.place or "", MOST_NAME), "client")


def _when(
    exif: Exif, told: Told, meta: Mapping[str, str], wish: Wish, zone: tzinfo, now: datetime, flaws: list[str]
) -> tuple[datetime | None, str]:
    if exif.taken is not None:
        return exif.taken, "exif"
    text = _first(meta, _TAKEN) if meta else ""
    asked = _moment(text, zone) if text else None
    for moment, source in ((asked, "server"), (wish.taken, "client"), (told.modified, "server")):
        if moment is None:
            continue
        if not EARLIEST_YEAR < moment.year < 9999 or moment > now + timedelta(days=1):
            flaws.append(f"the time that the {source} told cannot be")
            continue
        if moment is told.modified:
            flaws.append("the time is that of the last change on the storage server")
        return moment.astimezone(UTC), source
    return None, ""


def _moment(text: str, zone: tzinfo) -> datetime | None:
    text = text.strip()[:40]
    try:
        if _SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        moment = datetime.fromisoformat(_EXIF_FORM.sub(r"\1-\2-\3", text))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _position(meta: Mapping[str, str], flaws: list[str]) -> tuple[float | None, float | None]:
    texts = _first(meta, _LATITUDE), _first(meta, _LONGITUDE)
    if not all(texts):
        return None, None
    try:
        latitude, longitude = (float(text[:40]) for text in texts)
    except ValueError:
        latitude = longitude = math.nan
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        flaws.append("the position that the server told is none")
        return None, None
    if latitude == 0 and longitude == 0:
        return None, None
    return latitude, longitude


def _plain(meta: Mapping[str, str]) -> dict[str, str]:
    """Return metadata without the prefixes of the kinds of storage."""
    if not meta:
        return {}
    return {_PREFIX.sub("", key.lower()).replace("_", "-"): value for key, value in meta.items()}


def _first(meta: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((meta[name] for name in names if meta.get(name)), "")
