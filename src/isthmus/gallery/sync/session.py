"""One session of a device at the server: one task, one message after the other, in the order of states.SESSION."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from isthmus.core.errors import IllegalTransition, Refused
from isthmus.gallery.sync import listing, messages
from isthmus.gallery.sync.comparing import Comparing
from isthmus.gallery.sync.index import Index, large
from isthmus.gallery.sync.messages import (
    FORMAT,
    PIECE_BYTES,
    WINDOW,
    Acts,
    Again,
    Bye,
    Claim,
    Closed,
    Done,
    End,
    FromDevice,
    FromServer,
    Gone,
    Hello,
    Items,
    Kind,
    Leaves,
    More,
    Noted,
    Piece,
    Pull,
    Ranges,
    Start,
    Want,
    Welcome,
)
from isthmus.gallery.sync.mode import Mode, Tier
from isthmus.gallery.sync.offer import Source
from isthmus.gallery.sync.server import Served, SyncServer, Told
from isthmus.gallery.sync.states import SESSION
from isthmus.gallery.sync.tiers import Standing, choose
from isthmus.transfer.channel import Channel

_MOST_CLAIMS = 10_000
_MOST_ACTS = 20_000
_MOST_AGAIN = 3
_PAGE = 200


class Session:
    """Serves one device over one channel. `still`: see serving.serve."""

    def __init__(self, server: SyncServer, channel: Channel, served: Served, still: Callable[[], None]) -> None:
        self._server, self._channel, self._served, self._still = server, channel, served, still
        self._state = SESSION.initial
        self._claims: dict[str, Claim] = {}
        self._acts = 0
        self._waiting: deque[Start] = deque()
        self._start: Start | None = None
        self._index: Index | None = None
        self._told = Told()
        self._again = 0
        self._comparing: Comparing | None = None
        self._pages: AsyncIterator[Items | End] | None = None
        self._ended: End | None = None
        self._open: deque[set[bytes]] = deque()
        self._offered: dict[bytes, Source] = {}
        self._whole: set[bytes] = set()

    async def run(self) -> None:
        """Serve until the device says goodbye. Raises ChannelClosed, TimeoutError, Refused."""
        while self._state != "over":
            async with asyncio.timeout(self._server.settings.idle_s):
                content = await self._channel.receive()
            self._still()  # it may have been revoked meanwhile
            self._server.policy.allowed(self._served.device, ())
            message = messages.of_device(content)
            self._step(type(message).__name__)
            await self._handle(message)

    def audit_unfinished(self) -> None:
        """Note what the device got of a gallery that it did not finish."""
        if self._start is not None and self._told.items + self._told.removed + self._told.content_bytes:
            self._note("received in part")

    async def _handle(self, message: FromDevice) -> None:
        match message:
            case Hello():
                await self._hello(message)
            case Acts():
                self._acts += len(message.acts)
                if self._acts > _MOST_ACTS:
                    raise Refused(f"more than {_MOST_ACTS} acts in one session")
                if message.acts:
                    noted = self._server.policy.note(self._served.device, message.queue, message.acts)
                    await self._send(Noted(noted))
            case Ranges() | Leaves():
                await self._compare(message)
            case More():
                await self._more(message.pages)
            case Pull():
                await self._pull(message)
            case Again():
                await self._once_more(message.tier)
            case Done():
                await self._done(message)
            case Bye():
                self._start = None

    # --- greeting -----------------------------------------------------------------------------------------------

    async def _hello(self, hello: Hello) -> None:
        if hello.format != FORMAT:
            raise Refused(f"the device speaks format {hello.format}, this server {FORMAT}")
        for claim in hello.claims:
            self._claims[claim.gallery] = claim
        if len(self._claims) > _MOST_CLAIMS:
            raise Refused(f"more than {_MOST_CLAIMS} galleries")
        if hello.more:
            return
        self._step("greeted")
        self._server.policy.seen(self._served.device)
        modes = self._modes()
        starts = [await self._choose(gallery, mode) for gallery, mode in sorted(modes.items())]
        dropped = sorted(self._claims.keys() - modes.keys())
        self._served.dropped = dropped
        for gallery in dropped:
            self._server.audit.note(self._served.device, "told to delete", gallery)
        pages = max(1, -(-len(starts) // _PAGE), -(-len(dropped) // _PAGE))
        for page in range(pages):
            part = slice(page * _PAGE, (page + 1) * _PAGE)
            await self._send(Welcome(starts[part], dropped[part], page + 1 < pages))
        equal = {start.gallery: start.change for start in starts if start.tier is Tier.EQUAL}
        self._server.policy.reached(self._served.device, equal, dropped)
        self._waiting.extend(start for start in starts if start.tier is not Tier.EQUAL)
        await self._next()

    async def _choose(self, gallery: str, mode: Mode, tier: Tier | None = None) -> Start:
        """Say how a gallery is brought up to date, by the device's claim or as a tier asked for."""
        index = await self._server.index(gallery, mode)
        view, epoch = await index.view(), self._server.epochs.of(gallery)
        here = Standing(epoch.id, mode, index.offer.model, view.change, view.count, view.digest)
        claim, known = (
            self._claims.get(gallery),
            lambda after: self._server.set.changes(gallery, after) is not None,
        )
        chosen, begun, cursor = choose(claim, here, known)
        if tier is not None:
            chosen, begun, cursor = tier, view.change if tier is Tier.SNAPSHOT else -1, b""
        model = self._server.model_of(gallery) if mode.vectors else None
        kind = None if model is None else Kind(model.name, model.metric, model.size, model.threshold, model.scale)
        return Start(gallery, chosen, epoch.id, epoch.key, mode, kind, view.change, view.count, begun, cursor)

    async def _next(self) -> None:
        """Begin the next gallery that differs."""
        self._start = None
        if not self._waiting:
            return
        start = self._waiting.popleft()
        if start.gallery not in self._modes():
            raise Refused(f"{start.gallery} was taken from this device meanwhile", "synchronise again")
        self._again = 0
        self._told = self._served.galleries[start.gallery] = Told()
        await self._begin(start)

    def _modes(self) -> Mapping[str, Mode]:
        self._still()
        return self._server.modes(self._served.device)

    async def _begin(self, start: Start) -> None:
        self._start, self._ended = start, None
        self._told.tiers.append(start.tier.value)
        self._index = await self._server.index(start.gallery, start.mode)
        view = await self._index.view()
        if self._index.offer.gallery_key != start.key:
            raise Refused(f"{start.gallery} began anew meanwhile", "synchronise again")
        self._note_sending(start)
        self._step("compare" if start.tier is Tier.RECONCILE else "list")
        if start.tier is Tier.RECONCILE:
            self._comparing = await large(view.count, Comparing, view)
            return
        if start.tier is Tier.SNAPSHOT:
            await self._list(listing.snapshot(self._index, view, start.begun, start.cursor))
        else:
            claim = self._claims[start.gallery]
            await self._list(listing.since(self._index, claim.change))

    # --- finding the difference ---------------------------------------------------------------------------------

    async def _compare(self, message: Ranges | Leaves) -> None:
        if self._comparing is None or self._index is None:
            raise Refused("ranges of no gallery")
        if isinstance(message, Ranges):
            for answer in self._comparing.ranges(message):
                await self._send(answer)
            return
        found = await large(self._comparing.view.count, self._comparing.leaves, message)
        if found is not None:
            view = self._comparing.view
            self._comparing = None
            self._step("list")
            await self._list(listing.chosen(self._index, view, *found))

    # --- telling it ---------------------------------------------------------------------------------------------

    async def _list(self, pages: AsyncIterator[Items | End]) -> None:
        self._pages = pages
        self._open.clear()
        self._forget_offered()
        await self._fill()

    async def _fill(self) -> None:
        """Send pages while the device has room for them."""
        while self._pages is not None and len(self._open) < WINDOW:
            page = await anext(self._pages, None)
            if page is None:
                raise Refused("the changes were forgotten while they were told", "synchronise again")
            if isinstance(page, End):
                self._pages, self._ended = None, page
            else:
                self._offer(page)
            await self._send(page)

    def _offer(self, page: Items) -> None:
        assert self._index is not None
        contents: set[bytes] = set()
        for item in page.items:
            sources = self._index.offer.sources(item) if item.contents else {}
            self._offered.update(sources)
            contents.update(sources)
        self._open.append(contents)
        self._told.items += len(page.items)
        self._told.removed += len(page.removed) // 8

    async def _more(self, pages: int) -> None:
        if pages > len(self._open):
            raise Refused("more pages were committed than were sent")
        for _ in range(pages):
            done = self._open.popleft()
            for digest in done:
                if not any(digest in page for page in self._open):
                    self._offered.pop(digest, None)
                    self._whole.discard(digest)
        await self._fill()

    async def _pull(self, pull: Pull) -> None:
        assert self._index is not None
        if sum(want.length for want in pull.wants) > messages.CREDIT_BYTES:
            raise Refused(f"more than {messages.CREDIT_BYTES} bytes asked for at once")
        for want in pull.wants:
            source = self._offered.get(want.digest)
            if source is None:
                await self._send(Gone(want.digest))
                continue
            if want.offset + want.length > source.size:
                raise Refused("a stretch beyond the end of a content")
            if not await self._is_whole(want, source):
                await self._send(Gone(want.digest))
                continue
            for offset in range(want.offset, want.offset + want.length, PIECE_BYTES):
                length = min(PIECE_BYTES, want.offset + want.length - offset)
                content = self._index.offer.read(source, offset, length)
                if content is None:
                    await self._send(Gone(want.digest))
                    break
                self._told.content_bytes += length
                await self._send(Piece(want.digest, offset, content))

    async def _is_whole(self, want: Want, source: Source) -> bool:
        """Prove a content before it is sent, and where the device begins it anew: wrong bytes end its session."""
        assert self._index is not None
        if want.offset and want.digest in self._whole:
            return True
        if await self._index.offer.whole(want.digest, source):
            self._whole.add(want.digest)
            self._server.damages.whole(want.digest)
            return True
        if source.part == "image" and self._server.damages.found(want.digest, self._index.offer.gallery):
            self._told.withheld += 1
        return False

    def _forget_offered(self) -> None:
        self._offered.clear()
        self._whole.clear()

    # --- closing a gallery --------------------------------------------------------------------------------------

    async def _once_more(self, tier: Tier) -> None:
        start = self._start
        self._again += 1
        if start is None or tier not in (Tier.RECONCILE, Tier.SNAPSHOT) or self._again > _MOST_AGAIN:
            raise Refused("no other tier of this gallery is left")
        self._comparing = self._pages = None
        fresh = await self._choose(start.gallery, start.mode, tier)
        await self._send(Welcome([fresh], []))
        await self._begin(fresh)

    async def _done(self, done: Done) -> None:
        if self._ended is None or self._start is None:
            raise Refused("a gallery is not done before its difference is told")
        ended = self._ended
        self._told.agreed = (ended.digest or done.digest, ended.count if ended.digest else done.count) == (
            done.digest,
            done.count,
        )
        self._note("received" if self._told.agreed else "received with another digest")
        if self._told.agreed:
            self._server.policy.reached(self._served.device, {self._start.gallery: ended.change})
        await self._send(Closed(self._told.agreed))
        self._pages = None
        self._forget_offered()
        await self._next()

    def _note_sending(self, start: Start) -> None:
        """Note what is about to be sent before any of it is: a server that dies meanwhile leaves that note."""
        claim = self._claims.get(start.gallery)
        since = (
            "nothing" if claim is None else f"change {claim.change}" if claim.change >= 0 else "no known change"
        )
        if start.cursor:
            since = f"a snapshot of change {start.begun}, behind {start.cursor.hex()}"
        detail = f"{start.mode.value}, {start.tier.value}: from {since} to change {start.change}"
        count = f", {start.count} records" if start.tier is Tier.SNAPSHOT else ""
        self._server.audit.note(self._served.device, "sending", start.gallery, detail=detail + count)

    def _note(self, act: str) -> None:
        assert self._start is not None
        told = self._told
        self._server.audit.note(
            self._served.device,
            act,
            self._start.gallery,
            detail=f"{self._start.mode.value}, {' then '.join(told.tiers)}: {told.items} records, "
            f"{told.removed} removals, {told.content_bytes} bytes of content"
            + (f", {told.withheld} damaged images withheld" if told.withheld else ""),
        )

    def _step(self, event: str) -> None:
        try:
            self._state = SESSION.next(self._state, event)
        except IllegalTransition as error:
            raise Refused(f"{event} at the wrong time") from error

    async def _send(self, message: FromServer) -> None:
        async with asyncio.timeout(self._server.settings.idle_s):
            await self._channel.send(messages.encode(message))
