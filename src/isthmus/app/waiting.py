"""Waits for the times of triggers in a small process; each fires in one of its own, which ends with its work.

What a run needs, tables and models above all, is imported there and given back with it: a site that waits for the
night holds next to nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from zoneinfo import ZoneInfo

from isthmus.app.clock import SystemClock
from isthmus.app.product import launch
from isthmus.app.sitepart import SitePart, open_toml
from isthmus.core.errors import Busy, InputError
from isthmus.loop.runs.schedule import Schedule, Scheduler, cron
from isthmus.state.store import Store

_BUSY = 4
_GRACE_S = 15.0

Say = Callable[[str], None]


def wait_and_fire(path: Path, say: Say) -> int:
    """Fire what was missed, then each trigger at its times, until a signal ends it; returns an exit code.

    The whole TOML is checked in a process of its own first: its exit code is returned where it is not 0. Raises
    InputError where the site has no trigger, Busy where another process serves them.
    """
    _need_triggers(path)
    with _ended_by_sigterm():
        if code := _run(path, "loop", "triggers", "--check"):
            return code
        site, schedules = _schedules(path)
        with Store(path.resolve().parent / site.state / "isthmus.sqlite") as store:
            for one in schedules.values():
                say(f"trigger {one.name}: {_next(one)}")
            say("serving; ctrl-C ends it")
            Scheduler(store, SystemClock(), schedules).serve(lambda schedule: _fire(path, schedule.name, say))
    return 0


def _next(schedule: Schedule) -> str:
    zone = ZoneInfo(schedule.timezone)
    after = cron(schedule.cron, schedule.timezone).get_next_fire_time(None, SystemClock().now().astimezone(zone))
    return f"next at {after.astimezone(zone):%Y-%m-%d %H:%M}" if after else "never fires again"


def _need_triggers(path: Path) -> None:
    if not isinstance(found := open_toml(path).root.get("trigger"), dict) or not found:
        raise InputError("the site has no trigger", "add [trigger.NAME] to its TOML; see: isthmus keys trigger")


def _schedules(path: Path) -> tuple[SitePart, Mapping[str, Schedule]]:
    """Read the triggers of a TOML that was checked."""
    reader = open_toml(path)
    site = reader.read(SitePart, reader.root.get("site", {}), ("site",))
    reader.finish()
    assert site is not None
    found = {name: Schedule(name, str(one["cron"]), site.timezone) for name, one in reader.root["trigger"].items()}
    return site, found


def _fire(path: Path, trigger: str, say: Say) -> None:
    """Fire one trigger in a process of its own. Raises Busy where it stays due."""
    code = _run(path, "loop", "fire", trigger)
    if code == _BUSY:
        raise Busy(f"trigger {trigger} waits", "it fires as soon as what it needs is free")
    if code < 0:
        say(f"trigger {trigger}: its process was ended by signal {-code}; it is still due")
        raise Busy(f"trigger {trigger} was ended by signal {-code}", "it is still due")


def _run(path: Path, *words: str) -> int:
    """Run a command of this installation for the site, to its end; it ends with this process."""
    process = subprocess.Popen([*_launcher(), sys.executable, "-P", "-m", "isthmus", "--site", str(path), *words])
    try:
        return process.wait()
    except BaseException:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        process.kill()
        process.wait()
        raise


def _launcher() -> Sequence[str]:
    return [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid())]


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end what runs in order, as ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ended(*_: object) -> None:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
