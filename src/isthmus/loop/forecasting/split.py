"""Who trains and who tests: whole leak groups go to one part, decided by a keyed hash and nothing else.

A group keeps its part when other groups come or go, so what a champion was once tested on is never trained on
by its successor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from isthmus.core.settings import setting

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How much goes where. Raises ValueError where nothing is left to train on."""

    validation: float = setting(
        "share of the leak groups that chooses the best epoch", default=0.15, minimum=0, maximum=0.5
    )
    test: float = setting("share of the leak groups that evaluates", default=0.2, minimum=0, maximum=0.5)
    seed: int = setting("another seed, another split", default=0, minimum=0)

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must leave something to train on")


def draw(group: str, seed: int) -> float:
    """Give a group its fixed place in [0, 1): the keyed BLAKE2b digest of its name, as a fraction."""
    digest = hashlib.blake2b(group.encode(), key=b"isthmus split %d" % seed, digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def part_of(group: str, settings: SplitSettings) -> Part:
    """Say which part a group belongs to; depends on nothing but its name and the settings."""
    place = draw(group, settings.seed)
    if place < settings.test:
        return "test"
    return "validation" if place < settings.test + settings.validation else "train"


def parts_of(groups: Iterable[str], settings: SplitSettings) -> dict[str, Part]:
    """Assign all groups, and see to it that few groups do not leave a wanted part empty.

    A part with a share above 0 that got no group takes the one nearest to its range from a part that has more
    than one, test before validation; training comes before both. With more than a handful of groups nothing of
    this happens and the answer is that of `part_of`.
    """
    placed = sorted(set(groups), key=lambda group: (draw(group, settings.seed), group))
    found = {group: part_of(group, settings) for group in placed}
    for part, start, share in (
        ("train", 1.0, 1.0),
        ("test", 0.0, settings.test),
        ("validation", settings.test, settings.validation),
    ):
        if share == 0 or part in found.values():
            continue
        count = {name: sum(value == name for value in found.values()) for name in PARTS}
        spare = [group for group in placed if count[found[group]] > 1 or part == "train"]
        if spare:
            nearest = min(spare, key=lambda group: abs(draw(group, settings.seed) - start))
            found[nearest] = part  # type: ignore[assignment]
    return found


def folds(counts: Mapping[str, int], k: int, seed: int = 0) -> dict[str, int]:
    """Deal whole groups to `k` folds of about equal size for cross-validation.

    `counts` gives each group's number of samples. Largest group first to the emptiest fold; the keyed hash
    breaks ties, so that the order of the groups does not matter.
    """
    load = [0] * k
    dealt: dict[str, int] = {}
    for group in sorted(counts, key=lambda name: (-counts[name], draw(name, seed), name)):
        emptiest = load.index(min(load))
        dealt[group] = emptiest
        load[emptiest] += counts[group]
    return dealt
