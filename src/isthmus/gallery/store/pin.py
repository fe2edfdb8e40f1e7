"""A lock by which readers of a snapshot keep images in place that no record speaks of any more."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from collections.abc import Iterator
from pathlib import Path


class Pin:
    """Keeps images in place while it lives, or its process does."""

    def __init__(self, path: Path) -> None:
        handle = _lock_file(path)
        self.release = weakref.finalize(self, os.close, handle)
        fcntl.flock(handle, fcntl.LOCK_SH)


@contextlib.contextmanager
def unpinned(path: Path) -> Iterator[bool]:
    """Tell whether nobody has pinned the images, and let nobody do it during the block."""
    handle = _lock_file(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _lock_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
