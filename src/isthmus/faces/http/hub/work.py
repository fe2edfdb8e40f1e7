"""The doors of works: as they stand, as they go on, what they wrote, and to end one."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from isthmus.app.people.person import Person, Role
from isthmus.app.works.happening import Happening, What
from isthmus.app.works.seeing import may_see, seen
from isthmus.app.works.work import ENDED, Work
from isthmus.core.errors import IsthmusError
from isthmus.faces.http.answers import answer
from isthmus.faces.http.doors import BYTES, EVENTS, JSON, Door
from isthmus.faces.http.hub.hub import Hub
from isthmus.faces.http.hub.paging import Page, Paged, key_of, page, read_page
from isthmus.faces.http.streaming import EventStream

HEARTBEAT_S = 15.0
MOST_WATCHERS = 200
_MOST_BEHIND = 2000
_SHOWN = ("image/png", "image/jpeg", "image/webp")
"""Files that a page may show; all others are for saving."""
_NO_SITE = (
    "text/html",
    "application/xhtml+xml",
    "image/svg+xml",
    "text/xml",
    "application/xml",
    "text/javascript",
)


class WorkEvent(msgspec.Struct, frozen=True):
    """What happened to a work, and how it stands. `said` is what it printed, in events of that kind alone."""

    what: What
    work: Work
    said: str = ""


class WorkDoors:
    """The doors of works of one site."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._watchers = 0
        self._ending = asyncio.Event()

    def doors(self) -> list[Door]:
        """Return the doors."""
        events = {200: {EVENTS: WorkEvent}, 204: {}}
        return [
            Door(
                "GET", "/v1/works", self.latest, "List what runs and ran, newest first.", Role.VIEWER, Paged,
                good={200: {JSON: Page[Work]}}, bad=(422,),
            ),
            Door(
                "GET", "/v1/works/{id}", self.show, "Show one work as it stands.", Role.VIEWER,
                good={200: {JSON: Work}}, bad=(404, 422),
            ),
            Door(
                "DELETE", "/v1/works/{id}", self.cancel, "Ask a work to stop, as ctrl-C does.", Role.VIEWER,
                good={200: {JSON: Work}, 202: {JSON: Work}}, bad=(404, 422),
            ),
            Door(
                "GET", "/v1/works/{id}/events", self.watch_one,
                "Watch a work to its end, as server-sent events: state, progress, said, ended.", Role.VIEWER,
                good=events, bad=(404, 422, 429), headers=("Last-Event-ID",),
            ),
            Door(
                "GET", "/v1/works/{id}/files/{name:path}", self.file,
                "Fetch a file that a work wrote, or what it printed: stdout.txt, stderr.txt.", Role.VIEWER,
                good={200: {BYTES: None}, 206: {BYTES: None}}, bad=(400, 404, 416, 422),
            ),
            Door(
                "GET", "/v1/events", self.watch_all, "Watch all works, as server-sent events.", Role.VIEWER,
                good=events, bad=(422, 429), headers=("Last-Event-ID",),
            ),
        ]  # fmt: skip

    async def end_watching(self) -> None:
        """Let go of all who watch: the server ends."""
        self._ending.set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return self._watchers

    async def latest(self, request: Request) -> Response:
        """List works."""
        asked, person = read_page(request), request.state.person
        before = key_of(asked.after, str) or ""
        found = await asyncio.to_thread(self._hub.works.latest, asked.limit + 1, before)
        return answer(page([self._seen(one, person) for one in found], asked.limit, lambda one: one.id))

    async def show(self, request: Request) -> Response:
        """Show a work."""
        work = await asyncio.to_thread(self._hub.works.get, request.path_params["id"])
        return answer(self._seen(work, request.state.person))

    async def cancel(self, request: Request) -> Response:
        """Ask a work to stop."""
        person: Person = request.state.person
        work = await asyncio.to_thread(self._hub.works.cancel, request.path_params["id"], person)
        return answer(self._seen(work, person), 200 if work.state in ENDED else 202)

    async def file(self, request: Request) -> Response:
        """Send a file."""
        id, name = request.path_params["id"], request.path_params["name"]
        work = await asyncio.to_thread(self._hub.works.get, id)
        if not may_see(work, self._hub.works.operations(), request.state.person):
            raise HTTPException(403, f"what {work.operation} wrote is for those who may run it")
        told = self._hub.works.secretly(id, name)
        if told is not None:
            headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
            return Response(told, media_type="text/plain", headers=headers)
        path = await asyncio.to_thread(self._hub.works.file, id, name)
        kind = mimetypes.guess_type(name)[0] or BYTES
        return FileResponse(
            path,
            media_type=BYTES if kind in _NO_SITE else kind,
            filename=name.rpartition("/")[2],
            content_disposition_type="inline" if kind in _SHOWN else "attachment",
            headers={"cache-control": "private, no-cache"},
        )

    async def watch_one(self, request: Request) -> Response:
        """Send what happens to a work until it has ended; at once how it stands, where nothing else tells it."""
        id = request.path_params["id"]
        work = await asyncio.to_thread(self._hub.works.get, id)
        return self._stream(request, work)

    async def watch_all(self, request: Request) -> Response:
        """Send what happens to all works."""
        return self._stream(request, None)

    def _stream(self, request: Request, work: Work | None) -> Response:
        person: Person = request.state.person
        after = request.headers.get("last-event-id", "")[:100]
        if self._watchers >= MOST_WATCHERS:
            raise HTTPException(429, "too many watch already", {"retry-after": "10"})
        if work is not None and work.state in ENDED and after and self._knows_all(work.id, after):
            return Response(status_code=204)  # a browser asks no more

        @contextlib.contextmanager
        def opened() -> Iterator[AsyncIterator[bytes]]:
            self._watchers += 1
            watcher = _Watcher(self._hub, work.id if work else "", after)
            try:
                yield self._blocks(watcher, person)
            finally:
                self._watchers -= 1
                watcher.leave()

        return EventStream(opened, lambda error: self._hub.say(f"a stream ended: {error}"))

    def _knows_all(self, id: str, after: str) -> bool:
        """Tell whether who saw the event `after` saw the end of a work, too."""
        missed: list[Happening] = []
        leave, whole = self._hub.works.watch(missed.append, after)
        leave()
        return whole and not any(one.work.id == id for one in missed)

    async def _blocks(self, watcher: _Watcher, person: Person) -> AsyncIterator[bytes]:
        for work in await self._standing(watcher):
            yield self._block(Happening("", "ended" if work.state in ENDED else "state", work), person)
            if watcher.one and work.state in ENDED:
                return
        while not self._ending.is_set():
            for told in await watcher.next(HEARTBEAT_S, self._ending):
                yield self._block(told, person)
                if watcher.one and told.what == "ended":
                    return
            yield b""

    async def _standing(self, watcher: _Watcher) -> list[Work]:
        """Return what is told first, as it stands: to who begins to watch one, and to who missed something."""
        if watcher.one and (not watcher.after or not watcher.whole):
            return [await asyncio.to_thread(self._hub.works.get, watcher.one)]
        if not watcher.whole:
            return [*await asyncio.to_thread(self._hub.works.latest)][::-1]
        return []

    def _block(self, told: Happening, person: Person) -> bytes:
        said = told.said if may_see(told.work, self._hub.works.operations(), person) else ""
        work = replace(self._seen(told.work, person), said="") if told.what == "said" else told.work
        body = msgspec.json.encode(WorkEvent(told.what, self._seen(work, person), said))
        head = f"id: {told.id}\n" if told.id else ""
        return f"{head}event: {told.what}\ndata: ".encode() + body + b"\n\n"

    def _seen(self, work: Work, person: Person) -> Work:
        return seen(work, self._hub.works.operations(), person)


class _Watcher:
    """Gathers what happens, from the threads of works, for one answer."""

    def __init__(self, hub: Hub, one: str, after: str) -> None:
        self.one, self.after = one, after
        self._loop, self._come = asyncio.get_running_loop(), asyncio.Event()
        self._told: list[Happening] = []
        self.leave, self.whole = hub.works.watch(self._take, after)

    def _take(self, told: Happening) -> None:
        if self.one and told.work.id != self.one:
            return
        if len(self._told) <= _MOST_BEHIND:
            self._told.append(told)
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._come.set)

    async def next(self, wait_s: float, ending: asyncio.Event) -> list[Happening]:
        """Return what happened, waiting for so long at most. Raises IsthmusError where too much was left."""
        if not self._told:
            either = [asyncio.ensure_future(one.wait()) for one in (self._come, ending)]
            try:
                await asyncio.wait(either, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
            finally:  # also where who watched has left meanwhile
                for one in either:
                    one.cancel()
        self._come.clear()
        told, self._told = self._told, []
        if len(told) > _MOST_BEHIND:
            raise IsthmusError("a watcher is too slow", "it asks again, after its last event")
        return told
