"""Writing files so that a reader sees the old or the new one, never a part, whatever dies in between.

And making files and folders that only their owner may read, whatever the umask says.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour of `path` for writing; at the end it is synced and takes the place of `path`.

    On an error the neighbour is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def private_folder(folder: Path) -> None:
    """Make a folder for its owner alone, mode 0700; one that is there keeps its mode. Parents follow the umask."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty file for its owner alone, mode 0600; one that is there keeps its mode and content."""
    with contextlib.suppress(FileExistsError):
        # by mknod and not by open: closing a file would release the locks that SQLite has on it in this process
        os.mknod(path, stat.S_IFREG | 0o600)


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, mode 0600, durably and whole or not at all.

    Raises FileExistsError where there is one already: it is never replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(part)  # unlike a rename it never takes the place of what is there
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def abandoned(path: Path) -> bool:
    """Tell whether the process that made a file, whose number its name begins with (`<number>-…`), is no more."""
    number = path.name.partition("-")[0]
    if not number.isdigit():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
