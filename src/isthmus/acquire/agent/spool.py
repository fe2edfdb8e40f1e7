"""Results on the disk while the server is away: one entry for each delivery, two files each.

`<number>.content` holds the contents one after the other (or is the fetched file itself, moved here), and
`<number>.json` says whose they are. The latter is written last under a hidden name and renamed: an entry is there
or it is not, whatever dies. Nothing is synced: a result that a power cut takes is no request lost, its lease runs
out and it is fetched again; what such a cut left torn is found by its digest and dropped.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from blake3 import blake3

from isthmus.acquire.failure import Failure
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got, Held, Parcel, Task
from isthmus.core.errors import Corrupt

Step = Callable[[str], None]
"""Is told the name of each step that was just taken; tests kill the process there."""

_NAME_DIGITS = 12
_OVERHEAD = 1024


def no_step(step: str) -> None:
    """Do nothing at a step."""


class _Kept(msgspec.Struct, frozen=True):
    """One result of an entry; without a failure its content is the next `size` bytes."""

    task: Task
    size: int = 0
    digest: str = ""
    told: Told = Told()
    failure: Failure | None = None


class _Entry(msgspec.Struct, frozen=True):
    callback: str
    alone: bool
    kept: tuple[_Kept, ...]


_ENTRY = msgspec.json.Decoder(_Entry)


@dataclass(frozen=True, slots=True)
class Spooled:
    """An entry that was taken out, to be delivered. It stays on the disk until `remove`."""

    number: int
    callback: str
    parcels: tuple[Parcel, ...]


class Spool:
    """The entries of one folder, oldest first. Safe to use from many threads of one process."""

    def __init__(self, folder: Path, most_bytes: int, step: Step = no_step) -> None:
        """Open the folder and sweep what a crash left. Raises OSError."""
        self._folder, self._most, self._step = folder, most_bytes, step
        self._lock = threading.Lock()
        self._sizes: dict[int, int] = {}
        self._held: dict[int, tuple[Held, ...]] = {}
        self._free: list[int] = []
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._sweep()
        self._free = sorted(self._sizes)  # a sorted list is a heap
        self._bytes = sum(self._sizes.values())
        self._next = max(self._sizes, default=0) + 1

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def bytes(self) -> int:
        """The size of all entries."""
        return self._bytes

    @property
    def ready(self) -> bool:
        """Tell whether there is an entry that nobody has taken out."""
        return bool(self._free)

    @property
    def full(self) -> bool:
        """Tell whether nothing more is to be fetched for it."""
        return bool(self._sizes) and self.bytes >= self._most

    def held(self) -> list[Held]:
        """List the requests whose results this process put here, for heartbeats."""
        with self._lock:
            return [one for entry in self._held.values() for one in entry]

    def let_go(self, lost: Iterable[Held]) -> None:
        """Prolong the leases of these no longer. Their results stay: they may still count."""
        gone = frozenset(lost)
        with self._lock:
            for number, held in self._held.items():
                self._held[number] = tuple(one for one in held if one not in gone)

    def put(self, callback: str, parcels: Sequence[Parcel]) -> bool:
        """Keep results of one delivery; False where there is no room. A content in a file is moved here.

        Raises OSError; nothing is kept then, and nothing was moved.
        """
        size = _OVERHEAD + sum(one.outcome.size for one in parcels if isinstance(one.outcome, Got))
        with self._lock:
            if self._bytes + size > self._most:
                return False
            number = self._next
            self._next += 1
            self._sizes[number] = size
            self._bytes += size
        try:
            self._write(number, callback, parcels)
        except OSError:
            self.remove(number)
            raise
        with self._lock:
            self._held[number] = tuple(Held(one.task.request, one.task.fence) for one in parcels)
            heapq.heappush(self._free, number)
        self._step("spooled")
        return True

    def take(self) -> Spooled | None:
        """Return the oldest entry that nobody has taken out; None where there is none. What is torn is dropped.

        Raises OSError where an entry cannot be read.
        """
        while True:
            with self._lock:
                if not self._free:
                    return None
                number = heapq.heappop(self._free)
            try:
                return self._read(number)
            except (Corrupt, FileNotFoundError):
                self.remove(number)
            except OSError:
                self.give_back(number)
                raise

    def give_back(self, number: int) -> None:
        """Put an entry back that could not be delivered."""
        with self._lock:
            heapq.heappush(self._free, number)

    def remove(self, number: int) -> None:
        """Forget an entry: its results were delivered."""
        self._unlink(number)
        with self._lock:
            self._bytes -= self._sizes.pop(number, 0)
            self._held.pop(number, None)

    def _write(self, number: int, callback: str, parcels: Sequence[Parcel]) -> None:
        gots = [one.outcome for one in parcels if isinstance(one.outcome, Got)]
        content, moved = self._content(number), None
        if len(gots) == 1 and isinstance(gots[0].content, Path):
            moved = gots[0].content
        else:
            with content.open("wb") as file:
                for one in gots:
                    if isinstance(one.content, bytes):
                        file.write(one.content)
        self._step("spool content")
        entry = _Entry(callback, moved is not None, tuple(_kept(parcel) for parcel in parcels))
        part = self._folder / f".{number:0{_NAME_DIGITS}d}.part"
        try:
            part.write_bytes(msgspec.json.encode(entry))
            if moved is not None:
                _move(moved, content)
            part.replace(self._json(number))
        except OSError:
            if moved is not None and not moved.exists() and content.exists():
                _move(content, moved)
            part.unlink(missing_ok=True)
            raise

    def _read(self, number: int) -> Spooled:
        try:
            entry = _ENTRY.decode(self._json(number).read_bytes())
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Corrupt(f"entry {number} of the spool is torn") from error
        content, parcels = self._content(number), []
        if entry.alone:
            found = content.stat().st_size
            for kept in entry.kept:
                if kept.failure is None and kept.size != found:
                    raise Corrupt(f"entry {number} of the spool is torn")
                parcels.append(Parcel(kept.task, kept.failure or Got(content, kept.size, kept.digest, kept.told)))
            return Spooled(number, entry.callback, tuple(parcels))
        with content.open("rb") as file:
            for kept in entry.kept:
                bytes_ = file.read(kept.size) if kept.failure is None else b""
                if kept.failure is None and blake3(bytes_).hexdigest() != kept.digest:
                    raise Corrupt(f"entry {number} of the spool is torn")
                parcels.append(Parcel(kept.task, kept.failure or Got(bytes_, kept.size, kept.digest, kept.told)))
        return Spooled(number, entry.callback, tuple(parcels))

    def _sweep(self) -> None:
        whole = {file.stem for file in self._folder.glob("[0-9]*.json")}
        for file in list(self._folder.iterdir()):
            if file.name.startswith(".") or (file.suffix == ".content" and file.stem not in whole):
                file.unlink(missing_ok=True)
        for stem in whole:
            if stem.isdigit():
                size = _OVERHEAD
                with contextlib.suppress(FileNotFoundError):
                    size += self._content(int(stem)).stat().st_size
                self._sizes[int(stem)] = size

    def _unlink(self, number: int) -> None:
        self._json(number).unlink(missing_ok=True)  # first: without it the entry is none
        self._content(number).unlink(missing_ok=True)

    def _json(self, number: int) -> Path:
        return self._folder / f"{number:0{_NAME_DIGITS}d}.json"

    def _content(self, number: int) -> Path:
        return self._folder / f"{number:0{_NAME_DIGITS}d}.content"


def _kept(parcel: Parcel) -> _Kept:
    outcome = parcel.outcome
    if isinstance(outcome, Failure):
        return _Kept(parcel.task, failure=outcome)
    return _Kept(parcel.task, outcome.size, outcome.digest, outcome.told)


def _move(source: Path, to: Path) -> None:
    """Move a file, also from another disk."""
    try:
        source.replace(to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copyfile(source, to)
        source.unlink()
