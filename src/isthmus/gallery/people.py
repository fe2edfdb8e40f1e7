"""Whose records are, and how far a person is from a probe of whom there are several.

A person is as far as their TOGETHER nearest records are on average, or all of them where there are fewer. By the
nearest alone each further record of everybody is one more chance for a stranger to lie near it; by the mean
several have to agree, and strangers are taken for somebody less often at the same threshold.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from isthmus.gallery.match import Candidate
from isthmus.gallery.record import Document

TOGETHER = 3
"""Chosen on half of the people of ORL and on the Caltech sample, and tried on the other half; see ADR 0013."""

_LEAST_FIRST = 32
_WIDER = 4


@dataclass(frozen=True, slots=True)
class Persons:
    """Says whose a record is: `person` names the attribute that does, or with `by_folder` its id up to the last /.

    With neither, each record is of a person of its own.
    """

    person: str = ""
    by_folder: bool = False

    def __bool__(self) -> bool:
        return bool(self.person or self.by_folder)

    def __call__(self, document: Document) -> Hashable:
        """Return the person; a record that says nothing is of one of its own."""
        return self.named(document) or ("record", str(document["_id"]))

    def named(self, document: Document) -> str | None:
        """Return the person that a record names; None where it names none."""
        id = document["_id"]
        if self.by_folder:
            return id.rpartition("/")[0] or None if isinstance(id, str) else None
        return str(document[self.person]) if self.person and document.get(self.person) is not None else None

    @property
    def text(self) -> str:
        """Tell one way of saying so from another."""
        told = hashlib.blake2b(f"{self.by_folder} {self.person}".encode(), digest_size=8)
        return told.hexdigest() if self else ""


@dataclass(frozen=True, slots=True, order=True)
class Near:
    """A person near a probe: the mean distance of `records` of their records, and the key of the nearest."""

    distance: float
    key: bytes
    records: int = 1


def as_far_as(distances: Iterable[float]) -> tuple[float, int]:
    """Return how far a person is whose records are so far, and of how many records that is the mean."""
    counted = sorted(distances)[:TOGETHER]
    return math.fsum(counted) / len(counted), len(counted)


def nearest_people(
    nearest: Callable[[int], Sequence[Candidate]],
    apart: Callable[[Collection[bytes]], Sequence[Candidate]],
    mates: Callable[[Collection[bytes]], Mapping[bytes, Collection[bytes]]],
    most: int,
    threshold: float,
) -> list[Near]:
    """Return the `most` nearest people, nearest first.

    `nearest` returns so many nearest records, `apart` how far given ones are, and `mates` by a record's key all
    records of its person, where there are several. No person is nearer than their nearest record, so whoever has
    none among those found is further than the last of them. More are looked for until there are `most` people, and
    that last record is beyond the threshold or beyond all of them: so whoever is told within the threshold is told
    exactly. Beyond it the order is that among people with a record that was looked at.
    """
    count = max(_LEAST_FIRST, 8 * most)
    while True:
        found = nearest(count)
        people = _people(found, apart, mates)
        if len(found) < count:
            return people[:most]
        reach = found[-1].distance
        if len(people) >= most and (reach > threshold or people[most - 1].distance <= reach):
            return people[:most]
        count *= _WIDER


def _people(
    found: Sequence[Candidate],
    apart: Callable[[Collection[bytes]], Sequence[Candidate]],
    mates: Callable[[Collection[bytes]], Mapping[bytes, Collection[bytes]]],
) -> list[Near]:
    of_one = mates([one.key for one in found])
    wanted = {key for keys in of_one.values() for key in keys}
    distance = {one.key: one.distance for one in apart(wanted)} if wanted else {}
    distance |= {one.key: one.distance for one in found}
    seen: set[bytes] = set()
    people = []
    for one in found:  # nearest first: the first of a person is their nearest
        if one.key in seen:
            continue
        together = {one.key, *of_one.get(one.key, ())}
        seen |= together
        mean, records = as_far_as(distance[key] for key in together if key in distance)
        people.append(Near(mean, one.key, records))
    return sorted(people)
