"""What the pool has its workers do: batches of images, thumbnails; and whom the death of a worker counts against.

No I/O; the pool decides when, and the rules here what becomes of a job whose worker died.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.filing.wire import Drawing, Item
from isthmus.acquire.image import Arrived, Filed, size_of

MOST_BLAME = 6
MARKED, UNMARKED, OUTSIDE = 3, 2, 1
"""How much a death counts against images: two at the same image, three at nobody knows which, six by others' hands
(SIGKILL or SIGTERM that the pool did not send)."""


@dataclass(slots=True)
class Call:
    """One call of `file`, waiting for all its images."""

    results: list[Filed | Failure | None]
    left: int
    done: asyncio.Future[None]

    def settle(self, at: int, outcome: Filed | Failure) -> None:
        """Note the outcome of one image; with the last one the call is done."""
        self.results[at] = outcome
        self.left -= 1
        if not self.left and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class Job:
    """Images that go to a worker together, each with the call and the place there that its outcome goes to."""

    images: list[tuple[Arrived, Call, int]]
    blame: int = 0
    size: int = field(init=False)
    """Bytes of the contents that are handed over, and not found in a file."""

    def __post_init__(self) -> None:
        self.size = sum(size_of(came.content) for came, _, _ in self.images if not isinstance(came.content, Path))


@dataclass(slots=True)
class Drawn:
    """A thumbnail on its way, and all who wait for it."""

    order: Drawing
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    deaths: int = 0


def item_of(came: Arrived) -> Item:
    """Return what a worker is told of an image."""
    size, file = (0, str(came.content)) if isinstance(came.content, Path) else (size_of(came.content), "")
    return Item(came.request, came.environment, came.wish, came.digest, came.told, size, file)


def contents_of(job: Job) -> list[bytes | memoryview]:
    """Return the contents that are handed over with a job, in its order and piece by piece."""
    pieces: list[bytes | memoryview] = []
    for came, _, _ in job.images:
        if isinstance(came.content, tuple):
            pieces += came.content
        elif not isinstance(came.content, Path):
            pieces.append(came.content)
    return pieces


def parted(job: Job, place: int, reason: str, points: int) -> list[Job]:
    """Set the image at which a worker died apart; one that was alone already may fail."""
    if len(job.images) == 1:
        return blamed(job, reason, points)
    rest = job.images[:place] + job.images[place + 1 :]
    return [Job(rest, job.blame), Job([job.images[place]], job.blame + points)]


def blamed(job: Job, reason: str, points: int) -> list[Job]:
    """Blame a job for a death. Beyond the bound its image fails; several, of which one did it, go one by one."""
    if job.blame + points < MOST_BLAME:
        job.blame += points
        return [job]
    if len(job.images) > 1:
        return [Job([image], MOST_BLAME - points) for image in job.images]
    _, call, at = job.images[0]
    call.settle(at, Failure(Kind.CRASHED, f"the decoder died of the image: {reason}"))
    return []
