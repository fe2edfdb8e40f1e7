"""A folder named by a URI: on a local disk, or anywhere that fsspec reaches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from isthmus.core.errors import InputError
from isthmus.state.files import replacing
from isthmus.warehouse.place import as_uri, file_system, local_path


@dataclass(frozen=True)
class Place:
    """One folder. `uri` is whole, with its protocol; `local` is its path on a local disk, else None."""

    uri: str
    filesystem: Any
    root: str
    local: Path | None

    @classmethod
    def of(cls, uri: str) -> Place:
        """Open the place that a URI or a local path names. Raises InputError where nothing can read it."""
        full = as_uri(uri)
        try:
            filesystem, root = file_system(full)
        except (ValueError, ImportError) as error:
            raise InputError(f"{uri} cannot be opened: {error}", "name a folder that fsspec can reach") from error
        return cls(full, filesystem, root, local_path(full))

    def within(self, *parts: str) -> Place:
        """Return a folder inside this one."""
        uri = "/".join([self.uri, *(quote(part) if self.local else part for part in parts)])
        return Place(
            uri, self.filesystem, "/".join([self.root, *parts]), self.local and self.local.joinpath(*parts)
        )

    def exists(self, path: str = "") -> bool:
        """Say whether the folder, or a file in it, is there."""
        return bool(self.filesystem.exists(self._at(path)))

    def read(self, path: str) -> bytes:
        """Read a whole small file."""
        return bytes(self.filesystem.cat_file(self._at(path)))

    def chunks(self, path: str, size: int) -> Iterator[bytes]:
        """Read a file piece by piece."""
        with self.filesystem.open(self._at(path), "rb") as file:
            while chunk := file.read(size):
                yield chunk

    def write(self, path: str, content: bytes) -> None:
        """Put a file in place of the one before: a reader sees the old or the new one, never a part."""
        if self.local is not None:
            with replacing(self.local / path) as file:
                file.write(content)
        else:
            self.filesystem.pipe_file(self._at(path), content)

    def files(self) -> list[str]:
        """List all files of the folder, relative to it."""
        self.filesystem.invalidate_cache()
        return sorted(str(path)[len(self.root) :].lstrip("/") for path in self.filesystem.find(self.root))

    def folders(self) -> list[str]:
        """List the names of the folders directly in this one; none where it does not exist."""
        self.filesystem.invalidate_cache()
        if not self.exists():
            return []
        listed = self.filesystem.ls(self.root, detail=True)
        return sorted(
            str(item["name"]).rstrip("/").rsplit("/", 1)[-1] for item in listed if item["type"] == "directory"
        )

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        self.filesystem.rm(self.root, recursive=True)

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root
