"""One process of a part: it ends with its parent, is heard line by line, and is ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from isthmus.app.product import launch

_MOST_LINE_BYTES = 64 << 10
_CHUNK = 64 << 10
_SUPERVISORS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Child:
    """A process in a group of its own: ctrl-C reaches the supervisor alone, and what it started can be ended."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start `command`, a program's path and its words. Raises OSError."""
        launcher = [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid())]
        self._process = subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            env=_own(os.environ if environment is None else environment),
        )
        assert self._process.stdout is not None
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._rest = b""
        self.pid = self._process.pid
        self._drained = False

    def fileno(self) -> int:
        """Return the descriptor on which its lines come."""
        return self._out.fileno()

    def drained(self) -> bool:
        """Tell whether no more lines will come."""
        return self._drained

    def lines(self) -> Iterator[str]:
        """Yield the lines that have come. Never waits."""
        while not self._drained:
            try:
                chunk = os.read(self._out.fileno(), _CHUNK)
            except BlockingIOError:
                return
            self._drained = not chunk
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            if self._rest and (self._drained or len(self._rest) > _MOST_LINE_BYTES):
                whole.append(self._rest)
                self._rest = b""
            for line in whole:
                yield line.decode(errors="replace").rstrip("\r")

    def ended(self) -> int | None:
        """Return the exit code once it ended, negative for a signal; what it started is killed then."""
        if self._process.returncode is not None:
            return self._process.returncode
        # looked at without being reaped: until then its number, and that of its group, cannot be another's
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.kill()
        return self._process.wait()

    def terminate(self) -> None:
        """Ask it to end."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it, and all that it started."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of its lines."""
        self._out.close()


def _own(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a part's environment: lines come at once, and systemd is told by the supervisor alone."""
    kept = {name: value for name, value in environment.items() if name not in _SUPERVISORS}
    return {**kept, "PYTHONUNBUFFERED": "1"}
