"""Memory that the pool and one worker share: contents are laid down there instead of going through a socket.

A socket costs a copy in and a copy out by the kernel, and new pages each time. The pool takes stretches, lowest
first, so that what is used stays in the processor's caches; the worker only reads. What does not fit goes through
the socket.
"""

from __future__ import annotations

import mmap
import os
from bisect import insort
from collections.abc import Sequence

_GRAIN = 4096


class Arena:
    """The pool's side: `size` bytes, of which stretches are taken under a number and given back by it."""

    def __init__(self, size: int) -> None:
        """Make the memory. Raises OSError."""
        self.handle = os.memfd_create("isthmus-filing", os.MFD_CLOEXEC)
        os.ftruncate(self.handle, size)
        self._memory = mmap.mmap(self.handle, size)
        self._free = [(0, size)]
        self._taken: dict[int, tuple[int, int]] = {}

    def lay(self, number: int, contents: Sequence[bytes | memoryview]) -> int:
        """Lay contents down one after the other; return where, -1 where there is no room."""
        size = -(-sum(map(len, contents)) // _GRAIN) * _GRAIN
        place = next((place for place, (_, length) in enumerate(self._free) if length >= size > 0), -1)
        if place < 0:
            return -1
        at, length = self._free[place]
        self._free[place : place + 1] = [(at + size, length - size)] if length > size else []
        self._taken[number] = at, size
        end = at
        for content in contents:
            self._memory[end : end + len(content)] = content
            end += len(content)
        return at

    def give_back(self, number: int) -> None:
        """Let a stretch be used again; a number that has none does not matter."""
        stretch = self._taken.pop(number, None)
        if stretch is None:
            return
        insort(self._free, stretch)
        joined: list[tuple[int, int]] = []
        for at, length in self._free:
            if joined and sum(joined[-1]) == at:
                joined[-1] = joined[-1][0], joined[-1][1] + length
            else:
                joined.append((at, length))
        self._free = joined

    def close(self) -> None:
        """Let go of the memory; the worker's view of it lasts as long as the worker."""
        self._memory.close()
        os.close(self.handle)


def shared(handle: int) -> memoryview:
    """Return a worker's view of the memory, which it cannot write."""
    return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
