"""Runs a task over units in worker processes, and outlives workers that die.

Each worker has a pipe of its own, so that it is known which unit a dead worker had: the unit is tried once more in
a fresh worker and then reported as lost, while the other workers go on. (A `ProcessPoolExecutor` breaks as a whole
and cannot tell whose unit it was.) Workers are spawned, never forked; a worker whose parent is gone reads the end
of its pipe and ends too.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from isthmus.core.errors import IsthmusError
from isthmus.loop.record import Reject, Unit

R = TypeVar("R")

_TRIES = 2
_FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_PATIENCE_S = 5.0  # a worker that does not end on SIGTERM within this time is killed


@dataclass(frozen=True, slots=True)
class UnitResult(Generic[R]):
    """What became of a unit: the task's `value`, or None and an `error` in one line."""

    unit: Unit
    value: R | None
    error: str = ""

    def reject(self) -> Reject:
        """Return the Reject of a unit that was lost."""
        return Reject("", "unreadable", self.unit.key, self.error)


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    unit: Unit
    tries: int

    def give(self, unit: Unit) -> None:
        self.unit, self.tries = unit, 1
        with suppress(BrokenPipeError):  # it died while idle: found out, and tried again, when it is waited for
            self.pipe.send(unit)

    def bury(self) -> str:
        """Wait until the process has ended, by force in the end, and say how it ended."""
        self.pipe.close()
        self.process.join(_PATIENCE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self.process.close()
        return ended


def run_units(task: Callable[[Unit], R], units: Iterable[Unit], *, workers: int) -> Iterator[UnitResult[R]]:
    """Yield a result for each unit, in the order in which they finish; each worker holds one unit at a time.

    `task` and its values must be picklable. With `workers` 0 it runs in this process. A unit whose worker dies
    twice, or whose task raises, is reported with an error and the others go on. What no other unit would
    survive either is raised here: IsthmusError, and OSError of a full or read-only disk. Closing the iterator,
    or ctrl-C, ends the workers.
    """
    left = iter(units)
    if workers <= 0:
        for unit in left:
            yield _settled(unit, _attempt(task, unit))
        return
    crew: list[_Worker] = []
    try:
        while len(crew) < workers and (unit := next(left, None)) is not None:  # type: ignore[assignment]
            crew.append(_hire(task, unit, 1))
        while crew:
            ready = wait([worker.pipe for worker in crew])
            for worker in [worker for worker in crew if worker.pipe in ready]:
                result = _take(worker, crew, task)
                if result is None:
                    continue
                following = next(left, None)
                if worker not in crew:
                    if following is not None:
                        crew.append(_hire(task, following, 1))
                elif following is not None:
                    worker.give(following)
                else:
                    crew.remove(worker)
                    worker.bury()
                yield result
    finally:
        for worker in crew:
            worker.process.terminate()
        for worker in crew:
            worker.bury()


def _take(worker: _Worker, crew: list[_Worker], task: Callable[[Unit], R]) -> UnitResult[R] | None:
    """Take what a worker has to say; None where it died and its unit is tried again in a new one."""
    unit = worker.unit
    try:
        answer = pickle.loads(worker.pipe.recv_bytes())  # noqa: S301 - from our own worker
    except (EOFError, OSError):
        crew.remove(worker)
        ended = worker.bury()
        if worker.tries < _TRIES:
            crew.append(_hire(task, unit, worker.tries + 1))
            return None
        return UnitResult(unit, None, f"the worker process ended {_TRIES} times while it read this ({ended})")
    return _settled(unit, answer)


def _settled(unit: Unit, answer: tuple[str, Any]) -> UnitResult[R]:
    word, content = answer
    if word == "raise":
        raise content
    return UnitResult(unit, content) if word == "value" else UnitResult(unit, None, content)


def _attempt(task: Callable[[Unit], R], unit: Unit) -> tuple[str, Any]:
    try:
        return "value", task(unit)
    except IsthmusError as error:
        return "raise", error
    except Exception as error:  # noqa: BLE001 - whatever a job type of a user raises ends its unit, and is told
        if isinstance(error, OSError) and error.errno in _FATAL:
            return "raise", OSError(error.errno, error.strerror, error.filename)
        return "error", " ".join(f"{type(error).__name__}: {error}".split())


def _hire(task: Callable[[Unit], R], unit: Unit, tries: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, task, unit), daemon=True)
    with _one_thread():
        process.start()
    theirs.close()
    return _Worker(process, ours, unit, tries)


def _work(pipe: Connection, task: Callable[[Unit], R], unit: Unit) -> None:
    """Do units until the pipe ends. Runs in the worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C goes to the whole group: the parent ends us
    with suppress(EOFError, BrokenPipeError):
        while True:
            answer = _attempt(task, unit)
            try:
                packed = pickle.dumps(answer)
            except Exception as error:  # noqa: BLE001 - a value that cannot be sent is told as the unit's error
                packed = pickle.dumps(("error", f"the result cannot be sent: {type(error).__name__}: {error}"))
            pipe.send_bytes(packed)
            unit = pipe.recv()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let a starting process inherit one thread for each maths library: the workers are the parallelism."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
