"""Seals recorded bundles and hands them to the carrier, one after the other or several at a time.

Whatever the number of lanes, a bundle goes the same way: recorded, sealed into the outbox, noted, put, noted. Only
the sealing and the putting happen in other threads. The ledger is read and written by the calling thread alone, so
a crash leaves nothing but rows that stand at one of these states, and finishing them gives the same bytes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from isthmus.core.ports import Carrier, Cut
from isthmus.transfer.bundle import LEVEL
from isthmus.transfer.formats import Format
from isthmus.transfer.gate import Step
from isthmus.transfer.ledger import Bundled, Ledger
from isthmus.transfer.sealing import Sealing

Send = Callable[[Bundled, Cut | None], None]
"""Takes a recorded bundle with its cut, or a sealed one without."""

Paced = Callable[[Bundled, Literal["packed", "sent"], float], None]
"""Is told, on the thread of the ledger, in how many seconds a bundle was packed or handed to the carrier."""

MOST_LEVEL = 19
"""Higher ones need windows beyond what receivers allow."""

_AHEAD = 2
"""So many bundles a lane are under way, so that no lane waits for the ledger."""


def unpaced(row: Bundled, what: str, seconds: float) -> None:
    """Take no note of how long something took."""


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What a thread has sealed: name to BLAKE3, and in how many seconds."""

    files: Mapping[str, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """How a stream is sent. Times in seconds; a cadence of 0 means never (a snapshot: only on demand).

    `parallel`: so many increments are sealed and put at a time where several are due. With more than one, the
    carrier is used by several threads, and so are the members of the source's cuts. `level` is how hard zstd tries
    in bundles of the format tar; with 0 nothing is packed.
    """

    format: Format = "tar"
    cut_bytes: int = 64 << 20
    cut_s: float = 60.0
    carousel_files: int = 8
    carousel_s: float = 3600.0
    heartbeat_s: float = 60.0
    snapshot_s: float = 0.0
    keep_files: int = 256
    keep_s: float = 7 * 86_400.0
    parallel: int = 1
    level: int = LEVEL

    def __post_init__(self) -> None:
        if self.parallel < 1:
            raise ValueError(f"{self}: parallel is at least 1")
        if not 0 <= self.level <= MOST_LEVEL:
            raise ValueError(f"{self}: level is 0 to {MOST_LEVEL}")
        if self.cut_bytes < 1 or not 0 <= self.carousel_files <= self.keep_files or self.keep_files < 1:
            raise ValueError(f"{self}: cut_bytes and keep_files are at least 1, carousel_files at most keep_files")


class Sending:
    """Sends bundles of one stream."""

    def __init__(
        self,
        ledger: Ledger,
        sealing: Sealing,
        carrier: Carrier,
        outbox: Path,
        parallel: int,
        step: Step,
        paced: Paced = unpaced,
    ) -> None:
        self._ledger, self._sealing, self._carrier = ledger, sealing, carrier
        self._outbox, self._parallel, self._step, self._paced = outbox, parallel, step, paced

    @contextlib.contextmanager
    def lanes(self, events: list[str]) -> Iterator[Send]:
        """Send what the block hands over, at its end all of it. Raises the first error of any of them.

        After an error nothing new is begun; what was under way is finished and written down.
        """
        if self._parallel == 1:
            yield lambda row, cut: self.finish(row, cut, events)
            return
        with ThreadPoolExecutor(self._parallel, "isthmus-sending") as threads:
            lanes = _Lanes(self, threads, self._parallel * _AHEAD, events)
            try:
                yield lanes.send
            finally:
                lanes.drain()
            lanes.check()

    def finish(self, row: Bundled, cut: Cut | None, events: list[str]) -> None:
        """Seal a recorded row and put it; a sealed one needs no cut. Raises OSError."""
        if cut is not None:
            row = self.noted(row, self.seal(row, cut))
        self.put(row)
        events.append(told(row))

    def put(self, row: Bundled) -> None:
        """Hand the files of a sealed row to the carrier, and note it. Raises OSError."""
        self.carried(row, self.carry(row))

    def seal(self, row: Bundled, cut: Cut) -> _Sealed:
        """Make the files of a row. Touches no ledger. Raises OSError."""
        begun = time.perf_counter()
        files = self._sealing.seal(row, cut)
        return _Sealed(files, time.perf_counter() - begun)

    def noted(self, row: Bundled, made: _Sealed) -> Bundled:
        """Write down that the files of a row are complete."""
        row = self._ledger.change(row, "sealed", made.files)
        self._step("outbound noted")
        self._paced(row, "packed", made.seconds)
        return row

    def carry(self, row: Bundled) -> float:
        """Hand the files of a row to the carrier; return its seconds. Touches no ledger. Raises OSError."""
        begun = time.perf_counter()
        for name in row.files:
            self._carrier.put(name, self._outbox / name)
            self._step("outbound put")
        return time.perf_counter() - begun

    def carried(self, row: Bundled, seconds: float) -> None:
        """Write down that the carrier has the files of a row."""
        self._ledger.change(row, "put")
        self._step("outbound sent")
        self._paced(row, "sent", seconds)


class _Lanes:
    """Bundles under way in threads. All methods belong to the thread of the ledger."""

    def __init__(self, sending: Sending, threads: ThreadPoolExecutor, most: int, events: list[str]) -> None:
        self._sending, self._threads, self._most, self._events = sending, threads, most, events
        self._running: dict[Future[Any], Bundled] = {}
        self._failed: BaseException | None = None

    def send(self, row: Bundled, cut: Cut | None) -> None:
        """Begin with a bundle once there is room. Raises what went wrong with another one."""
        while len(self._running) >= self._most and self._failed is None:
            self._settle()
        self.check()
        if cut is not None:
            self._running[self._threads.submit(self._sending.seal, row, cut)] = row
        else:
            self._running[self._threads.submit(self._sending.carry, row)] = row

    def drain(self) -> None:
        """Wait for all that is under way, and write it down."""
        while self._running:
            self._settle()

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self._failed is not None:
            raise self._failed

    def _settle(self) -> None:
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            row = self._running.pop(future)
            try:
                self._note(row, future.result())
            except BaseException as error:  # noqa: BLE001 - raised by `check`, once the others have ended
                self._failed = self._failed or error

    def _note(self, row: Bundled, done: _Sealed | float) -> None:
        """Write down what a thread has done; what it sealed is put next."""
        if isinstance(done, float):
            self._sending.carried(row, done)
            self._events.append(told(row))
            return
        row = self._sending.noted(row, done)
        if self._failed is None:
            self._running[self._threads.submit(self._sending.carry, row)] = row


def told(row: Bundled, how: str = "sent") -> str:
    """Say that a bundle was sent."""
    return f"{how} {row.kind.value} {row.until}: {', '.join(row.files)}"
