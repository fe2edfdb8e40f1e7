"""What the capabilities ask of the world. Each docstring is the contract of the port."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time. Tests hand in one that stands still or jumps."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC. It may jump either way: never trust a difference."""
        ...
