"""What the interface server counts, per environment, as metrics."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from isthmus.acquire.ports import Depth, Event
from isthmus.acquire.states import LIVE
from isthmus.core.prometheus import Family, Sample

QUANTILES = (0.5, 0.9, 0.99)
WINDOW_S = 300.0
"""Quantiles tell of the last five to ten minutes."""

_LEAST_S, _STEP, _BUCKETS = 0.001, math.log(1.1), 200


class Durations:
    """A histogram of seconds in steps of a tenth, from 1 ms to two days: quantiles are right within 5 %."""

    def __init__(self, passed: Callable[[], float] = time.monotonic) -> None:
        self._passed = passed
        self._now, self._before = [0] * _BUCKETS, [0] * _BUCKETS
        self._turned = passed()
        self.count, self.sum_s = 0, 0.0

    def add(self, *durations: float) -> None:
        """Count durations."""
        self._turn()
        for seconds in durations:
            place = int(math.log(seconds / _LEAST_S) / _STEP) + 1 if seconds > _LEAST_S else 0
            self._now[min(place, _BUCKETS - 1)] += 1
            self.sum_s += max(seconds, 0.0)
        self.count += len(durations)

    def quantile(self, share: float) -> float:
        """Return the duration that `share` of the latest ones did not exceed; NaN where there are none."""
        self._turn()
        counts = [now + before for now, before in zip(self._now, self._before, strict=True)]
        wanted, seen = share * sum(counts), 0
        for place, count in enumerate(counts):
            seen += count
            if count and seen >= wanted:
                return _LEAST_S * math.exp(_STEP * (place - 0.5)) if place else _LEAST_S
        return math.nan

    def _turn(self) -> None:
        gone = self._passed() - self._turned
        if gone >= WINDOW_S:
            self._before = self._now if gone < 2 * WINDOW_S else [0] * _BUCKETS
            self._now = [0] * _BUCKETS
            self._turned = self._passed()


class Counts:
    """What happened since the server was started. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self.images: Counter[str] = Counter()
        self.image_bytes: Counter[str] = Counter()
        self.ended: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.accepted: Counter[str] = Counter()
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.deliveries: Counter[str] = Counter()
        self.delivered_bytes: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.heard: dict[tuple[str, str], datetime] = {}
        self.request_s: dict[str, Durations] = {}
        self.lease_s: dict[str, Durations] = {}

    def saw(self, events: Iterable[Event], asked: Mapping[str, datetime]) -> None:
        """Count ends of requests; `asked` tells when the batches that are known here were asked for."""
        took: dict[str, list[float]] = {}
        for event in events:
            where = event.environment
            self.ended[where, event.kind] += 1
            if event.filed is not None:
                self.images[where] += 1
                self.image_bytes[where] += event.filed.size
                if (begun := asked.get(event.batch)) is not None:
                    took.setdefault(where, []).append((event.at - begun).total_seconds())
        for where, durations in took.items():
            _of(self.request_s, where).add(*durations)

    def leased(self, environment: str, *durations: float) -> None:
        """Count how many seconds leases took to bring their images."""
        _of(self.lease_s, environment).add(*durations)


def _of(durations: dict[str, Durations], environment: str) -> Durations:
    known = durations.get(environment)
    if known is None:
        known = durations[environment] = Durations()
    return known


def families(
    counts: Counts, depths: Sequence[Depth], gauges: Mapping[str, float], now: datetime
) -> Iterator[Family]:
    """Tell all there is. `gauges` are plain numbers of the server by name."""
    p = "isthmus_acquire_"
    live = sorted(state.word for state in LIVE)
    depth = [
        Sample({"environment": one.environment, "state": word}, one.counts.get(word, 0))
        for one in depths
        for word in live
    ]
    yield Family(p + "requests", "gauge", "Requests that have not ended, by state.", depth)
    oldest = [Sample({"environment": one.environment}, one.oldest_s) for one in depths]
    yield Family(p + "oldest_queued_seconds", "gauge", "Age of the oldest queued request.", oldest)
    yield _by_environment(p + "accepted_total", "Requests accepted by this server.", counts.accepted)
    yield _by_environment(p + "images_total", "Images filed.", counts.images)
    yield _by_environment(p + "image_bytes_total", "Bytes of images filed.", counts.image_bytes)
    yield _by_environment(p + "deliveries_total", "Deliveries taken.", counts.deliveries)
    yield _by_environment(p + "delivered_bytes_total", "Bytes of deliveries taken.", counts.delivered_bytes)
    yield _by_two(p + "ended_total", "Requests that ended.", "kind", counts.ended)
    yield _by_two(p + "errors_total", "Attempts that failed.", "kind", counts.errors)
    yield _by_two(p + "verdicts_total", "Outcomes of deliveries.", "verdict", counts.verdicts)
    refused = [Sample({"why": why}, count) for why, count in sorted(counts.refused.items())]
    yield Family(p + "refused_total", "counter", "Calls that were refused.", refused)
    yield _latency(p + "request_seconds", "From the request to its image.", counts.request_s)
    yield _latency(p + "lease_seconds", "From the lease to the image.", counts.lease_s)
    heard = [
        Sample({"environment": environment, "agent": agent}, (now - at).total_seconds())
        for (environment, agent), at in sorted(counts.heard.items())
    ]
    yield Family(p + "agent_silent_seconds", "gauge", "Since an agent was heard of.", heard)
    for name, value in gauges.items():
        yield Family(p + name, "gauge", f"{name.replace('_', ' ').capitalize()} now.", [Sample({}, value)])


def _by_environment(name: str, about: str, counter: Mapping[str, int]) -> Family:
    samples = [Sample({"environment": key}, count) for key, count in sorted(counter.items())]
    return Family(name, "counter", about, samples)


def _by_two(name: str, about: str, second: str, counter: Mapping[tuple[str, str], int]) -> Family:
    samples = [Sample({"environment": one, second: two}, count) for (one, two), count in sorted(counter.items())]
    return Family(name, "counter", about, samples)


def _latency(name: str, about: str, durations: Mapping[str, Durations]) -> Family:
    samples: list[Sample] = []
    for environment, one in sorted(durations.items()):
        labels = {"environment": environment}
        samples += [Sample({**labels, "quantile": str(share)}, one.quantile(share)) for share in QUANTILES]
        samples += [Sample(labels, one.sum_s, "_sum"), Sample(labels, one.count, "_count")]
    return Family(name, "summary", about, samples)
