"""Images on the disk: each content once, and a link to it at every path that a request gave it.

    <root>/<uniform path>                             what people see: hard links to contents
    <root>/.contents/<2 digits>/<digest>.<ext>        each content once, by the BLAKE3 of its bytes
    <root>/.thumbnails/<2 digits>/<digest>/<edge>.jpg made when somebody looks
    <root>/.parts/<worker>/<n>.part                   what is being written; a worker's folder goes with it

A group of images is stored in five steps: its contents are written as parts; what was written is made durable; the
parts are renamed to their contents; links are made at the paths; the names are made durable. Death at any moment
leaves parts, which the next start removes, or whole contents and links, which doing it again finds. Where the file
system cannot link (another device, none at all, 65,000 links on one content) the path gets a copy.
"""

# Paths are plain strings here: making a Path costs as much as the call that it is made for.
# ruff: noqa: PTH103, PTH105, PTH108, PTH112, PTH116, PTH120, PTH123

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing.naming import EXTENSIONS
from isthmus.acquire.filing.recent import Recent
from isthmus.acquire.filing.work import Draft
from isthmus.acquire.image import Filed
from isthmus.core.errors import InputError

CONTENTS, THUMBNAILS, PARTS = ".contents", ".thumbnails", ".parts"

_NO_LINK = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


class Sync(Protocol):
    """Makes durable what was written. Raises OSError."""

    def __call__(self, files: Iterable[str], folders: Iterable[str]) -> None:
        """Return when these files' content and these folders' names are on the disk."""
        ...


def sync_each(files: Iterable[str], folders: Iterable[str]) -> None:
    """Sync file by file, folder by folder: right everywhere, and slow."""
    for path in (*files, *folders):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_of(root: Path) -> Sync:
    """Return the quickest way to sync under a folder: one call for the file system where the kernel has it."""
    try:
        syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return sync_each
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def sync_all(files: Iterable[str], folders: Iterable[str]) -> None:
        if syncfs(handle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    return sync_all


@dataclass(slots=True)
class Entry:
    """A draft on its way to the disk. `failure` is set where the disk did not take it."""

    draft: Draft
    part: str = ""
    failure: Failure | None = None
    content: str = ""
    """Where the content is to lie."""

    @property
    def outcome(self) -> Filed | Failure:
        """What to tell whoever sent it."""
        return self.failure or self.draft.filed


class Contents:
    """Stores groups of drafts under a root. One thread uses one; any number of processes may share the root."""

    def __init__(
        self, root: Path, sync: Sync | None = None, step: Callable[[str], None] = lambda name: None
    ) -> None:
        """Make the folders. `step` is told the name of each step before it is done.

        `sync` makes files and folders durable; it alone may be called on another thread.
        """
        root.mkdir(parents=True, exist_ok=True)
        self._root = str(root.resolve())
        self.sync = sync or sync_of(root)
        self._step = step
        self._folders: set[str] = set()
        self._new: set[str] = set()
        self._count = 0
        self._recent = Recent()
        self._parts, self._lock = _own_folder(root / PARTS)

    def write(self, group: Sequence[Entry]) -> None:
        """Write the contents that are not there yet, as parts."""
        self._step("write")
        for entry in group:
            entry.content = content_path(self._root, entry.draft.filed)
            try:
                if not _has(entry):
                    entry.part = f"{self._parts}/{self._count}.part"
                    self._count += 1
                    _write(entry.part, entry.draft.content)
            except OSError as error:
                _note(entry, error)
            self._step("written one")

    def unsynced(self, group: Sequence[Entry]) -> tuple[list[str], list[str]]:
        """Return the files and folders that `sync` has to make durable for a group, and for groups before."""
        folders = list(self._new)
        self._new.clear()
        return [entry.part for entry in group if entry.part], folders

    def settle(self, group: Sequence[Entry]) -> None:
        """Make durable what was written, and the names of groups before. Raises OSError."""
        self._step("sync")
        self.sync(*self.unsynced(group))

    def publish(self, group: Sequence[Entry]) -> None:
        """Give contents and paths their names; `settle` then makes them durable."""
        self._step("rename")
        for entry in group:
            if entry.part:
                try:
                    self._rename(entry)
                except OSError as error:
                    _note(entry, error)
                self._step("renamed one")
        self._step("link")
        for entry in group:
            try:
                if entry.failure is None:
                    self._link(entry)
            except OSError as error:
                _note(entry, error)
            self._step("linked one")

    def store(self, group: Sequence[Entry]) -> list[Filed | Failure]:
        """Do all steps for one group."""
        try:
            self.write(group)
            self.settle(group)
            self.publish(group)
            self.settle(())
        except OSError as error:
            self.fail(group, error)
        return [entry.outcome for entry in group]

    def fail(self, group: Sequence[Entry], error: OSError) -> None:
        """Let a group count as not taken. Names that it has already may stay: doing it again finds them."""
        for entry in group:
            if entry.part:
                with contextlib.suppress(OSError):
                    os.unlink(entry.part)
                entry.part = ""
            entry.failure = entry.failure or _failure(error)
        self._new |= {os.path.dirname(content_path(self._root, entry.draft.filed)) for entry in group}
        self._folders.clear()

    def close(self) -> None:
        """Remove the folder of parts."""
        shutil.rmtree(self._parts, ignore_errors=True)
        os.close(self._lock)

    def _rename(self, entry: Entry) -> None:
        if _has(entry):  # another request brought the same content meanwhile
            os.unlink(entry.part)
        else:
            self._in_folder(os.rename, entry.part, entry.content)
            self._recent.add(entry.content, len(entry.draft.content))
        entry.part = ""

    def _link(self, entry: Entry) -> None:
        content, target = entry.content, inside(self._root, entry.draft.filed.path)
        for _ in range(3):
            try:
                self._in_folder(os.link, content, target)
                return
            except FileExistsError:
                if os.path.samestat(os.stat(target), os.stat(content)):
                    return
                if self._linked_over(content, target):
                    return
            except FileNotFoundError:  # the content was removed meanwhile, with its last request
                self._rewrite(entry, content)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                self._rewrite(entry, target)
                return
        raise OSError(errno.EBUSY, "the content is removed again and again")

    def _linked_over(self, content: str, target: str) -> bool:
        """Put a link in the place of another file; a copy made earlier counts where linking is not possible."""
        aside = f"{self._parts}/{self._count}.part"
        self._count += 1
        try:
            os.link(content, aside)
            os.replace(aside, target)
        except OSError as error:
            if error.errno not in _NO_LINK:
                raise
            with open(target, "rb") as there, open(content, "rb") as wanted:
                return there.read() == wanted.read()
        return True

    def _rewrite(self, entry: Entry, target: str) -> None:
        """Write a file of its own, durable by itself. Rare."""
        folder, name = os.path.split(target)
        part = f"{folder}/.{name}.part"
        self._in_folder(lambda _, to: _write(to, entry.draft.content, again=True), "", part)
        sync_each((part,), ())
        os.replace(part, target)

    def _in_folder(self, action: Callable[[str, str], None], source: str, target: str) -> None:
        """Do something that needs the folder of `target`, which may be new, or removed when it was empty."""
        folder = target[: target.rindex("/")]
        if folder not in self._folders:
            self._make(folder)
        try:
            action(source, target)
        except FileNotFoundError:
            if os.path.isdir(folder):
                raise
            self._make(folder)
            action(source, target)
        self._new.add(folder)

    def _make(self, folder: str) -> None:
        missing = folder
        while len(missing) > len(self._root) and not os.path.isdir(missing):
            missing = os.path.dirname(missing)
            self._new.add(missing)
        os.makedirs(folder, exist_ok=True)
        if len(self._folders) > 100_000:
            self._folders.clear()
        self._folders.add(folder)


def content_path(root: str, filed: Filed) -> str:
    """Return where a content lies, by its digest."""
    return f"{root}/{CONTENTS}/{filed.digest[:2]}/{filed.digest}.{EXTENSIONS[filed.format]}"


def inside(root: str, path: str) -> str:
    """Return a path under the root. Raises InputError for one that would leave it or touch what is not shown."""
    if not path or path[0] in "./" or path[-1] == "/" or "//" in path or "/." in path or "\0" in path:
        raise InputError(f"{path!r} is no path of an image")
    return f"{root}/{path}"


def tidy_parts(root: Path) -> int:
    """Remove what workers that are no more left half written; return how many folders."""
    removed = 0
    for folder in root.glob(f"{PARTS}/*"):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
                removed += 1
            finally:
                os.close(handle)
    return removed


def _own_folder(parts: Path) -> tuple[str, int]:
    """Make a folder that is locked as long as this process lives; return it with its handle.

    Until it is locked it is anybody's to tidy away; then another one is made.
    """
    parts.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parts / secrets.token_hex(6)
        folder.mkdir()
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(handle), folder.stat()):  # nobody tidied it away in between
                    return str(folder), handle
            os.close(handle)


def _write(path: str, content: bytes, again: bool = False) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if again else os.O_EXCL) | os.O_CLOEXEC, 0o644)
    try:
        written = os.write(handle, content)
        while written < len(content):
            written += os.write(handle, memoryview(content)[written:])
    finally:
        os.close(handle)


def _has(entry: Entry) -> bool:
    """Tell whether the content is there already."""
    if not os.access(entry.content, os.F_OK):  # as a rule; an exception would cost twice the call
        return False
    try:
        return os.stat(entry.content).st_size == entry.draft.filed.size
    except FileNotFoundError:
        return False


def _note(entry: Entry, error: OSError) -> None:
    """Note on the entry that the disk did not take it; the others go on."""
    if entry.part:
        with contextlib.suppress(OSError):
            os.unlink(entry.part)
        entry.part = ""
    entry.failure = entry.failure or _failure(error)


def _failure(error: OSError) -> Failure:
    return Failure(Kind.DISK, f"the disk did not take the image: {error.strerror or error}")
