"""The client for asyncio: the calls of `Client`, to be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from isthmus.app.works.work import ENDED, Work
from isthmus.client.calls import (
    Blocks,
    File,
    HowFar,
    Site,
    asked,
    body,
    decoded,
    inside,
    judged,
    place,
    started,
    unanswered,
)
from isthmus.client.errors import ApiError, OperationFailed
from isthmus.client.see import AsyncSeeing
from isthmus.client.shapes import Event, Operation, Page
from isthmus.core.progress import Progress

T = TypeVar("T")
_PATIENCE_S = 30.0
_WAIT_S = 20
_LOOK_S = 0.3


class AsyncClient:
    """Asks one site. Close it, or use it as a context; it belongs to one event loop."""

    def __init__(self, url: str, key: str = "", **more: Any) -> None:
        """Prepare; nothing is sent yet. `more` is what Site takes. Raises InputError, OSError."""
        self.see = AsyncSeeing(self)
        self._site = Site(url, key, **more)
        self._http = httpx.AsyncClient(**self._site.options())

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, kind: Any = Any, /, **parameters: Any) -> Any:
        """Return what there is to see at a path, as `kind`. Raises ApiError."""
        return decoded((await self._answer("GET", place(path), params=asked(parameters))).content, kind)

    async def pages(
        self, path: str, kind: Any = Any, /, limit: int = 200, **parameters: Any
    ) -> AsyncIterator[Any]:
        """Yield all items of a list, asking for the next page when it is needed. Raises ApiError."""
        after = ""
        while True:
            page = await self.get(path, Page[kind], limit=limit, after=after or None, **parameters)
            for item in page.items:
                yield item
            if not page.next:
                return
            after = page.next

    def operations(self) -> AsyncIterator[Operation]:
        """Yield what the site can be asked to do. Raises ApiError."""
        return self.pages("/v1/operations", Operation)

    async def start(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        files: Mapping[str, File | Sequence[File]] | None = None,
        wait_s: int = 0,
    ) -> Work:
        """Begin an operation; returns its work as it stands, after `wait_s` at most. Raises ApiError."""
        given = body(arguments or {}, files)
        headers = given.pop("headers", {}) | ({"prefer": f"wait={wait_s}"} if wait_s else {})
        work: Work = decoded(
            (await self._answer("POST", started(operation), headers=headers, **given)).content, Work
        )
        return work

    async def run(
        self,
        operation: str,
        *,
        progress: Callable[[Progress], None] | None = None,
        files: Mapping[str, File | Sequence[File]] | None = None,
        timeout_s: float | None = None,
        check: bool = True,
        **arguments: Any,
    ) -> Work:
        """Run an operation to its end, and return its work.

        `progress` is told how far it is, at its end too. After `timeout_s` the work is cancelled. An argument
        whose name is a word of Python, or one of these here, is written with an underscore behind it: `from_=…`.
        Raises ApiError; OperationFailed where it did not end well, unless `check` is False.
        """
        work = await self.start(operation, arguments, files, 0 if progress or timeout_s is not None else _WAIT_S)
        far = HowFar(progress)
        if timeout_s is not None:
            work = await self._polled(work, time.monotonic() + timeout_s, far)
        elif work.state not in ENDED:
            async for event in self.events(work.id):
                far.see(event.work)
            work = await self.work(work.id)
        far.see(work)
        if check and work.state != "done":
            raise OperationFailed(work)
        return work

    async def work(self, id: str) -> Work:
        """Return a work as it stands. Raises ApiError."""
        work: Work = await self.get(inside("/v1/works/{work}", work=id), Work)
        return work

    def works(self) -> AsyncIterator[Work]:
        """Yield what runs and ran, newest first. Raises ApiError."""
        return self.pages("/v1/works", Work)

    async def cancel(self, id: str) -> Work:
        """Ask a work to stop; returns it as it stands. Raises ApiError."""
        work: Work = decoded((await self._answer("DELETE", inside("/v1/works/{work}", work=id))).content, Work)
        return work

    async def printed(self, id: str) -> str:
        """Return all that a work printed on its standard output. Raises ApiError."""
        return (await self.file(id, "stdout.txt")).decode(errors="replace")

    async def file(self, id: str, name: str) -> bytes:
        """Return a file that a work wrote. Raises ApiError."""
        return (await self._answer("GET", inside("/v1/works/{work}/files/{file}", work=id, file=name))).content

    async def save(self, id: str, name: str, to: str | Path) -> None:
        """Write a file that a work wrote to a place here. Raises ApiError, OSError."""
        path = inside("/v1/works/{work}/files/{file}", work=id, file=name)
        with self._told():
            async with self._http.stream("GET", path) as answer:
                if not answer.is_success:
                    await answer.aread()
                judged(answer)
                with Path(to).open("wb") as file:
                    async for piece in answer.aiter_bytes():
                        file.write(piece)

    async def events(self, id: str = "", after: str = "") -> AsyncIterator[Event]:
        """Yield what happens to a work until it has ended, or without an id to all works, for ever.

        A line that breaks is made anew, and what happened meanwhile is told. Raises ApiError.
        """
        path = inside("/v1/works/{work}/events", work=id) if id else "/v1/events"
        failed = 0.0
        while True:
            try:
                async for event in self._stream(path, after):
                    after, failed = event.id or after, 0.0
                    yield event
                    if id and event.what == "ended":
                        return
                if id and (await self.work(id)).state in ENDED:
                    yield Event("ended", await self.work(id))
                    return
            except ApiError as error:
                failed = failed or time.monotonic()
                if error.again_s is None or time.monotonic() - failed > _PATIENCE_S:
                    raise
                await asyncio.sleep(min(error.again_s, 2.0))

    async def _stream(self, path: str, after: str) -> AsyncIterator[Event]:
        headers = {"accept": "text/event-stream"} | ({"last-event-id": after} if after else {})
        blocks = Blocks()
        with self._told():
            async with self._http.stream("GET", path, headers=headers) as answer:
                if not answer.is_success:
                    await answer.aread()
                async for line in judged(answer).aiter_lines():
                    for event in blocks.take(line):
                        yield event

    async def _polled(self, work: Work, until: float, far: HowFar) -> Work:
        """Look how a work stands until it has ended; past `until` it is cancelled."""
        asked_to_end = False
        while work.state not in ENDED:
            await asyncio.sleep(_LOOK_S)
            if not asked_to_end and time.monotonic() > until:
                await self.cancel(work.id)
                asked_to_end = True
            work = await self.work(work.id)
            far.see(work)
        return work

    async def _answer(self, method: str, path: str, **more: Any) -> httpx.Response:
        with self._told():
            return judged(await self._http.request(method, path, **more))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise unanswered(error, self._site.url) from error
