from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import InputError
from isthmus.recovery.windows import Last, Rhythm, Window, Windows, due

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def at(text: str, day: int = 0) -> datetime:
    hour, minute = map(int, text.split(":"))
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("08:00-10:00", ["08:00", "09:59"], ["07:59", "10:00", "20:00"]),
        ("22:00-06:00", ["22:00", "23:59", "00:00", "05:59"], ["06:00", "21:59"]),
        ("22:00-24:00", ["23:59"], ["00:00"]),
        ("22:00-00:00", ["23:59"], ["00:00"]),
        ("00:00-06:00", ["00:00"], ["06:00", "23:59"]),
        ("08:00-09:00, 12:00-13:00;20:00-21:00", ["08:30", "12:30", "20:30"], ["09:30", "13:00"]),
        ('["08:00-09:00", "12:00-13:00"]', ["08:30", "12:30"], ["10:00"]),
        ("Mon 08:00-09:00", ["08:30"], ["09:30"]),
        ("Tue-Sun 08:00-09:00", [], ["08:30"]),
        ("sun 22:00-06:00", ["05:00"], ["06:00", "22:00"]),
        ("Sat-Mon 08:00-09:00", ["08:30"], ["09:30"]),
        ("", [], ["00:00", "12:00"]),
    ],
)
def test_a_window_covers_what_lies_in_it(text: str, inside: list[str], outside: list[str]) -> None:
    windows = Windows.parse(text)
    assert [moment for moment in inside if not windows.covers(at(moment))] == []
    assert [moment for moment in outside if windows.covers(at(moment))] == []


@pytest.mark.parametrize(
    "text",
    [
        "08:00",
        "8:00-9:00",
        "08:00-08:00",
        "25:00-26:00",
        "08:60-09:00",
        "24:00-06:00",
        "08:00-24:01",
        "Mo 08:00-09:00",
        "Mon- 08:00-09:00",
        "Mon Tue 08:00-09:00",
        "08:00-09:00 Mon",
        "00:00-24:00",
        "00:00-12:00, 12:00-24:00",
        "22:00-23:00, 23:00-22:30",
        "Mon-Fri 00:00-24:00, Sat+Sun 00:00-24:00",
    ],
)
def test_what_is_no_window_or_leaves_no_time_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Windows.parse(text)
    assert caught.value.hint and "\n" not in str(caught.value)


def test_windows_are_times_of_a_zone_s_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    windows = Windows.parse("01:00-04:00")
    assert windows.covers(datetime(2026, 11, 16, 0, 0, tzinfo=UTC), berlin)
    assert not windows.covers(datetime(2026, 11, 16, 3, 0, tzinfo=UTC), berlin)
    spring = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # 01:30; at 02:00 it becomes 03:00
    assert windows.opens(spring, berlin) == datetime(2026, 3, 29, 2, 0, tzinfo=UTC)
    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 for the first time
    assert windows.opens(autumn, berlin) == datetime(2026, 10, 25, 3, 0, tzinfo=UTC)
    assert Windows.parse("02:15-02:45").opens(autumn, berlin) == datetime(2026, 10, 25, 0, 45, tzinfo=UTC)


MOMENTS = st.integers(0, 14 * 86_400).map(lambda second: MONDAY + timedelta(seconds=second))
TIMES = st.integers(0, 86_399)
WINDOW = st.builds(
    lambda begin, lasts, days: Window(begin, (begin + lasts) % 86_400 or 86_400, frozenset(days)),
    TIMES,
    st.integers(1, 80_000),
    st.sets(st.integers(0, 6), min_size=1),
)


@st.composite
def some_windows(draw: st.DrawFn) -> Windows:
    try:
        return Windows(tuple(draw(st.lists(WINDOW, max_size=4))))
    except ValueError:
        return Windows()


@given(some_windows())
def test_windows_are_read_as_they_are_written(windows: Windows) -> None:
    assert Windows.parse(str(windows)) == windows


@given(some_windows(), MOMENTS)
def test_the_end_of_the_windows_is_the_first_moment_that_is_free(windows: Windows, moment: datetime) -> None:
    opens = windows.opens(moment)
    assert opens >= moment
    assert not windows.covers(opens)
    assert (opens == moment) == (not windows.covers(moment))
    if opens > moment:
        assert windows.covers(opens - timedelta(seconds=1))
        middle = moment + (opens - moment) / 2
        assert windows.covers(middle)


@given(WINDOW)
def test_a_window_covers_as_much_of_a_week_as_it_lasts(window: Window) -> None:
    windows = Windows((window,))
    edges = sorted({edge % 604_800 for stretch in window.stretches() for edge in stretch})
    inside = sum(
        after - before
        for before, after in zip(edges, [*edges[1:], edges[0] + 604_800], strict=True)
        if windows.covers(MONDAY + timedelta(seconds=before))
    )
    assert inside == window.lasts * len(window.days)


def rhythm(minutes: float, full: float = 0, windows: str = "") -> Rhythm:
    return Rhythm(minutes * MINUTE, full * MINUTE, Windows.parse(windows))


def test_the_first_round_is_due_at_once_and_the_next_after_the_interval() -> None:
    first = due(Last(), MONDAY, rhythm(5))
    assert first.begin == "incremental"
    last = first.last.began(first.begin, MONDAY)
    again = due(last, MONDAY + 2 * MINUTE, rhythm(5))
    assert (again.begin, again.wait) == ("", 3 * MINUTE)
    assert due(last, MONDAY + 5 * MINUTE, rhythm(5)).begin == "incremental"


def test_a_full_round_takes_the_place_of_an_incremental_one() -> None:
    assert due(Last(), MONDAY, rhythm(5, 60)).begin == "full"
    last = Last().began("full", MONDAY)
    assert due(last, MONDAY + 60 * MINUTE, rhythm(5, 60)).begin == "full"
    assert due(last, MONDAY + 30 * MINUTE, rhythm(5, 60)).begin == "incremental"
    assert due(last, MONDAY + 60 * MINUTE, rhythm(0, 60)).begin == "full"
    assert due(last, MONDAY + 30 * MINUTE, rhythm(0, 60)).wait == 30 * MINUTE


def test_no_round_begins_beside_another_in_a_window_or_without_an_interval() -> None:
    assert due(Last(), MONDAY, rhythm(5), running=True).begin == ""
    suppressed = due(Last(), at("09:00"), rhythm(5, windows="08:00-10:00"))
    assert (suppressed.begin, suppressed.wait) == ("", HOUR)
    assert "2026-11-16 10:00:00" in suppressed.why
    assert due(Last(), at("10:00"), rhythm(5, windows="08:00-10:00")).begin == "incremental"
    assert due(Last(), MONDAY, rhythm(0)).begin == ""


STEP = MINUTE
TICKS = 400


@given(
    st.integers(1, 90),
    st.sampled_from([0, 30, 200]),
    st.dictionaries(st.integers(1, TICKS), st.sampled_from([-1, 1]), max_size=4),
    st.integers(0, 23),
)
def test_a_clock_that_jumps_an_hour_makes_no_two_rounds_and_silences_at_most_one_interval(
    minutes: int, full: int, jumps: dict[int, int], start: int
) -> None:
    beat = rhythm(minutes, full)
    last, offset = Last(), timedelta(hours=start)
    rounds: list[int] = []
    for tick in range(TICKS):
        offset += jumps.get(tick, 0) * HOUR
        now = MONDAY + offset + tick * STEP
        decision = due(last, now, beat)
        last = decision.last
        if decision.begin:
            rounds.append(tick)
            last = last.began(decision.begin, now)
            assert due(last, now, beat).begin == ""  # never a second one at the same moment
        else:
            assert decision.wait > timedelta()
    ticks = beat.interval / STEP
    assert rounds[0] == 0
    for before, after in zip(rounds, [*rounds[1:], TICKS], strict=True):
        between = [jump for tick, jump in jumps.items() if before < tick <= after]
        assert after - before <= ticks * (1 + between.count(-1))
        if after < TICKS and not full and 1 not in between:
            assert after - before >= ticks


@given(
    st.integers(1, 300),
    st.sampled_from([0, 30, 200]),
    some_windows(),
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(-4000, 4000)), min_size=1, max_size=60),
)
def test_whatever_the_clock_says_no_round_begins_in_a_window_and_asking_later_is_never_too_late(
    minutes: int, full: int, windows: Windows, looks: list[tuple[int, int]]
) -> None:
    beat = Rhythm(minutes * MINUTE, full * MINUTE, windows)
    last, now = Last(), MONDAY
    for ahead, jump in looks:
        now += timedelta(seconds=ahead + jump)
        decision = due(last, now, beat)
        last = decision.last
        assert last.round is None or last.round <= now
        if decision.begin:
            assert not windows.covers(now)
            last = last.began(decision.begin, now)
        else:
            before = due(last, now + decision.wait - timedelta(microseconds=1), beat)
            assert before.begin == ""
            later = now + decision.wait
            assert due(last, later, beat).begin or windows.covers(later)
