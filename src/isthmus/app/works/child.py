"""One command as a process in a group of its own: heard until its end, and ended step by step when asked to."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

_PIECE = 65_536
_LOOK_S = 1.0
"""So often a process is looked at that may have ended while another holds its streams."""
_DRAIN_S = 2.0
_STEPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
"""What ends a command: as ctrl-C does, then harder, each after the grace."""

Hear = Callable[[str, bytes], None]
"""Takes the name of a stream and what it brought; empty at its end."""


class Child:
    """A running command."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str], grace_s: float) -> None:
        """Start it in `folder`, with nothing to read. Raises OSError where the machine refuses."""
        self._grace_s = grace_s
        self._asked = threading.Event()
        self._lock, self._over = threading.Lock(), False
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        try:
            self._process = subprocess.Popen(
                list(words),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # a group of its own: what it started ends with it
            )
        except BaseException:
            os.close(self._wake)
            os.close(self._waker)
            raise
        self.number = self._process.pid
        self.began = started(self.number)

    def end(self) -> None:
        """Ask it to end, from any thread; more than once does nothing more."""
        self._asked.set()
        with self._lock, contextlib.suppress(BlockingIOError):
            if not self._over:
                os.write(self._waker, b"!")

    def listen(self, hear: Hear) -> int:
        """Hear it until it has ended; returns its exit code, negative where a signal ended it."""
        assert self._process.stdout is not None and self._process.stderr is not None
        streams: dict[BinaryIO, str] = {self._process.stdout: "stdout", self._process.stderr: "stderr"}  # type: ignore[dict-item]
        steps, due, gone = list(_STEPS), 0.0, 0.0
        with selectors.DefaultSelector() as selector:
            for stream in streams:
                selector.register(stream, selectors.EVENT_READ)
            selector.register(self._wake, selectors.EVENT_READ)
            while streams:
                wait = _LOOK_S if not due else max(0.0, min(_LOOK_S, due - time.monotonic()))
                for key, _ in selector.select(wait):
                    if key.fileobj == self._wake:
                        os.read(self._wake, 64)
                        continue
                    piece = os.read(key.fd, _PIECE)
                    hear(streams[key.fileobj], piece)  # type: ignore[index]
                    if not piece:
                        selector.unregister(key.fileobj)
                        del streams[key.fileobj]  # type: ignore[arg-type]
                if self._asked.is_set() and steps and time.monotonic() >= due:
                    self._signal(steps.pop(0))
                    due = time.monotonic() + self._grace_s
                if self._process.poll() is not None:  # what it started may hold its streams for ever
                    gone = gone or time.monotonic() + _DRAIN_S
                    if time.monotonic() > gone:
                        break
        for name in streams.values():
            hear(name, b"")
        return self._closed()

    def _closed(self) -> int:
        while True:  # its streams are closed, so it is about to end; it may still be asked to
            try:
                code = self._process.wait(self._grace_s)
                break
            except subprocess.TimeoutExpired:
                if self._asked.is_set():
                    self._signal(signal.SIGKILL)
        self._signal(signal.SIGKILL)  # what it left behind in its group
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        with self._lock:
            self._over = True
            os.close(self._wake)
            os.close(self._waker)
        return code

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.number, number)


def environment_for(who: str) -> dict[str, str]:
    """Return what a command runs with: the server's surroundings, and for audit logs the name of who asked."""
    own = {name: value for name, value in os.environ.items() if name != "ISTHMUS_SITE"}
    return own | {"LOGNAME": who, "PYTHONIOENCODING": "utf-8"}


def started(process: int) -> str:
    """Return when a process began, as the kernel counts; empty where there is none that lives, or no /proc."""
    try:
        # the command's name, in brackets, may hold anything; the start is the 20th field after it
        fields = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    except (OSError, IndexError):
        return ""


def end_orphan(process: int, began: str, grace_s: float) -> None:
    """End a command that a server which died left behind; nothing happens where its number is another's now."""
    if not began:
        return
    for step in _STEPS:
        if started(process) != began:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process, step)
        until = time.monotonic() + grace_s
        while started(process) == began and time.monotonic() < until:
            time.sleep(0.05)
