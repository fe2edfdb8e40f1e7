"""Why an image did not come, and whether trying again can help: decided here, once, without I/O."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Kind(enum.StrEnum):
    """What went wrong. The words are stored, counted in metrics, and shown to clients."""

    FORBIDDEN = "forbidden"
    """The environment's rules do not allow the address, or one that it led to."""
    BAD_ADDRESS = "bad-address"
    """No address that any source understands."""
    UNREACHABLE = "unreachable"
    """The name does not resolve or the server takes no connection."""
    TLS = "tls"
    """The server's certificate is not the right one."""
    TIMEOUT = "timeout"
    """The server was too slow, or went still."""
    CUT = "cut"
    """The connection ended before the content did, or other bytes came than were announced."""
    GONE = "gone"
    """There is nothing at the address (404, 410, no such file)."""
    DENIED = "denied"
    """The server does not let the agent read it (401, 403)."""
    THROTTLED = "throttled"
    """The server asks for patience (429, 503 with Retry-After)."""
    SERVER = "server"
    """The server failed (5xx)."""
    REDIRECTS = "redirects"
    """Too many redirects, or in a circle."""
    TOO_LARGE = "too-large"
    """More bytes than allowed, packed or unpacked."""
    BROKEN_OFF = "broken-off"
    """The circuit breaker of the storage server is open."""
    NOT_AN_IMAGE = "not-an-image"
    """The bytes are no image of a known format, or not whole."""
    REFUSED = "refused"
    """An image beyond the limits."""
    CRASHED = "crashed"
    """The decoder died of it."""
    DAMAGED = "damaged"
    """The content is not what its digest says: it was hurt on its way."""
    LOST = "lost"
    """Agents took it again and again and were not heard of again."""
    DISK = "disk"
    """The disk of the agent or of the server did not take it."""


_PASSING = frozenset(
    {
        Kind.UNREACHABLE,
        Kind.TIMEOUT,
        Kind.CUT,
        Kind.THROTTLED,
        Kind.SERVER,
        Kind.BROKEN_OFF,
        Kind.DAMAGED,
        Kind.LOST,
        Kind.DISK,
    }
)

_FIRST_S, _MOST_S, _GROWTH = 2.0, 600.0, 4.0


@dataclass(frozen=True, slots=True)
class Failure:
    """What an attempt ended with. `reason` is one line for a person; `after_s` is what the server asked for."""

    kind: Kind
    reason: str
    after_s: float | None = None


def passing(kind: Kind) -> bool:
    """Tell whether another try may go better with nobody changing anything."""
    return kind in _PASSING


def next_try_s(failure: Failure, attempts: int, most_attempts: int, spread: float) -> float | None:
    """Return in how many seconds to try again; None where that is over.

    `attempts` counts those made, at least 1. Waits grow fourfold from 2 s to 10 minutes, each longer by up to a
    half (`spread`, 0 to 1, is the dice), and are never shorter than the server asked for (an hour at most).
    """
    if not passing(failure.kind) or attempts >= most_attempts:
        return None
    grown = min(_MOST_S, _FIRST_S * _GROWTH ** (attempts - 1))
    asked = min(failure.after_s or 0.0, 3600.0)
    return max(grown, asked) * (1 + spread / 2)
