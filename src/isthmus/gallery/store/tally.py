"""What an open transaction counts of one gallery: its changes, records, images and vectors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """A gallery's row, as far as it is kept in memory while a transaction is open."""

    id: int
    ns: str
    live: bool
    change: int
    floor: int
    records: int
    image_bytes: int
    refused: int
    vectors: int
    removals: bool
    """Whether keys are remembered as gone: without any, none needs to be forgotten."""

    def next(self) -> int:
        """Number another change."""
        self.change += 1
        return self.change

    def count(self, sign: int, size: int, refused: str | None, vector_of: str | None) -> None:
        """Count a record in (1) or out (-1)."""
        self.records += sign
        self.image_bytes += sign * (size if refused is None else 0)
        self.refused += sign * (refused is not None)
        self.vectors += sign * (vector_of is not None)
