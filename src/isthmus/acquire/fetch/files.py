"""Reads files of local folders, within the roots that the rules name; symbolic links must not lead out of them."""

from __future__ import annotations

import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.receiving import Receiver
from isthmus.acquire.fetch.rules import Server
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got

_CHUNK = 256 * 1024
Tell = Callable[[Hashable, Got | Failure], None]


@dataclass(frozen=True, slots=True)
class Errand:
    """Something to be read by a thread of its own: under a token, until a time of the monotonic clock."""

    token: Hashable
    server: Server
    rest: str
    ends: float


class Folders:
    """A few threads that read local files. `tell` gets each outcome, on one of those threads."""

    def __init__(self, folder: Path, readers: int, tell: Tell) -> None:
        self._folder = folder
        self._tell = tell
        self._errands: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._unwanted: set[Hashable] = set()
        self._threads = [
            threading.Thread(target=self._run, name=f"local files {number}", daemon=True)
            for number in range(readers)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, errand: Errand) -> None:
        """Read a file."""
        self._errands.put(errand)

    def stop(self, token: Hashable) -> None:
        """Read no further; the outcome is told all the same."""
        self._unwanted.add(token)

    def close(self) -> None:
        """End the threads, those that hang in a dead mount aside."""
        for _ in self._threads:
            self._errands.put(None)
        for thread in self._threads:
            thread.join(1.0)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            outcome = read(errand, self._folder, self._unwanted)
            self._unwanted.discard(errand.token)
            self._tell(errand.token, outcome)


def read(errand: Errand, folder: Path, unwanted: set[Hashable]) -> Got | Failure:
    """Read the file of an errand, into memory or a file in `folder`."""
    began = time.monotonic()
    try:
        at = within(errand.server.roots, unquote(errand.rest.partition("?")[0]))
    except PermissionError as error:
        return Failure(Kind.DENIED, f"no right to read the file: {error.strerror}")
    except OSError as error:
        return Failure(Kind.GONE, f"no such file: {error.strerror or error}")
    except ValueError as error:
        return Failure(Kind.FORBIDDEN, str(error))
    receiver = Receiver(folder, errand.server.storage.most_bytes)
    try:
        found = os.fstat(at)
        if not stat.S_ISREG(found.st_mode):
            return Failure(Kind.GONE, "not a file")
        while chunk := os.read(at, _CHUNK):
            if time.monotonic() > errand.ends or errand.token in unwanted:
                receiver.close()
                return Failure(Kind.TIMEOUT, "too slow")
            if not receiver.take(chunk):
                break
    except OSError as error:
        receiver.close()
        return Failure(Kind.CUT, f"the file cannot be read: {error.strerror or error}")
    finally:
        os.close(at)
    told = Told(modified=datetime.fromtimestamp(found.st_mtime, UTC))
    return receiver.got(told, time.monotonic() - began)


def within(roots: Sequence[str], path: str) -> int:
    """Open a file for reading where it lies in one of the roots, links resolved; return its descriptor.

    The resolved path is then walked without following links, so that a link put there in between gains nothing.
    Raises OSError where there is no such file, ValueError where it lies outside.
    """
    if "\0" in path:
        raise ValueError("the path has a zero byte")
    real = os.path.realpath(path, strict=True)
    for root in roots:
        base = os.path.realpath(root)
        if real != base and os.path.commonpath((base, real)) == base:
            return _walk(base, Path(real).relative_to(base).parts)
    raise ValueError("the file lies in none of the allowed folders")


def _walk(base: str, parts: Sequence[str]) -> int:
    at = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_NONBLOCK if last else os.O_DIRECTORY)
        try:
            below = os.open(part, flags, dir_fd=at)
        finally:
            os.close(at)
        at = below
    return at
