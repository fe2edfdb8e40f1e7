"""Takes images in ahead of the engine: base64 read, digest made, content checked on a few threads.

The engine applies entries one after the other; what costs time in an entry is its image. So entries come in
batches whose images are made ready together. `take` then only looks up the text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from isthmus.gallery.piece import is_piece, piece_refusal
from isthmus.gallery.record import Document
from isthmus.gallery.store import inline

Check = Callable[[bytes], str | None]
"""Says why an image is refused; None where it is good. Called on several threads."""

_BATCH_BYTES = 16 * 1024 * 1024
_BATCH_ENTRIES = 256
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


class Intake:
    """Makes images ready. Belongs to one transaction at a time; `close` ends its threads."""

    def __init__(self, check: Check | None) -> None:
        self._check = check
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="intake")
        self._ready: dict[str, Ready | None] = {}

    def ahead(self, entries: Iterable[R]) -> Iterator[R]:
        """Hand the entries on in batches, each when all its images are ready.

        The threads rest while a batch is applied: every statement of SQLite lets go of the interpreter, and would
        wait for a thread to hand it back.
        """
        batch: list[R] = []
        held = 0
        for entry in entries:
            batch.append(entry)
            held += len(entry.raw)
            if held >= _BATCH_BYTES or len(batch) >= _BATCH_ENTRIES:
                yield from self._prepared(batch)
                batch, held = [], 0
        yield from self._prepared(batch)

    def take(self, text: str) -> Ready | None:
        """Return the image that a field's text is; None where it is none."""
        return self._ready[text] if text in self._ready else self._made(text)

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

    def _prepared(self, batch: list[R]) -> Iterator[R]:
        texts: dict[str, None] = {}
        for entry in batch:
            if inline.FIELD in entry.raw:
                texts.update(dict.fromkeys(inline.texts(entry.fields)))
        known = list(texts)
        parts = [known[at : at + _TOGETHER] for at in range(0, len(known), _TOGETHER)]
        for part, made in zip(parts, self._pool.map(self._all_made, parts), strict=True):
            self._ready.update(zip(part, made, strict=True))
        yield from batch
        self._ready.clear()

    def _all_made(self, texts: list[str]) -> list[Ready | None]:
        return [self._made(text) for text in texts]

    def _made(self, text: str) -> Ready | None:
        content = inline.image_of(text)
        return None if content is None else self.of(content)
