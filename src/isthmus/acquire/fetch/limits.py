"""Limits of one storage server: a rate, so many at a time, and a circuit breaker; decisions with a given clock.

Times are seconds of a monotonic clock, always handed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.settings import Storage
from isthmus.core.machine import Machine, Row

BREAKER = Machine(
    "circuit breaker",
    "closed",
    (
        Row("closed", "fine", "closed", "the server answered"),
        Row("closed", "failed", "closed", "fewer failures in a row than the limit"),
        Row("closed", "too many", "open", "so many failures in a row: nothing is asked for a while"),
        Row("open", "fine", "closed", "a request begun before came through after all"),
        Row("open", "failed", "open", "requests begun before fail one by one"),
        Row("open", "too many", "open", "likewise"),
        Row("open", "time", "half-open", "one request may try"),
        Row("half-open", "fine", "closed", "the server is back"),
        Row("half-open", "failed", "open", "it is not"),
        Row("half-open", "too many", "open", "it is not"),
    ),
)

_TROUBLE = frozenset({Kind.UNREACHABLE, Kind.TLS, Kind.TIMEOUT, Kind.CUT, Kind.THROTTLED, Kind.SERVER})
_LONGEST_REST_S = 600.0


def trouble(failure: Failure | None) -> bool:
    """Tell whether an outcome speaks against the server; one about the content alone does not."""
    return failure is not None and failure.kind in _TROUBLE


@dataclass(slots=True)
class Breaker:
    """Keeps requests from a server that fails: see BREAKER for the states."""

    limit: int
    open_s: float
    state: str = BREAKER.initial
    row: int = 0
    """Failures in a row."""
    until: float = 0.0
    """When the next request may try, where it is not closed."""

    def rest_s(self, now: float) -> float:
        """Return for how long nothing may be asked; 0 where something may."""
        if self.state == "open" and now >= self.until:
            self.state = BREAKER.next(self.state, "time")
        return self.until - now if self.state == "open" else 0.0

    def note(self, failure: Failure | None, now: float) -> None:
        """Take in how a request ended; None is well."""
        if not trouble(failure):
            self.row = 0
            self.state = BREAKER.next(self.state, "fine")
            return
        self.row += 1
        before = self.state
        self.state = BREAKER.next(self.state, "too many" if self.row >= self.limit else "failed")
        if self.state == "open" and before != "open":
            asked = min(failure.after_s or 0.0, _LONGEST_REST_S) if failure else 0.0
            self.until = now + max(self.open_s, asked)


@dataclass(slots=True)
class Bucket:
    """A token bucket: `rate` per second, `burst` at once; a rate of 0 is no limit."""

    rate: float
    burst: float
    tokens: float
    at: float

    def wait_s(self, now: float) -> float:
        """Return how long until one may begin; 0 where it may now."""
        if not self.rate:
            return 0.0
        if now > self.at:
            self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
            self.at = now
        return 0.0 if self.tokens >= 1 - 1e-9 else (1 - self.tokens) / self.rate

    def take(self) -> None:
        """Let one begin."""
        if self.rate:
            self.tokens -= 1


@dataclass(slots=True)
class Gate:
    """All limits of one server together."""

    most: int
    bucket: Bucket
    breaker: Breaker
    running: int = 0

    @classmethod
    def of(cls, storage: Storage, now: float) -> Gate:
        """Build the limits that a storage entry sets, nothing used yet."""
        bucket = Bucket(storage.rate, float(storage.burst), float(storage.burst), now)
        return cls(storage.concurrency, bucket, Breaker(storage.failures, storage.open_s))

    def wait_s(self, now: float) -> float | None:
        """Return how long until a request may begin, 0 for now; None: not before another has ended.

        Says nothing of the breaker being open: see `Breaker.rest_s`.
        """
        if self.running >= (1 if self.breaker.state == "half-open" else self.most):
            return None
        return self.bucket.wait_s(now)

    def begin(self) -> None:
        """Count a request as begun."""
        self.running += 1
        self.bucket.take()

    def end(self, failure: Failure | None, now: float) -> None:
        """Count it as ended."""
        self.running -= 1
        self.breaker.note(failure, now)

    def leave(self) -> None:
        """Count it as dropped, which says nothing of the server."""
        self.running -= 1
