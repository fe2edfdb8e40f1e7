"""The clock of the machine."""

from __future__ import annotations

import datetime


class SystemClock:
    """Tells the machine's time, in UTC."""

    def now(self) -> datetime.datetime:
        """Return the present time, aware, in UTC."""
        return datetime.datetime.now(datetime.UTC)
