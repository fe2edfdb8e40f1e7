"""How long who fails to log in must wait: growing with each failure, per name and per address, without I/O.

The counts are kept on disk, so that a restart forgives nothing. Time is the machine's clock, which may jump: a
clock that was set back never makes anybody wait longer than the wait itself, since the count's moment is then
moved to the present.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace

FORGOTTEN_S = 86_400.0
"""After so long without a failure a count begins anew."""


@dataclass(frozen=True, slots=True)
class Tries:
    """Failures in a row, and when the last was (Unix seconds)."""

    failures: int = 0
    last: float = 0.0

    def at(self, now: float) -> Tries:
        """Return the count as it stands at `now`."""
        if now - self.last >= FORGOTTEN_S:
            return Tries(0, now)
        return replace(self, last=min(self.last, now))

    def failed(self, now: float) -> Tries:
        """Return the count after one failure more."""
        return Tries(self.at(now).failures + 1, now)


@dataclass(frozen=True, slots=True)
class Waits:
    """`free` failures cost nothing; from then on the wait doubles from one second to `longest_s`."""

    free: int
    longest_s: float = 900.0

    def after(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        if failures < self.free:
            return 0.0
        return min(self.longest_s, 2.0 ** min(failures - self.free, 30))

    def left(self, tries: Tries, now: float) -> float:
        """Return the seconds that are still to wait."""
        present = tries.at(now)
        return max(0.0, self.after(present.failures) - (now - present.last))


OF_A_NAME = Waits(free=5)
OF_AN_ADDRESS = Waits(free=20)
"""More, since a whole office may come from one address."""


def network_of(address: str) -> str:
    """Return what is counted for an address: itself, or the /64 of an IPv6 address, which one machine may have."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        mapped = found.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
