"""What is wrong with the tables of a standby, and putting it right: damaged files, and what others wrote.

A damaged file is replaced by a good copy, and no other file is touched. What somebody else wrote into a replicated
table is set aside, as a table that can be opened, and the replica is again what it was.

    <folder>/rogue/<name>-<YYYYMMDD_HHMMSS>.lance
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from blake3 import blake3

from isthmus.recovery.barrier import HeldFile, key_of
from isthmus.recovery.contents import Contents, copy, is_content, link
from isthmus.recovery.placing import HINT, VERSIONS, Place, fits, folder_of, path_of
from isthmus.state.files import private_folder, sync_folder

_NOT_OURS = ("_refs",)
"""Folders of a table that hold no files of a version: tags and branches are this site's own affair."""


_Read = dict[Path, tuple[tuple[int, int, int], bytes]]
"""What files looked like when they were read, and their BLAKE3."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of a table that is not what it should be, and how: `size` and `digest` are what it should have."""

    name: str
    path: str
    kind: Literal["missing", "truncated", "grown", "flipped"]
    size: int
    digest: bytes

    def __str__(self) -> str:
        return f"{self.path} of {self.name} is {self.kind}"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that was found and that a person should know: `kind` is `rogue` or `desync`."""

    at: datetime
    kind: str
    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: {self.what}"


class Mending:
    """Finds and replaces damaged files among `files`."""

    def __init__(
        self,
        root: Path,
        files: Mapping[Place, HeldFile],
        source: Callable[[bytes, int], Path | None],
        contents: Contents,
    ) -> None:
        """`source` finds a proven copy of a content at this site."""
        self._root, self._files, self._source, self._contents = root, files, source, contents

    def check(self, deep: bool) -> list[Damage]:
        """Look at all files, or read them, too."""
        found = []
        for place, file in sorted(self._files.items(), key=lambda one: (one[0].name, one[0].path)):
            kind = self._kind(path_of(self._root, place), file, deep)
            if kind is not None:
                found.append(Damage(place.name, place.path, kind, file.size, file.digest))
        return found

    def repair(self, fetch: Callable[[bytes], Path | None]) -> tuple[list[Damage], dict[bytes, int]]:
        """Replace what is damaged; return that, and the contents (BLAKE3 to size) without a good copy."""
        replaced, lost = [], {}
        for damage in self.check(deep=True):
            source = self._good(damage, fetch)
            target = path_of(self._root, Place(damage.name, damage.path))
            if source is not None and put_copy(source, target, damage.digest, damage.size):
                replaced.append(damage)
            else:
                lost[damage.digest] = damage.size
        return replaced, lost

    def _good(self, damage: Damage, fetch: Callable[[bytes], Path | None]) -> Path | None:
        if self._contents.proven(damage.digest, damage.size):
            return self._contents.path(damage.digest)
        return self._source(damage.digest, damage.size) or fetch(damage.digest)

    @staticmethod
    def _kind(
        path: Path, file: HeldFile, deep: bool
    ) -> Literal["missing", "truncated", "grown", "flipped"] | None:
        if not fits(path, file.size):
            if not path.is_file() or path.is_symlink():
                return "missing"
            return "truncated" if path.stat().st_size < file.size else "grown"
        return "flipped" if deep and not is_content(path, file.digest, file.size) else None


class Rogues:
    """Finds what others wrote into the tables under a root, and sets it aside in a folder."""

    def __init__(self, root: Path, folder: Path, manifest_copy: Callable[[bytes], Path]) -> None:
        """`manifest_copy` tells where the manifest of a digest is kept."""
        self._root, self._folder, self._copy = root, folder, manifest_copy
        self._read: dict[str, _Read] = {}

    def files(self, name: str) -> dict[str, int]:
        """List the files of a table's folder with their sizes, but for tags, the hint and what is under way."""
        folder = folder_of(self._root, name)
        found = {}
        for place, folders, files in os.walk(folder):
            folders[:] = [one for one in folders if one not in _NOT_OURS]
            for file in files:
                path = Path(place, file)
                if not file.startswith(".") and file != HINT:
                    found[path.relative_to(folder).as_posix()] = path.lstat().st_size
        return found

    def look(
        self,
        name: str,
        known: Mapping[str, bytes],
        coming: Mapping[str, bytes],
        shown: Mapping[str, HeldFile],
        now: datetime,
        everything: Callable[[str], Mapping[str, bytes]],
    ) -> list[str]:
        """Look at the manifests of a table, and put right what is wrong; return that in words.

        `known` are its manifests with their digests (empty: any will do), `coming` the files that a publication
        is placing, `shown` the manifests that readers open; `everything` tells all known files of a table.
        """
        folder = folder_of(self._root, name)
        rogue: list[str] = []
        found: list[str] = []
        before, self._read[name] = self._read.get(name, {}), {}
        for file in sorted((folder / VERSIONS).glob("*.manifest")):
            path = f"{VERSIONS}/{file.name}"
            if known.get(path) == b"":
                continue
            digest = self._digest(file, before, self._read[name])
            if digest is not None and digest not in (known.get(path), coming.get(path)):
                rogue.append(path)
        if rogue:
            place = self.aside(name, {**everything(name), **coming}, now, rogue)
            (folder / VERSIONS / HINT).unlink(missing_ok=True)
            found.append(f"somebody wrote to the replica ({', '.join(rogue)}); that was set aside in {place}")
        for path, held in shown.items():
            kept = self._copy(held.digest)
            if not (folder / path).exists() and put_copy(kept, folder / path, held.digest, held.size):
                found.append(f"{path}, which is shown, was put back")
        return found

    def aside(
        self, name: str, known: Mapping[str, bytes], now: datetime, rogue: list[str] | None = None
    ) -> Path | None:
        """Move the files of a table that are not known, and the manifests `rogue`, aside; return where."""
        there = self.files(name)
        foreign = sorted({path for path in there if path not in known} | set(rogue or ()))
        folder = folder_of(self._root, name)
        if not foreign:
            return None
        private_folder(self._folder)
        here = folder.stat().st_dev == self._folder.stat().st_dev
        target = self._copied(name, there if here else foreign, now)  # linked whole it is a table that opens
        for path in sorted(foreign, key=lambda path: not path.startswith(VERSIONS)):
            (folder / path).unlink(missing_ok=True)
        return target

    def copy_aside(self, name: str, now: datetime) -> Path:
        """Keep a table aside as it is, by links where that can be; return where it is."""
        private_folder(self._folder)
        return self._copied(name, self.files(name), now)

    def _copied(self, name: str, paths: Iterable[str], now: datetime) -> Path:
        folder = folder_of(self._root, name)
        base = self._folder / f"{name}-{key_of(now)}.lance"
        target, number = base, 1
        while target.exists():
            number += 1
            target = base.with_name(f"{base.stem}-{number}.lance")
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        for path in paths:
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            link(folder / path, part / path)
        part.rename(target)
        sync_folder(self._folder)
        return target

    @staticmethod
    def _digest(file: Path, before: _Read, now: _Read) -> bytes | None:
        """Return the BLAKE3 of a file; one that looks as before is not read again."""
        try:
            found = file.stat()
            mark = (found.st_mtime_ns, found.st_size, found.st_ino)
            known = before.get(file)
            digest = known[1] if known and known[0] == mark else blake3(file.read_bytes()).digest()
        except FileNotFoundError:
            return None
        now[file] = (mark, digest)
        return digest


def put_copy(source: Path, target: Path, digest: bytes, size: int) -> bool:
    """Put a copy of a content in a place, durably; False where the source is not that content."""
    if not is_content(source, digest, size):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    copy(source, part)
    if not is_content(part, digest, size):
        part.unlink()
        return False
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    part.replace(target)
    sync_folder(target.parent)
    return True
