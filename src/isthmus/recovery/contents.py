"""Contents on their way to the standby: named by their BLAKE3, staged piece by piece, proven before they are used.

    <folder>/<first two digits>/<digest>.part

A content grows from its beginning to its end, in the order of the pieces; the Store says how far it is. What the
folder holds and the Store does not speak of is nothing: it is swept away, or written anew. A content that is whole
is never written to again, for its bytes may be shared, by hard links, with a table that is being read.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from blake3 import blake3

from isthmus.core.errors import Corrupt
from isthmus.recovery.part import Piece
from isthmus.state.files import private_folder, sync_folder
from isthmus.state.store import Store
from isthmus.transfer.gate import Step, no_step

_MIGRATIONS = ("CREATE TABLE landing_content (digest BLOB PRIMARY KEY, size INTEGER, covered INTEGER)",)
_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What a file system says that makes no (further) hard link there: then the bytes are copied."""
_STRETCH = 1 << 20
_SYNCING = 8


class Contents:
    """The staged contents in a folder."""

    def __init__(self, store: Store, folder: Path, step: Step = no_step) -> None:
        store.migrate("recovery contents", _MIGRATIONS)
        self._store, self.folder, self._step = store, folder, step
        private_folder(folder)

    def path(self, digest: bytes) -> Path:
        """Return where a content is staged, whether it is or not."""
        text = digest.hex()
        return self.folder / text[:2] / f"{text}.part"

    def covered(self) -> dict[bytes, tuple[int, int]]:
        """Return of each content its size and how much of it has come, in bytes."""
        rows = self._store.rows("SELECT digest, size, covered FROM landing_content")
        return {row["digest"]: (row["size"], row["covered"]) for row in rows}

    def whole(self) -> dict[bytes, int]:
        """Return the size of each content that has come to its end."""
        return {digest: size for digest, (size, covered) in self.covered().items() if size == covered}

    def judge(self, pieces: Sequence[Piece], most_bytes: int) -> int:
        """Check that pieces lead on from what is staged; return how many bytes their contents still need.

        Raises Corrupt where one has another size than before, is too large, or begins where nothing has come to.
        """
        known = self.covered()
        need: dict[bytes, int] = {}
        for piece in pieces:
            size, at = known.get(piece.digest, (piece.size, 0))
            if piece.size != size or size > most_bytes or piece.offset > at:
                raise Corrupt(
                    f"a piece of the content {piece.digest.hex()[:16]} has another size than before, is larger"
                    f" than {most_bytes:,} bytes, or does not lead on from what has come"
                )
            need.setdefault(piece.digest, size - at)
            known[piece.digest] = size, max(at, piece.offset + piece.length)
        return sum(need.values())

    def room(self, need: int, spare: int) -> None:
        """Raise OSError (ENOSPC) where the disk has not `need` bytes and `spare` ones more."""
        free = shutil.disk_usage(self.folder).free
        if free < need + spare:
            what = f"the round needs {need:,} bytes here, {free:,} are free and {spare:,} must stay so; make room"
            raise OSError(errno.ENOSPC, what, str(self.folder))

    def take(self, pieces: Sequence[Piece], stream: Iterator[bytes]) -> None:
        """Write pieces, which were judged, from the bytes that a part holds, and make them durable.

        Nothing counts before `note`; writing them again is the same. Raises Corrupt where the bytes are fewer or
        more than the pieces say, OSError.
        """
        known = self.covered()
        feed = _Feed(stream)
        touched: dict[Path, None] = {}
        for piece in pieces:
            size, at = known.get(piece.digest, (piece.size, -1))
            if at >= piece.offset + piece.length and (piece.length or at == size):
                feed.skip(piece.length)  # it came before, and may be shared with a table by now
                continue
            path = self.path(piece.digest)
            self._write(path, piece, feed, anew=at < 0)
            touched[path] = None
            known[piece.digest] = size, piece.offset + piece.length
        feed.end()
        self._step("landing written")
        with ThreadPoolExecutor(_SYNCING) as pool:  # at once: the disk then writes its journal once for many
            for synced in (
                *[pool.submit(_sync_file, path) for path in touched],
                *[pool.submit(sync_folder, folder) for folder in {path.parent for path in touched}],
            ):
                synced.result()
        self._step("landing staged")

    def note(self, connection: sqlite3.Connection, pieces: Iterable[Piece]) -> None:
        """Write down, in an open transaction, that pieces are there."""
        connection.executemany(
            "INSERT INTO landing_content VALUES (?, ?, ?)"
            " ON CONFLICT (digest) DO UPDATE SET covered = max(covered, excluded.covered)",
            [(piece.digest, piece.size, piece.offset + piece.length) for piece in pieces],
        )

    def proven(self, digest: bytes, size: int) -> bool:
        """Tell whether a staged content is what it should be: all of it is read."""
        return is_content(self.path(digest), digest, size)

    def share(self, digest: bytes, size: int, source: Path, *, apart: bool = False) -> bool:
        """Stage a content that lies elsewhere here, by a hard link where that can be; False where it is damaged.

        `apart`: it is copied, so that what happens to one does not happen to the other.
        """
        path = self.path(digest)
        _folder_of(path)
        if apart:
            copy(source, path)
        else:
            link(source, path)
        if not is_content(path, digest, size):
            path.unlink()
            return False
        sync_folder(path.parent)
        with self._store.transaction() as connection:
            self.note(connection, [Piece(digest, size, 0, size)])
        return True

    def drop(self, digests: Iterable[bytes]) -> None:
        """Forget contents, and remove their files."""
        gone = list(digests)
        with self._store.transaction() as connection:
            connection.executemany("DELETE FROM landing_content WHERE digest = ?", [(digest,) for digest in gone])
        for digest in gone:
            self.path(digest).unlink(missing_ok=True)

    def keep_proven(self) -> None:
        """Forget what is not whole, or is not what it should be."""
        whole = self.whole()
        bad = [
            digest for digest in self.covered() if digest not in whole or not self.proven(digest, whole[digest])
        ]
        self.drop(bad)

    def sweep(self) -> None:
        """Remove files that the Store does not speak of."""
        known = {self.path(digest) for digest in self.covered()}
        for file in self.folder.glob("*/*"):
            if file not in known:
                file.unlink()

    def _write(self, path: Path, piece: Piece, feed: _Feed, *, anew: bool) -> None:
        if anew:
            _folder_of(path)
            path.unlink(missing_ok=True)
        # what lies before the piece is durable and counts; what lies behind it was never written down
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.seek(piece.offset)
            for stretch in feed.read(piece.length):
                file.write(stretch)
            file.truncate()


class _Feed:
    """Hands out the bytes of a part, piece by piece."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream, self._held = stream, memoryview(b"")

    def read(self, length: int) -> Iterator[memoryview]:
        """Hand out exactly so many bytes. Raises Corrupt where there are no more."""
        while length:
            if not self._held:
                found = next(self._stream, None)
                if found is None:
                    raise Corrupt("the part holds fewer bytes than its index says")
                self._held = memoryview(found)
                continue
            stretch, self._held = self._held[:length], self._held[length:]
            length -= len(stretch)
            yield stretch

    def skip(self, length: int) -> None:
        """Leave out so many bytes."""
        for _ in self.read(length):
            pass

    def end(self) -> None:
        """Raise Corrupt where there is anything left."""
        if self._held or any(self._stream):
            raise Corrupt("the part holds more bytes than its index says")


def is_content(path: Path, digest: bytes, size: int) -> bool:
    """Tell whether a file has a size and BLAKE3; all of it is read, from the disk where the system caches none."""
    try:
        if path.stat().st_size != size:
            return False
        whole = blake3()
        if size:
            whole.update_mmap(path)
        return whole.digest() == digest
    except (FileNotFoundError, NotADirectoryError):
        return False


def link(source: Path, target: Path) -> bool:
    """Give a file a second name, fresh to look at; where it cannot have one, copy it. `target` is replaced.

    Returns True where the bytes are shared and False where they were copied.

    A file that no manifest names yet is taken for garbage by a cleanup of its table where it looks old.
    """
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    shared = True
    try:
        part.hardlink_to(source)
        os.utime(part)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        copy(source, part)
        shared = False
    part.replace(target)
    part.unlink(missing_ok=True)  # two names of one file: then a rename does nothing
    return shared


def copy(source: Path, target: Path) -> None:
    """Copy the bytes of a file, durably; `target` is replaced, and removed again where that fails."""
    target.unlink(missing_ok=True)
    try:
        with source.open("rb") as old, target.open("xb") as new:
            shutil.copyfileobj(old, new, _STRETCH)
            new.flush()
            os.fsync(new.fileno())
    except OSError:
        target.unlink(missing_ok=True)  # a full disk needs the room
        raise


def _folder_of(path: Path) -> None:
    if not path.parent.is_dir():
        path.parent.mkdir(exist_ok=True)
        sync_folder(path.parent.parent)


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
