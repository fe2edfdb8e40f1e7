"""Triggers by time: APScheduler's cron triggers say when, the site's state what was served already.

A schedule that was missed while the process was down, once or many times, fires once at start.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.core.errors import Busy, InputError, MissingExtra
from isthmus.core.ports import Clock
from isthmus.state.lock import held
from isthmus.state.store import Store

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

LOOK_S = 30.0
"""Seconds between two looks at what is due, at most."""
_CLOCK_WAS_WRONG = datetime.timedelta(hours=1)
"""Served later than now by more than this: the clock was ahead then, and the schedule counts from now."""

_MIGRATIONS = ("CREATE TABLE schedule (trigger TEXT PRIMARY KEY, cron TEXT NOT NULL, seen TEXT NOT NULL)",)


def cron(text: str, timezone: str = "UTC") -> CronTrigger:
    """Parse a five-field cron expression. Raises InputError saying which field is wrong, MissingExtra."""
    try:
        from apscheduler.triggers.cron import CronTrigger
    except ImportError as error:
        raise MissingExtra.named("APScheduler, which triggers by time need,", "loop") from error
    try:
        return CronTrigger.from_crontab(text, timezone=timezone)
    except (ValueError, LookupError) as error:
        raise InputError(f"cron expression {text!r}: {error}", "write minute hour day month weekday") from error


def missed(trigger: CronTrigger, seen: datetime.datetime, now: datetime.datetime) -> bool:
    """Tell whether the trigger was due after `seen` (when it last fired or was first known) and up to `now`."""
    due = trigger.get_next_fire_time(None, seen + datetime.timedelta(microseconds=1))
    return due is not None and due <= now


@dataclass(frozen=True, slots=True)
class Schedule:
    """A trigger by time: its name and its cron expression, in the site's time zone."""

    name: str
    cron: str
    timezone: str = "UTC"


class Scheduler:
    """Fires schedules, remembers in the site's state when each was last served."""

    def __init__(self, store: Store, clock: Clock, schedules: Mapping[str, Schedule]) -> None:
        self._store = store
        self._clock = clock
        self._schedules = schedules
        store.migrate("schedule", _MIGRATIONS)

    def due(self) -> list[Schedule]:
        """List the schedules that were missed; one seen for the first time is not, it counts from now."""
        now = self._clock.now()
        found = []
        for schedule in self._schedules.values():
            seen = self._seen(schedule)
            if seen is None or seen > now + _CLOCK_WAS_WRONG:
                self.served(schedule)
            elif missed(cron(schedule.cron, schedule.timezone), seen, now):
                found.append(schedule)
        return found

    def served(self, schedule: Schedule, at: datetime.datetime | None = None) -> None:
        """Remember that the schedule was served for all times up to `at`, by default now."""
        seen = (at or self._clock.now()).isoformat()
        with self._store.transaction() as sql:
            sql.execute("REPLACE INTO schedule VALUES (?, ?, ?)", (schedule.name, schedule.cron, seen))

    def serve_due(self, fire: Callable[[Schedule], None]) -> None:
        """Fire what was missed, once each, and return. Raises Busy where another process serves the site.

        What fires and raises Busy stays due; it is served once `fire` returns.
        """
        with self._alone():
            self._look(fire)

    def serve(self, fire: Callable[[Schedule], None], wait: Callable[[float], None] = time.sleep) -> None:
        """Fire what was missed, then wait and fire until interrupted. One fires at a time; late ones fire once.

        All happens in the calling thread, so that ctrl-C ends a run at once and not when it is done. What is due
        is read anew from the state and the clock at each look: a clock that is set, or a machine that slept,
        loses nothing. Raises Busy where another process serves the site.
        """
        with self._alone():
            while True:
                self._look(fire)
                wait(self._until_next())

    def _alone(self) -> AbstractContextManager[None]:
        return held(self._store.path.with_name("schedule.lock"), "serving the triggers")

    def _look(self, fire: Callable[[Schedule], None]) -> None:
        for schedule in self.due():
            self._fire(schedule, fire)

    def _fire(self, schedule: Schedule, fire: Callable[[Schedule], None]) -> None:
        at = self._clock.now()
        try:
            fire(schedule)
        except Busy:
            return  # still due at the next look
        self.served(schedule, at)  # after the run: a process killed in it finds the schedule due again

    def _until_next(self) -> float:
        """Say how many seconds to wait until the next time of any schedule, LOOK_S at most."""
        now = self._clock.now()
        times = [cron(s.cron, s.timezone).get_next_fire_time(None, now) for s in self._schedules.values()]
        left = [(time - now).total_seconds() for time in times if time is not None]
        return min(max(0.5, min(left, default=LOOK_S)), LOOK_S)

    def _seen(self, schedule: Schedule) -> datetime.datetime | None:
        rows = self._store.rows(
            "SELECT seen FROM schedule WHERE trigger = ? AND cron = ?", (schedule.name, schedule.cron)
        )
        return datetime.datetime.fromisoformat(rows[0]["seen"]) if rows else None
