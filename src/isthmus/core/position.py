"""A position: how far a stream was read or applied, and what the content is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.core.digest import Digest


@dataclass(frozen=True, slots=True)
class Position:
    """Epoch (grows at each failover or new beginning), number of changes in the epoch, digest of the content.

    Two sites at an equal position hold equal content. `seq` 0 is the state before the first change.
    """

    epoch: int
    seq: int
    digest: Digest = field(default_factory=Digest)

    def __post_init__(self) -> None:
        if self.epoch < 1 or self.seq < 0:
            raise ValueError(f"no position has epoch {self.epoch} and seq {self.seq}")

    @property
    def order(self) -> tuple[int, int]:
        """What positions are sorted by: the digest says nothing about before and after."""
        return self.epoch, self.seq

    def to_json(self) -> dict[str, Any]:
        """Write the position as plain JSON values."""
        return {"epoch": self.epoch, "seq": self.seq, "digest": str(self.digest)}

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Position:
        """Read what `to_json` writes. Raises ValueError on anything else."""
        epoch, seq, digest = value.get("epoch"), value.get("seq"), value.get("digest")
        if type(epoch) is not int or type(seq) is not int or not isinstance(digest, str) or len(value) != 3:
            raise ValueError(f"{value!r} is no position")
        return cls(epoch, seq, Digest.of_hex(digest))

    def __str__(self) -> str:
        return f"{self.epoch}/{self.seq}/{str(self.digest)[:12]}"
