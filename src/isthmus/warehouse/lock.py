"""One writer at a time: a lock that the operating system drops when its process dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from isthmus.core.errors import Busy


@contextlib.contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file at `path` for the block. Raises Busy at once where another holder has it.

    The file stays behind: removing it would let two processes hold two different files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"{what} is being written by another process", "try again when it has finished") from error
        yield
    finally:
        os.close(handle)  # closing the last handle drops the lock
