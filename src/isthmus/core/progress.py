"""Progress as plain data: the faces decide whether it becomes a bar, a JSON line or a console event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one stage of a long operation is. `total` is None while it is unknown."""

    stage: str
    done: int
    total: int | None = None
    unit: str = ""
    note: str = ""

    @property
    def fraction(self) -> float | None:
        """The part that is done, 0 to 1, or None while the total is unknown."""
        if self.total is None:
            return None
        return 1.0 if self.total == 0 else min(1.0, self.done / self.total)


Report = Callable[[Progress], None]
"""Takes each progress of an operation; must be quick and never raise."""


def silent(progress: Progress) -> None:
    """Drop the progress: the default where nobody looks."""
