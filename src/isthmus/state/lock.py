"""A lock between processes that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from isthmus.core.errors import Busy

T = TypeVar("T")

PATIENCE_S = 600.0
"""How long work that is nearly done waits for a lock that others hold for seconds."""
_LONGEST_PAUSE_S = 2.0


@contextlib.contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` during a block. Raises Busy at once where another process holds it.

    `what` names the work in the message. The file stays: removing it would let two holders in.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            by = f" by process {holder}" if holder else ""
            raise Busy(f"{what} is already under way{by}", "wait for it to finish, then try again") from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def holder(path: Path) -> int | None:
    """Return the process that holds the lock file now, without touching the lock; None where nobody does.

    Asks the kernel (proc(5)): first of the files of the process that is noted in the lock file, then the list of
    all locks, which also knows processes of other users. Tells nobody where there is no such list.
    """
    try:
        found = path.stat()
        noted = path.read_text("ascii").strip()
        if noted.isdecimal() and _holds(int(noted), found.st_ino):
            return int(noted)
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}"
    for line in lines:
        words = line.split()
        if len(words) < 6 or words[1] != "FLOCK" or words[5].rpartition(":")[2] != str(found.st_ino):
            continue
        if words[5].rpartition(":")[0] == device or words[4] == noted:  # some file systems tell another device
            return int(words[4])
    return None


def _holds(process: int, inode: int) -> bool:
    """Whether one of the process's open files holds a lock on the inode; False where it may not be looked at.

    The list of all locks is handed out a page at a time: a lock that others release between two pages moves one
    that lies behind it out of sight. What is told of one file is told at once.
    """
    with contextlib.suppress(OSError):  # it has ended, or belongs to another user
        for file in Path(f"/proc/{process}/fdinfo").iterdir():
            with contextlib.suppress(OSError):  # closed since it was listed
                for line in file.read_text("ascii").splitlines():
                    words = line.split()  # lock: 1: FLOCK ADVISORY WRITE process device:inode first last
                    if words[0:3:2] == ["lock:", "FLOCK"] and words[6].rpartition(":")[2] == str(inode):
                        return True
    return False


def patiently(
    action: Callable[[], T],
    waiting: Callable[[Busy], None] = lambda busy: None,
    *,
    for_s: float = PATIENCE_S,
    pause: Callable[[float], None] = time.sleep,
) -> T:
    """Do `action`, and while it raises Busy do it again, for about `for_s` seconds; then raise its Busy.

    For work that must not be thrown away because another process is at the same table for a moment. `waiting`
    is told the first Busy.
    """
    waited, step = 0.0, 0.05
    while True:
        try:
            return action()
        except Busy as busy:
            if waited >= for_s:
                raise
            if not waited:
                waiting(busy)
        pause(step)
        waited += step
        step = min(2 * step, _LONGEST_PAUSE_S)
