"""How one part of a site stands, and what is to be done when something happens to it: decided without I/O.

The rules:

- a part that ends by itself is started again after a pause that doubles with every failure in a row, up to a
  bound, and is shortened at random by up to a half, so that parts that fail together do not come back together;
- one that ran for `steady_s` had no failure before;
- after `tries` failures in a row it is given up; the others go on;
- exit code 2, wrong input, will not go away by itself: it is given up at once;
- exit code 4, something else holds what is needed, is waited for and never given up;
- a part that does its work and ends is started again after its `every_s`; its failures are never given up, since
  what it needs may be away for days;
- a part that does not end when it is asked to is killed after `grace_s`.

Times are seconds of a clock that only goes forward.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from isthmus.app.upconfig import Restarting
from isthmus.core.machine import Machine, Row

STARTING, RUNNING, BACKING_OFF, RESTING = "starting", "running", "backing off", "resting"
STOPPING, STOPPED, FAILED = "stopping", "stopped", "failed"

PART = Machine(
    "part",
    STARTING,
    (
        Row(STARTING, "ready", RUNNING, "it said that it serves, or has run for a moment"),
        Row(STARTING, "failed", BACKING_OFF, "it ended before it was ready"),
        Row(STARTING, "done", RESTING, "it did its work and ended; its next turn comes by time"),
        Row(STARTING, "given up", FAILED, "its input is wrong, or it failed too often in a row"),
        Row(STARTING, "stop", STOPPING, "the site is going down"),
        Row(RUNNING, "failed", BACKING_OFF, "it crashed, or ended without being asked to"),
        Row(RUNNING, "done", RESTING, "it did its work and ended; its next turn comes by time"),
        Row(RUNNING, "given up", FAILED, "its input is wrong, or it failed too often in a row"),
        Row(RUNNING, "stop", STOPPING, "the site is going down"),
        Row(BACKING_OFF, "due", STARTING, "the pause after the failure is over"),
        Row(BACKING_OFF, "stop", STOPPED, "the site is going down; nothing of it runs"),
        Row(RESTING, "due", STARTING, "its turn has come"),
        Row(RESTING, "stop", STOPPED, "the site is going down; nothing of it runs"),
        Row(STOPPING, "ended", STOPPED, "its process is gone"),
    ),
)

Act = Literal["", "start", "terminate", "kill"]

WRONG_INPUT, BUSY = 2, 4
"""Exit codes of the command line with a meaning here."""
SETTLES_S = 3.0
"""A part that says nothing when it is ready is ready once it has run so long."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a part stands since the moment `since`.

    `due` is when something happens by itself: it is ready, it is started again, it is killed. `failures` are those
    in a row, `restarts` all starts but the first. `why` is what last went wrong.
    """

    state: str = STARTING
    since: float = 0.0
    due: float | None = None
    failures: int = 0
    restarts: int = 0
    why: str = ""

    @property
    def alive(self) -> bool:
        """Whether it has a process."""
        return self.state in (STARTING, RUNNING, STOPPING)

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in (STOPPED, FAILED)


def begun(now: float, *, tells: bool, before: Standing | None = None) -> Standing:
    """Return how a part stands whose process was just started; `before` is how it stood."""
    due = None if tells else now + SETTLES_S
    if before is None:
        return Standing(since=now, due=due)
    state = PART.next(before.state, "due")
    return replace(before, state=state, since=now, due=due, restarts=before.restarts + 1)


def lacking(now: float, why: str) -> Standing:
    """Return how a part stands that cannot be started before a person did something."""
    return Standing(FAILED, now, why=why)


def ready(now: float, before: Standing) -> Standing:
    """Return how a part stands that said it is ready. A word that comes late changes nothing."""
    if before.state != STARTING:
        return before
    return replace(before, state=PART.next(STARTING, "ready"), since=now, due=None)


def ended(
    now: float, before: Standing, code: int, rules: Restarting, *, every_s: float = 0.0, dice: float = 0.0
) -> Standing:
    """Return how a part stands whose process ended with `code`, negative for a signal. `dice` is from 0 to 1."""
    if before.state == STOPPING:
        return replace(before, state=PART.next(STOPPING, "ended"), since=now, due=None)
    if code == 0 and every_s:
        state = PART.next(before.state, "done")
        return replace(before, state=state, since=now, due=now + every_s, failures=0, why="")
    why = _told(code)
    steady = before.state == RUNNING and now - before.since >= rules.steady_s
    failures = 1 if steady else before.failures + 1
    forbearing = every_s > 0 or code == BUSY
    if code == WRONG_INPUT or (rules.tries and failures >= rules.tries and not forbearing):
        state = PART.next(before.state, "given up")
        return replace(before, state=state, since=now, due=None, failures=failures, why=why)
    state = PART.next(before.state, "failed")
    due = now + pause(failures, rules, dice)
    return replace(before, state=state, since=now, due=due, failures=failures, why=why)


def pause(failures: int, rules: Restarting, dice: float = 0.0) -> float:
    """Return the pause in seconds after so many failures in a row; `dice`, from 0 to 1, shortens it."""
    doubled = rules.first_wait_s * 2.0 ** min(failures - 1, 64)
    return min(doubled, rules.longest_wait_s) * (1.0 - 0.5 * dice)


def passed(now: float, before: Standing) -> tuple[Standing, Act]:
    """Return how a part stands when the time is `now`, and what is to be done.

    With "start" it stands as before until its process was started (see `begun`).
    """
    if before.due is None or now < before.due:
        return before, ""
    if before.state == STARTING:
        return ready(now, before), ""
    if before.state == STOPPING:
        return replace(before, due=None, why="it did not end in time and was killed"), "kill"
    return before, "start"


def asked_to_stop(now: float, before: Standing, rules: Restarting) -> tuple[Standing, Act]:
    """Return how a part stands that is to end, and what is to be done."""
    if before.over or before.state == STOPPING:
        return before, ""
    state = PART.next(before.state, "stop")
    if state == STOPPING:
        return replace(before, state=state, since=now, due=now + rules.grace_s), "terminate"
    return replace(before, state=state, since=now, due=None), ""


def _told(code: int) -> str:
    if code < 0:
        return f"it was ended by signal {-code}"
    meanings = {
        0: "it ended without being asked to",
        WRONG_INPUT: "its input is wrong",
        BUSY: "what it needs is held",
    }
    return f"{meanings[code]} (exit code {code})" if code in meanings else f"it ended with exit code {code}"
