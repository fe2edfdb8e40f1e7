"""A real disk of a few megabytes, in memory, that can be filled to the last byte and emptied again."""

from __future__ import annotations

import contextlib
import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_PIECE = 1 << 16


class SmallDisk:
    """A file system of its own, mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave no room for a single byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (_PIECE, 1):
                with contextlib.suppress(_Full):
                    while True:
                        _write(file, size)

    def empty(self) -> None:
        """Give all room back."""
        self._ballast.unlink()


class _Full(Exception):
    """Nothing more fits."""


def _write(file: object, size: int) -> None:
    try:
        file.write(bytes(size))  # type: ignore[attr-defined]
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _Full from error


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a small disk at a folder; skip the test where nothing may be mounted."""
    folder.mkdir(parents=True)
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "small-disk", str(folder)]
    if mount is None or subprocess.run([mount, *options], capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted: run the tests as root")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
