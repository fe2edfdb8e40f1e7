from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import Busy, InputError
from isthmus.loop.runs.schedule import Schedule, Scheduler, cron, missed
from isthmus.state.store import Store

NIGHTLY = Schedule("nightly", "0 2 * * *")


class Set:
    """A clock that stands where it is set."""

    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.at = datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)

    def now(self) -> datetime.datetime:
        return self.at


def scheduler(folder: Path, clock: Set, schedule: Schedule = NIGHTLY) -> Scheduler:
    return Scheduler(Store(folder / "s"), clock, {schedule.name: schedule})


def test_a_schedule_seen_for_the_first_time_counts_from_now(tmp_path: Path) -> None:
    assert scheduler(tmp_path, Set("2026-11-20 03:00")).due() == []


@pytest.mark.parametrize(
    ("restart", "due"), [("2026-11-21 01:59", 0), ("2026-11-21 02:00", 1), ("2026-12-24 18:00", 1)]
)
def test_a_schedule_missed_once_or_many_times_is_due_once_at_start(tmp_path: Path, restart: str, due: int) -> None:
    clock = Set("2026-11-20 03:00")
    scheduler(tmp_path, clock).due()
    clock.set(restart)
    again = scheduler(tmp_path, clock)
    assert again.due() == [NIGHTLY] * due
    for schedule in again.due():
        again.served(schedule)
    assert again.due() == []


def test_a_schedule_whose_time_changed_counts_from_the_change(tmp_path: Path) -> None:
    clock = Set("2026-11-20 03:00")
    scheduler(tmp_path, clock).due()
    clock.set("2026-11-25 12:00")
    assert scheduler(tmp_path, clock, Schedule("nightly", "0 4 * * *")).due() == []


def test_a_schedule_fires_at_its_local_time() -> None:
    trigger = cron("30 2 * * *", "Europe/Berlin")
    seen = datetime.datetime(2026, 11, 20, 1, 0, tzinfo=datetime.UTC)
    assert not missed(trigger, seen, datetime.datetime(2026, 11, 20, 1, 29, tzinfo=datetime.UTC))
    assert missed(trigger, seen, datetime.datetime(2026, 11, 20, 1, 30, tzinfo=datetime.UTC))


@pytest.mark.parametrize("text", ["", "0 2 * *", "61 * * * *", "0 25 * * *", "every day"])
def test_a_cron_expression_that_is_none_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(InputError, match="cron expression"):
        cron(text)


@given(st.datetimes(datetime.datetime(2026, 1, 1), datetime.datetime(2027, 1, 1)), st.integers(0, 5000))
def test_more_time_never_makes_a_missed_schedule_unmissed(seen: datetime.datetime, minutes: int) -> None:
    trigger, aware = cron("*/7 3 * * 1-5"), seen.replace(tzinfo=datetime.UTC)
    now = aware + datetime.timedelta(minutes=minutes)
    if missed(trigger, aware, now):
        assert missed(trigger, aware, now + datetime.timedelta(minutes=1))


def test_what_fires_is_marked_as_served_only_after_it_ran(tmp_path: Path) -> None:
    clock = Set("2026-11-20 03:00")
    scheduler(tmp_path, clock).due()
    clock.set("2026-11-21 02:00")
    killed = scheduler(tmp_path, clock)
    with pytest.raises(KeyboardInterrupt):
        killed.serve(_interrupt)
    assert scheduler(tmp_path, clock).due() == [NIGHTLY]


def _interrupt(schedule: Schedule) -> None:
    raise KeyboardInterrupt


def test_what_meets_a_busy_pipeline_stays_due_and_fires_when_that_is_free(tmp_path: Path) -> None:
    clock = Set("2026-11-20 03:00")
    waiting = scheduler(tmp_path, clock)
    waiting.due()
    clock.set("2026-11-21 02:00")
    tries: list[str] = []

    def fire(schedule: Schedule) -> None:
        tries.append(schedule.name)
        if len(tries) == 1:
            raise Busy("a run of forecast is already under way")

    waiting.serve_due(fire)
    assert waiting.due() == [NIGHTLY]
    waiting.serve_due(fire)
    waiting.serve_due(fire)
    assert (tries, waiting.due()) == (["nightly"] * 2, [])


def test_a_site_is_served_by_one_process_at_a_time(tmp_path: Path) -> None:
    clock = Set("2026-11-20 03:00")
    scheduler(tmp_path, clock).due()
    clock.set("2026-11-21 02:00")

    def fire(schedule: Schedule) -> None:
        with pytest.raises(Busy, match="serving the triggers is already under way"):
            scheduler(tmp_path, clock).serve_due(_interrupt)

    one = scheduler(tmp_path, clock)
    one.serve_due(fire)
    assert one.due() == []


def test_serving_looks_again_whatever_the_clock_does(tmp_path: Path) -> None:
    clock = Set("2026-11-20 01:59")
    fired: list[str] = []
    script = iter(["2026-11-20 02:00", "2026-11-20 01:58", "2026-11-20 02:00", "2026-11-23 12:00", ""])
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now = next(script)
        if not now:
            raise KeyboardInterrupt
        clock.set(now)

    with pytest.raises(KeyboardInterrupt):
        scheduler(tmp_path, clock).serve(lambda schedule: fired.append(f"{clock.at:%d %H:%M}"), wait)
    assert fired == ["20 02:00", "23 12:00"], "once for each time, though the clock went back; once for all missed"
    assert all(0 < seconds <= 30 for seconds in waits)


def test_a_clock_that_was_a_year_ahead_does_not_silence_a_schedule_for_a_year(tmp_path: Path) -> None:
    clock = Set("2027-11-20 03:00")
    ahead = scheduler(tmp_path, clock)
    ahead.due()
    clock.set("2026-11-20 03:00")
    assert ahead.due() == []
    clock.set("2026-11-21 02:00")
    assert ahead.due() == [NIGHTLY]
