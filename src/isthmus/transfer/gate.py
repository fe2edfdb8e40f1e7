"""The carrier over a folder, from or to which a gatekeeper product copies files as it pleases.

Our own writing is whole or not at all: a file is copied under a hidden name, synced, given its name, and the
folder is synced. What the gatekeeper writes is trusted in nothing: only regular files count, links are not
followed, and a copy ends where the file ended when it was opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from isthmus.core.ports import Arrival
from isthmus.state.files import sync_folder

Step = Callable[[str], None]
"""Is told the name of each step that was just taken; tests kill the process there."""

_PIECE = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def no_step(step: str) -> None:
    """Do nothing at a step."""


class Gate:
    """A folder as a `core.ports.Carrier`. Raises OSError where the folder is not there or the disk refuses."""

    def __init__(self, folder: Path, step: Step = no_step) -> None:
        self.folder, self._step = folder, step

    def put(self, name: str, file: Path) -> None:
        """Copy `file` into the folder under `name`, whole or not at all."""
        part = self._part(name)
        try:
            with file.open("rb") as source, part.open("wb") as copy:
                while piece := source.read(_PIECE):
                    copy.write(piece)
                self._step("gate copied")
                copy.flush()
                os.fsync(copy.fileno())
            self._step("gate synced")
            part.replace(self.folder / name)
        except OSError:
            part.unlink(missing_ok=True)  # a full disk needs the room
            raise
        self._step("gate renamed")
        sync_folder(self.folder)

    def names(self) -> list[str]:
        """List the regular files, sorted; hidden ones are nobody's business."""
        with os.scandir(self.folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False)
            )

    def look(self, name: str) -> Arrival:
        """Tell size and stamp; the stamp holds times of content and of metadata, and the place on the disk."""
        found = (self.folder / name).lstat()
        return Arrival(found.st_size, f"{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_ino}")

    def take(self, name: str, into: Path) -> int:
        """Copy a file as it is now. Raises FileNotFoundError where it has gone, or is no regular file any more."""
        try:
            handle = os.open(self.folder / name, _READ)
        except OSError as error:
            if (self.folder / name).is_symlink():
                raise FileNotFoundError(f"{name} is a link now") from error
            raise
        with open(handle, "rb") as source:  # noqa: PTH123 - a descriptor, not a path
            found = os.fstat(source.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(f"{name} is no regular file any more")
            left = found.st_size
            with into.open("wb") as copy:
                while left and (piece := source.read(min(_PIECE, left))):
                    copy.write(piece)
                    left -= len(piece)
        return found.st_size - left

    def drop(self, name: str) -> None:
        """Remove a file, and what a crash left of putting it; nothing happens where it has gone."""
        self._part(name).unlink(missing_ok=True)
        (self.folder / name).unlink(missing_ok=True)

    def _part(self, name: str) -> Path:
        """Return our own hidden name for it, always the same, so that a crash leaves at most one behind."""
        return self.folder / f".{name}.isthmus-part"
