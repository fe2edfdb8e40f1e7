"""Triggers by time. What fires when is decided here without a clock; APScheduler only waits.

A schedule that was missed while the process was down, once or many times, fires once at start.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.core.errors import InputError, MissingExtra
from isthmus.core.ports import Clock
from isthmus.state.store import Store

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

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
            if seen is None:
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
        """Fire what was missed, once each, and return."""
        for schedule in self.due():
            self._fire(schedule, fire)

    def serve(self, fire: Callable[[Schedule], None]) -> None:
        """Fire what was missed, then wait and fire until interrupted. One fires at a time; late ones fire once."""
        self.serve_due(fire)
        from apscheduler.schedulers.blocking import BlockingScheduler

        waiting = BlockingScheduler(
            timezone=datetime.UTC, executors={"default": {"type": "threadpool", "max_workers": 1}}
        )
        for schedule in self._schedules.values():
            waiting.add_job(
                self._fire_own,
                cron(schedule.cron, schedule.timezone),
                args=(schedule, fire),
                coalesce=True,
                misfire_grace_time=None,
                max_instances=1,
                id=schedule.name,
            )
        waiting.start()

    def _fire(self, schedule: Schedule, fire: Callable[[Schedule], None]) -> None:
        at = self._clock.now()
        fire(schedule)
        self.served(schedule, at)  # after the run: a process killed in it finds the schedule due again

    def _fire_own(self, schedule: Schedule, fire: Callable[[Schedule], None]) -> None:
        """Fire from the scheduler's thread, with a connection that belongs to this thread."""
        with Store(self._store.path) as store:
            Scheduler(store, self._clock, self._schedules)._fire(schedule, fire)

    def _seen(self, schedule: Schedule) -> datetime.datetime | None:
        rows = self._store.rows(
            "SELECT seen FROM schedule WHERE trigger = ? AND cron = ?", (schedule.name, schedule.cron)
        )
        return datetime.datetime.fromisoformat(rows[0]["seen"]) if rows else None
