"""Rows of one length in a file, mapped for reading; or in memory alone, where nothing may reach a disk."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_GROWTH_ROWS = 4_096


class Rows:
    """Rows of `stride` bytes. What was written is durable after `sync`; new rows are zero."""

    def __init__(self, file: Path | None, stride: int) -> None:
        """Open or create the file; None: in memory. Raises OSError."""
        self.stride = stride
        self._handle = None if file is None else os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        self._memory = bytearray()
        self.view: NDArray[np.uint8] = np.empty((0, stride), np.uint8)
        self.remap()

    def remap(self) -> None:
        """See the rows that another process has added."""
        if self._handle is not None:
            rows = os.fstat(self._handle).st_size // self.stride
            if rows == len(self.view):
                return
            # the old map is given back once nobody looks at it any more; nothing cannot be mapped
            size = rows * self.stride
            held: Any = mmap.mmap(self._handle, size, access=mmap.ACCESS_READ) if size else b""
        else:
            held = self._memory
            rows = len(held) // self.stride
        self.view = np.frombuffer(held, np.uint8, rows * self.stride).reshape(rows, self.stride)

    def hold(self, rows: int) -> None:
        """Make room for so many rows. Raises OSError where the disk is full: later writes then cannot fail so."""
        if rows <= len(self.view):
            return
        rows = max(-(-rows // _GROWTH_ROWS) * _GROWTH_ROWS, min(len(self.view) * 5 // 4, rows + 262_144))
        if self._handle is not None:
            os.posix_fallocate(self._handle, 0, rows * self.stride)
        else:
            grown = bytearray(rows * self.stride)
            grown[: len(self._memory)] = self._memory
            self._memory = grown
        self.remap()

    def write(self, row: int, content: bytes) -> None:
        """Write one row, or several that follow each other."""
        at, end = row * self.stride, row * self.stride + len(content)
        if end > self.view.size:
            raise ValueError(f"row {row} is not held")
        if self._handle is None:
            self._memory[at:end] = content
            return
        done = 0
        while done < len(content):
            done += os.pwrite(self._handle, content[done:], at + done)

    def sync(self) -> None:
        """Make everything that was written durable."""
        if self._handle is not None:
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file; views that were handed out stay readable."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
        self.view = np.empty((0, self.stride), np.uint8)
