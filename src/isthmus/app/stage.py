"""What demonstrations are played on: command lines as processes of their own, which end when the story does."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from isthmus.core.errors import RunFailed

_END_S = 15.0
PATIENCE_S = 90.0
LOOK_S = 0.1


def command(site: Path, *words: str) -> list[str]:
    """Return a command line of a site as a process is started with it."""
    return [sys.executable, "-m", "isthmus", "--site", str(site), *words]


def tell(site: Path, *words: str) -> str:
    """Run one command of a site as a process of its own and return what it printed. Raises RunFailed."""
    done = subprocess.run(command(site, *words), capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise RunFailed(f"isthmus {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def end(process: subprocess.Popen[str]) -> None:
    """End a process as a service manager does, and by force where it does not heed."""
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Troupe:
    """The long-running processes of a story, each with its log in its site's folder; ends all that it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, site: Path, *words: str) -> None:
        """Start a command of a site that goes on; `name` is what it is called from then on."""
        with (site / "log").open("a") as log:
            self.running[name] = subprocess.Popen(
                command(site, *words), stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True
            )

    def kill(self, name: str) -> None:
        """End a process as a power failure does."""
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> None:
        """End a process as a service manager does."""
        end(self.running.pop(name))

    def close(self) -> None:
        """End all processes, the last first."""
        for name in reversed(list(self.running)):
            self.stop(name)

    def alive(self) -> None:
        """Raise RunFailed where a process has ended by itself."""
        for name, process in self.running.items():
            if process.poll() is not None:
                log = self.folder / name / "log"
                raise RunFailed(f"the process of {name} ended with {process.returncode}", f"see {log}")

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds. Raises RunFailed where it never does, or a process ends."""
        patient_until = time.monotonic() + PATIENCE_S
        while not holds():
            self.alive()
            if time.monotonic() > patient_until:
                raise RunFailed(f"it never came so far: {what}", f"see the logs in {self.folder}")
            time.sleep(LOOK_S)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt as Ctrl-C does, so that what was started is ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
