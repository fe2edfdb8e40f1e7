"""Copies a table's files so that each is proven by its BLAKE3, on disk, and under its name whole or not at all.

Each file is read once: what is hashed is what is written. It is written as `<name>.part`; when all are proven and
synced they take their names in the order in which they were given, so that a caller who names manifests last
never shows a version whose files are missing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from blake3 import blake3

from isthmus.core.errors import Corrupt
from isthmus.core.progress import Progress, Report, silent
from isthmus.recovery.barrier import HeldFile
from isthmus.state.files import sync_folder
from isthmus.transfer.gate import no_step

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 8
"""More than cores: most of them wait for the disk."""
_PIECE_BYTES = 256 << 10
"""Stays in a core's own cache from reading over hashing to writing."""
_STRETCH_BYTES = 8 << 20
"""After so many bytes the disk is told to begin writing them, so that the sync at the end has little left."""
_LARGE_BYTES = 1 << 20
"""From this size on a file is synced by the thread that wrote it, while others write on."""
_GROUP = 256
"""Small files that are synced together: the first sync of a journal carries most of what the others would."""
_SYNCING = 8


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not the one that is wanted. `size` and `digest` are those found, None where there is none."""

    wanted: HeldFile
    size: int | None = None
    digest: bytes | None = None

    def __str__(self) -> str:
        if self.size is None or self.digest is None:
            return f"{self.wanted.path} is missing"
        if self.size != self.wanted.size:
            return f"{self.wanted.path} has {self.size} bytes, not {self.wanted.size}"
        return f"{self.wanted.path} has BLAKE3 {self.digest.hex()[:16]}…, not {self.wanted.digest.hex()[:16]}…"


class Damaged(Corrupt):
    """Files that are not what they should be, each told by `damages`."""

    def __init__(self, damages: Sequence[Damage], folder: Path) -> None:
        self.damages = tuple(damages)
        self.folder = folder
        more = f" and {len(damages) - 1} more" if len(damages) > 1 else ""
        super().__init__(
            f"damaged in {folder}: {self.damages[0]}{more}", "repair the files from the other site, then try again"
        )

    def __reduce__(self) -> tuple[type, tuple[Sequence[Damage], Path]]:  # type: ignore[override]
        return type(self), (self.damages, self.folder)


@dataclass(frozen=True, slots=True)
class Copied:
    """How many files were copied, and how many bytes they have."""

    files: int
    bytes: int


def copy_files(
    files: Iterable[HeldFile],
    source: Path,
    target: Path,
    threads: int = THREADS,
    *,
    report: Report = silent,
    step: Callable[[str], None] = no_step,
) -> Copied:
    """Copy files from one folder to another, durably and proven; all of them take their names, or none.

    A file that is there already under a name is replaced. A crash while names are given leaves the first of them,
    whole, and `.part` files, which the same call writes anew. Raises Damaged where a file is not the one that is
    wanted (all of them are looked at), OSError where reading, writing or syncing fails.
    """
    wanted = tuple(files)
    for folder in {(target / file.path).parent for file in wanted} | {target}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        _Copy(source, target, step).all(wanted, threads, report)
        step("synced")
        for file in wanted:
            _part(target, file).replace(target / file.path)
            step("named")
    except BaseException:
        for file in wanted:
            _part(target, file).unlink(missing_ok=True)
        raise
    for folder in sorted({parent for file in wanted for parent in _folders(target, file)}):
        sync_folder(folder)
    step("folders synced")
    return Copied(len(wanted), sum(file.size for file in wanted))


def damages_of(
    files: Iterable[HeldFile], folder: Path, threads: int = THREADS, report: Report = silent
) -> tuple[Damage, ...]:
    """Read files and return those that are not what is wanted, in order. Raises OSError where reading fails."""
    wanted = tuple(files)
    progress = _progress("prove", wanted, report)
    pieces = _Pieces()

    def prove(run: Sequence[HeldFile]) -> tuple[Sequence[HeldFile], list[Damage]]:
        damages = (_read(file, folder / file.path, pieces.mine(), lambda piece: None) for file in run)
        return run, [damage for damage in damages if damage]

    found: list[Damage] = []
    with ThreadPoolExecutor(threads, "prove") as pool:
        for run, damages in _results(pool, prove, _runs(wanted)):
            progress(run)
            found += damages
    return tuple(found)


class _Copy:
    """Writes the parts of files and brings them to disk."""

    def __init__(self, source: Path, target: Path, step: Callable[[str], None]) -> None:
        self._source, self._target, self._step = source, target, step
        self._pieces = _Pieces()
        self._unsynced: list[BinaryIO] = []

    def all(self, wanted: Sequence[HeldFile], threads: int, report: Report) -> None:
        """Write and sync all parts. Raises Damaged, OSError."""
        progress = _progress("copy", wanted, report)
        damages: list[Damage] = []
        with ThreadPoolExecutor(threads, "copy") as copiers, ThreadPoolExecutor(_SYNCING, "sync") as syncers:
            for start in range(0, len(wanted), _GROUP):
                try:
                    for run, found in _results(copiers, self._write, _runs(wanted[start : start + _GROUP])):
                        progress(run)
                        damages += found
                    self._step("written")
                    shares = [self._unsynced[number::_SYNCING] for number in range(_SYNCING)]
                    for _ in _results(syncers, _sync, shares):
                        pass
                finally:
                    while self._unsynced:
                        self._unsynced.pop().close()
        if damages:
            raise Damaged(damages, self._source)

    def _write(self, run: Sequence[HeldFile]) -> tuple[Sequence[HeldFile], list[Damage]]:
        damages = (self._write_one(file) for file in run)
        return run, [damage for damage in damages if damage]

    def _write_one(self, file: HeldFile) -> Damage | None:
        part = _part(self._target, file).open("wb", buffering=0)
        try:
            damage = _read(file, self._source / file.path, self._pieces.mine(), _writer(part))
            if damage is None and file.size >= _LARGE_BYTES:
                os.fsync(part.fileno())
            elif damage is None:
                self._unsynced.append(part)  # the group syncs and closes it
                return None
        except BaseException:
            part.close()
            raise
        part.close()
        return damage


class _Pieces:
    """Lends each thread a piece of memory to read into."""

    def __init__(self) -> None:
        self._local = threading.local()

    def mine(self) -> memoryview:
        """Return this thread's own."""
        piece = getattr(self._local, "piece", None)
        if piece is None:
            piece = self._local.piece = memoryview(bytearray(_PIECE_BYTES))
        return piece


def _read(file: HeldFile, place: Path, piece: memoryview, write: Callable[[memoryview], None]) -> Damage | None:
    """Read a file to its end, but not far beyond the size that is wanted; hand on what was read, and judge it."""
    seen, digest = 0, blake3()
    try:
        with place.open("rb", buffering=0) as content:
            while (read := content.readinto(piece)) and seen <= file.size:
                digest.update(piece[:read])
                write(piece[:read])
                seen += read
            seen = max(seen, os.fstat(content.fileno()).st_size)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return Damage(file)
    found = digest.digest()
    return None if (seen, found) == (file.size, file.digest) else Damage(file, seen, found)


def _writer(part: BinaryIO) -> Callable[[memoryview], None]:
    """Return what appends pieces to a part, and has the disk begin with each stretch that is complete."""
    begun = written = 0

    def write(piece: memoryview) -> None:
        nonlocal begun, written
        _whole(part, piece)
        written += len(piece)
        if written - begun >= _STRETCH_BYTES and hasattr(os, "posix_fadvise"):
            # Linux begins to write dirty pages that are not needed any more, and does not wait for them
            os.posix_fadvise(part.fileno(), begun, written - begun, os.POSIX_FADV_DONTNEED)
            begun = written

    return write


def _whole(part: BinaryIO, piece: memoryview) -> None:
    """Write all of a piece: a disk that is nearly full takes some of it first."""
    while piece:
        piece = piece[part.write(piece) :]


def _results(pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the results in order; after the first error nothing more is begun, and what was begun has ended."""
    futures = [pool.submit(work, item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _sync(parts: Sequence[BinaryIO]) -> None:
    for part in parts:
        os.fsync(part.fileno())


def _runs(files: Sequence[HeldFile]) -> list[Sequence[HeldFile]]:
    """Join neighbours while they are small: handing single ones to threads takes longer than copying them."""
    runs: list[list[HeldFile]] = []
    room = -1
    for file in files:
        if file.size > room:
            runs.append([])
            room = _LARGE_BYTES
        runs[-1].append(file)
        room -= file.size
    return list(runs)


def _progress(stage: str, wanted: Sequence[HeldFile], report: Report) -> Callable[[Sequence[HeldFile]], None]:
    """Return what is to be called with the files that are done."""
    total, done = sum(file.size for file in wanted), 0

    def tell(run: Sequence[HeldFile]) -> None:
        nonlocal done
        done += sum(file.size for file in run)
        report(Progress(stage, done, total, "B"))

    return tell


def _part(target: Path, file: HeldFile) -> Path:
    place = target / file.path
    return place.with_name(place.name + ".part")


def _folders(target: Path, file: HeldFile) -> list[Path]:
    """Return the folders whose names lead to a file, from the one that holds `target` down."""
    folder = (target / file.path).parent
    return [target.parent, *(parent for parent in (folder, *folder.parents) if parent.is_relative_to(target))]
