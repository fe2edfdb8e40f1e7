"""Who trains and who tests: whole leak groups go to one part, decided by a keyed hash and nothing else.

A group that tests does so whatever other groups come or go: what a champion was tested on, its successor is
never trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from isthmus.core.settings import setting

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """How much goes where. Raises ValueError where nothing is left to train on."""

    validation: float = setting(
        "share of the samples that chooses the best epoch", default=0.15, minimum=0, maximum=0.5
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
    """Say which part the draw alone gives a group; who tests is decided by nothing else."""
    place = draw(group, settings.seed)
    if place < settings.test:
        return "test"
    return "validation" if place < settings.test + settings.validation else "train"


def parts_of(groups: Mapping[str, int] | Iterable[str], settings: SplitSettings) -> dict[str, Part]:
    """Assign all groups; give their numbers of samples where they are known.

    `part_of` decides who tests. Of the others, in the order of their draw, validation takes each group that still
    fits into its share of the samples: groups differ so much in size that by the draw alone it would get 1 % or
    40 %. With few groups training comes first: it has at least one, then test, then validation.
    """
    counts = dict(groups) if isinstance(groups, Mapping) else dict.fromkeys(groups, 1)
    placed = sorted(counts, key=lambda group: (draw(group, settings.seed), group))
    found: dict[str, Part] = {group: "test" if part_of(group, settings) == "test" else "train" for group in placed}
    if placed and "train" not in found.values():
        found[placed[-1]] = "train"
    if settings.test and "test" not in found.values() and len(placed) > 1:
        found[placed[0]] = "test"
    free = [group for group in placed if found[group] == "train"]
    testing = [group for group in placed if found[group] == "test"]
    if settings.validation and len(free) == 1 and len(testing) > 1:
        free.insert(0, testing[-1])
    room = settings.validation * sum(counts[group] for group in free) / (1 - settings.test)
    chosen: list[str] = []
    for group in free[:-1]:
        if counts[group] <= room:
            chosen.append(group)
            room -= counts[group]
    if not chosen and settings.validation and len(free) > 1:
        chosen = [min(free, key=lambda group: (counts[group], group))]
    for group in free:
        found[group] = "validation" if group in chosen else "train"
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
