"""Takes images in ahead of the engine: base64 read, digest made, content checked on a few threads.

The engine applies entries one after the other; what costs time in an entry is its image. So entries come in
batches whose images are made ready together. `take` then only looks up the text.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from isthmus.gallery.piece import is_piece, piece_refusal
from isthmus.gallery.record import Document
from isthmus.gallery.store import inline

Check = Callable[[bytes], str | None]
"""Says why an image is refused; None where it is good. Called on several threads."""

_BATCH_BYTES = 4 * 1024 * 1024
_BATCH_ENTRIES = 128
_AHEAD = 2
"""So many batches are made ready while one is applied."""
_THREADS = 2
_TOGETHER = 8


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that came: its digest, its size in bytes, its bytes, and why it is refused."""

    digest: bytes
    size: int
    content: bytes
    refused: str | None


class Raw(Protocol):
    """An oplog entry, as far as it matters here."""

    @property
    def raw(self) -> bytes:
        """Its BSON."""
        ...

    @property
    def fields(self) -> Document:
        """What it says."""
        ...


R = TypeVar("R", bound=Raw)


@dataclass(frozen=True, slots=True)
class _Batch(Generic[R]):
    """Entries, and the texts of their images in parts, each with what comes of it."""

    entries: list[R]
    parts: list[tuple[list[str], Future[list[Ready | None]]]]


class Intake:
    """Makes images ready. Belongs to one transaction at a time; `close` ends its threads."""

    def __init__(self, check: Check | None) -> None:
        self._check = check
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._ready: dict[str, Ready | None] = {}

    def ahead(self, entries: Iterable[R]) -> Iterator[R]:
        """Hand the entries on in batches, each when all its images are ready.

        While a batch is applied and written, the images of those after it are made ready.
        """
        coming: deque[_Batch[R]] = deque()
        try:
            for batch in _batches(entries):
                coming.append(self._begun(batch))
                if len(coming) > _AHEAD:
                    yield from self._prepared(coming.popleft())
            while coming:
                yield from self._prepared(coming.popleft())
        finally:
            self._ready = {}
            for left in coming:
                for _, making in left.parts:
                    making.cancel()

    def take(self, text: str) -> Ready | None:
        """Return the image that a field's text is; None where it is none."""
        return self._ready[text] if text in self._ready else self._made(text)

    def ready(self) -> list[Ready]:
        """Return the images that were made ready together with the one that is asked for now."""
        return [one for one in self._ready.values() if one is not None]

    def of(self, content: bytes) -> Ready:
        """Make an image ready that came as bytes."""
        from blake3 import blake3

        judge = piece_refusal if is_piece(content) else self._check
        refused = judge(content) if judge else None
        return Ready(blake3(content).digest(), len(content), content, refused)

    def clear(self) -> None:
        """Forget what was made ready."""
        self._ready.clear()

    def close(self) -> None:
        """End the threads."""
        self.clear()
        self._pool.shutdown()

    def _begun(self, entries: list[R]) -> _Batch[R]:
        texts: dict[str, None] = {}
        for entry in entries:
            if inline.FIELD in entry.raw:
                texts.update(dict.fromkeys(inline.texts(entry.fields)))
        known = list(texts)
        parts = [known[at : at + _TOGETHER] for at in range(0, len(known), _TOGETHER)]
        return _Batch(entries, [(part, self._pool.submit(self._all_made, part)) for part in parts])

    def _prepared(self, batch: _Batch[R]) -> Iterator[R]:
        self._ready = {}
        for part, making in batch.parts:
            self._ready.update(zip(part, making.result(), strict=True))
        yield from batch.entries

    def _all_made(self, texts: list[str]) -> list[Ready | None]:
        return [self._made(text) for text in texts]

    def _made(self, text: str) -> Ready | None:
        content = inline.image_of(text)
        return None if content is None else self.of(content)


def _batches(entries: Iterable[R]) -> Iterator[list[R]]:
    """Gather entries until they are many or large."""
    batch: list[R] = []
    held = 0
    for entry in entries:
        batch.append(entry)
        held += len(entry.raw)
        if held >= _BATCH_BYTES or len(batch) >= _BATCH_ENTRIES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
