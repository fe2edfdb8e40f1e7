"""The doors for those who ask for images, and for those who look on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from isthmus.acquire.image import Filed
from isthmus.acquire.ports import Which
from isthmus.acquire.server import intake
from isthmus.acquire.server.service import AcquireService
from isthmus.acquire.states import State
from isthmus.core.errors import UnknownName
from isthmus.faces.http import reading
from isthmus.faces.http.acquire import shapes
from isthmus.faces.http.acquire.guard import ASKS, SEES, key_of
from isthmus.faces.http.answers import WrongLine, answer, problem
from isthmus.faces.http.doors import Nothing

_FORM_EXTRA = 1 << 16
_ONCE = re.compile(r"[\x21-\x7e]{1,255}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_TYPES = {"jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_FOR_EVER = "private, max-age=31536000, immutable"
_AT_ONCE = 1 << 20
_WORDS = {state.word: state for state in State}


class ClientDoors:
    """Acquisitions, batches, requests, images."""

    def __init__(self, service: AcquireService) -> None:
        self._service = service

    async def ask(self, request: Request) -> Response:
        """Take a batch."""
        service = self._service
        key = await key_of(request, service, ASKS)
        label = reading.query(request, shapes.Asked).label
        once = request.headers.get("idempotency-key", "")
        if once and not _ONCE.fullmatch(once):
            raise HTTPException(422, "an Idempotency-Key has 1 to 255 visible ASCII characters")
        body, form, label = await self._posted(request, label)
        taken = await service.read(body, form)
        if taken.wrong:
            lines = [WrongLine(one.line, one.what) for one in taken.wrong]
            count = len(lines) + taken.more
            what = f"{count} {'line is' if count == 1 else 'lines are'} wrong; nothing was taken"
            return problem(422, what, lines=lines, more=taken.more)
        trace = request.state.trace
        accepted = await service.accept(key, taken.wishes, body, label=label, once=once, trace=trace)
        status = f"/v1/batches/{accepted.batch}"
        told = shapes.Taken(accepted.batch, accepted.requests, accepted.following, accepted.again, status)
        return answer(told, 202, {"location": status})

    async def _posted(self, request: Request, label: str) -> tuple[bytes, intake.Form, str]:
        silent_s, media = self._service.settings.body_s, reading.media_type(request)
        name = ""
        if media == "multipart/form-data":
            most = intake.MOST_BYTES + _FORM_EXTRA
            body, media, name, field = await reading.upload(request, most, silent_s)
            label = label or field
        elif intake.form_of(media) is None:
            raise HTTPException(415, _FORMS)
        else:
            body = await reading.whole(request, intake.MOST_BYTES, silent_s)
        form = intake.form_of(media, name)
        if form is None:
            raise HTTPException(415, _FORMS)
        if len(label) > 200 or not label.isprintable():
            raise HTTPException(422, "a label has at most 200 printable characters")
        return body, form, label

    async def batches(self, request: Request) -> Response:
        """List batches."""
        service = self._service
        key = await key_of(request, service, SEES)
        asked = reading.query(request, shapes.WhichBatches)
        if asked.after:
            await service.own_batch(key, asked.after)
        listed = service.ledger.batches
        return answer(await service.threads.run(listed, service.sees(key), asked.after, asked.most))

    async def batch(self, request: Request) -> Response:
        """Show one batch."""
        service = self._service
        key = await key_of(request, service, SEES)
        reading.query(request, Nothing)
        name = request.path_params["batch"]
        found = await service.threads.run(service.ledger.batch, name)
        if (owner := service.sees(key)) and found.owner != owner:
            raise UnknownName(f"unknown batch {name!r}", "see the list of batches")
        return answer(found)

    def step(self, step: str) -> Callable[[Request], Awaitable[Response]]:
        """Return the door that cancels, pauses, resumes or retries a batch."""

        async def steer(request: Request) -> Response:
            return await self._steer(request, step)

        return steer

    async def _steer(self, request: Request, step: str) -> Response:
        service = self._service
        key = await key_of(request, service, ASKS)
        reading.query(request, Nothing)
        some = await reading.body(request, shapes.Some, service.settings.body_s, shapes.Some())
        if some.requests and step != "retry":
            raise HTTPException(422, f"{step} is for a whole batch")
        batch = request.path_params["batch"]
        count = await service.steer(key, batch, step, some.requests, request.state.trace)
        return answer(shapes.Changed(count))

    async def requests(self, request: Request) -> Response:
        """List requests."""
        service = self._service
        key = await key_of(request, service, SEES)
        asked = reading.query(request, shapes.WhichRequests)
        which = _which(asked, service.sees(key))
        found = await service.threads.run_long(service.ledger.lines, which, asked.after, asked.most, asked.newest)
        return answer([shapes.shown(line) for line in found])

    async def request(self, request: Request) -> Response:
        """Show one request."""
        service = self._service
        key = await key_of(request, service, SEES)
        reading.query(request, Nothing)
        number = request.path_params["request"]
        found = await service.threads.run(service.ledger.line, number) if number < 1 << 63 else None
        if found is None or (service.sees(key) or found.owner) != found.owner:
            raise HTTPException(404, f"there is no request {number}")
        return answer(shapes.shown(found))

    async def image(self, request: Request) -> Response:
        """Send an image as it is stored."""
        await key_of(request, self._service, SEES)
        reading.query(request, Nothing)
        filed = await self._filed(request)
        media = _TYPES.get(filed.format.lower(), "application/octet-stream")
        return await _file(request, self._service.filing.path(filed), filed.digest, media)

    async def thumbnail(self, request: Request) -> Response:
        """Send a thumbnail, made where it is missing."""
        await key_of(request, self._service, SEES)
        edge = reading.query(request, shapes.Edge).edge
        filed = await self._filed(request)
        tag = f"{filed.digest}-{edge}"
        if _known(request, tag):
            return _unchanged(tag)
        return await _file(request, await self._service.filing.thumbnail(filed, edge), tag, "image/jpeg")

    async def _filed(self, request: Request) -> Filed:
        """Find an image by its digest: who knows the digest of all its bytes has seen them, or an event of it."""
        digest, service = request.path_params["digest"], self._service
        found = await service.threads.run(service.ledger.filed, digest) if _DIGEST.fullmatch(digest) else None
        if found is None:
            raise HTTPException(404, "there is no such image")
        return found


_FORMS = "send application/json, application/x-ndjson or text/csv, or a form with one such file"


def _which(asked: shapes.WhichRequests, owner: str) -> Which:
    words = asked.state.split(",") if asked.state else []
    for moment in (asked.taken_from, asked.taken_until):
        if moment is not None and moment.tzinfo is None:
            raise HTTPException(422, "a time has a zone: end it with Z or +02:00")
    states = tuple(_WORDS[word] for word in words)
    return Which(
        owner,
        asked.batch,
        asked.environment,
        states,
        asked.kind,
        asked.place,
        asked.tag,
        asked.taken_from,
        asked.taken_until,
    )


def _known(request: Request, tag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or f'"{tag}"' in [one.strip().removeprefix("W/") for one in given.split(",")]


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers={"etag": f'"{tag}"', "cache-control": _FOR_EVER})


async def _file(request: Request, path: Path, tag: str, media: str) -> Response:
    """Send a file that never changes; a small one is read at once, in one thread."""
    if _known(request, tag):
        return _unchanged(tag)
    headers = {
        "etag": f'"{tag}"',
        "cache-control": _FOR_EVER,
        "content-security-policy": "default-src 'none'; sandbox",
    }
    try:
        content = await asyncio.to_thread(_small, path)
    except FileNotFoundError as error:
        raise HTTPException(404, "the image was removed") from error
    if content is None or "range" in request.headers:
        return FileResponse(path, headers=headers, media_type=media)
    return Response(content, 200, {**headers, "accept-ranges": "bytes"}, media)


def _small(path: Path) -> bytes | None:
    return path.read_bytes() if path.stat().st_size <= _AT_ONCE else None
