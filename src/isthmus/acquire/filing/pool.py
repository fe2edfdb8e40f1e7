"""Filing with worker processes: images go out in batches, and only an image that kills a worker suffers from it.

When a worker dies (or does not answer for long and is ended), its marker tells which image it was at. That image
is tried once more, alone, in a fresh worker; if that dies too, it fails as crashed. Everything else that the
worker had goes again as it was; doing an image again is harmless.

One worker is started; where all that run have much to do another one is, up to the most that the rules allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing import removal, thumbnails
from isthmus.acquire.filing.contents import content_path, inside, tidy_parts
from isthmus.acquire.filing.hand import Hand
from isthmus.acquire.filing.jobs import (
    MARKED,
    MOST_BLAME,
    OUTSIDE,
    UNMARKED,
    Call,
    Drawn,
    Job,
    blamed,
    contents_of,
    item_of,
    parted,
)
from isthmus.acquire.filing.settings import FilingRules
from isthmus.acquire.filing.wire import Answer, Drawing
from isthmus.acquire.image import Arrived, Filed
from isthmus.acquire.ports import Line
from isthmus.core.errors import Busy, InputError, IsthmusError

COMMAND = ("-m", "isthmus.acquire.filing.worker")
MOST_IN_BATCH = 32
MOST_ON_WAY = 24 << 20
"""So many bytes, or MOST_BATCHES batches, are on their way to one worker at a time."""
MOST_BATCHES = 16
MUCH = 3
"""A worker that has so many batches on its way has much to do."""
START_S = 60.0
"""So long a worker may take to start."""
REST_S = 60.0
"""After a worker that could not be started none is added for so long."""
MOST_DRAWINGS = 256
_MOST_STARTS = 3


class FilingPool:
    """Filing as the interface server asks for it. Made, started and used on one event loop."""

    def __init__(self, rules: FilingRules, command: Sequence[str] = COMMAND) -> None:
        """Take the rules; `command` is what the Python of a worker runs. Nothing is started yet."""
        self.rules = rules
        self._root = str(rules.folder.resolve())
        self._command = tuple(command)
        self._numbers = count(1)
        self._waiting: deque[Job] = deque()
        self._to_draw: deque[Drawn] = deque()
        self._drawing: dict[Path, Drawn] = {}
        self._at: dict[Hand, dict[int, Job | Drawn]] = {}
        self._most = rules.most_workers
        self._grow_at = float("-inf")
        self._starts: set[asyncio.Task[None]] = set()
        self._failed_starts = 0
        self._broken: IsthmusError | None = None
        self._closing = False
        self._watch: asyncio.Task[None] | None = None
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Remove what dead workers left half written, and start a worker. Raises InputError, OSError."""
        self.rules.folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(tidy_parts, self.rules.folder)
        self._watch = asyncio.create_task(self._watching(), name="filing watch")
        await self._start_hand(draws=False)
        await self._started.wait()
        if self._broken is not None:
            broken = self._broken
            await self.close()
            raise broken

    async def file(self, arrived: Sequence[Arrived]) -> list[Filed | Failure]:
        """Check and store images, in the same order; each is durable, or a failure with its reason."""
        if self._closing or self._watch is None:
            raise Busy("filing is not under way")
        if self._broken is not None:
            raise self._broken
        if not arrived:
            return []
        call = Call([None] * len(arrived), len(arrived), asyncio.get_running_loop().create_future())
        for first in range(0, len(arrived), MOST_IN_BATCH):
            part = arrived[first : first + MOST_IN_BATCH]
            self._waiting.append(Job([(came, call, first + at) for at, came in enumerate(part)]))
        self._hand_out()
        await call.done
        return [outcome for outcome in call.results if outcome is not None]

    async def thumbnail(self, filed: Filed, edge: int) -> Path:
        """Return the file of a JPEG whose longest edge is `edge` pixels at most, made where it is missing.

        Raises InputError where the image is gone or cannot be drawn, Busy where too many are being made.
        """
        target = thumbnails.place_of(self.rules.folder, filed.digest, edge)
        if thumbnails.made(target):
            return target
        if self._closing or self._watch is None:
            raise Busy("filing is not under way")
        drawn = self._drawing.get(target)
        if drawn is None:
            if len(self._drawing) >= MOST_DRAWINGS:
                raise Busy(f"{MOST_DRAWINGS} thumbnails are being made", "ask again in a moment")
            order = Drawing(next(self._numbers), str(self.path(filed)), str(target), edge)
            drawn = self._drawing[target] = Drawn(order)
            drawn.done.add_done_callback(lambda _: self._drawing.pop(target, None))
            self._to_draw.append(drawn)
            drawers = sum(hand.draws for hand in self._at)
            if drawers < min(self.rules.drawers, len(self._drawing)):
                await self._start_hand(draws=True)
            self._hand_out()
        await asyncio.shield(drawn.done)
        return target

    async def remove(self, lines: Sequence[Line], contents: Sequence[str]) -> int:
        """Remove the paths of requests and the contents (digests) that nobody has any more; return bytes freed."""
        return await asyncio.to_thread(removal.remove, self.rules.folder, list(lines), list(contents))

    def path(self, filed: Filed) -> Path:
        """Return the absolute path of a filed image; of its content where another request's end took its name.

        Raises InputError where it would lie outside the root.
        """
        named = Path(inside(self._root, filed.path))
        if named.exists():
            return named
        content = Path(content_path(self._root, filed))
        return content if content.exists() else named

    async def close(self) -> None:
        """Finish what is under way and end the workers."""
        self._closing = True
        waits = [call.done for call in self._calls()] + [drawn.done for drawn in self._drawing.values()]
        if waits and self._broken is None:
            await asyncio.wait(waits, timeout=2 * self.rules.patience_s)
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._starts:
            await asyncio.wait(self._starts)
        await asyncio.gather(*(hand.end() for hand in list(self._at)))

    def _calls(self) -> list[Call]:
        jobs = [*self._waiting, *(job for held in self._at.values() for job in held.values())]
        found = {id(call): call for job in jobs if isinstance(job, Job) for _, call, _ in job.images}
        return list(found.values())

    def _hand_out(self) -> None:
        """Give what waits to the workers that have least to do."""
        while self._waiting:
            hand = self._freest(draws=False)
            if hand is None:
                break
            job = self._waiting.popleft()
            number = next(self._numbers)
            self._at[hand][number] = job
            hand.file(number, [item_of(came) for came, _, _ in job.images], contents_of(job))
            self._grow()
        while self._to_draw:
            hand = self._freest(draws=True)
            if hand is None:
                break
            drawn = self._to_draw.popleft()
            self._at[hand][drawn.order.number] = drawn
            hand.draw(drawn.order)

    def _freest(self, draws: bool) -> Hand | None:
        """Return the worker with least on its way, among those that run and can take more."""
        best, least = None, MOST_ON_WAY
        most = 2 if draws else MOST_BATCHES
        for hand, held in self._at.items():
            if hand.draws == draws and hand.usable and hand.ready.is_set() and len(held) < most:
                size = sum(job.size for job in held.values() if isinstance(job, Job)) + len(held)
                if size < least:
                    best, least = hand, size
        return best

    def _grow(self) -> None:
        """Have one more worker started where all have much to do."""
        filing = {hand: held for hand, held in self._at.items() if not hand.draws}
        if self._starts or self._closing or len(filing) >= self._most:
            return
        much = all(hand.ready.is_set() and len(held) >= MUCH for hand, held in filing.items())
        if much and time.monotonic() >= self._grow_at:
            self._begin(self._add())

    def _begin(self, start: Coroutine[Any, Any, None]) -> None:
        """Begin to start a worker: no other is added meanwhile, and `close` waits for it."""
        task = asyncio.create_task(start, name="filing starts a worker")
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def _spare(self, hand: Hand) -> bool:
        """Tell whether a worker that does not start was one more than there is need of: others run."""
        others = [other for other in self._at if other is not hand and not other.draws]
        return not hand.draws and any(other.ready.is_set() for other in others)

    async def _add(self) -> None:
        try:
            await self._start_hand(draws=False)
        except OSError:
            self._rest()

    def _rest(self) -> None:
        """Add no worker for a while: the machine has no room for one, and those that run go on."""
        self._grow_at = time.monotonic() + REST_S

    async def _start_hand(self, draws: bool) -> None:
        hand = await Hand.start(self.rules, self._command, draws, self._answered, self._died)
        self._at[hand] = {}

    def _answered(self, hand: Hand, answer: Answer) -> None:
        if not answer.number:
            if answer.error:  # and now it ends
                if not self._spare(hand):
                    self._break(InputError(f"a worker of filing cannot start: {answer.error}"))
            else:
                self._failed_starts = 0
                if not hand.draws:
                    self._started.set()
            self._hand_out()
            return
        job = self._at[hand].pop(answer.number, None)
        if isinstance(job, Job):
            for (_, call, at), outcome in zip(job.images, answer.outcomes, strict=True):
                settled = outcome.filed or outcome.failure
                call.settle(at, settled or Failure(Kind.CRASHED, "the worker gave no answer"))
        elif isinstance(job, Drawn) and not job.done.done():
            if answer.error:
                job.done.set_exception(InputError(answer.error))
            else:
                job.done.set_result(None)
        self._hand_out()

    def _died(self, hand: Hand) -> None:
        """Put back what a dead worker had, with the image that it was at set apart."""
        held = self._at.pop(hand, {})
        if hand.ended:
            return
        number, place = hand.marked()
        reason = hand.why()
        again: list[Job] = []
        for batch, job in held.items():
            if isinstance(job, Drawn):
                self._died_drawing(job, batch == number and not hand.outside, reason)
            elif batch == number:
                again += parted(job, place, reason, OUTSIDE if hand.outside else MARKED)
            elif number:
                again.append(job)
            else:
                again += blamed(job, reason, OUTSIDE if hand.outside else UNMARKED)
        self._waiting.extendleft(reversed(again))
        self._hand_out()
        if not hand.ready.is_set():
            if self._spare(hand):
                self._rest()
                return
            self._failed_starts += 1
            if self._failed_starts >= _MOST_STARTS:
                self._break(IsthmusError(f"workers of filing end as soon as they start ({reason})"))
        if self._broken is None and not (hand.draws and not self._to_draw):
            self._begin(self._replace(hand.draws))

    async def _replace(self, draws: bool) -> None:
        try:
            await asyncio.to_thread(tidy_parts, self.rules.folder)
            await self._start_hand(draws)
        except OSError as error:
            self._break(IsthmusError(f"a worker of filing cannot be started: {error.strerror or error}"))

    def _died_drawing(self, drawn: Drawn, marked: bool, reason: str) -> None:
        drawn.deaths += 1
        if drawn.done.done():
            return
        if marked or drawn.deaths >= MOST_BLAME:
            drawn.done.set_exception(InputError(f"the image cannot be drawn: {reason}"))
        else:
            self._to_draw.append(drawn)

    def _break(self, error: IsthmusError) -> None:
        """Let everything that waits, and comes, fail with an error that no retry heals."""
        self._broken = error
        for call in self._calls():
            if not call.done.done():
                call.done.set_exception(error)
        for drawn in list(self._drawing.values()):
            if not drawn.done.done():
                drawn.done.set_exception(error)
        self._waiting.clear()
        self._to_draw.clear()
        self._started.set()

    async def _watching(self) -> None:
        """End workers that have not answered, or not begun, for too long."""
        patience_s = self.rules.patience_s
        while True:
            await asyncio.sleep(min(1.0, patience_s / 4))
            for hand, held in self._at.items():
                if held and hand.silent_s() > patience_s:
                    hand.kill(f"it took longer than {patience_s:g} s")
                elif not hand.ready.is_set() and hand.silent_s() > max(patience_s, START_S):
                    hand.kill("it did not begin to work")
