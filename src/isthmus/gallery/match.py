"""Search among the stored vectors of a gallery: exact, over a memory-mapped matrix of rows.

A matrix is a folder: `keys.sqlite` says which row holds whose vector, and `rows-<number>.bin` holds the rows as
they are stored, int8, float16 or bits. Of float16 rows `rounded-<number>.bin` holds int8 ones, through which the
few are found that have to be compared as float16. Every vector counts in every search: nothing is approximate.

A change writes vectors only into rows that nobody uses, makes them durable, and then commits which rows count, in
one transaction of SQLite together with the position. So whatever dies when, a row that counts is whole. A row that
is no longer used is overwritten with zeros, at the latest when the matrix is opened again. A matrix is a cache of
the gallery's store: one that has another position than the store, or none, is filled anew.
"""

from __future__ import annotations

import math
import secrets
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isthmus.core.errors import Busy, Corrupt, InputError
from isthmus.gallery.kernels import differing_bits, squared
from isthmus.gallery.nearest import BLOCK_ROWS, Rounding, nearest, squared_wide
from isthmus.gallery.room import Room, batches
from isthmus.gallery.rows import Rows
from isthmus.imaging.port import Metric, Model
from isthmus.state.store import Store

_STEPS = (
    """
    CREATE TABLE matrix (one INTEGER PRIMARY KEY CHECK (one = 1), model TEXT NOT NULL, file TEXT NOT NULL,
                         high INTEGER NOT NULL, scale REAL NOT NULL, error REAL NOT NULL, position TEXT);
    CREATE TABLE matrix_row (key BLOB PRIMARY KEY, row INTEGER NOT NULL UNIQUE, sum INTEGER NOT NULL)
                             WITHOUT ROWID;
    CREATE TABLE matrix_free (row INTEGER PRIMARY KEY)
    """,
)

_TRIES = 5


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    """A stored vector near a probe: its distance in the model's own measure, and its key."""

    distance: float
    key: bytes


class Matrix:
    """The vectors of one gallery by one model. Belongs to the thread that opened it; others open their own."""

    def __init__(self, folder: Path | None, model: Model, step: Callable[[str], None] = lambda _: None) -> None:
        """Open or create the matrix in `folder`; None keeps it in memory alone, for stores that are encrypted.

        A folder that was made for another model, or whose parts do not belong together, is emptied. `step` is told
        the name of each step of a change. Raises Busy, Corrupt, OSError.
        """
        self.model = model
        self._folder = folder
        self._step = step
        self._store = Store(Path(":memory:") if folder is None else folder / "keys.sqlite")
        self._store.migrate("matrix", _STEPS)
        self._rows: Rows | None = None
        self._rounded: Rows | None = None
        self._file = ""
        self._load()
        self._wipe(self._leftovers())

    @property
    def position(self) -> str | None:
        """Where the content stands, in the words of whoever filled it; None: it has to be filled."""
        self._follow()
        return self._position

    def __len__(self) -> int:
        self._follow()
        return self._high - int(self._dead.sum())

    def change(
        self,
        put: Iterable[tuple[bytes, bytes]] = (),
        delete: Iterable[bytes] = (),
        position: str | None = None,
    ) -> None:
        """Delete by key, then add or replace (key, vector), and stand at `position`: all of it, or nothing.

        Of a key that comes twice the last counts. Raises InputError where a vector has not the model's size, Busy,
        OSError.
        """
        with self._store.transaction() as connection:
            self._follow(begin=False)
            room = Room(connection, self._rows_held, self._rounded, self._rounding, self._high)
            for batch in batches(delete):
                room.free(batch)
            for batch_put in batches(put):
                room.put(dict(self._checked(batch_put)))
            self._step("rows written")
            self._sync()
            self._step("rows durable")
            connection.execute(
                "UPDATE matrix SET high = ?, scale = ?, error = ?, position = ?",
                (room.high, room.rounding.scale, room.rounding.error, position),
            )
        self._step("committed")
        self._load()
        self._wipe(room.freed)
        self._step("wiped")

    def clear(self) -> None:
        """Forget everything, the position too; the bytes of all rows are gone from the folder."""
        self._begin()
        self._load()

    def search(self, probe: bytes, k: int = 5) -> list[Candidate]:
        """Return the `k` nearest vectors (all, if there are fewer), nearest first; equal distances by key.

        Whether the first is near enough to be known is for the caller's threshold to say. Raises InputError where
        the probe has not the model's size, Corrupt where a found row is not what was written, Busy.
        """
        self._size_of(probe, "the probe")
        for _ in range(_TRIES):
            self._follow()
            found = self._nearest(self._typed(np.frombuffer(probe, np.uint8)), max(0, k))
            named = self._named(found)
            if not self._changed():  # else rows may hold other vectors by now
                return sorted(named)
        raise Busy(f"the matrix in {self._folder} changes all the time", "try again")

    def apart(self, probe: bytes, keys: Collection[bytes]) -> list[Candidate]:
        """Return how far the vectors of given keys are, as `search` does, in no order; unknown keys are left out.

        Raises InputError, Corrupt, Busy as `search` does.
        """
        self._size_of(probe, "the probe")
        for _ in range(_TRIES):
            self._follow()
            found: list[Candidate] = []
            for batch in batches(keys):
                found += self._apart(self._typed(np.frombuffer(probe, np.uint8)), batch)
            if not self._changed():
                return found
        raise Busy(f"the matrix in {self._folder} changes all the time", "try again")

    def check(self) -> None:
        """Compare every row with its checksum. Raises Corrupt."""
        self._follow()
        for row in self._store.rows("SELECT row, sum FROM matrix_row"):
            self._whole(row["row"], row["sum"])

    def vectors(self) -> Iterator[tuple[bytes, bytes]]:
        """Stream (key, vector), by key."""
        self._follow()
        for row in self._store.rows("SELECT key, row, sum FROM matrix_row ORDER BY key"):
            self._whole(row["row"], row["sum"])
            yield row["key"], self._view[row["row"]].tobytes()

    def close(self) -> None:
        """Close the files."""
        self._store.close()
        for rows in filter(None, (self._rows, self._rounded)):
            rows.close()

    def __enter__(self) -> Matrix:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # what a search looks at

    @property
    def _rows_held(self) -> Rows:
        assert self._rows is not None
        return self._rows

    @property
    def _view(self) -> NDArray[np.uint8]:
        return self._rows_held.view

    def _typed(self, stored: NDArray[np.uint8]) -> NDArray[Any]:
        if self.model.metric is Metric.HAMMING:
            return stored
        return stored.view(np.int8 if self.model.scale else np.dtype("<f2"))

    def _told(self, distance: float) -> float:
        if self.model.metric is Metric.HAMMING:
            return float(distance)
        return math.sqrt(max(0.0, distance)) / (self.model.scale or 1.0)

    def _nearest(self, probe: NDArray[Any], k: int) -> dict[int, float]:
        """Return the nearest rows and their distances as the kernels give them."""
        rows = self._typed(self._view[: self._high])
        if self._rounded is not None:
            rounded = self._rounded.view[: self._high].view(np.int8)
            near, apart = self._rounding.nearest(rounded, rows, self._dead, probe, k)
        else:
            measure = differing_bits if self.model.metric is Metric.HAMMING else squared
            near, apart = nearest(rows, self._dead, probe, k, measure)
        first = np.argsort(apart, kind="stable")[:k]
        return dict(zip(near[first].tolist(), apart[first].tolist(), strict=True))

    def _apart(self, probe: NDArray[Any], keys: Sequence[bytes]) -> list[Candidate]:
        marks = ",".join("?" * len(keys))
        held = self._store.rows(f"SELECT key, row, sum FROM matrix_row WHERE key IN ({marks})", keys)
        for row in held:
            self._whole(row["row"], row["sum"])
        rows = self._typed(self._view[[row["row"] for row in held]])
        if self.model.metric is Metric.HAMMING:
            distances = differing_bits(rows, probe)
        else:
            distances = squared(rows, probe) if self.model.scale else squared_wide(rows, probe)
        return [
            Candidate(self._told(distance), row["key"])
            for distance, row in zip(distances.tolist(), held, strict=True)
        ]

    def _named(self, found: dict[int, float]) -> list[Candidate]:
        named = []
        for batch in batches(found):
            marks = ",".join("?" * len(batch))
            for row in self._store.rows(f"SELECT key, row, sum FROM matrix_row WHERE row IN ({marks})", batch):
                self._whole(row["row"], row["sum"])
                named.append(Candidate(self._told(found[row["row"]]), row["key"]))
        return named

    def _whole(self, row: int, expected: int) -> None:
        if zlib.crc32(self._view[row]) != expected and not self._changed():
            raise Corrupt(f"row {row} of the matrix in {self._folder} is damaged", "fill the matrix anew")

    # how it follows its files

    def _changed(self) -> bool:
        """Tell whether another process has changed the matrix since it was loaded."""
        return bool(self._store.rows("PRAGMA data_version")[0][0] != self._version)

    def _follow(self, begin: bool = True) -> None:
        if self._changed():
            self._load(begin)

    def _load(self, begin: bool = True) -> None:
        loaded = False
        while not loaded:
            self._version = self._store.rows("PRAGMA data_version")[0][0]
            rows = self._store.rows("SELECT * FROM matrix")
            free = [row["row"] for row in self._store.rows("SELECT row FROM matrix_free")]
            if self._changed():  # the two were not read at one moment
                continue
            known = bool(rows) and rows[0]["model"] == self._kind()
            loaded = known and self._mapped(rows[0]["file"], rows[0]["high"])
            if not loaded and not begin:
                raise Busy(f"the matrix in {self._folder} is being made anew", "try again")
            if not loaded:
                self._begin()
        self._high: int = rows[0]["high"]
        self._position: str | None = rows[0]["position"]
        self._rounding = Rounding(rows[0]["scale"], rows[0]["error"])
        self._dead = np.zeros(self._high, np.bool_)
        self._dead[free] = True

    def _mapped(self, file: str, high: int) -> bool:
        """Map the files of rows; False where one is not there or too short."""
        if self._rows is None or file != self._file:
            names = [name for name, _ in self._parts(file)]
            if self._folder is not None and not all((self._folder / name).is_file() for name in names):
                return False
            for rows in filter(None, (self._rows, self._rounded)):
                rows.close()
            opened = [Rows(self._folder and self._folder / name, size) for name, size in self._parts(file)]
            self._rows, self._rounded = opened[0], opened[1] if len(opened) > 1 else None
            self._file = file
        held = [rows for rows in (self._rows, self._rounded) if rows is not None]
        for rows in held:
            rows.remap()
        return all(len(rows.view) >= high for rows in held)

    def _parts(self, file: str) -> list[tuple[str, int]]:
        """List the files of rows, and the size of a row in each."""
        parts = [(f"rows-{file}.bin", self.model.size)]
        if self.model.metric is Metric.EUCLIDEAN and not self.model.scale:
            parts.append((f"rounded-{file}.bin", self.model.size // 2))
        return parts

    def _begin(self) -> None:
        """Begin empty files of rows, and remove those that were there."""
        file = secrets.token_hex(8)
        names = {name for name, _ in self._parts(file)}
        for name, size in self._parts(file):
            Rows(self._folder and self._folder / name, size).close()
        with self._store.transaction() as connection:
            for table in ("matrix", "matrix_row", "matrix_free"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute("INSERT INTO matrix VALUES (1, ?, ?, 0, 0, 0, NULL)", (self._kind(), file))
        for other in self._folder.glob("ro*-*.bin") if self._folder else ():
            if other.name not in names:
                other.unlink(missing_ok=True)

    def _sync(self) -> None:
        for rows in filter(None, (self._rows, self._rounded)):
            rows.sync()

    def _leftovers(self) -> list[int]:
        """List the rows that do not count and yet hold something: a change did not end, or its wiping did not."""
        left: set[int] = set()
        for rows in filter(None, (self._rows, self._rounded)):
            unused = np.concatenate((np.flatnonzero(self._dead), np.arange(self._high, len(rows.view))))
            for start in range(0, len(unused), BLOCK_ROWS):
                some = unused[start : start + BLOCK_ROWS]
                left.update(some[rows.view[some].any(axis=1)].tolist())
        return sorted(left)

    def _wipe(self, rows: list[int]) -> None:
        """Overwrite rows that do not count; nobody writes meanwhile, for the transaction is immediate."""
        if not rows:
            return
        with self._store.transaction():
            self._follow(begin=False)
            for held in filter(None, (self._rows, self._rounded)):
                for row in rows:
                    if (row >= self._high or self._dead[row]) and row < len(held.view):
                        held.write(row, bytes(held.stride))
            self._sync()

    def _kind(self) -> str:
        return f"{self.model.name} {self.model.metric.value} {self.model.size} {self.model.scale:g}"

    def _checked(self, put: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for key, vector in put:
            self._size_of(vector, "a vector")
            yield key, vector

    def _size_of(self, vector: bytes, what: str) -> None:
        if len(vector) != self.model.size:
            raise InputError(
                f"{what} has {len(vector)} bytes, those of {self.model.name} have {self.model.size}",
                "make it with the gallery's own model",
            )
