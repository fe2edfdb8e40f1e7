"""Ids of works: in the order in which they were begun, and not to be guessed."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from isthmus.core.ports import Clock

_SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: nothing that is mistaken for something else when it is read aloud."""
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Naming:
    """Gives ids that grow, also where the clock is set back while it runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._last = clock, 0

    def next(self) -> str:
        """Return another id: nine signs of milliseconds since 2026, and seven by chance."""
        now = int((self._clock.now() - _BEGAN).total_seconds() * 1000)
        self._last = max(now, self._last + 1)
        return _written(self._last, 9) + _written(secrets.randbits(35), 7)


def _written(number: int, signs: int) -> str:
    return "".join(_SIGNS[(max(0, number) >> (5 * place)) & 31] for place in reversed(range(signs)))
