"""Runs operations: each the command of that name as a process of its own, a few at a time, the others in line.

A work's state is stored before and after it runs. Where the server dies, its works are `lost` at the next start,
and commands that live on are ended as ctrl-C would: all of them can be repeated. What a secret operation prints is
never stored (see `unwritten`), and what it writes goes after the same while.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from isthmus.app.people.person import Person
from isthmus.app.works.arguments import RESERVED, checked, command_line, shown_line
from isthmus.app.works.child import Child, end_orphan, environment_for
from isthmus.app.works.happening import Happenings, Take
from isthmus.app.works.hearing import Hearing
from isthmus.app.works.ledger import Ledger
from isthmus.app.works.naming import Naming
from isthmus.app.works.place import Place
from isthmus.app.works.recipe import Recipes
from isthmus.app.works.seeing import called
from isthmus.app.works.unwritten import Unwritten
from isthmus.app.works.work import ENDED, Operation, State, Work
from isthmus.core.errors import Busy, Refused, UnknownName
from isthmus.core.ports import Clock
from isthmus.state.files import private_folder
from isthmus.state.lock import held

WELL = (0, 3)
"""Exit codes of what was done; 3: records were set aside."""
_STOPPED = "the server was stopped while it ran; start it again"
_DIED = "the server died while it ran; start it again"


@dataclass(frozen=True, slots=True)
class WorksSettings:
    """How much runs at a time, and how long what ended is kept."""

    at_once: int = 2
    waiting: int = 50
    grace_s: float = 10.0
    keep: int = 1000
    keep_days: float = 30.0
    keep_bytes: int = 5_000_000_000
    printed_bytes: int = 16_000_000
    secret_s: float = 600.0
    """So long what a secret operation told is shown to who began it."""


@dataclass
class _Live:
    """A work that waits or runs."""

    work: Work
    words: Sequence[str]
    by: Person
    hearing: Hearing
    secret: bool = False
    child: Child | None = None
    cancelled: bool = False
    stopped: bool = False


class Runner:
    """The works of one site. Its methods may be called from any thread."""

    def __init__(
        self,
        folder: Path,
        site: Path,
        recipes: Callable[[], Recipes],
        clock: Clock,
        settings: WorksSettings | None = None,
        program: Sequence[str] = (sys.executable, "-m", "isthmus"),
    ) -> None:
        """`folder` is the works' own; `recipes` are read when they are first asked for."""
        self._site, self._recipes, self._clock = site.resolve(), recipes, clock
        self._settings, self._program = settings or WorksSettings(), tuple(program)
        self._folder, self._place = folder, Place(folder / "works")
        self._ledger, self._names = Ledger(folder / "works.sqlite"), Naming(clock)
        self._lock = threading.Lock()
        self._live: dict[str, _Live] = {}
        self._line: deque[str] = deque()
        self._threads: set[threading.Thread] = set()
        self._held, self._open = ExitStack(), False
        self._unwritten = Unwritten(self._settings.secret_s, self._forget_files)
        self.happenings = Happenings()

    def open(self) -> None:
        """Take the works over. Raises Busy where another server has them."""
        private_folder(self._folder)
        self._held.enter_context(held(self._folder / "works.lock", "running this site's operations"))
        orphans = self._ledger.lose(self._clock.now(), _DIED)
        for id, _, _ in orphans:
            self._ledger.end(replace(self._ledger.get(id), files=self._place.ended(id)))
        for _, process, began in orphans:
            if process:
                ending = process, began, self._settings.grace_s
                threading.Thread(target=end_orphan, args=ending, name=f"ends {process}", daemon=True).start()
        for id in self._ledger.left_secret():
            self._forget_files(id)
        self._tidy()
        self._open = True

    def close(self) -> None:
        """End what runs, as ctrl-C does, and wait for it; then let the works go."""
        with self._lock:
            self._open = False
            self._line.clear()
            lives = list(self._live.values())
            for live in lives:
                live.stopped = True
        for live in lives:
            if live.child is not None:
                live.child.end()
            elif live.work.state == "waiting":
                self._end(live, "lost", None, _STOPPED)
        for thread in list(self._threads):
            thread.join()
        self._unwritten.close()
        self._ledger.close()
        self._held.close()

    def operations(self) -> Mapping[str, Operation]:
        """Return every operation by its name."""
        return {name: recipe.operation for name, recipe in self._recipes().items()}

    def start(
        self, operation: str, arguments: Mapping[str, Any], by: Person, files: Mapping[str, bytes] | None = None
    ) -> Work:
        """Begin an operation. `files` are what its parameters of the kind `file in` name.

        Raises UnknownName, WrongArguments, Refused where the role is not enough, Busy where too much waits.
        """
        recipe = self._recipes().get(operation)
        if recipe is None:
            raise UnknownName.among("operation", operation, self._recipes())
        if not by.may(recipe.operation.role):
            raise Refused(f"{operation} needs the role {recipe.operation.role}", f"{by.name} is {by.role}")
        values = checked(recipe.operation, arguments, files or {})
        shown = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        with self._lock:
            self._room()
            work = Work(
                self._names.next(), operation, shown, shown_line(recipe, values, str(self._site)),
                called(by),
                "waiting", self._clock.now(),
            )  # fmt: skip
            secret = recipe.operation.secret
            live = _Live(work, command_line(recipe, values), by, Hearing(), secret)
            self._live[work.id] = live
        try:
            self._place.make(work.id, recipe.operation, values, files or {})
            self._ledger.add(work, secret=secret)
        except BaseException:
            with self._lock:
                del self._live[work.id]
            self._place.remove(work.id)
            raise
        self.happenings.tell("state", work)
        with self._lock:
            self._line.append(work.id)
        self._go_on()
        return self.get(work.id)

    def _room(self) -> None:
        if not self._open:
            raise Busy("the server ends", "ask the next one")
        many = sum(live.work.state not in ENDED for live in self._live.values())
        if many >= self._settings.at_once + self._settings.waiting:
            raise Busy(f"{many} operations run or wait already", "wait for some to end")

    def get(self, id: str) -> Work:
        """Return a work as it stands. Raises UnknownName."""
        live = self._live.get(id)
        return self._with_words(live.work if live is not None else self._ledger.get(id))

    def latest(self, most: int = 50, before: str = "") -> Sequence[Work]:
        """List works, newest first; with `before` those that began before that one."""
        found = self._ledger.latest(most, before)
        return [
            self._with_words(live.work if (live := self._live.get(one.id)) is not None else one) for one in found
        ]

    def cancel(self, id: str, by: Person) -> Work:
        """Ask a work to stop, as ctrl-C does; one that has ended stays as it is. Raises UnknownName, Refused."""
        work = self.get(id)
        recipe = self._recipes().get(work.operation)
        if called(by) != work.by and recipe is not None and not by.may(recipe.operation.role):
            raise Refused(f"{work.operation} needs the role {recipe.operation.role}", f"{by.name} is {by.role}")
        with self._lock:
            live = self._live.get(id)
            if live is None or live.work.state in ENDED:
                return self.get(id)
            live.cancelled = True
            waiting = id in self._line
            if waiting:
                self._line.remove(id)
        if waiting:
            self._end(live, "cancelled", None, "")
        elif live.child is not None:
            live.child.end()
        return self.get(id)

    def file(self, id: str, name: str) -> Path:
        """Return where a file lies that a work wrote, or what it printed: stdout.txt. Raises UnknownName."""
        work = self.get(id)
        path = self._place.file(work.id, name, work.files)
        if path is None:
            raise UnknownName.among("file", name, (*work.files, "stdout.txt", "stderr.txt"))
        return path

    def secretly(self, id: str, name: str) -> bytes | None:
        """Return what a secret work printed, by `stdout.txt` or `stderr.txt`, while it is kept; else None."""
        stream, _, ending = name.partition(".")
        return self._unwritten.printed(id, stream) if name in RESERVED and ending else None

    def watch(self, take: Take, after: str = "") -> tuple[Callable[[], None], bool]:
        """Tell what happens from now on; see Happenings.watch."""
        return self.happenings.watch(take, after)

    def counts(self) -> Mapping[str, int]:
        """Count the works by state."""
        return self._ledger.counts()

    def _go_on(self) -> None:
        """Begin what waits, as long as there is room for it to run."""
        with self._lock:
            running = sum(live.work.state == "running" for live in self._live.values())
            while self._open and self._line and running < self._settings.at_once:
                live = self._live[self._line.popleft()]
                live.work = replace(live.work, state="running")
                running += 1
                thread = threading.Thread(target=self._run, args=(live,), name=f"work {live.work.id}")
                self._threads.add(thread)
                thread.start()

    def _run(self, live: _Live) -> None:
        """Take one work to its end, in a thread of its own."""
        try:
            self._heard(live)
        except OSError as error:
            self._end(live, "failed", None, f"it cannot be run: {error.strerror or error}")
        finally:
            self._go_on()
            with contextlib.suppress(OSError, Busy):
                self._tidy()
            self._ledger.close()
            self._threads.discard(threading.current_thread())

    def _heard(self, live: _Live) -> None:
        id, hearing = live.work.id, live.hearing
        words = [*self._program, f"--site={self._site}", *live.words]
        child = Child(words, self._place.runs_in(id), environment_for(called(live.by)), self._settings.grace_s)
        self._ledger.run(id, child.number, child.began)
        live.child = child
        if live.cancelled or live.stopped:
            child.end()
        self.happenings.tell("state", live.work)
        left = dict.fromkeys(("stdout", "stderr"), self._settings.printed_bytes)
        with ExitStack() as opened:
            files: dict[str, BinaryIO] = {
                stream: io.BytesIO()
                if live.secret
                else opened.enter_context(self._place.printed(id, stream).open("wb"))
                for stream in left
            }

            def hear(stream: str, content: bytes) -> None:
                moved, kept = hearing.take(stream, content)
                files[stream].write(kept[: left[stream]])
                left[stream] = max(0, left[stream] - len(kept))
                live.work = replace(live.work, progress=hearing.progress, said="" if live.secret else hearing.said)
                if moved:
                    self.happenings.tell("progress", live.work)
                if kept and not live.secret:
                    self.happenings.tell("said", live.work, kept.decode(errors="replace")[-10_000:])

            code = child.listen(hear)
        if live.secret:
            told = {stream: file.getvalue() for stream, file in files.items() if isinstance(file, io.BytesIO)}
            self._unwritten.keep(id, hearing.said, told)
        self._end(live, *_judged(live, code))

    def _end(self, live: _Live, state: State, code: int | None, error: str) -> None:
        files = self._place.ended(live.work.id)
        work = replace(live.work, state=state, ended=self._clock.now(), exit_code=code, error=error, files=files)
        live.work = work
        with contextlib.suppress(OSError, Busy):  # where the disk is full it stays among the living, as ended
            self._ledger.end(work)
            with self._lock:
                self._live.pop(work.id, None)
        self.happenings.tell("ended", work)

    def _with_words(self, work: Work) -> Work:
        """Return a work with what it said in secret, while that is kept; faces show it by `seeing`."""
        said = self._unwritten.said(work.id)
        return replace(work, said=said) if said else work

    def _forget_files(self, id: str) -> None:
        """Remove what a secret work wrote; it may be asked for by a thread of its own."""
        self._place.remove(id)
        with contextlib.suppress(OSError, Busy):
            self._ledger.without_files([id])
        self._ledger.close()

    def _tidy(self) -> None:
        """Forget old works, and the files of older ones where all together are too large."""
        settings = self._settings
        before = self._clock.now() - timedelta(days=settings.keep_days)
        for id in self._ledger.forget(settings.keep, before):
            self._place.remove(id)
        for id in self._place.beyond(settings.keep_bytes, set(self._live)):
            self._place.remove(id)
            self._ledger.without_files([id])


def _judged(live: _Live, code: int) -> tuple[State, int, str]:
    """Say what a work's end means."""
    if code in WELL:
        return "done", code, ""
    said = live.hearing.error()
    if live.stopped:
        return "lost", code, _STOPPED
    if live.cancelled:
        return "cancelled", code, said
    return "failed", code, said or (f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}")
