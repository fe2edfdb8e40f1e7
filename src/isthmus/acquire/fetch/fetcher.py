"""Gets content at addresses: rewrites, allow-list, limits, then the engine that speaks the scheme.

One thread does it all; orders come in and results go out in lists. Each order is a job that may have several hops,
each judged alone: a redirect is a new address.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from urllib.parse import urljoin

from isthmus.acquire import heap
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.credentials import Secrets, secrets
from isthmus.acquire.fetch.files import Errand, Folders
from isthmus.acquire.fetch.limits import Gate
from isthmus.acquire.fetch.locator import WIRES
from isthmus.acquire.fetch.others import PROTOCOLS, Others
from isthmus.acquire.fetch.receiving import remove_left
from isthmus.acquire.fetch.rules import Rules, Server
from isthmus.acquire.fetch.settings import EnvironmentRules, Storage
from isthmus.acquire.fetch.turns import Lane, Turns
from isthmus.acquire.ports import Got, Order
from isthmus.core.errors import InputError, IsthmusError, MissingExtra

try:
    from isthmus.acquire.fetch.web import Names, Onward, Web
except ModuleNotFoundError as error:  # pragma: no cover
    if error.name != "pycurl":
        raise
    raise MissingExtra.named("pycurl", "agent") from error

_TICK_S = 0.5
_KEPT = 8
"""One place in so many is kept for servers that have nothing running."""
_CLOSE_S = 10.0
_GATHER, _GATHER_S = 64, 0.016
"""Results go out in lists: when so many are there, or after so long, or when nothing else runs."""


class Job:
    """An order on its way."""

    __slots__ = ("address", "began", "dropped", "ends", "hops", "key", "lane", "rest", "seen", "server", "stage")

    def __init__(self, order: Order, now: float) -> None:
        self.key = order.key
        self.address = order.address
        self.began = now
        self.ends = now + order.until_s
        self.hops = 0
        self.seen: set[str] | None = None
        self.server: Server
        self.rest = ""
        self.lane: Lane[Job]
        self.stage = "new"
        self.dropped = False


class Fetching:
    """The fetcher of an agent (`ports.Fetcher`). Large content becomes files in `folder`, which is its alone.

    Raises InputError where the settings name secrets that cannot be read. `names` answers host names in place of
    the system's resolver. Reasons of failures name the server, never paths, queries or credentials.
    """

    def __init__(
        self,
        settings: EnvironmentRules,
        folder: Path,
        names: Names | None = None,
        secrets_of: Callable[[Storage], Secrets] = secrets,
    ) -> None:
        self._settings = settings
        self._rules = Rules(settings)
        self._secrets = {-1: Secrets()} | {
            number: secrets_of(storage) for number, storage in enumerate(settings.storage)
        }
        heap.keep()  # before there are threads with heaps of their own
        remove_left(folder)
        self._folder = folder
        self._web = Web(folder, names, max(64, settings.at_once * 2))
        self._folders: Folders | None = None
        self._others: Others | None = None
        self._turns: Turns[Job] = Turns()
        self._running = 0
        self._crowded = False
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._live: dict[int, Job] = {}
        self._placed: list[Order] = []
        self._dropped: list[Job] = []
        self._told: deque[tuple[Hashable, Got | Failure]] = deque()
        self._results: deque[tuple[int, Got | Failure]] = deque()
        self._bytes = 0
        self._rung = False
        self._closing = False
        self._ended: list[tuple[Job, Got | Failure]] = []
        self._ended_at = 0.0
        self._ended_bytes = 0
        self._swept = 0.0
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fetching", daemon=True)
        self._thread.start()

    def room(self) -> int:
        """Tell how many more orders may be placed now without waiting."""
        with self._lock:
            return max(0, self._settings.held - len(self._live) - len(self._placed) - len(self._results))

    def place(self, orders: Sequence[Order]) -> None:
        """Begin to get. Returns at once."""
        with self._lock:
            self._alive()
            self._placed += orders
            ring, self._rung = not self._rung, True
        if ring:
            self._web.wake()

    def results(self, wait_s: float, most: int = 256) -> list[tuple[int, Got | Failure]]:
        """Return what has come, by key, waiting up to `wait_s` for the first."""
        with self._news:
            if not self._results:
                self._alive()
                self._news.wait_for(
                    lambda: bool(self._results) or self._closing or self._fault is not None, wait_s
                )
            found = [self._results.popleft() for _ in range(min(most, len(self._results)))]
            held_up = self._bytes > self._settings.waiting_bytes
            self._bytes -= sum(_inline(outcome) for _, outcome in found)
            ring = held_up and not self._rung
            self._rung = self._rung or ring
        if ring:
            self._web.wake()
        return found

    def drop(self, keys: Sequence[int]) -> None:
        """Stop getting what nobody wants any more; no result follows."""
        gone = set(keys)
        with self._lock:
            self._placed = [order for order in self._placed if order.key not in gone]
            for key in gone:
                job = self._live.pop(key, None)
                if job is not None:
                    job.dropped = True
                    self._dropped.append(job)
            kept: deque[tuple[int, Got | Failure]] = deque()
            for key, outcome in self._results:
                if key in gone:
                    self._bytes -= _inline(outcome)
                    _discard(outcome)
                else:
                    kept.append((key, outcome))
            self._results = kept
            ring, self._rung = not self._rung, True
        if ring:
            self._web.wake()

    def close(self) -> None:
        """Stop all and free everything, files of results that nobody fetched too."""
        with self._news:
            if self._closing:
                return
            self._closing = True
            self._news.notify_all()
        self._web.wake()
        self._thread.join(_CLOSE_S)
        for _, outcome in self._results:
            _discard(outcome)
        self._results.clear()

    def _alive(self) -> None:
        if self._closing:
            raise InputError("the fetcher is closed", "make a new one")
        if self._fault is not None:
            raise IsthmusError(f"the fetcher has stopped: {self._fault!r}", "start it anew") from self._fault

    def _run(self) -> None:
        try:
            while not self._closing:
                self._take_in()
                self._begin()
                self._hand_out()
                for token, outcome in self._web.poll(self._wait_s()):
                    assert isinstance(token, Job)
                    self._back(token, outcome)
        except BaseException as error:
            with self._news:
                self._fault = error
                self._news.notify_all()
            raise
        finally:
            self._free()

    def _free(self) -> None:
        if self._folders is not None:
            self._folders.close()
        if self._others is not None:
            self._others.close()
        self._web.close()
        for _, outcome in self._told:
            _discard(outcome)
        for _, done in self._ended:
            _discard(done)

    def _wait_s(self) -> float:
        now = time.monotonic()
        if self._told:
            return 0.0
        full = self._crowded or self._running >= self._settings.at_once
        full = full or self._full
        wake = None if full else self._turns.wake_s(now)
        longest = max(0.0, self._ended_at + _GATHER_S - now) if self._ended else _TICK_S
        return longest if wake is None else min(longest, wake)

    @property
    def _full(self) -> bool:
        """Tell whether so much waits to be fetched away that nothing new is begun."""
        return self._bytes + self._ended_bytes > self._settings.waiting_bytes

    def _take_in(self) -> None:
        with self._lock:
            placed, self._placed = self._placed, []
            dropped, self._dropped = self._dropped, []
            self._rung = False
            now = time.monotonic()
            jobs = [Job(order, now) for order in placed]
            for job in jobs:
                self._live[job.key] = job
        for job in dropped:
            self._stop(job)
        while self._told:
            token, outcome = self._told.popleft()
            assert isinstance(token, Job)
            self._back(token, outcome)
        for job in jobs:
            self._route(job, job.address, now)
        if now - self._swept > _TICK_S:
            self._swept = now
            for job in self._turns.take_out(lambda each: each.dropped or each.ends <= now):
                self._finish(job, Failure(Kind.TIMEOUT, f"{job.server}: its turn did not come in time"))

    def _route(self, job: Job, address: str, now: float) -> None:
        way = self._rules.way(address)
        if isinstance(way, Failure):
            reason = way.reason if not job.hops else f"a redirect leads elsewhere: {way.reason}"
            self._finish(job, Failure(way.kind, reason))
            return
        job.server, job.rest = way.server, way.rest
        storage = way.server.storage
        if way.server.origin.scheme == "sftp" and not storage.known_hosts:
            reason = f"{way.server}: no host keys are known; known_hosts of its storage entry names the file"
            self._finish(job, Failure(Kind.TLS, reason))
            return
        job.lane = self._turns.lane(way.server.origin, lambda: Gate.of(storage, now))
        job.stage = "waiting"
        self._turns.add(job.lane, job)

    def _begin(self) -> None:
        now = time.monotonic()
        most = self._settings.at_once
        self._crowded = False
        while self._running < most and not self._full:
            self._crowded = self._running >= most - most // _KEPT
            turn = self._turns.next(now, self._crowded)
            if turn is None:
                break
            job, lane = turn
            if job.dropped or job.ends <= now:
                self._turns.leave(lane)
                self._finish(job, Failure(Kind.TIMEOUT, f"{job.server}: its turn did not come in time"))
                continue
            job.stage = "running"
            self._running += 1
            self._start(job, now)
        for job, _, rest in self._turns.broken():
            reason = f"{job.server}: left alone after failures in a row; tried again in {rest:.0f} s"
            self._finish(job, Failure(Kind.BROKEN_OFF, reason, rest))

    def _start(self, job: Job, now: float) -> None:
        scheme = job.server.origin.scheme
        ends = min(job.ends, now + job.server.storage.total_s)
        if scheme in WIRES:
            self._web.begin(job, job.server, job.rest, self._secrets[job.server.place], ends - now)
        elif scheme == "file":
            if self._folders is None:
                self._folders = Folders(self._folder, self._settings.readers, self._tell)
            self._folders.begin(Errand(job, job.server, job.rest, ends))
        elif scheme in PROTOCOLS:
            if self._others is None:
                self._others = Others(self._folder, self._settings.others, self._tell)
            self._others.begin(Errand(job, job.server, job.rest, ends), self._secrets[job.server.place])
        else:
            self._told.append((job, Failure(Kind.BAD_ADDRESS, f"nothing here speaks {scheme}")))

    def _tell(self, token: Hashable, outcome: Got | Failure) -> None:
        self._told.append((token, outcome))  # on a thread of folders or others
        self._web.wake()

    def _back(self, job: Job, outcome: Got | Failure | Onward) -> None:
        """A running job's hop has ended."""
        now = time.monotonic()
        if job.stage != "running":  # it was stopped; what came after all is nobody's
            if not isinstance(outcome, Onward):
                _discard(outcome)
            return
        self._running -= 1
        self._turns.end(job.lane, outcome if isinstance(outcome, Failure) else None, now)
        if isinstance(outcome, Onward):
            self._follow(job, outcome, now)
        elif isinstance(outcome, Failure):
            self._finish(job, Failure(outcome.kind, f"{job.server}: {outcome.reason}", outcome.after_s))
        else:
            self._finish(job, outcome)

    def _follow(self, job: Job, onward: Onward, now: float) -> None:
        if job.seen is None:
            job.seen = {onward.url}
        try:
            address = urljoin(onward.url, onward.location)
        except ValueError:
            self._finish(job, Failure(Kind.BAD_ADDRESS, f"{job.server}: a redirect to what is no address"))
            return
        job.hops += 1
        most = job.server.storage.most_redirects
        if address in job.seen or job.hops > most:
            what = "redirects in a circle" if address in job.seen else f"more than {most} redirects"
            self._finish(job, Failure(Kind.REDIRECTS, f"{job.server}: {what}"))
            return
        job.seen.add(address)
        self._route(job, address, now)

    def _stop(self, job: Job) -> None:
        """A dropped job; one that waits is passed over when its turn comes or the next sweep does."""
        if job.stage != "running":
            return
        job.stage = "over"
        self._running -= 1
        self._turns.leave(job.lane)
        self._web.stop(job)
        if self._folders is not None:
            self._folders.stop(job)
        if self._others is not None:
            self._others.stop(job)

    def _finish(self, job: Job, outcome: Got | Failure) -> None:
        job.stage = "over"
        if not self._ended:
            self._ended_at = time.monotonic()
        self._ended.append((job, outcome))
        self._ended_bytes += _inline(outcome)

    def _hand_out(self) -> None:
        if not self._ended:
            return
        few = len(self._ended) < _GATHER and self._running and not self._closing
        if few and time.monotonic() < self._ended_at + _GATHER_S:
            return
        ended, self._ended, self._ended_bytes = self._ended, [], 0
        with self._news:
            for job, outcome in ended:
                if job.dropped:
                    _discard(outcome)
                    continue
                if self._live.get(job.key) is job:
                    del self._live[job.key]
                self._results.append((job.key, outcome))
                self._bytes += _inline(outcome)
            self._news.notify()


def _inline(outcome: Got | Failure) -> int:
    return outcome.size if isinstance(outcome, Got) and isinstance(outcome.content, bytes) else 0


def _discard(outcome: Got | Failure) -> None:
    if isinstance(outcome, Got) and isinstance(outcome.content, Path):
        with contextlib.suppress(OSError):
            outcome.content.unlink()
