"""Pulls contents by digest with credits: never more asked for and not come than the device allows itself.

A content is asked for in stretches from where its part file ends. At its end its BLAKE3 is checked; a wrong one is
thrown away and asked for once more from the start, a second wrong one ends the session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from isthmus.core.errors import Corrupt
from isthmus.gallery.sync.item import Ref
from isthmus.gallery.sync.messages import CREDIT_BYTES, Gone, Piece, Pull, Want
from isthmus.gallery.sync.ports import Holding, Part

_STRETCH = 256 * 1024
_WANTS = 100


@dataclass(slots=True)
class _Coming:
    """A content on its way: `asked` is up to where it was asked for, and `tried` how often from the start."""

    content: Ref
    part: Part
    asked: int
    tried: int = 0


class Fetch:
    """Fetches contents over a session's channel."""

    def __init__(
        self,
        holding: Holding,
        send: Callable[[Pull], Awaitable[None]],
        receive: Callable[[], Awaitable[Piece | Gone]],
    ) -> None:
        self._holding, self._send, self._receive = holding, send, receive
        self._coming: dict[bytes, _Coming] = {}
        self._asking: deque[_Coming] = deque()
        self._stretches: deque[Want] = deque()
        self._credit = CREDIT_BYTES
        self.bytes = 0
        self.refetched = 0

    async def all(self, contents: Sequence[Ref], progress: Callable[[int], None]) -> set[bytes]:
        """Fetch contents; returns the digests of those that are no longer offered. Raises Corrupt."""
        gone: set[bytes] = set()
        queue = deque(contents)
        self._coming, self._asking, self._stretches = {}, deque(), deque()
        self._credit = CREDIT_BYTES
        try:
            while True:
                await self._ask(queue)
                if not self._stretches:
                    return gone
                self._took(await self._receive(), gone, progress)
        finally:
            for coming in self._coming.values():
                coming.part.close()

    async def _ask(self, queue: deque[Ref]) -> None:
        """Ask for as much as the credit allows."""
        wants: list[Want] = []
        while self._credit > 0:
            open_ = self._open(queue)
            if open_ is None:
                break
            length = min(_STRETCH, self._credit, open_.content.size - open_.asked)
            wants.append(Want(open_.content.digest, open_.asked, length))
            open_.asked += length
            if open_.asked == open_.content.size:
                self._asking.popleft()
            self._credit -= length
            if len(wants) == _WANTS:
                await self._pull(wants)
                wants = []
        if wants:
            await self._pull(wants)

    def _open(self, queue: deque[Ref]) -> _Coming | None:
        """Return a content that was not wholly asked for yet; None where there is none."""
        while not self._asking and queue:
            content = queue.popleft()
            part = self._holding.part(content)
            coming = _Coming(content, part, part.offset)
            self._coming[content.digest] = coming
            if coming.asked < content.size:
                self._asking.append(coming)
            else:  # all was there but not yet checked
                self._finish(coming)
        return self._asking[0] if self._asking else None

    async def _pull(self, wants: list[Want]) -> None:
        self._stretches.extend(wants)
        await self._send(Pull(wants))

    def _took(self, message: Piece | Gone, gone: set[bytes], progress: Callable[[int], None]) -> None:
        want = self._stretches[0]
        if message.digest != want.digest:
            raise Corrupt("the server sent another content than the one asked for", "synchronise again")
        coming = self._coming.get(want.digest)
        if isinstance(message, Gone):
            self._stretches.popleft()
            self._credit += want.length
            gone.add(want.digest)
            if coming is not None:
                coming.part.close()
                del self._coming[want.digest]
                if coming in self._asking:
                    self._asking.remove(coming)
            return
        size = len(message.content)
        if message.offset != want.offset or not 0 < size <= want.length:
            raise Corrupt("the server sent another stretch than the one asked for", "synchronise again")
        self.bytes += size
        self._credit += size
        if size == want.length:
            self._stretches.popleft()
        else:
            self._stretches[0] = Want(want.digest, want.offset + size, want.length - size)
        progress(size)
        if coming is not None:
            coming.part.write(message.content)
            if coming.part.offset >= coming.content.size:
                self._finish(coming)

    def _finish(self, coming: _Coming) -> None:
        if coming.part.finish():
            del self._coming[coming.content.digest]
            return
        coming.tried += 1
        if coming.tried > 1 or not coming.content.size:
            del self._coming[coming.content.digest]
            raise Corrupt(
                f"the server sent wrong bytes twice for the content {coming.content.digest.hex()[:16]}",
                "check the server's image files",
            )
        self.refetched += 1
        coming.part = self._holding.part(coming.content)
        coming.asked = coming.part.offset
        self._asking.append(coming)
