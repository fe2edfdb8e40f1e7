"""How much of the past a store remembers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most removals of a gallery, past positions and quarantined operations that are kept."""

    removals: int = 100_000
    positions: int = 10_000
    quarantined: int = 10_000
