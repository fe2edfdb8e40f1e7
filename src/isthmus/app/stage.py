"""What demonstrations are played on: command lines as processes of their own, which end when the story does."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from isthmus.core.errors import RunFailed

_END_S = 15.0


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
