"""Sources that libcurl does not speak, through fsspec, each request in a child process that can be killed.

In the child, connections are judged where the socket is made, as everywhere else (`judged`). Protocols whose
connections Python does not make (such as HDFS over a JVM) cannot be judged and are not offered: WebHDFS is.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import threading
import time
from collections.abc import Hashable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.credentials import Secrets
from isthmus.acquire.fetch.files import Errand, Tell
from isthmus.acquire.fetch.judged import Request, serve
from isthmus.acquire.ports import Got

PROTOCOLS = ("smb",)
"""Schemes that go this way."""

_START_S = 60.0


class Others:
    """A few threads, each with a child process of its own. `tell` gets each outcome, on one of those threads."""

    def __init__(self, folder: Path, children: int, tell: Tell) -> None:
        self._folder = folder
        self._tell = tell
        self._errands: queue.SimpleQueue[tuple[Errand, Secrets] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._unwanted: set[Hashable] = set()
        self._threads = [
            threading.Thread(target=self._run, name=f"other source {number}", daemon=True)
            for number in range(children)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, errand: Errand, secrets: Secrets) -> None:
        """Get something."""
        self._errands.put((errand, secrets))

    def stop(self, token: Hashable) -> None:
        """Get it no further; the outcome is told all the same."""
        self._unwanted.add(token)

    def close(self) -> None:
        """Kill what runs and end the threads."""
        self._closing.set()
        for _ in self._threads:
            self._errands.put(None)
        for thread in self._threads:
            thread.join(5.0)

    def _run(self) -> None:
        child = Child()
        try:
            while (next_ := self._errands.get()) is not None and not self._closing.is_set():
                errand, secrets = next_
                outcome = self._through(child, errand, secrets)
                self._unwanted.discard(errand.token)
                self._tell(errand.token, outcome)
        finally:
            child.kill()

    def _through(self, child: Child, errand: Errand, secrets: Secrets) -> Got | Failure:
        request = requested(errand, secrets, self._folder)
        if not child.ask(request):
            return Failure(Kind.CRASHED, "the process that was to get it did not start")
        while True:
            if self._closing.is_set() or errand.token in self._unwanted or time.monotonic() > errand.ends:
                child.kill()
                for left in self._folder.glob(f"{request.mark}*.part"):
                    with contextlib.suppress(OSError):
                        left.unlink()
                return Failure(Kind.TIMEOUT, "too slow")
            outcome = child.answer(0.1)
            if outcome is not None:
                return outcome


def requested(errand: Errand, secrets: Secrets, folder: Path) -> Request:
    """Put together what a child needs to know."""
    where, storage = errand.server.origin, errand.server.storage
    options: dict[str, Any] = {"host": where.host, "port": where.port}
    if storage.user:
        options["username"], options["password"] = storage.user, secrets.password
    path = unquote(errand.rest.partition("?")[0])
    return Request(where.scheme, options, path, errand.server.networks, storage.most_bytes, str(folder))


class Child:
    """A process started by spawn, which answers one request at a time."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def ask(self, request: Request) -> bool:
        """Hand a request over, to a new process where there is none; False where that cannot be done."""
        for _ in range(2):  # the process of an earlier request may have died
            try:
                if self._pipe is None:
                    self._start()
                assert self._pipe is not None
                self._pipe.send(request)
            except (OSError, EOFError):
                self.kill()
            else:
                return True
        return False

    def answer(self, wait_s: float) -> Got | Failure | None:
        """Return the answer, None where there is none yet."""
        assert self._pipe is not None
        try:
            if not self._pipe.poll(wait_s):
                return None
            found = self._pipe.recv()
        except (OSError, EOFError):
            self.kill()
            return Failure(Kind.CRASHED, "the process that was to get it died")
        assert isinstance(found, Got | Failure)
        return found

    def kill(self) -> None:
        """End the process, at once."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        mine, theirs = spawn.Pipe()
        self._process = spawn.Process(target=serve, args=(theirs,), name="other source", daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = mine
