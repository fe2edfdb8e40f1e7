"""The lines: threads that deliver what has come, each over a connection of its own.

1. What lies in the spool goes first, oldest first; then what came last.
2. Where the server is away one line tries again after a pause, and once it has been away for a while results go to
   the disk.
3. A verdict "later" is the same as a server that is away, for the results that it speaks of.
4. What the server will never take is sent again each by itself, and at last as a failure of its request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus.acquire.agent.bench import Bench, Tick
from isthmus.acquire.agent.refusal import Unacceptable
from isthmus.acquire.agent.settings import AgentSettings
from isthmus.acquire.agent.spool import Spool, Spooled, Step
from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.log import Say
from isthmus.acquire.ports import Desk, Got, Parcel, Verdict
from isthmus.core.errors import Busy, Corrupt, InputError, Refused

_NAP_S = 0.5
_REFUSED_S = 5.0

Act = Callable[[], None]


class Lines:
    """Delivers what the bench holds until it is finished. `loop` is what each line's thread runs."""

    def __init__(
        self, bench: Bench, desk: Desk, spool: Spool, settings: AgentSettings, tick: Tick, say: Say, step: Step
    ) -> None:
        self._bench, self._holding, self._reach = bench, bench.holding, bench.reach
        self._desk, self._spool, self._settings = desk, spool, settings
        self._tick, self._say, self._step = tick, say, step
        self._disk_until = 0.0

    def loop(self) -> None:
        """Deliver until the bench is finished."""
        bench = self._bench
        while True:
            with bench.lock:
                if bench.finished or bench.broken is not None:
                    return
                now = self._tick()
                act = self._next(now)
                if act is None:
                    bench.results.wait(self._nap(now))
                    continue
                if self._holding.unsent or self._spool.ready:
                    bench.results.notify()  # there is more: for the next line
            act()

    def _next(self, now: float) -> Act | None:
        """Decide what a line is to do now; None: to wait. Called under the lock."""
        bench, holding, reach = self._bench, self._holding, self._reach
        if reach.may(now):
            if self._spool.ready and not bench.closing:
                reach.begin()
                return self._deliver_spooled
            group = holding.group(now)
            if group:
                reach.begin()
                callback = bench.callback
                return lambda: self._deliver(callback, group)
            return None
        patience = 0.0 if bench.closing else self._settings.spool_after_s
        if reach.away_for(now) >= patience and now >= self._disk_until and not self._spool.full:
            group = holding.group(now)
            if group:
                callback = bench.callback
                return lambda: self._keep(callback, group)
        return None

    def _nap(self, now: float) -> float:
        if self._reach.since is not None:
            due = min(self._reach.next_try, self._reach.since + self._settings.spool_after_s)
            return min(_NAP_S, max(0.01, due - now))
        return self._settings.gather_s if self._holding.unsent else _NAP_S

    def _deliver(self, callback: str, group: Sequence[Parcel]) -> None:
        self._step("delivering")
        try:
            verdicts = self._desk.deliver(callback, group)
        except (Unacceptable, InputError, Corrupt, OSError) as error:
            parcels, alone = self._lowered(group, error), len(group) > 1
            with self._bench.lock:
                if parcels and not alone:
                    self.discard(self._holding.done(group))
                    self._holding.adopt(parcels)
                elif parcels:
                    self._holding.back(parcels, alone=True)
                else:
                    self._holding.done(group)
                self._fine()
            return
        except (Busy, Refused) as error:
            with self._bench.lock:
                self._holding.back(group)
                self._failed(error)
            return
        self._step("answered")
        later = [one for one, verdict in zip(group, verdicts, strict=True) if verdict == "later"]
        settled = [one for one, verdict in zip(group, verdicts, strict=True) if verdict != "later"]
        with self._bench.lock:
            files = self._holding.done(settled)
            self._holding.back(later)
            self._answered(bool(later))
        self.discard(files)
        self._tell(group, verdicts)

    def _deliver_spooled(self) -> None:
        try:
            entry = self._spool.take()
        except OSError as error:
            self._say("spool unreadable", level="error", error=str(error))
            with self._bench.lock:
                self._reach.failed(self._tick())
            return
        if entry is None:
            with self._bench.lock:
                self._reach.idle()  # another line was quicker
            return
        self._step("delivering spooled")
        try:
            verdicts = self._desk.deliver(self._bench.callback or entry.callback, entry.parcels)
        except (Unacceptable, InputError, Corrupt, OSError) as error:
            self._lower_spooled(entry, error)
            return
        except (Busy, Refused) as error:
            self._spool.give_back(entry.number)
            with self._bench.lock:
                self._failed(error)
            return
        self._step("answered")
        if "later" in verdicts:
            self._spool.give_back(entry.number)  # what was settled of it is answered "again" next time
        else:
            self._spool.remove(entry.number)
        with self._bench.lock:
            self._answered("later" in verdicts)
            self._bench.need.notify()
        self._tell(entry.parcels, verdicts)

    def _lower_spooled(self, entry: Spooled, error: Exception) -> None:
        with self._bench.lock:
            self._holding.adopt(self._lowered(entry.parcels, error))
            self._fine()
        self._spool.remove(entry.number)

    def _lowered(self, group: Sequence[Parcel], error: Exception) -> list[Parcel]:
        """Return what to send in place of a delivery that cannot be made: each by itself, or its failure."""
        self._say("delivery impossible", level="error", error=str(error), traces=[one.task.trace for one in group])
        if len(group) > 1:
            return list(group)
        if isinstance(group[0].outcome, Failure):
            return []  # not even that: its lease runs out, and the server sees that it was lost
        return [Parcel(group[0].task, Failure(_kind(error), f"it could not be delivered: {error}"))]

    def _keep(self, callback: str, group: Sequence[Parcel]) -> None:
        """Put a group on the disk; where that does not go it stays in memory."""
        kept = False
        try:
            kept = self._spool.put(callback, group)
        except OSError as error:
            self._say("spool not writable", level="error", error=str(error))
        with self._bench.lock:
            if kept:
                self._holding.done(group)
            else:
                self._holding.back(group)
                self._disk_until = self._tick() + _REFUSED_S
        if kept:
            self._say("kept on disk", level="debug", traces=[one.task.trace for one in group])

    def _failed(self, error: Busy | Refused) -> None:
        """Note that the server did not take a delivery. Called under the lock."""
        after_s = float(getattr(error, "after_s", 0.0))
        if isinstance(error, Refused):
            after_s, self._bench.refused = max(after_s, _REFUSED_S), True
            self._bench.need.notify()
        if self._reach.failed(self._tick(), after_s):
            level = "error" if isinstance(error, Refused) else "warning"
            self._say("server away", level=level, error=str(error))
        self._bench.results.notify_all()

    def _answered(self, later: bool) -> None:
        """Note that the server answered. Called under the lock."""
        if later:
            if self._reach.failed(self._tick()):
                self._say("server asks for patience", level="warning")
        else:
            self._fine()
        if later or self._bench.closing:
            self._bench.results.notify_all()

    def _fine(self) -> None:
        """Note that the server is there. Called under the lock."""
        if self._reach.fine():
            self._say("server back")
            self._bench.need.notify()
            self._bench.results.notify_all()
        self._bench.refused = False

    @staticmethod
    def discard(contents: Sequence[bytes | Path]) -> None:
        """Remove the files of contents that nobody needs any more."""
        for content in contents:
            if isinstance(content, Path):
                content.unlink(missing_ok=True)

    def _tell(self, group: Sequence[Parcel], verdicts: Sequence[Verdict]) -> None:
        self._say(
            "delivered",
            items=[
                {
                    "request": parcel.task.request,
                    "trace": parcel.task.trace,
                    "verdict": verdict,
                    "attempt": parcel.task.attempt,
                    **(
                        {"bytes": parcel.outcome.size}
                        if isinstance(parcel.outcome, Got)
                        else {"failure": parcel.outcome.kind, "reason": parcel.outcome.reason}
                    ),
                }
                for parcel, verdict in zip(group, verdicts, strict=True)
            ],
        )


def _kind(error: Exception) -> Kind:
    """Return the failure that stands for a delivery that cannot be made."""
    if isinstance(error, InputError) or (isinstance(error, Unacceptable) and error.too_large):
        return Kind.TOO_LARGE
    return Kind.DISK if isinstance(error, OSError) else Kind.DAMAGED
