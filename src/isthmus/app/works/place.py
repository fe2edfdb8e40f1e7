"""Where works lie: a folder for each, with what was brought along, what it writes, and what it prints.

<id>/in/<parameter>/…   files that came with the call; removed when the work has ended
<id>/files/…            what the command writes: it runs there
<id>/stdout.txt, stderr.txt
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from isthmus.app.works.arguments import RESERVED, Checked
from isthmus.app.works.work import Operation
from isthmus.state.files import private_folder

MOST_LISTED = 1000


class Place:
    """The folder of all works."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, id: str, operation: Operation, values: Checked, files: Mapping[str, bytes]) -> None:
        """Make a work's folders, and put what was brought along into them."""
        own = self._folder / id
        for folder in (self._folder, own, own / "in", own / "files"):
            private_folder(folder)
        for parameter in operation.parameters:
            if parameter.kind != "file in" or parameter.name not in values:
                continue
            named = values[parameter.name]
            for name in named if isinstance(named, tuple) else (named,):
                path = own / "in" / parameter.name / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files[name])

    def runs_in(self, id: str) -> Path:
        """Return the folder that a work's command runs in."""
        return self._folder / id / "files"

    def printed(self, id: str, stream: str) -> Path:
        """Return the file of what a work printed on `stdout` or `stderr`."""
        return self._folder / id / f"{stream}.txt"

    def ended(self, id: str) -> tuple[str, ...]:
        """Remove what was brought along; returns the names of what the work wrote."""
        shutil.rmtree(self._folder / id / "in", ignore_errors=True)
        root = self.runs_in(id)
        return tuple(str(path.relative_to(root)) for path in _plain(root))[:MOST_LISTED]

    def file(self, id: str, name: str, known: Collection[str]) -> Path | None:
        """Return where a file of a work lies; None where it has none of that name. `known` are those it wrote."""
        if name in RESERVED:
            path = self._folder / id / name
        elif name in known:
            path = self.runs_in(id) / name
        else:
            return None
        return path if path.is_file() and not path.is_symlink() else None

    def size(self, id: str) -> int:
        """Count the bytes that a work takes."""
        return sum(path.stat().st_size for path in _plain(self._folder / id))

    def beyond(self, most: int, live: set[str]) -> Iterator[str]:
        """Find the works whose files go, so that all but the living take `most` bytes: the oldest."""
        total = 0
        for id in sorted(self.ids() - live, reverse=True):
            total += self.size(id)
            if total > most:
                yield id

    def remove(self, id: str) -> None:
        """Remove a work's folder."""
        shutil.rmtree(self._folder / id, ignore_errors=True)

    def ids(self) -> set[str]:
        """Return the works that have a folder."""
        return {path.name for path in self._folder.iterdir() if path.is_dir()} if self._folder.is_dir() else set()


def _plain(root: Path) -> Iterator[Path]:
    """Find the plain files below a folder in the order of their names; links are passed over."""
    if root.is_dir():
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(root.resolve()):
                yield path
