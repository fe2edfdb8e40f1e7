"""Which stored files stay in the operating system's page cache: the last ones, as somebody may look at them.

Files that were stored are hardly ever read again but right after they were pushed. Left alone they fill the
memory, and push out of it what is read all the time, such as the pages of the ledger and the warehouse. And
each new page then has to be had from somewhere: by reclaiming, or on a virtual machine from the host. For an
image of 200 KB that takes far longer than copying it.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable

KEPT = 64 << 20
"""So many bytes of files stay, in each worker."""
LEAST = 64 << 10
"""A smaller file is left alone: it takes few pages, and asking costs as much as they do."""


def let_go(path: str) -> None:
    """Tell the kernel that a file's pages are not needed; those that were not written yet stay. Raises OSError."""
    if not hasattr(os, "posix_fadvise"):
        return
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


class Recent:
    """The files that were stored last. Older ones are let go, in the order in which they came."""

    def __init__(self, kept: int = KEPT, let_go: Callable[[str], None] = let_go) -> None:
        """Keep `kept` bytes."""
        self._kept = kept
        self._let_go = let_go
        self._files: deque[tuple[str, int]] = deque()
        self._bytes = 0

    def add(self, path: str, size: int) -> None:
        """Take a file that is durable, and let go of those that came too long before."""
        if size < LEAST:
            return
        self._files.append((path, size))
        self._bytes += size
        while self._bytes > self._kept:
            oldest, freed = self._files.popleft()
            self._bytes -= freed
            with contextlib.suppress(OSError):  # it was removed, or is no file of ours any more: nothing to let go
                self._let_go(oldest)
