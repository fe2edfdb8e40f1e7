"""What of a gallery a device gets: images, vectors, or both; and which of three ways brings the difference."""

from __future__ import annotations

import enum


class Mode(enum.Enum):
    """What of each record a device gets."""

    IMAGES = "images"
    VECTORS = "vectors"
    BOTH = "both"

    @property
    def images(self) -> bool:
        """Whether images are among it."""
        return self is not Mode.VECTORS

    @property
    def vectors(self) -> bool:
        """Whether vectors are among it."""
        return self is not Mode.IMAGES

    def joined(self, other: Mode) -> Mode:
        """Return what a device gets to which two rules apply: everything that either grants."""
        return self if self is other else Mode.BOTH


class Tier(enum.Enum):
    """How a gallery is brought up to date."""

    EQUAL = "equal"
    """Nothing differs."""
    CHANGES = "changes"
    """What changed since the device's position."""
    RECONCILE = "reconcile"
    """Both sides compare sums over ranges of keys until the differing records are found."""
    SNAPSHOT = "snapshot"
    """All records, range by range of their keys' hashes; contents that are there are not sent again."""
