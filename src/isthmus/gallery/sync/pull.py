"""The device's side of a session: one task that brings every gallery the server allows up to date.

A page of items is committed only when its contents are there and verified; whatever dies in between, the next
session goes on from the last commit, and nothing that came whole is fetched again. At the end of a gallery both
digests are compared: where they differ, ranges are compared once, then a snapshot is taken, then it is an error,
told once the other galleries are up to date. No snapshot is taken where ranges were compared and the server
withheld contents, which are damaged there: it would withhold them again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from isthmus.core.errors import Corrupt, Diverged, Refused
from isthmus.core.progress import Progress, Report, silent
from isthmus.gallery.sync import messages
from isthmus.gallery.sync.fetch import Fetch
from isthmus.gallery.sync.item import Item, Ref, key_hash
from isthmus.gallery.sync.messages import (
    FORMAT,
    WINDOW,
    Again,
    Bye,
    Closed,
    Differ,
    Done,
    End,
    FromDevice,
    FromServer,
    Gone,
    Hello,
    Items,
    More,
    Noted,
    Piece,
    Pull,
    Refusal,
    Start,
    Welcome,
)
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.ports import Holding, Page
from isthmus.gallery.sync.search import Search
from isthmus.transfer.channel import Channel

_CLAIMS_A_PAGE = 200
_ACTS_A_PAGE = 100
_ACTS_PAGES = 150
_TOGETHER = 4
"""So many pages are committed at once where they are there."""

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """`idle_s`: how long the server may be silent; it may be building its index of a large gallery."""

    idle_s: float = 300.0


@dataclass(slots=True)
class GalleryReport:
    """How one gallery was brought up to date. `verified`: both sides have the same digest.

    `differs` says why they have not, after everything; empty where they have, or the gallery kept changing.
    """

    gallery: str
    tiers: list[Tier]
    written: int = 0
    removed: int = 0
    verified: bool = False
    differs: str = ""


@dataclass(slots=True)
class SyncReport:
    """How a session went. Bytes are those of messages; `content_bytes` are what part of them was content.

    `round_trips` counts how often the device had to wait for an answer other than content.
    """

    galleries: list[GalleryReport] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    bytes_received: int = 0
    content_bytes: int = 0
    content_message_bytes: int = 0
    refetched: int = 0
    round_trips: int = 0
    seconds: float = 0.0

    @property
    def exchanged_bytes(self) -> int:
        """What was exchanged to find and tell the difference, content itself apart."""
        return self.bytes_sent + self.bytes_received - self.content_message_bytes


async def pull(
    channel: Channel, holding: Holding, report: Report = silent, settings: SyncSettings = SyncSettings()
) -> SyncReport:
    """Bring what a device holds up to date.

    Raises ChannelClosed where the channel ends early (try again: it resumes), Refused where the server refuses or
    speaks nonsense, Corrupt where contents are wrong twice, Diverged where the digests of a gallery differ after
    everything: whatever can be brought up to date has been then.
    """
    began = time.monotonic()
    session = _Session(channel, holding, report, settings)
    holding.opened()
    try:
        await session.run()
    finally:
        session.report.seconds = time.monotonic() - began
        await channel.close()
    holding.closed(leftovers=session.leftovers)
    if differing := [found.differs for found in session.report.galleries if found.differs]:
        raise Diverged(
            "; ".join(differing),
            "synchronise again; if it stays so, the server's store needs a check: see its alarms",
        )
    return session.report


class _Session:
    def __init__(self, channel: Channel, holding: Holding, report: Report, settings: SyncSettings) -> None:
        self._channel, self._holding, self._progress, self._settings = channel, holding, report, settings
        self.report = SyncReport()
        self._ahead: deque[Items | End] = deque()
        self.leftovers = False
        self._withheld: dict[bytes, bytes] = {}
        self._telling = False
        self._asked = False
        self._fetch = Fetch(holding, self._send, self._content)

    async def run(self) -> None:
        await self._hello()
        starts = await self._welcome()
        for start in starts:
            found = GalleryReport(start.gallery, [start.tier])
            self.report.galleries.append(found)
            if start.tier is Tier.EQUAL:
                self._holding.settle(start, start.change, verified=True)
                found.verified = True
            else:
                await self._gallery(start, found)
        for _ in range(_ACTS_PAGES):
            if not self._telling:
                break
            self._noted(await self._answer(Noted))
            await self._tell()
        await self._send(Bye())
        self.report.content_bytes += self._fetch.bytes
        self.report.refetched = self._fetch.refetched

    async def _hello(self) -> None:
        claims = self._holding.claims()
        pages = max(1, -(-len(claims) // _CLAIMS_A_PAGE))
        for page in range(pages):
            part = claims[page * _CLAIMS_A_PAGE : (page + 1) * _CLAIMS_A_PAGE]
            await self._send(Hello(FORMAT, part, page + 1 < pages))
        await self._tell()

    async def _tell(self) -> None:
        """Send the next acts; they are forgotten once the server says that it has noted them."""
        acts = self._holding.acts(_ACTS_A_PAGE)
        if acts is not None:
            self._telling = True
            await self._send(acts)

    def _noted(self, noted: Noted) -> None:
        self._telling = False
        self._holding.told(noted.upto)

    async def _welcome(self) -> list[Start]:
        starts: list[Start] = []
        while True:
            welcome = await self._answer(Welcome)
            for gallery in welcome.dropped:
                self._holding.drop(gallery)
                self.report.dropped.append(gallery)
            starts += welcome.starts
            if not welcome.more:
                return starts

    async def _gallery(self, start: Start, found: GalleryReport) -> None:
        tier = start.tier
        while True:
            await self._holding.begin(start, tier)
            if tier is Tier.RECONCILE:
                search = Search(self._holding, start, self._send, self._differ)
                if not await search.run():
                    start, tier = await self._again(Tier.SNAPSHOT, found)
                    continue
            end = await self._listing(start, found)
            digest, count = self._holding.standing(start.gallery)
            if not end.digest or (end.digest, end.count) == (digest.lanes, count):
                break
            if Tier.RECONCILE not in found.tiers:
                following = Tier.RECONCILE
            elif Tier.SNAPSHOT not in found.tiers and not self._withheld:
                following = Tier.SNAPSHOT
            else:
                found.differs = self._difference(start.gallery)
                break
            start, tier = await self._again(following, found)
        equal = bool(end.digest) and not found.differs
        self._holding.settle(start, end.change, verified=equal)
        await self._send(Done(digest.lanes, count))
        found.verified = (await self._answer(Closed)).agreed and equal

    def _difference(self, gallery: str) -> str:
        if not self._withheld:
            return f"{gallery} differs from the server's after a snapshot"
        one = next(iter(self._withheld.values())).hex()[:16]
        return (
            f"{gallery} differs from the server's by {len(self._withheld)} records, whose contents are damaged"
            f" there, {one} among them"
        )

    async def _again(self, tier: Tier, found: GalleryReport) -> tuple[Start, Tier]:
        found.tiers.append(tier)
        self._ahead.clear()
        await self._send(Again(tier))
        welcome = await self._answer(Welcome)
        if len(welcome.starts) != 1 or (welcome.starts[0].gallery, welcome.starts[0].tier) != (
            found.gallery,
            tier,
        ):
            raise Refused("the server began another gallery than the one asked for")
        return welcome.starts[0], tier

    async def _listing(self, start: Start, found: GalleryReport) -> End:
        """Commit page after page until the end is told."""
        self._waits()
        self._withheld.clear()
        while True:
            pages: list[Items] = []
            message = await self._page()
            while isinstance(message, Items):
                pages.append(message)
                if len(pages) == _TOGETHER or not self._ahead:
                    break
                message = self._ahead.popleft()
            if pages:
                await self._commit(start, pages, found)
            if isinstance(message, End):
                return message
            await self._send(More(len(pages)))

    async def _commit(self, start: Start, pages: Sequence[Items], found: GalleryReport) -> None:
        items = [item for page in pages for item in page.items]
        for item in items:
            _conform(item, start.mode)
        contents = [content for item in items for content in item.contents]
        self.report.content_bytes += sum(len(i.vector) for i in items if isinstance(i.vector, bytes))
        gone = await self._fetch.all(self._holding.missing(contents), lambda size: None)
        self.leftovers = self.leftovers or bool(gone)
        if gone or self._withheld:
            for page in pages:
                self._account(start.key, page, gone)
        ready = [
            Page(
                [item for item in page.items if not any(part.digest in gone for part in item.contents)],
                _hashes(page.removed),
                page.upto,
                page.cursor,
            )
            for page in pages
        ]
        change = self._holding.commit(start.gallery, ready)
        found.written += change.written
        found.removed += change.removed
        self._progress(Progress(f"sync {start.gallery}", found.written + found.removed, None, "records"))

    def _account(self, key: bytes, page: Items, gone: set[bytes]) -> None:
        """Remember of which records a content is gone: of those that no later page brings, or removes."""
        for item in page.items:
            lacks = [part.digest for part in item.contents if part.digest in gone]
            if lacks:
                self._withheld[key_hash(key, item.key)] = lacks[0]
            else:
                self._withheld.pop(key_hash(key, item.key), None)
        for place in _hashes(page.removed):
            self._withheld.pop(place, None)

    # --- messages -----------------------------------------------------------------------------------------------

    async def _page(self) -> Items | End:
        return self._ahead.popleft() if self._ahead else await self._answer(Items, End)

    async def _content(self) -> Piece | Gone:
        return await self._answer(Piece, Gone)

    async def _differ(self) -> Differ:
        return await self._answer(Differ)

    async def _send(self, message: FromDevice) -> None:
        content = messages.encode(message)
        self.report.bytes_sent += len(content)
        if isinstance(message, Pull):
            self.report.content_message_bytes += len(content)
        elif not isinstance(message, More):
            self._asked = True
        await self._channel.send(content)

    def _waits(self) -> None:
        if self._asked:
            self._asked = False
            self.report.round_trips += 1

    async def _answer(self, *kinds: type[M]) -> M:
        """Wait for a message of some kinds. Pages that come ahead are kept, within the window."""
        if Piece not in kinds:
            self._waits()
        while True:
            message = await self._next()
            if isinstance(message, kinds):
                return message
            if isinstance(message, Noted):
                self._noted(message)
            elif isinstance(message, Items | End) and Piece in kinds and len(self._ahead) <= WINDOW:
                self._ahead.append(message)
            else:
                raise Refused(f"the server sent {type(message).__name__} at the wrong time")

    async def _next(self) -> FromServer:
        try:
            async with asyncio.timeout(self._settings.idle_s):
                content = await self._channel.receive()
        except TimeoutError as error:
            raise Refused(f"the server was silent for {self._settings.idle_s:g} s", "try again") from error
        self.report.bytes_received += len(content)
        message = messages.of_server(content)
        if isinstance(message, Refusal):
            raise Refused(f"the server refuses: {message.reason}")
        if isinstance(message, Piece | Gone):
            self.report.content_message_bytes += len(content)
        return message


def _conform(item: Item, mode: Mode) -> None:
    if (item.image is not None) != mode.images or (item.vector is None and not mode.images):
        raise Corrupt("the server sent a record without what the device is to have", "synchronise again")
    if item.vector is not None and not mode.vectors:
        raise Corrupt("the server sent a vector where only images were due", "synchronise again")


def _hashes(removed: bytes) -> list[bytes]:
    if len(removed) % 8:
        raise Corrupt("the server sent removals that cannot be read", "synchronise again")
    return [removed[at : at + 8] for at in range(0, len(removed), 8)]


__all__ = ["GalleryReport", "Ref", "SyncReport", "SyncSettings", "pull"]
