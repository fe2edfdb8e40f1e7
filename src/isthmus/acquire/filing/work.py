"""What is done for one image that came: checked, read, placed, named. What comes out has only to be stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
from blake3 import blake3

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing.association import Nearest, associate
from isthmus.acquire.filing.bare import bare
from isthmus.acquire.filing.naming import Known, Naming
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.image import Arrived, Filed, InMemory, joined
from isthmus.imaging import exif, fingerprint
from isthmus.imaging.anatomy import BeyondLimits, ImageRefused
from isthmus.imaging.decode import Looked, look
from isthmus.imaging.place import Place, places


class Draft(msgspec.Struct, frozen=True):
    """An image that is fit to be stored: what will be told of it, and the bytes."""

    filed: Filed
    content: bytes


class Seen(msgspec.Struct, frozen=True):
    """An image that was decoded: its bytes, and what one pass over them told."""

    content: bytes
    looked: Looked
    phash: str = ""
    """Its perceptual hash, as `Filed` has it."""


def nearest(latitude: float, longitude: float) -> Place | None:
    """Find the nearest town; the towns are loaded with the first call."""
    return places().nearest(latitude, longitude)


class Examiner:
    """Looks at images by the rules. The same image with the same rules gives the same draft at any time."""

    def __init__(
        self,
        rules: FilingRules,
        nearest: Nearest = nearest,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rules = rules
        self._limits = rules.limits
        self._naming = Naming(rules.template)
        self._nearest = nearest
        self._clock = clock
        self._zone = lru_cache(self._zone_of)

    def examine(self, arrived: Arrived) -> Draft | Failure:
        """Return what is to be stored, or why it cannot be."""
        (seen,) = self.hashed([self.look(arrived)])
        return seen if isinstance(seen, Failure) else self.draft(arrived, seen)

    def look(self, arrived: Arrived) -> Seen | Failure:
        """Check and decode an image.

        Of several images all are looked at, then all hashed, then all drafted: what a decoder and what the rest of
        the work need then stay in the processor's caches, which saves a seventh of the time.
        """
        try:
            content = _read(arrived.content, self._limits.most_bytes)
            return Seen(content, look(content, self._limits))
        except _TROUBLE as error:
            return _failure(error)

    def hashed(self, seen: Sequence[Seen | Failure]) -> list[Seen | Failure]:
        """Add the perceptual hashes of images that were looked at."""
        whole = [one for one in seen if isinstance(one, Seen)]
        hashes = iter(fingerprint.of_greys([one.looked.grey for one in whole]))
        return [
            one if isinstance(one, Failure) else Seen(one.content, one.looked, (next(hashes) or b"").hex())
            for one in seen
        ]

    def draft(self, arrived: Arrived, seen: Seen) -> Draft | Failure:
        """Place and name an image that was looked at."""
        try:
            return self._drafted(arrived, seen)
        except _TROUBLE as error:
            return _failure(error)

    def _drafted(self, arrived: Arrived, seen: Seen) -> Draft:
        content, looked = seen.content, seen.looked
        zone, now = self._zone(arrived.environment), self._clock()
        read = exif.read(looked.exif, zone, now)
        known = associate(
            read,
            arrived.told,
            arrived.wish,
            self._nearest,
            zone=zone,
            modified_is_taken=self._rules.modified_is_taken,
            now=now,
        )
        stored, digest = content, arrived.digest
        if self._rules.remove_metadata:
            stored = bare(looked.anatomy)
            digest = blake3(stored).hexdigest()
        checked = looked.checked
        name = Known(
            arrived.environment,
            arrived.wish.record,
            digest,
            checked.format,
            known.place,
            known.country,
            known.taken,
        )
        filed = Filed(
            digest=digest,
            source_digest=arrived.digest,
            path=self._naming.path(name),
            size=len(stored),
            format=checked.format,
            width=checked.width,
            height=checked.height,
            place=known.place,
            place_name=known.place_name,
            place_from=known.place_from,
            country=known.country,
            latitude=known.latitude,
            longitude=known.longitude,
            taken=known.taken,
            taken_from=known.taken_from,
            camera=read.camera,
            phash=seen.phash,
            flaws=known.flaws,
        )
        return Draft(filed, stored)

    def _zone_of(self, environment: str) -> tzinfo:
        name = self._rules.zones.get(environment, self._rules.zone)
        return UTC if name == "UTC" else ZoneInfo(name)


def _read(content: InMemory | Path, most: int) -> bytes:
    if not isinstance(content, Path):
        return joined(content)
    with content.open("rb") as file:
        return file.read(most + 1)  # one more than allowed is refused by its length


_TROUBLE = (ImageRefused, MemoryError, OSError)


def _failure(error: BaseException) -> Failure:
    if isinstance(error, ImageRefused):
        return Failure(Kind.REFUSED if isinstance(error, BeyondLimits) else Kind.NOT_AN_IMAGE, error.what)
    if isinstance(error, MemoryError):
        return Failure(Kind.REFUSED, "decoding the image needs more memory than a worker has")
    return Failure(Kind.DISK, f"what came cannot be read: {getattr(error, 'strerror', None) or error}")
