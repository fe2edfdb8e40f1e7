"""A barrier is taken: cut, kept from cleanup, linked aside and proven file by file.

1. Cut: the versions of all published tables at one moment (`recovery.cut`).
2. Pin: a tag keeps each version from cleanup. A version that went before it was pinned is no error: cut again.
3. Stage: every file of every pinned version is hard-linked aside, or copied where the folder lies on another file
   system (then only what the last barrier did not have). What is linked stays, whatever happens to the table.
4. Prove: the BLAKE3 of each file that the last barrier did not have under the same identity, path and size. The
   manifest is proven always: another one under the same version means that the table was put back from a copy,
   so all its files are proven anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.ports import Clock
from isthmus.recovery.barrier import Barrier, HeldFile, TableAt
from isthmus.recovery.cut import Moved, Published, Seen, Sight, collect, same
from isthmus.state.files import replacing, sync_folder
from isthmus.transfer.gate import Step, no_step
from isthmus.warehouse.catalog import Catalog
from isthmus.warehouse.files import TableFile, files_of
from isthmus.warehouse.name import TableName
from isthmus.warehouse.place import local_path
from isthmus.warehouse.table import Table

__all__ = ["Capture", "Captured", "Moved", "Published", "Seen"]

_NO_LINK = frozenset((errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS))
_OF_THE_DISK = frozenset((errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT))
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Pinned:
    """A table at a version that a tag keeps, and the files of that version."""

    sight: Sight
    table: Table
    place: Path
    files: tuple[TableFile, ...]


@dataclass(frozen=True, slots=True)
class Captured:
    """A barrier, all of whose files lie aside or were in the barrier before.

    `replaced` names tables whose manifest became another one under the same version; `damaged` are files that are
    no longer what they were when they were proven first: the barrier goes on to tell of what they were.
    """

    barrier: Barrier
    replaced: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()


class Capture:
    """Takes barriers of the tables under one root. The tag of a round is `<stream>-<key>`."""

    def __init__(
        self, catalog: Catalog, folder: Path, stream: str, clock: Clock, width: int = 4, step: Step = no_step
    ) -> None:
        """Speak of a root; `folder` takes what is laid aside, `width` files are proven at once.

        Raises InputError where the root is on no file system of this machine.
        """
        root = local_path(catalog.root)
        if root is None:
            raise InputError(
                f"the tables under {catalog.root} cannot be linked aside", "publish from a root on a file system"
            )
        self._catalog, self._root, self._staged = catalog, root, folder / "staged"
        self._stream, self._clock, self._width, self._step = stream, clock, width, step

    def cut(self, published: Callable[[], Sequence[Published]]) -> Seen:
        """Find the versions of all published tables at one moment. Raises Busy, InputError."""
        return collect(self._root, published, self._clock)

    def pin(self, key: str, seen: Seen) -> tuple[Pinned, ...]:
        """Keep every version from cleanup by the tag of a round, and list its files.

        Raises Moved where a version is not there any more, InputError for a table that cannot be replicated.
        """
        return tuple(self._pin(key, sight) for sight in seen.tables)

    def stage(
        self,
        key: str,
        seen: Seen,
        pinned: Sequence[Pinned],
        last: Barrier | None,
        *,
        everything: bool,
        prove_all: bool = False,
    ) -> Captured:
        """Lay the files of all pinned versions aside and prove those that `last` does not prove.

        `everything` copies, where no link is possible, also what `last` has. `prove_all` proves every file that
        lies aside. Raises Moved where a file has gone, InputError for tables that no barrier can hold, OSError.
        """
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        tables: dict[str, TableAt] = {}
        files: dict[str, dict[str, HeldFile]] = {}
        replaced: list[str] = []
        damaged: list[str] = []
        with ThreadPoolExecutor(self._width, "prove") as pool:
            for one in pinned:
                table = _table_at(one)
                if table.identity in tables:
                    raise InputError(
                        f"{table.name} and {tables[table.identity].name} have one identity: a folder was copied",
                        "make the copy by creating a table and filling it, or publish only one of them",
                    )
                tables[table.identity] = table
                into = folder / table.identity
                trusted = _trusted(one, last, table.identity)
                if self._put_back(one, into, last, table):
                    trusted = {}
                    replaced.append(table.name)
                lie = [file.path for file in one.files if self._lay(one, into, file, trusted, everything)]
                proven = _proven(pool, into, [path for path in lie if prove_all or path not in trusted])
                files[table.identity], harmed = _held(one, proven, trusted)
                damaged += [f"{table.name}: {path}" for path in harmed]
                self._step("backup proven")
        _sync(folder)
        for one in pinned:
            self._again(one)
        return Captured(Barrier(key, seen.at, tables, files), tuple(replaced), tuple(damaged))

    def tag(self, key: str) -> str:
        """Return the tag that keeps the versions of a round."""
        return f"{self._stream}-{key}"

    def folder(self, key: str) -> Path:
        """Return where the files of a round lie aside, each at `<identity>/<path>`."""
        return self._staged / key

    def held(self) -> frozenset[str]:
        """Return the keys of all rounds that hold a tag or a folder here."""
        tag = re.compile(rf"{re.escape(self._stream)}-(\d{{8}}_\d{{6}})\.json")
        keys = {match[1] for file in self._tags("*") if (match := tag.fullmatch(file.name))}
        return frozenset(keys | ({one.name for one in self._staged.iterdir()} if self._staged.is_dir() else set()))

    def release(self, *keys: str) -> None:
        """Let go of the tags and the staged files of rounds; what is not there is no error. Raises OSError.

        Tables are found by the tag, not by name: one may have been renamed since. Their own files stay.
        """
        for key in keys:
            for file in self._tags(self.tag(key)):
                file.unlink(missing_ok=True)  # as Lance does it; a fence, or damage to the table, is no obstacle
            self._step("backup unpinned")
            with contextlib.suppress(FileNotFoundError):  # nothing lay there, or another process is at it too
                shutil.rmtree(self.folder(key))
            self._step("backup freed")

    def _tags(self, tag: str) -> Iterator[Path]:
        return self._root.glob(f"*/*/*.lance/_refs/tags/{tag}.json")

    def _pin(self, key: str, sight: Sight) -> Pinned:
        name = TableName.parse(sight.published.name)
        uri = self._catalog.uri(name)
        place = self._root / name.database / name.schema / f"{name.table}.lance"
        try:
            table = Table(uri, self._catalog.storage_options, version=sight.version)
            same(sight, place)
            table.pin(self.tag(key))
            self._step("backup pinned")
            same(sight, place)  # a cleanup that had begun before the tag stood may have taken it
            return Pinned(sight, table, place, self._listed(sight, table, place))
        except (ValueError, OSError, Corrupt) as error:
            raise _meant(error, f"version {sight.version} of {name} went before it was pinned") from error

    def _listed(self, sight: Sight, table: Table, place: Path) -> tuple[TableFile, ...]:
        try:
            return files_of(table)
        except InputError:
            same(sight, place)  # else it is no refusal: the version has gone
            raise

    def _put_back(self, one: Pinned, into: Path, last: Barrier | None, table: TableAt) -> bool:
        """Lay the manifest aside; tell whether the table was put back: to another manifest, an older version."""
        file = next(file for file in one.files if file.path == table.manifest)
        self._lay(one, into, file, {}, everything=True)
        if last is None or table.identity not in last.tables:
            return False
        was = last.files[table.identity].get(file.path)
        other = was is not None and _digest(into / file.path) != was.digest
        return other or table.version < last.tables[table.identity].version

    def _lay(
        self, one: Pinned, into: Path, file: TableFile, trusted: Mapping[str, HeldFile], everything: bool
    ) -> bool:
        """Lay a file aside; False where it could only be copied and need not be."""
        source, place = one.place / file.path, into / file.path
        if place.exists():
            return True
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            try:
                place.hardlink_to(source)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                if file.path in trusted and not everything:
                    return False
                _copy(source, place)
            if place.stat().st_size != file.size:
                raise Moved(f"{source} has another size than when it was listed")
        except FileNotFoundError as error:
            raise Moved(f"{source} went before it was laid aside") from error
        self._step("backup linked")
        return True

    def _again(self, one: Pinned) -> None:
        """Look again, now that all lies aside: it is still what was pinned. Raises Moved."""
        name = one.sight.published.name
        try:
            same(one.sight, one.place)
            table = Table(one.table.uri, self._catalog.storage_options, version=one.sight.version)
            if self._listed(one.sight, table, one.place) != one.files:
                raise Moved(f"version {one.sight.version} of {name} has other files now")
        except (ValueError, OSError, Corrupt) as error:
            raise _meant(error, f"{name} went while it was laid aside") from error


def _meant(error: Exception, what: str) -> Exception:
    """Say what an error at a table means: the disk refused, or the version has gone."""
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        return error
    return Moved(f"{what}: {str(error).partition(chr(10))[0]}")


def _trusted(one: Pinned, last: Barrier | None, identity: str) -> dict[str, HeldFile]:
    """Return the files of a version that the last barrier had, with the same path and size."""
    known = last.files.get(identity, {}) if last else {}
    sizes = {file.path: file.size for file in one.files}
    return {path: held for path, held in known.items() if sizes.get(path) == held.size}


def _copy(source: Path, into: Path) -> None:
    """Copy a file, durably, whole or not at all."""
    with source.open("rb") as content, replacing(into) as copy:
        shutil.copyfileobj(content, copy, _PIECE)


def _sync(folder: Path) -> None:
    """Make the names of all files in a folder durable."""
    for place, _, _ in os.walk(folder):
        sync_folder(Path(place))
    sync_folder(folder.parent)


def _table_at(one: Pinned) -> TableAt:
    sight, table = one.sight, one.table
    try:
        return TableAt(
            sight.published.name,
            table.identity,
            sight.version,
            f"_versions/{sight.manifest}",
            int(table.dataset.count_rows()),
            sight.published.distribution,
            sight.published.grants,
        )
    except ValueError as error:
        raise InputError(
            f"the table {sight.published.name} cannot be replicated: {error}",
            "it was not made by this catalogue; ingest it anew",
        ) from error


def _proven(pool: Executor, into: Path, paths: Sequence[str]) -> dict[str, bytes]:
    """Return the BLAKE3 of files that lie aside, by path."""
    return dict(zip(paths, pool.map(_digest, (into / path for path in paths)), strict=True))


def _held(
    one: Pinned, proven: Mapping[str, bytes], trusted: Mapping[str, HeldFile]
) -> tuple[dict[str, HeldFile], list[str]]:
    """Return the files of a table by path, and which of them are not what they were.

    Table files never change. So one that did is damaged: the other site has it whole, and keeps it so.
    """
    files, damaged = {}, []
    for file in one.files:
        was = trusted.get(file.path)
        if was is not None:
            files[file.path] = was
            if proven.get(file.path, was.digest) != was.digest:
                damaged.append(file.path)
            continue
        try:
            files[file.path] = HeldFile(file.path, file.size, proven[file.path])
        except ValueError as error:
            raise InputError(f"the table {one.sight.published.name} cannot be replicated: {error}") from error
    return files, damaged


def _digest(file: Path) -> bytes:
    state, piece = blake3(), bytearray(_PIECE)
    with file.open("rb", buffering=0) as source:
        while size := source.readinto(piece):
            state.update(memoryview(piece)[:size])
    return state.digest()
