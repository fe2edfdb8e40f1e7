"""Which files make up a bundle, and what they are called."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from isthmus.core.header import BundleName, Header, Kind

Format = Literal["tar", "plain"]

ENDINGS: Mapping[tuple[Format, Kind], tuple[str, ...]] = {
    ("tar", Kind.INCREMENT): ("tar",),
    ("tar", Kind.SNAPSHOT): ("snapshot.tar",),
    ("tar", Kind.HEARTBEAT): ("heartbeat.tar",),
    ("plain", Kind.INCREMENT): ("bson", "manifest.bson"),
    ("plain", Kind.SNAPSHOT): ("snapshot.bson", "snapshot.manifest.bson"),
    ("plain", Kind.HEARTBEAT): ("heartbeat.manifest.bson",),
}
"""The endings of the files of one bundle, in the order in which they are written; the last bears the signature."""

_FAMILIES: Mapping[str, tuple[str, ...]] = {ending: family for family in ENDINGS.values() for ending in family}
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def names_of(form: Format, header: Header, beat: int | None = None) -> list[BundleName]:
    """Name the files of a bundle, the one that bears the signature last.

    Heartbeats at one position are told apart by `beat`; without one, by the milliseconds of `header.made`.
    """
    if beat is None and header.kind is Kind.HEARTBEAT:
        beat = (header.made - _BEGINNING) // timedelta(milliseconds=1)
    until = header.until
    return [
        BundleName(header.stream, until.epoch, until.seq, ending, beat) for ending in ENDINGS[form, header.kind]
    ]


def family(ending: str) -> tuple[str, ...]:
    """Return the endings of all files of the bundle that a file with this ending belongs to; () for none."""
    return _FAMILIES.get(ending, ())


def complete(endings: Collection[str]) -> bool:
    """Tell whether the files with these endings, of one name, hold at least one whole bundle."""
    return any(set(whole) <= set(endings) for whole in ENDINGS.values())
