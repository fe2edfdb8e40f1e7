"""Runs the parts of a site as its children: starts them again when they end, and ends them all when it ends.

One thread waits for lines of the parts, for signals and for what is due by time; what is to be done then is
decided by `standing`. Parts end in waves, the console last, so that a person can watch. A supervisor that is
killed takes its children with it (see `launch`).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from isthmus.app.product.children import Child
from isthmus.app.product.notify import Notifier
from isthmus.app.product.parts import Part
from isthmus.app.product.record import LOCK, PartRecord, UpRecord, ticks_of, write_record
from isthmus.app.product.standing import (
    FAILED,
    RUNNING,
    STARTING,
    WRONG_INPUT,
    Standing,
    asked_to_stop,
    begun,
    ended,
    lacking,
    passed,
    ready,
)
from isthmus.app.upconfig import UpConfig
from isthmus.state.files import private_folder
from isthmus.state.lock import held

SERVING = "serving"
"""How the line begins by which a part tells that it is ready."""
LAST = "console"
"""The part that ends after all others."""
_ADDRESS = re.compile(r"https?://[^\s,;]+")
_AT_ONCE_S = 0.5
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Teller(Protocol):
    """Is told what happens, for a person or a log. Quick."""

    def said(self, part: str, line: str) -> None:
        """Take a line that a part wrote."""
        ...

    def stands(self, record: PartRecord) -> None:
        """Take how a part stands, at each change."""
        ...


@dataclass(slots=True)
class _Watched:
    """A part and its process, if it has one."""

    part: Part
    standing: Standing
    child: Child | None = None
    address: str = ""
    said: str = ""


class Supervisor:
    """The one process that runs a site's parts. Belongs to the main thread: it takes the process's signals."""

    def __init__(
        self,
        config: UpConfig,
        parts: Sequence[Part],
        tell: Teller,
        *,
        command: Callable[[Part], Sequence[str]] | None = None,
        notifier: Notifier | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`command` says what a part's process is, by default the command line of this installation."""
        self._config, self._tell, self._dice = config, tell, dice
        self._command = command or (lambda part: command_of(config.path, part))
        self._notifier = notifier or Notifier()
        self._watched = [_Watched(part, Standing()) for part in parts]
        self._selector = selectors.DefaultSelector()
        self._begun = datetime.now(UTC)
        self._asked, self._asked_at = 0, -_AT_ONCE_S
        self._stopping = self._told_ready = False
        self._next_alive = 0.0

    def run(self) -> int:
        """Run until a signal ends it, or every part was given up; return the exit code.

        0 where it was asked to end, 2 where all parts had wrong input, 1 where all were given up. Raises Busy
        where the site is up already.
        """
        folder = self._config.state_folder
        private_folder(folder)
        with held(folder / LOCK, f"isthmus up of {self._config.site.name}"), self._signals():
            try:
                for one in self._watched:
                    self._begin(one)
                while not self._over():
                    self._wait()
                    self._turn()
                return self._code()
            finally:
                for one in self._watched:
                    if one.child is not None:
                        one.child.kill()
                self._record(over=True)

    def _over(self) -> bool:
        return all(one.standing.over and one.child is None for one in self._watched)

    def _code(self) -> int:
        if self._asked:
            return 0
        wrong = all(f"exit code {WRONG_INPUT}" in one.standing.why or one.part.lacks for one in self._watched)
        return WRONG_INPUT if wrong else 1

    def _wait(self) -> None:
        """Wait until something happens, or is due."""
        moments = [one.standing.due for one in self._watched if one.standing.due is not None]
        if self._notifier.every_s is not None:
            moments.append(self._next_alive)
        left = max(0.0, min(moments) - time.monotonic()) if moments else None
        for key, _ in self._selector.select(left):
            if isinstance(key.fileobj, int):  # signals: their handlers have run
                with contextlib.suppress(BlockingIOError):
                    os.read(key.fileobj, 4096)

    def _turn(self) -> None:
        """Do what is to be done now."""
        now = time.monotonic()
        for one in self._watched:
            self._hear(one)
            self._look(one)
            before = one.standing
            after, act = passed(now, before)
            self._stand(one, after)
            if act == "kill" and one.child is not None:
                one.child.kill()
            elif act == "start":
                self._begin(one)
        if self._asked:
            self._end()
        if not self._told_ready and not any(one.standing.state == STARTING for one in self._watched):
            self._told_ready = True
            self._notifier.ready()
        if self._notifier.every_s is not None and now >= self._next_alive:
            self._notifier.alive()
            self._next_alive = now + self._notifier.every_s

    def _begin(self, one: _Watched) -> None:
        """Start a part's process, at first or again."""
        now, again = time.monotonic(), one.standing.since > 0
        if one.part.lacks:
            self._stand(one, lacking(now, one.part.lacks))
            return
        standing = begun(now, tells=one.part.tells, before=one.standing if again else None)
        one.address = one.said = ""
        try:
            one.child = Child(self._command(one.part))
        except OSError as error:
            one.said = f"it cannot be started: {error.strerror}"
            self._stand(one, standing)
            self._ended(one, 1)
            return
        self._selector.register(one.child, selectors.EVENT_READ)
        self._stand(one, standing)

    def _hear(self, one: _Watched) -> None:
        """Take the lines that a part has written."""
        child = one.child
        if child is None or child.drained():
            return
        for line in child.lines():
            one.said = line.strip() or one.said
            self._tell.said(one.part.name, line)
            if one.part.tells and line.startswith(SERVING) and one.standing.state == STARTING:
                found = _ADDRESS.search(line)
                one.address = found[0] if found else ""
                self._stand(one, ready(time.monotonic(), one.standing))
        if child.drained():
            self._selector.unregister(child)

    def _look(self, one: _Watched) -> None:
        """See whether a part's process has ended."""
        if one.child is None or (code := one.child.ended()) is None:
            return
        self._hear(one)  # its last words
        if not one.child.drained():
            self._selector.unregister(one.child)
        one.child.close()
        one.child = None
        self._ended(one, code)

    def _ended(self, one: _Watched, code: int) -> None:
        rules = self._config.restarting(one.part.name)
        now = time.monotonic()
        self._stand(one, ended(now, one.standing, code, rules, every_s=one.part.every_s, dice=self._dice()))

    def _end(self) -> None:
        """Ask the parts to end whose turn it is; a second signal waits for nobody."""
        if not self._stopping:
            self._stopping = True
            self._notifier.stopping()
        others = [one for one in self._watched if one.part.name != LAST]
        wave = others if not all(one.standing.over and one.child is None for one in others) else self._watched
        for one in self._watched if self._asked > 1 else wave:
            after, act = asked_to_stop(time.monotonic(), one.standing, self._config.restarting(one.part.name))
            self._stand(one, after)
            if act == "terminate" and one.child is not None:
                one.child.terminate()
            if self._asked > 1 and one.child is not None:
                one.child.kill()

    def _stand(self, one: _Watched, after: Standing) -> None:
        """Take how a part stands now; tell it where that is a change."""
        before, one.standing = one.standing, after
        if after == before:
            return
        if after.state != before.state or not before.since:
            self._tell.stands(_recorded(one))
            self._record()

    def _record(self, *, over: bool = False) -> None:
        """Write down how everything stands. A disk that does not take it keeps nothing from running."""
        pid = os.getpid()
        parts = tuple(_recorded(one) for one in self._watched)
        with contextlib.suppress(OSError):
            write_record(self._config.state_folder, UpRecord(pid, ticks_of(pid), self._begun, over, parts))
        running = sum(part.state == RUNNING for part in parts)
        lost = [part.name for part in parts if part.state == FAILED]
        self._notifier.status(
            f"{running} of {len(parts)} run" + (f"; given up: {', '.join(lost)}" if lost else "")
        )

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let signals, and ends of children, wake the waiting."""
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(reading, selectors.EVENT_READ)
        before = {number: signal.signal(number, self._on_signal) for number in (*_ENDS, signal.SIGCHLD)}
        wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                # a wish that comes once more, while the process ends, changes nothing any more
                signal.signal(number, signal.SIG_IGN if self._asked and number in _ENDS else handler)
            self._selector.close()
            os.close(reading)
            os.close(writing)

    def _on_signal(self, number: int, _: object) -> None:
        """Count the wishes to end; the same wish may come twice at once, to a process and to its group."""
        now = time.monotonic()
        if number in _ENDS and now - self._asked_at > _AT_ONCE_S:
            self._asked, self._asked_at = self._asked + 1, now


def command_of(site: Path, part: Part) -> list[str]:
    """Return the command line of a part: this installation's, for the same site.

    -P: nothing is imported from the folder that the site happens to be started in.
    """
    return [sys.executable, "-P", "-m", "isthmus", "--site", str(site), *part.words]


def _recorded(one: _Watched) -> PartRecord:
    stands = one.standing
    since = datetime.now(UTC) - timedelta(seconds=max(0.0, time.monotonic() - stands.since))
    return PartRecord(
        one.part.name,
        stands.state,
        since.replace(microsecond=0),
        one.child.pid if one.child is not None else 0,
        one.address,
        stands.failures,
        stands.restarts,
        stands.why,
        one.said if stands.why and not stands.alive else "",
    )
