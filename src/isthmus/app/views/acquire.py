"""What a site knows of acquiring: batches and how fast they go, environments, failures, images.

It is read from the site's ledger, beside the interface server that may run in another process. What that server
alone knows (agents it heard of, how long requests take) is asked of its metrics, where it answers.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.app.views.galleryopening import needing
from isthmus.app.views.servermetrics import ServerTold, address_of, told_by
from isthmus.core.errors import InputError, UnknownName

if TYPE_CHECKING:
    from isthmus.acquire.image import Filed
    from isthmus.acquire.ledger_port import Ledger
    from isthmus.acquire.ports import Batch, Event, Line, Which
    from isthmus.app.acquiring.config import AcquireConfig

LIVE = ("queued", "waiting", "following", "leased", "paused")
WORDS = ("done", "failed", "expired", "cancelled", *LIVE)
"""The states of a request, in the order in which a bar shows them."""
_WINDOW = timedelta(seconds=60)
_MOST_EVENTS = 500
_MOST_LEFT_ALONE = 1000


@dataclass(frozen=True, slots=True)
class BatchShown:
    """One batch. `counts` by state's word, `failures` by kind; `rate` is requests that end in a second."""

    batch: str
    owner: str
    label: str
    made: datetime
    ended: datetime | None
    paused: bool
    requests: int
    counts: Mapping[str, int]
    failures: Mapping[str, int]
    rate: float
    left_s: float | None

    @property
    def open(self) -> int:
        """How many requests have not ended."""
        return sum(self.counts.get(word, 0) for word in LIVE)

    @property
    def state(self) -> str:
        """`ended`, `paused` or `running`."""
        return "ended" if self.ended else "paused" if self.paused else "running"


@dataclass(frozen=True, slots=True)
class AgentShown:
    """An agent that the server heard of, so many seconds ago."""

    agent: str
    silent_s: float


@dataclass(frozen=True, slots=True)
class EnvironmentShown:
    """One environment: live requests by state, the age of the oldest queued one, its agents.

    `left_alone` counts requests that wait because their storage server fails so often that agents leave it alone
    for a while (its circuit breaker is open). `request_s` are quantiles of the time from a request to its image.
    """

    environment: str
    counts: Mapping[str, int]
    oldest_s: float
    left_alone: int
    agents: tuple[AgentShown, ...] = ()
    request_s: Mapping[str, float] = field(default_factory=dict)
    images: int | None = None


@dataclass(frozen=True, slots=True)
class Environments:
    """All environments. `server`: whether the interface server answers; else what it alone knows is missing."""

    environments: tuple[EnvironmentShown, ...]
    server: bool
    address: str


def offers(path: Path) -> bool:
    """Tell whether the site has an interface server. Raises ConfigError, InputError."""
    return _config(path).acquire is not None


def batches(path: Path, now: datetime, after: str = "", most: int = 50) -> list[BatchShown]:
    """List batches, newest first, those made before batch `after`. Raises UnknownName, Busy, Corrupt."""
    with _opened(path) as (_, ledger):
        if ledger is None:
            return []
        found = ledger.batches(after=after, most=most)
        rates = _rates(ledger, now) if any(one.ended is None for one in found) else {}
        return [_batch(one, rates.get(one.batch, 0.0)) for one in found]


def batch(path: Path, now: datetime, name: str) -> BatchShown:
    """Show one batch. Raises UnknownName, Busy, Corrupt."""
    with _opened(path) as (_, ledger):
        if ledger is None:
            raise UnknownName(f"unknown batch {name!r}", "nothing was asked for yet")
        found = ledger.batch(name)
        return _batch(found, 0.0 if found.ended else _rates(ledger, now).get(name, 0.0))


def requests(path: Path, which: Which, after: int = 0, most: int = 50, *, newest: bool = True) -> list[Line]:
    """List requests, newest first unless told otherwise. Raises UnknownName, Busy, Corrupt."""
    with _opened(path) as (_, ledger):
        if ledger is None:
            if which.batch:
                raise UnknownName(f"unknown batch {which.batch!r}", "nothing was asked for yet")
            return []
        return list(ledger.lines(which, after, most, newest))


def request(path: Path, number: int) -> Line:
    """Show one request. Raises UnknownName, Busy, Corrupt."""
    with _opened(path) as (_, ledger):
        found = ledger.line(number) if ledger is not None and 0 < number < 1 << 63 else None
    if found is None:
        raise UnknownName(f"there is no request {number}", "see the list of requests")
    return found


def events(path: Path, after: int | None, most: int = 500) -> tuple[list[Event], int]:
    """Return what ended after event `after`, and the number of the last event told; None begins now."""
    with _opened(path) as (_, ledger):
        if ledger is None:
            return [], 0
        if after is None:
            return [], ledger.latest()
        found = ledger.events(after, most)
        return found, found[-1].number if found else after


def environments(path: Path, now: datetime) -> Environments:
    """Show every environment that ever had a request. Raises Busy, Corrupt."""
    with _opened(path) as (config, ledger):
        server = told_by(config)
        address = address_of(config)
        if ledger is None:
            return Environments((), server is not None, address)
        shown = [
            EnvironmentShown(
                one.environment,
                dict(one.counts),
                one.oldest_s,
                _left_alone(ledger, one.environment) if one.counts.get("waiting") else 0,
                *_known_by(server, one.environment),
            )
            for one in ledger.depths(now)
        ]
    return Environments(tuple(shown), server is not None, address)


def filed(path: Path, digest: str) -> Filed | None:
    """Find an image by the digest of its stored bytes; None where there is none (any more)."""
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        return None
    with _opened(path) as (_, ledger):
        return None if ledger is None else ledger.filed(digest)


def image(path: Path, digest: str) -> tuple[Filed, Path] | None:
    """Find an image and its file under the images' root; None where either is gone."""
    found = filed(path, digest)
    if found is None:
        return None
    with needing("acquire"):
        from isthmus.acquire.filing.contents import content_path, inside

        root = str(_rules(_config(path)).folder.resolve())
        try:
            places = Path(inside(root, found.path)), Path(content_path(root, found))
        except (InputError, KeyError):
            return None
        return next(((found, place) for place in places if place.is_file()), None)


def thumbnail(path: Path, digest: str, edge: int) -> bytes | None:
    """Return an image small, as JPEG: as the server has drawn it, or drawn now. Empty where it cannot be drawn.

    None where there is no such image (any more). Raises InputError for an edge that is not offered.
    """
    with needing("acquire"):
        from isthmus.acquire.filing.thumbnails import made, place_of
        from isthmus.app.views.pictures import small

        rules = _rules(_config(path))
        found = image(path, digest)
        if found is None:
            return None
        kept = place_of(rules.folder.resolve(), found[0].digest, edge)
        try:
            if made(kept):
                return kept.read_bytes()
            return small(found[1].read_bytes(), edge, rules.limits) or b""
        except FileNotFoundError:
            return None  # removed just now


def _config(path: Path) -> AcquireConfig:
    with needing("acquire"):
        from isthmus.app.acquiring.config import read_acquire_config

        return read_acquire_config(path)


def _rules(config: AcquireConfig) -> Any:
    from isthmus.app.acquiring.serving import filing_rules

    return filing_rules(config)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[AcquireConfig, Ledger | None]]:
    """Lend the ledger; None where the site has no server, or nothing was ever asked of it."""
    config = _config(path)
    if config.acquire is None:
        yield config, None
        return
    if not config.acquire.shared and not (config.state_folder / "ledger.sqlite").exists():
        yield config, None
        return
    with needing("acquire"):
        from isthmus.app.acquiring.ledgers import open_ledger

        with contextlib.closing(open_ledger(config)) as ledger:
            yield config, ledger


def _batch(one: Batch, rate: float) -> BatchShown:
    open_ = sum(one.counts.get(word, 0) for word in LIVE)
    left_s = open_ / rate if rate > 0 and open_ and not one.paused else None
    total = sum(one.counts.values())
    return BatchShown(
        one.batch, one.owner, one.label, one.made, one.ended, one.paused, total, dict(one.counts),
        dict(one.failures), rate, left_s,
    )  # fmt: skip


def _rates(ledger: Ledger, now: datetime) -> dict[str, float]:
    """Tell how many requests of each batch ended in a second, over the last minute or the latest 500 ends."""
    found: Sequence[Event] = ledger.events(max(0, ledger.latest() - _MOST_EVENTS), _MOST_EVENTS)
    recent = [one for one in found if one.at > now - _WINDOW]
    if not recent:
        return {}
    over_s = max(0.25, (now - recent[0].at).total_seconds())
    return {name: count / over_s for name, count in Counter(one.batch for one in recent).items()}


def _left_alone(ledger: Ledger, environment: str) -> int:
    from isthmus.acquire.failure import Kind
    from isthmus.acquire.ports import Which
    from isthmus.acquire.states import State

    which = Which(environment=environment, states=(State.WAITING,), kind=Kind.BROKEN_OFF.value)
    return len(ledger.lines(which, most=_MOST_LEFT_ALONE))


def _known_by(
    server: ServerTold | None, environment: str
) -> tuple[tuple[AgentShown, ...], Mapping[str, float], int | None]:
    if server is None:
        return (), {}, None
    agents = tuple(AgentShown(name, silent) for name, silent in sorted(server.agents.get(environment, {}).items()))
    return agents, server.request_s.get(environment, {}), server.images.get(environment, 0)


__all__ = [
    "LIVE", "WORDS", "AgentShown", "BatchShown", "EnvironmentShown", "Environments", "batch", "batches",
    "environments", "events", "filed", "image", "offers", "request", "requests", "thumbnail",
]  # fmt: skip
