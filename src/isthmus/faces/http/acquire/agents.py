"""The doors for agents: claims that wait, beats, releases, and the callback where deliveries arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from isthmus.acquire.delivery.package import Caps, Content, Package
from isthmus.acquire.delivery.receiving import Receiving
from isthmus.acquire.server.deliveries import Caller
from isthmus.acquire.server.keys import AGENT
from isthmus.acquire.server.service import AcquireService
from isthmus.core.errors import Corrupt, Refused
from isthmus.faces.http import reading
from isthmus.faces.http.acquire import shapes
from isthmus.faces.http.acquire.guard import FETCHES, key_of
from isthmus.faces.http.answers import answer

_CLOSE = {"connection": "close"}


class AgentDoors:
    """What agents do. An agent's key says which environment it speaks for."""

    def __init__(self, service: AcquireService) -> None:
        self._service = service
        self._caps = Caps(most_large=service.settings.most_image_bytes)

    async def claim(self, request: Request) -> Response:
        """Lease tasks, waiting for the first."""
        service = self._service
        key = await key_of(request, service, FETCHES)
        asked = await reading.body(request, shapes.Claim, service.settings.body_s)
        with _listening(request) as gone:
            claimed = await service.claims.claim(key.environment, asked.agent, asked.most, asked.wait_s, gone)
        if claimed.tasks:
            service.say("leased", trace=request.state.trace, environment=key.environment, agent=asked.agent,
                        requests=[[task.request, task.trace] for task in claimed.tasks])  # fmt: skip
        return answer(claimed)

    async def beat(self, request: Request) -> Response:
        """Prolong leases."""
        service = self._service
        key = await key_of(request, service, FETCHES)
        mine = await reading.body(request, shapes.Mine, service.settings.body_s)
        return answer(await service.claims.beat(key.environment, mine.agent, mine.held))

    async def release(self, request: Request) -> Response:
        """Take leases back."""
        service = self._service
        key = await key_of(request, service, FETCHES)
        mine = await reading.body(request, shapes.Mine, service.settings.body_s)
        return answer(shapes.Released(await service.claims.release(key.environment, mine.agent, mine.held)))

    async def deliver(self, request: Request) -> Response:
        """Take results: who brings them is proven before the body is read, what it is before it is parsed."""
        service = self._service
        caller = await self._caller(request)
        large = service.incoming / f"{uuid4().hex}.part"
        with service.deliveries.room():
            package = await self._received(request, caller, large)
            service.counts.delivered_bytes[caller.environment] += max(reading.announced(request), 0)
            try:
                verdicts = await service.deliveries.take(caller, package)
            finally:
                if _in_file(package):
                    large.unlink(missing_ok=True)  # filing may have moved it away
        return answer(shapes.Verdicts(verdicts))

    async def _caller(self, request: Request) -> Caller:
        service = self._service
        if "authorization" in request.headers:
            environments = [(await key_of(request, service, FETCHES)).environment]
        else:
            keys = (await service.ring()).by_name.values()
            environments = sorted({key.environment for key in keys if key.role == AGENT})
        try:
            return service.deliveries.caller(environments, request.path_params["token"], request.headers)
        except Refused as error:
            service.counts.refused["delivery"] += 1
            service.say("delivery refused", level="warning", trace=request.state.trace, error=str(error))
            raise HTTPException(403, str(error), _CLOSE) from error

    async def _received(self, request: Request, caller: Caller, large: Path) -> Package:
        service = self._service
        length = reading.announced(request)
        try:
            with Receiving(large, caller.signed.digest, None if length < 0 else length, self._caps) as receiving:
                async for piece in reading.pieces(request, self._caps.most_body, service.settings.body_s):
                    receiving.feed(piece)
                return receiving.finish()
        except Corrupt as error:
            service.counts.refused["damaged"] += 1
            trace, where = request.state.trace, caller.environment
            service.say("delivery damaged", level="warning", trace=trace, environment=where, error=str(error))
            raise HTTPException(400, str(error), _CLOSE) from error


def _in_file(package: Package) -> bool:
    return any(
        isinstance(part.outcome, Content) and isinstance(part.outcome.where, Path) for part in package.parts
    )


@contextmanager
def _listening(request: Request) -> Iterator[asyncio.Future[None]]:
    """Lend a future that is done when the caller has gone away."""

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.ensure_future(listen())
    try:
        yield task
    finally:
        task.cancel()
