"""Images where they lie: each in a file of its own, or packed with others (`gallery.ports.StoredImage`)."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from isthmus.gallery.store.pack import Pack

_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileImage:
    """An image that has a file of its own, or would have."""

    path: Path
    digest: bytes

    def read(self, offset: int = 0, most: int = -1) -> bytes:
        """Read a stretch, up to the end where `most` is negative. Raises FileNotFoundError, OSError."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(most)

    def proven(self) -> bool:
        """Read it all and tell whether it is what its digest says."""
        found = blake3()
        try:
            with self.path.open("rb") as file:
                while chunk := file.read(_CHUNK):  # not mapped: a disk that cannot read would end the process
                    found.update(chunk)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EIO):
                return False
            raise
        return found.digest() == self.digest

    def is_of(self, content: bytes) -> bool:
        """Tell whether it has this content."""
        try:
            return self.path.stat().st_size == len(content) and self.path.read_bytes() == content
        except FileNotFoundError:
            return False

    def there(self) -> bool:
        """Tell whether there is something, whole or not."""
        return self.path.is_file()

    def mark(self) -> object:
        """Return what changes when the file does."""
        # the time of change cannot be set: it tells a copy from a backup, too
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_size, stat.st_ctime_ns

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class PackedImage:
    """An image that lies with others, as it was when it was asked for."""

    pack: Pack
    digest: bytes
    content: bytes

    def read(self, offset: int = 0, most: int = -1) -> bytes:
        """Return a stretch, up to the end where `most` is negative."""
        return self.content[offset:] if most < 0 else self.content[offset : offset + most]

    def proven(self) -> bool:
        """Tell whether it is what its digest says."""
        return blake3(self.content).digest() == self.digest

    def is_of(self, content: bytes) -> bool:
        """Tell whether it has this content."""
        return self.content == content

    def there(self) -> bool:
        """Tell that there is something."""
        return True

    def mark(self) -> object:
        """Return what changes when its content does."""
        return blake3(self.content).digest()

    def __str__(self) -> str:
        return f"{self.pack.path}: {self.digest.hex()}"
