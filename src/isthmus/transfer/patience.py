"""Waiting by a clock that may jump either way: time is what several observations agree on.

Only the difference between two observations in a row counts, a negative one as nothing and a large one as no more
than a third of what is waited for. So a clock that jumps ahead cannot end a wait in one stroke, one that is set
back cannot make it endless, and nothing is judged from fewer than four looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

_SHARES = 3


@dataclass(frozen=True, slots=True)
class Waited:
    """How long something has been as it is: the time of the last look, and the seconds that count."""

    at: datetime
    seconds: float = 0.0

    def again(self, now: datetime, wanted_s: float) -> Waited:
        """Return what one more look at `now` makes of it, where `wanted_s` seconds are waited for."""
        gone = (now - self.at).total_seconds()
        return Waited(now, self.seconds + min(max(gone, 0.0), wanted_s / _SHARES))

    def enough(self, wanted_s: float) -> bool:
        """Tell whether it was as it is for `wanted_s` seconds."""
        return self.seconds >= wanted_s * (1 - 1e-9)  # three thirds may add up to a hair less than the whole


def due(last: datetime | None, now: datetime, every_s: float) -> bool:
    """Tell whether what happens every `every_s` seconds is due; 0 means never, a clock set back means now."""
    if every_s <= 0:
        return False
    return last is None or now < last or (now - last).total_seconds() >= every_s
