"""How fast images come, and so how many tasks an agent claims ahead of its need. Decisions without I/O."""

from __future__ import annotations

import math

from isthmus.acquire.agent.settings import AgentSettings

_WINDOW_S = 2.0
_LEAST = 16


class Pace:
    """Results a second while something is being fetched, as a moving average. Times in seconds, of any clock."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self._since: float | None = None
        self._count = 0

    def note(self, came: int, busy: bool, now: float) -> None:
        """Note that so many results came; `busy` where more are being fetched."""
        if self._since is None:
            self._since = now if busy else None
            return
        self._count += came
        spent = now - self._since
        if spent >= _WINDOW_S:
            measured = self._count / spent
            self.rate = measured if self.rate is None else (self.rate + measured) / 2
            self._since, self._count = now, 0
        if not busy:
            self._since, self._count = None, 0


def wanted(rate: float | None, room: int, waiting: int, held: int, lease_s: float, settings: AgentSettings) -> int:
    """Tell how many tasks to claim now; 0 where there are enough.

    Ahead are what fills the fetcher's `room` and `ahead_s` of work, at most twice what is fetched within a lease
    and never more than `most_held` in all. What is there already is topped up once half of it is used.
    """
    ahead = room if rate is None else max(room, math.ceil(rate * settings.ahead_s))
    if rate is not None:
        ahead = min(ahead, math.ceil(2 * rate * lease_s))
    ahead = max(_LEAST, ahead)
    if 2 * waiting >= ahead:
        return 0
    return max(0, min(ahead - waiting, settings.most_held - held))
