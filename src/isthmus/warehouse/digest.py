"""Files written whole or not at all, with the BLAKE3 digest of what was written, at any fsspec URI."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from blake3 import blake3

from isthmus.core.errors import InputError
from isthmus.warehouse.place import as_uri, file_system, local_path


class Digesting(io.RawIOBase):
    """A sink that hands bytes on and counts and digests them."""

    def __init__(self, sink: IO[bytes]) -> None:
        """Write into `sink`, which stays the caller's to close."""
        self._sink = sink
        self._hash = blake3()
        self.size = 0

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, content: Any) -> int:
        """Write all of the content."""
        view = memoryview(content).cast("B")
        self._sink.write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)

    @property
    def digest(self) -> str:
        """The BLAKE3 digest of everything written so far, in hex."""
        return str(self._hash.hexdigest())


@contextlib.contextmanager
def written(uri: str | Path) -> Iterator[Digesting]:
    """Write a file that appears when the block ends without an error.

    A local file is written as `.part`, synced and renamed; an object store does the same by itself.
    """
    place = as_uri(uri)
    local = local_path(place)
    if local is None:
        files, path = file_system(place)
        with files.transaction, files.open(path, "wb") as remote:
            yield Digesting(remote)
        return
    local.parent.mkdir(parents=True, exist_ok=True)
    part = local.with_name(local.name + ".part")
    try:
        with part.open("wb") as sink:
            yield Digesting(sink)
            sink.flush()
            os.fsync(sink.fileno())
        part.replace(local)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(local.parent)


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_bytes(uri: str | Path) -> bytes:
    """Read a file whole. Raises InputError where there is none."""
    files, path = file_system(as_uri(uri))
    try:
        content: bytes = files.cat_file(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"there is no file at {uri}", "check the location") from error
    return content


def digest_of(content: bytes) -> str:
    """Return the BLAKE3 digest of bytes, in hex."""
    return str(blake3(content).hexdigest())
