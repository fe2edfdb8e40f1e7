"""When a round is due: intervals, and windows of the day in which none begins. Nothing here looks at a clock.

A window is written `HH:MM-HH:MM`, or `DAYS HH:MM-HH:MM` with days such as `Sat`, `Mon-Fri` or `Sat+Sun`; windows
are parted by commas. One whose end is not after its beginning ends on the next day; its days are those on which it
begins. Times are those of a time zone's clock on the wall.

The clock may jump. A round is due once however far it jumps ahead; where it was set back to before the last round,
the interval is counted anew from then on. So a jump begins at most one round early, never two, and keeps the site
silent for at most one interval longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from isthmus.core.errors import InputError

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_EVERY_DAY = frozenset(range(7))
_HINT = "write windows such as: 22:00-06:00, Sat+Sun 12:00-14:30"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of certain days (0 is Monday): from `begin` to before `end`, in seconds after midnight."""

    begin: int
    end: int
    days: frozenset[int] = _EVERY_DAY

    def __post_init__(self) -> None:
        if not (0 <= self.begin < _DAY_S and 0 < self.end <= _DAY_S and self.begin != self.end and self.days):
            raise ValueError("a window lasts from a time of the day to another, on at least one day")

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read one window. Raises InputError."""
        *days, times = text.split() or [""]
        begin, dash, end = times.partition("-")
        if len(days) > 1 or not dash:
            raise InputError(f"{text!r} is no window", _HINT)
        start, stop = _time(begin, text), _time(end, text) or _DAY_S
        if start == stop % _DAY_S and end != "24:00":
            raise InputError(f"the window {text!r} begins when it ends", "write 00:00-24:00 for a whole day")
        try:
            return cls(start, stop, _days(days[0], text) if days else _EVERY_DAY)
        except ValueError as error:
            raise InputError(f"{text!r} is no window: {error}", _HINT) from error

    @property
    def lasts(self) -> int:
        """How long it lasts, in seconds on the wall."""
        return (self.end - self.begin) if self.end > self.begin else self.end + _DAY_S - self.begin

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Yield it as stretches of seconds after the beginning of the week; one may reach beyond the week."""
        for day in self.days:
            yield day * _DAY_S + self.begin, day * _DAY_S + self.begin + self.lasts

    def __str__(self) -> str:
        days = "" if self.days == _EVERY_DAY else "+".join(DAYS[day] for day in sorted(self.days)) + " "
        return f"{days}{_written(self.begin)}-{_written(self.end)}"


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows in which no round begins. Raises ValueError where they leave no time at all."""

    windows: tuple[Window, ...] = ()

    def __post_init__(self) -> None:
        if self.windows and self._ends(0) is None:
            raise ValueError("the windows leave no time for a round")

    @classmethod
    def parse(cls, text: str) -> Windows:
        """Read windows parted by commas or semicolons, in brackets and quotes or not. Raises InputError."""
        plain = text.translate(str.maketrans(";", ",", "[]\"'"))
        try:
            return cls(tuple(Window.parse(part) for part in plain.split(",") if part.strip()))
        except ValueError as error:
            raise InputError(f"{error}: {text}", "leave some time of the week free") from error

    def covers(self, moment: datetime, zone: tzinfo = UTC) -> bool:
        """Tell whether no round begins at a moment."""
        return self._ends(_second_of_week(moment, zone)) != 0

    def opens(self, moment: datetime, zone: tzinfo = UTC) -> datetime:
        """Return the next moment, in UTC, at which a round may begin: `moment` itself where it may."""
        at = moment.astimezone(UTC)
        while left := self._ends(_second_of_week(at, zone)):
            wall = at.astimezone(zone).replace(tzinfo=None, microsecond=0) + timedelta(seconds=left)
            there = wall.replace(tzinfo=zone).astimezone(UTC)
            at = max(there, at + timedelta(seconds=1))  # a clock that is set back repeats an hour
        return at

    def _ends(self, second: int) -> int | None:
        """Return after how many seconds a second of the week is free: 0 where it is; None where none ever is."""
        at = second
        while at < second + _WEEK_S:
            further = at
            for window in self.windows:
                for begin, end in window.stretches():
                    for shift in (-_WEEK_S, 0, _WEEK_S):
                        if begin + shift <= further < end + shift:
                            further = end + shift
            if further == at:
                return at - second
            at = further
        return None

    def __str__(self) -> str:
        return ", ".join(map(str, self.windows))


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often rounds begin. An interval of zero: only on demand."""

    interval: timedelta
    full: timedelta = timedelta()
    windows: Windows = field(default_factory=Windows)
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Last:
    """When the last round began, and the last full one; None where there was none."""

    round: datetime | None = None
    full: datetime | None = None

    def began(self, kind: str, now: datetime) -> Last:
        """Return what is the last once a round of this kind has begun."""
        return Last(now, now if kind == "full" else self.full)


@dataclass(frozen=True, slots=True)
class Decision:
    """What to begin now, if anything; else after how long to ask again at the latest, and why not now.

    `last` is what to go on with: it differs from what was handed in where the clock was set back, and is kept.
    """

    begin: Literal["", "full", "incremental"]
    wait: timedelta
    why: str
    last: Last


def due(last: Last, now: datetime, rhythm: Rhythm, *, running: bool = False) -> Decision:
    """Decide whether a round begins now. A full one begins in place of an incremental one, never beside it."""
    last = replace(last, round=_not_after(last.round, now), full=_not_after(last.full, now))
    waits = {
        "full": _left(last.full, now, rhythm.full),
        "incremental": _left(last.round, now, rhythm.interval),
    }
    least = min((wait for wait in waits.values() if wait is not None), default=None)
    if least is None:
        return Decision("", timedelta(days=1), "rounds begin on demand alone", last)
    if running:
        return Decision("", max(least, timedelta(seconds=1)), "a round is running", last)
    if least > timedelta():
        return Decision("", least, "the interval has not passed", last)
    opens = rhythm.windows.opens(now, rhythm.zone)
    if opens > now:
        return Decision("", opens - now, f"suppressed until {opens:%Y-%m-%d %H:%M:%S} UTC", last)
    return Decision("full" if waits["full"] == timedelta() else "incremental", timedelta(), "due", last)


def _not_after(moment: datetime | None, now: datetime) -> datetime | None:
    return None if moment is None else min(moment, now)


def _left(last: datetime | None, now: datetime, interval: timedelta) -> timedelta | None:
    if not interval:
        return None
    return timedelta() if last is None else max(timedelta(), last + interval - now)


def _second_of_week(moment: datetime, zone: tzinfo) -> int:
    wall = moment.astimezone(zone)
    return wall.weekday() * _DAY_S + wall.hour * 3600 + wall.minute * 60 + wall.second


def _time(text: str, window: str) -> int:
    """Read HH:MM or HH:MM:SS as seconds after midnight, 24:00 included."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(len(part) == 2 and part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"{text!r} in the window {window!r} is no time of the day", _HINT)
    hour, minute, second = (*map(int, parts), 0)[:3]
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second > 59 or seconds > _DAY_S:
        raise InputError(f"{text!r} in the window {window!r} is no time of the day", _HINT)
    return seconds


def _days(text: str, window: str) -> frozenset[int]:
    known = {name.lower(): number for number, name in enumerate(DAYS)}
    found: set[int] = set()
    for part in text.lower().split("+"):
        first, dash, last = part.partition("-")
        if first not in known or (dash and last not in known):
            raise InputError(f"{text!r} in the window {window!r} names no days", f"days: {', '.join(DAYS)}")
        span = (known[last] - known[first]) % 7 if dash else 0
        found |= {(known[first] + step) % 7 for step in range(span + 1)}
    return frozenset(found)


def _written(seconds: int) -> str:
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}"
    return f"{text}:{seconds % 60:02}" if seconds % 60 else text
