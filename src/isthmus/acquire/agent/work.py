"""The agent's work: claim ahead of need, fetch, deliver, and keep the leases alive.

Each task is claimed by a thread that waits at the server, fetched by the fetcher, and delivered by one of a few
lines (`lines.py`). Nothing is durable here but results that cannot be delivered: what an agent that is killed had
in hand is leased to another once its lease runs out. An orderly stop gives back what was not begun and delivers
what has come.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from isthmus.acquire.agent.bench import Bench, Dice, Reach, Tick
from isthmus.acquire.agent.lines import Lines
from isthmus.acquire.agent.pace import Pace, wanted
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool, Step, no_step
from isthmus.acquire.log import Say, silent
from isthmus.acquire.ports import Desk, Fetcher, Held, Order, Task
from isthmus.core.errors import Busy, Refused
from isthmus.core.ports import Clock

_POLL_S = 0.25
_TOGETHER = 16
_BREATH_S = 0.002
_SOON_S = 0.01
_AHEAD, _FEW = 256, 64
"""So many results and fetches are in hand, beside those on their way to the server, before more is begun; where
few results wait, a few more are begun all the same."""
_MOST_BEATEN = 5000
_REFUSED_S = 5.0
_LOOK_S = 1.0
_JOIN_S = 1.0
_CLAIM_S = 0.5


@runtime_checkable
class Interruptible(Protocol):
    """A desk whose claim can be broken off."""

    def interrupt(self) -> None:
        """Break off a claim that waits, and every later one."""
        ...


class Agent:
    """Works for one environment until it is told to stop. `tick` is a clock in seconds that never jumps."""

    def __init__(
        self,
        desk: Desk,
        fetcher: Fetcher,
        spool: Spool,
        settings: AgentSettings,
        clock: Clock,
        say: Say = silent,
        *,
        tick: Tick = time.monotonic,
        dice: Dice = random.random,
        step: Step = no_step,
    ) -> None:
        """The fetcher and the spool stay the caller's to close."""
        self._desk, self._fetcher, self._spool, self._settings = desk, fetcher, spool, settings
        self._clock, self._say, self._tick, self._step = clock, say, tick, step
        self._bench = Bench(settings, dice)
        self._holding = self._bench.holding
        self._claims = Reach(settings, dice)
        self._pace = Pace()
        self._known = False
        self._ended = threading.Event()
        self._lines = Lines(self._bench, desk, spool, settings, tick, say, step)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then end in order.

        Raises Refused where the server does not accept this agent when it first asks, and whatever is not to be
        expected; what has come by then is delivered or kept all the same.
        """
        bench = self._bench
        threads = [
            threading.Thread(target=bench.guarded(work), name=name, daemon=True)
            for name, work in (
                ("claims", self._claim_loop),
                ("beats", self._beat_loop),
                *((f"line {n}", self._lines.loop) for n in range(self._settings.lines)),
            )
        ]
        self._say("agent begins", spooled=len(self._spool))
        for thread in threads:
            thread.start()
        try:
            try:
                while not stop.is_set() and bench.broken is None:
                    self._round()
            finally:
                self._close()
        finally:
            self._ended.set()
            with bench.lock:
                bench.closing = bench.finished = True
                bench.results.notify_all()
                bench.need.notify_all()
            until = time.monotonic() + _JOIN_S
            for thread in threads:
                thread.join(timeout=max(0.0, until - time.monotonic()))
        if bench.broken is not None:
            raise bench.broken
        self._say("agent ends", spooled=len(self._spool))

    def _round(self) -> None:
        """Place what there is room for, and take what has come."""
        self._place()
        bench, holding = self._bench, self._holding
        wait_s = _POLL_S if holding.fetching or not bench.closing else _BREATH_S
        if holding.waiting and holding.unsent:
            wait_s = min(wait_s, _SOON_S)  # the lines make room without a word
        results = self._fetcher.results(wait_s)
        now = self._tick()
        with bench.lock:
            before = holding.unsent
            unwanted = holding.came(results, now)
            self._pace.note(len(results), bool(holding.fetching), now)
            full = before // _TOGETHER != holding.unsent // _TOGETHER
            if results and (before == 0 or full or not holding.fetching):
                bench.results.notify()
            many = len(holding.fetching) > _TOGETHER
        self._lines.discard([got.content for got in unwanted])
        if results:
            self._step("fetched")
        if many and len(results) < _TOGETHER:
            time.sleep(_BREATH_S)  # a round for each image would cost more than the image

    def _place(self) -> None:
        bench, holding, settings = self._bench, self._holding, self._settings
        with bench.lock:
            if bench.closing or holding.bytes >= settings.most_memory or not holding.waiting:
                return
            if self._spool.full and bench.reach.since is not None:
                return
            begun = holding.begin(self._room())
            if 2 * len(holding.waiting) < self._fetcher.room() or not holding.waiting:
                bench.need.notify()
            now = self._clock.now()
            late = [(key, task) for key, task in begun if task.deadline is not None and task.deadline <= now]
            for key, _ in late:
                del holding.fetching[key]
        if late:
            self._release([Held(task.request, task.fence) for _, task in late])
        passed = {key for key, _ in late}
        orders = [self._order(key, task, now) for key, task in begun if key not in passed]
        if orders:
            self._fetcher.place(orders)

    def _room(self) -> int:
        """Tell how many fetches to begin now: what is fetched long before a line takes it has left the caches."""
        holding = self._holding
        ahead = _AHEAD - holding.unsent - len(holding.fetching)
        if holding.unsent < _FEW:
            ahead = max(ahead, _FEW)  # servers that are slow must not keep the others' from being fetched
        return max(0, min(self._fetcher.room(), ahead))

    def _order(self, key: int, task: Task, now: datetime) -> Order:
        until_s = self._settings.fetch_s
        if task.deadline is not None:
            until_s = min(until_s, (task.deadline - now).total_seconds())
        return Order(key, task.address, until_s)

    def _claim_loop(self) -> None:
        bench = self._bench
        while True:
            with bench.lock:
                if bench.closing or bench.broken is not None:
                    return
                now = self._tick()
                most = self._wanted() if self._claims.may(now) else 0
                if most == 0:
                    away = self._claims.since is not None
                    bench.need.wait(max(0.01, min(_POLL_S, self._claims.next_try - now)) if away else _POLL_S)
                    continue
                self._claims.begin()
                bench.claiming = True
            try:
                self._claim(most)
            finally:
                bench.claiming = False

    def _wanted(self) -> int:
        """Tell how many tasks to claim now. Called under the lock."""
        bench, holding, settings = self._bench, self._holding, self._settings
        if bench.refused:
            return 1  # brings the callback that is right now
        if bench.reach.since is not None and (holding.unsent or holding.going or len(self._spool)):
            return 0
        if self._spool.ready or self._spool.full or holding.bytes >= settings.most_memory:
            return 0
        room = self._fetcher.room()
        return wanted(self._pace.rate, room, len(holding.waiting), holding.count, bench.lease_s, settings)

    def _claim(self, most: int) -> None:
        bench = self._bench
        begun = self._tick()
        try:
            claimed = self._desk.claim(most, self._settings.wait_s)
        except Busy as error:
            with bench.lock:
                if bench.closing:
                    return
                news = self._claims.failed(self._tick(), float(getattr(error, "after_s", 0.0)))
            if news:
                self._say("claims fail", level="warning", error=str(error))
            return
        except Refused as error:
            if not self._known:
                raise
            with bench.lock:
                self._claims.failed(self._tick(), _REFUSED_S)
            self._say("claims refused", level="error", error=str(error))
            return
        self._known = True
        self._step("claimed")
        with bench.lock:
            if self._claims.fine():
                self._say("claims go on")
            if bench.refused and claimed.callback != bench.callback:
                bench.refused = False
                bench.reach.fine()
            bench.callback, bench.lease_s = claimed.callback, claimed.lease_s
            stopping = bench.closing
            if not stopping:
                self._holding.took(claimed.tasks)
        if stopping:
            self._release([Held(task.request, task.fence) for task in claimed.tasks])
            return
        if bench.refused:
            self._ended.wait(_REFUSED_S)
        if claimed.tasks:
            self._say(
                "claimed",
                level="debug",
                items=[{"request": task.request, "trace": task.trace} for task in claimed.tasks],
            )
            self._place()
        elif self._tick() - begun < self._settings.least_pause_s:
            self._ended.wait(self._settings.least_pause_s)  # a server that does not wait is not asked in a circle

    def _beat_loop(self) -> None:
        last = self._tick()
        while not self._ended.wait(min(_LOOK_S, self._bench.lease_s / 6)):
            now = self._tick()
            if now - last < self._bench.lease_s / 3:  # the lease may have become shorter meanwhile
                continue
            last = now
            with self._bench.lock:
                held = self._holding.held()
            held += self._spool.held()
            for at in range(0, len(held), _MOST_BEATEN):
                try:
                    lost = self._desk.beat(held[at : at + _MOST_BEATEN])
                except (Busy, Refused) as error:
                    self._say("heartbeat fails", level="warning", error=str(error))
                    break
                if lost:
                    self._drop(lost)

    def _drop(self, lost: Sequence[Held]) -> None:
        with self._bench.lock:
            keys = self._holding.lost(lost)
            self._bench.need.notify()
        self._spool.let_go(lost)
        if keys:
            self._fetcher.drop(keys)
        self._say("tasks lost", requests=[one.request for one in lost])

    def _release(self, held: Sequence[Held]) -> None:
        if not held:
            return
        try:
            self._desk.release(held)
        except (Busy, Refused) as error:
            self._say("release fails", level="warning", error=str(error))  # their leases run out

    def _close(self) -> None:
        """Give back what was not begun, wait for what is under way, deliver or keep what has come."""
        bench, holding = self._bench, self._holding
        until = self._tick() + self._settings.stop_s
        with bench.lock:
            bench.closing = True
            given = holding.give_up()
            bench.results.notify_all()
            bench.need.notify_all()
        self._say("agent stops", given_back=len(given), under_way=holding.count)
        self._release(given)
        claim_until = min(until, self._tick() + _CLAIM_S)
        while bench.claiming and self._tick() < claim_until:
            self._round()  # what it brings is given back; broken off, it would be leased to nobody
        if isinstance(self._desk, Interruptible):
            self._desk.interrupt()
        while holding.fetching and self._tick() < until and bench.broken is None:
            self._round()
        with bench.lock:
            keys, given = holding.stop_fetching()
        if keys:
            self._fetcher.drop(keys)
            self._release(given)
        with bench.lock:
            while (holding.unsent or holding.going) and self._tick() < until and bench.broken is None:
                bench.results.wait(0.05)
            left = holding.held() if not holding.going else []
        if left:
            self._say("not delivered", level="warning", requests=[one.request for one in left])
            self._release(left)
