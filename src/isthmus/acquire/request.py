"""What a client asks for, and what is stored of it. Addresses are data here: only an agent ever opens one."""

from __future__ import annotations

import functools
import re
from datetime import datetime

import msgspec

from isthmus.core.errors import InputError

MOST_REQUESTS = 100_000
"""So many requests a batch may have."""
MOST_ADDRESS, MOST_RECORD, MOST_TAG, MOST_TAGS = 2048, 200, 64, 16
MOST_THUMBNAILS, LEAST_EDGE, MOST_EDGE = 4, 32, 2048
PRIORITIES = range(10)
USUAL_PRIORITY = 5

_ENVIRONMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One image that a client asks for. Field names are those of the API.

    `record` is the client's own id of the image's record, unique in its batch. `priority` 9 goes first.
    `thumbnails` are longest edges in pixels. `dedup` joins requests of one client that want the same image: one
    fetch serves them. `taken`, `place`, `latitude`, `longitude` are what the client knows; the image's own EXIF
    comes first.
    """

    address: str
    environment: str
    record: str
    priority: int = USUAL_PRIORITY
    deadline: datetime | None = None
    thumbnails: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()
    dedup: str | None = None
    taken: datetime | None = None
    place: str | None = None
    latitude: float | None = None
    longitude: float | None = None


def check(wish: Wish) -> None:
    """Raise InputError, with what is wrong in few words, where a wish cannot be taken as it stands."""
    if not is_environment(wish.environment):
        raise InputError(f"environment {wish.environment!r} is no label", "lower-case letters, digits and -")
    _text("address", wish.address, MOST_ADDRESS)
    _text("record", wish.record, MOST_RECORD)
    if wish.dedup is not None:
        _text("dedup", wish.dedup, MOST_RECORD)
    if wish.place is not None:
        _text("place", wish.place, MOST_RECORD)
    if wish.priority not in PRIORITIES:
        raise InputError(f"priority {wish.priority} is not 0 to {PRIORITIES[-1]}")
    if len(wish.tags) > MOST_TAGS:
        raise InputError(f"{len(wish.tags)} tags are more than {MOST_TAGS}")
    for tag in wish.tags:
        _text("tag", tag, MOST_TAG)
    if wish.thumbnails and (
        len(wish.thumbnails) > MOST_THUMBNAILS
        or not all(LEAST_EDGE <= edge <= MOST_EDGE for edge in wish.thumbnails)
    ):
        raise InputError(f"thumbnails are up to {MOST_THUMBNAILS} edges of {LEAST_EDGE} to {MOST_EDGE} pixels")
    for moment in (wish.deadline, wish.taken):
        if moment is not None and moment.tzinfo is None:
            raise InputError(f"the time {moment.isoformat()} has no zone", "end it with Z or +02:00")
    if (wish.latitude is None) != (wish.longitude is None):
        raise InputError("latitude and longitude go together")
    if wish.latitude is not None and not (-90 <= wish.latitude <= 90 and -180 <= (wish.longitude or 0) <= 180):
        raise InputError(f"{wish.latitude}, {wish.longitude} is nowhere on earth")


@functools.lru_cache(maxsize=1024)
def is_environment(label: str) -> bool:
    """Tell whether a text is a label of an environment: a-z, 0-9 and -, 40 at most."""
    return _ENVIRONMENT.fullmatch(label) is not None


def _text(name: str, value: str, most: int) -> None:
    size = len(value) if value.isascii() else len(value.encode(errors="replace"))
    if not 0 < size <= most:
        raise InputError(f"{name} is {'empty' if not value else f'longer than {most} bytes'}")
    if not value.isprintable() and _CONTROL.search(value):
        raise InputError(f"{name} has control characters")
