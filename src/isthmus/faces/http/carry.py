"""The carrying door: files of a stream are put, listed, fetched and removed over HTTP(S), each road by its token.

    GET     /v1/carry/{road}/          what lies there: {"files": [{"name", "size", "stamp"}]}
    HEAD    /v1/carry/{road}/{name}    size and stamp (content-length, etag)
    GET     /v1/carry/{road}/{name}    the content; range and if-match go on where a connection was cut
    POST    /v1/carry/{road}/{name}    asks whether a file of `isthmus-size` bytes may come
    PUT     /v1/carry/{road}/{name}    the content, whose BLAKE3 is `isthmus-digest`: kept whole or not at all
    DELETE  /v1/carry/{road}/{name}    removes it

Content goes both ways in pieces; no file is ever held in memory. Errors are problem details (RFC 9457).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import hmac
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from isthmus.core.errors import Corrupt, InputError
from isthmus.core.ports import Arrival
from isthmus.transfer.inbox import Coming, Inbox, Oversized, pieces

LOOPBACK = "127.0.0.1"

_LEAST_TOKEN = 16
_PIECE = 1 << 20
_PIECE_S = 60.0
"""So long a sender may leave the door waiting for its next bytes."""
_PASSED_OVER = 1 << 20
"""So much of a refused body is read, so that the refusal reaches a sender that is still writing."""
_AT_ONCE = 256
_KEEP_S = 75
_GRACE_S = 5
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=([0-9]{1,18})-", re.ASCII)


@dataclass(frozen=True, slots=True)
class Road:
    """An inbox and who may use it: the SHA-256 of each token that opens it (two while one is being replaced)."""

    inbox: Inbox
    tokens: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def of(cls, inbox: Inbox, *tokens: str) -> Road:
        """Build the road that these tokens open. Raises InputError for one that can be guessed."""
        if not tokens or any(len(token) < _LEAST_TOKEN for token in tokens):
            raise InputError(
                f"a road needs a token of at least {_LEAST_TOKEN} characters", "make one: openssl rand -hex 32"
            )
        return cls(inbox, tuple(hashlib.sha256(token.encode()).digest() for token in tokens))

    def opens(self, token: str) -> bool:
        """Tell whether a token opens the road, in a time that does not depend on how much of it is right."""
        given = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        return max([hmac.compare_digest(given, known) for known in self.tokens])


Say = Callable[[str], None]


def routes(roads: Mapping[str, Road], say: Say = lambda text: None) -> list[Route]:
    """List the routes of the doors of these roads, to be mounted in an application with `handlers`."""
    doors = _Doors(roads, say)
    return [
        Route("/v1/carry/{road}/", doors.listing, methods=["GET"]),
        Route("/v1/carry/{road}/{name}", doors.file, methods=["GET", "HEAD", "POST", "PUT", "DELETE"]),
    ]


def application(
    roads: Mapping[str, Road], say: Say = lambda text: None, beside: Sequence[Route] = ()
) -> Starlette:
    """Build an ASGI application of the carrying doors, and of the routes `beside` them.

    `say` is told what was refused and what failed.
    """
    return Starlette(routes=[*routes(roads, say), *beside])


class CarryHttpServer(uvicorn.Server):
    """Serves carrying doors: on loopback unless told otherwise, and beyond it only with a certificate."""

    def __init__(
        self,
        roads: Mapping[str, Road],
        host: str = LOOPBACK,
        port: int = 0,
        certificate: str = "",
        key: str = "",
        clients: str = "",
        say: Say = lambda text: None,
        beside: Sequence[Route] = (),
    ) -> None:
        """Prepare; `clients` is a PEM of those whose certificates callers need, besides the token.

        `beside` are routes that no token guards. Raises InputError.
        """
        if not certificate and host not in (LOOPBACK, "::1", "localhost"):
            raise InputError(
                f"tokens would go in the clear to {host}",
                "give the door a certificate, or let it listen on 127.0.0.1 behind a server that has one",
            )
        super().__init__(
            uvicorn.Config(
                application(roads, say, beside),
                host=host,
                port=port,
                log_level="warning",
                access_log=False,
                ws="none",
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_AT_ONCE,
                timeout_keep_alive=_KEEP_S,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=certificate or None,
                ssl_keyfile=key or None,
                ssl_ca_certs=clients or None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if clients else ssl.CERT_NONE,
            )
        )


class _Doors:
    def __init__(self, roads: Mapping[str, Road], say: Say) -> None:
        self._roads, self._say = roads, say

    async def listing(self, request: Request) -> Response:
        return await self._guarded(request, self._list)

    async def file(self, request: Request) -> Response:
        doors = {"GET": self._get, "HEAD": self._get, "POST": self._ask, "PUT": self._put, "DELETE": self._drop}
        return await self._guarded(request, doors[request.method])

    async def _guarded(
        self, request: Request, door: Callable[[Request, Inbox, str], Awaitable[Response]]
    ) -> Response:
        """Let through who has the road's token; turn what goes wrong into an answer."""
        name, called = request.path_params.get("name", ""), f"{request.method} {request.path_params['road'][:80]}"
        try:
            answer = await door(request, self._inbox(request), name)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except FileNotFoundError:
            answer = problem(404, "it has gone")
        except HTTPException as error:
            answer = problem(error.status_code, error.detail)
            answer.headers.update(error.headers or {})
        except Oversized as error:
            answer = problem(413, error.what)
        except InputError as error:
            answer = problem(400, error.what, error.hint)
        except Corrupt as error:
            answer = problem(422, error.what, error.hint)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            answer = problem(507 if full else 503, error.strerror or "the disk of the server refuses")
        if answer.status_code >= 400 and answer.status_code != 404:
            peer = request.client.host if request.client else "?"
            self._say(f"{called} from {peer}: {answer.status_code}")
            if request.method == "PUT":
                await _pass_over(request)
        return answer

    def _inbox(self, request: Request) -> Inbox:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        road = self._roads.get(request.path_params["road"])
        if road is None or scheme.lower() != "bearer" or not road.opens(token.strip()):
            raise HTTPException(  # one answer for both: roads are not to be found by trying
                401, "there is no such road for this token", {"www-authenticate": 'Bearer realm="isthmus"'}
            )
        return road.inbox

    async def _list(self, request: Request, inbox: Inbox, name: str) -> Response:
        found = await asyncio.to_thread(inbox.arrived)
        return JSONResponse(
            {"files": [{"name": name, "size": one.size, "stamp": one.stamp} for name, one in found]}
        )

    async def _get(self, request: Request, inbox: Inbox, name: str) -> Response:
        file, arrival = await asyncio.to_thread(inbox.read, name)
        headers = {"etag": f'"{arrival.stamp}"', "accept-ranges": "bytes", "cache-control": "no-store"}
        if request.headers.get("if-match", headers["etag"]) != headers["etag"]:
            file.close()
            return problem(412, "another file lies under this name now")
        begin, status = 0, 200
        if asked := _RANGE.fullmatch(request.headers.get("range", "")):
            begin, status = int(asked[1]), 206
            if begin >= arrival.size:
                file.close()
                return _headed(problem(416, "nothing lies there"), arrival)
            headers["content-range"] = f"bytes {begin}-{arrival.size - 1}/{arrival.size}"
        headers["content-length"] = str(arrival.size - begin)
        if request.method == "HEAD":
            file.close()
            return Response(None, status, headers, media_type="application/octet-stream")
        file.seek(begin)
        content = pieces(file, _PIECE, arrival.size - begin)
        return StreamingResponse(content, status, headers, media_type="application/octet-stream")

    async def _ask(self, request: Request, inbox: Inbox, name: str) -> Response:
        await asyncio.to_thread(inbox.ask, name, _number(request, "isthmus-size"))
        return Response(status_code=204)

    async def _put(self, request: Request, inbox: Inbox, name: str) -> Response:
        size, digest = _number(request, "content-length"), request.headers.get("isthmus-digest", "")
        if not _DIGEST.fullmatch(digest):
            raise HTTPException(400, "isthmus-digest is missing: the BLAKE3 of the content")
        coming = await asyncio.to_thread(inbox.begin, name, size, bytes.fromhex(digest))
        try:
            await _received(request, coming)
            arrival = await asyncio.to_thread(coming.finish)
        finally:
            coming.abandon()
        return _headed(Response(status_code=201), arrival)

    async def _drop(self, request: Request, inbox: Inbox, name: str) -> Response:
        await asyncio.to_thread(inbox.drop, name)
        return Response(status_code=204)


async def _received(request: Request, coming: Coming) -> None:
    """Write what comes, in stretches of about 1 MiB. Raises HTTPException 408 where the sender falls silent."""
    held = bytearray()
    stream = aiter(request.stream())
    try:
        while True:
            async with asyncio.timeout(_PIECE_S):
                piece = await anext(stream, b"")
            held += piece
            if held and (not piece or len(held) >= _PIECE):
                await asyncio.to_thread(coming.write, bytes(held))
                held.clear()
            if not piece:
                return
    except TimeoutError as error:
        raise HTTPException(408, "the file did not go on coming") from error


async def _pass_over(request: Request) -> None:
    """Read on for a while, for the sake of a sender that writes before it reads the answer."""
    passed = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError, RuntimeError):  # RuntimeError: all of it was read
        async with asyncio.timeout(_GRACE_S):
            async for piece in request.stream():
                passed += len(piece)
                if passed > _PASSED_OVER:
                    return


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not _NUMBER.fullmatch(text):
        raise HTTPException(411, f"{header} is missing: how many bytes will come")
    return int(text)


def problem(status: int, title: str, detail: str = "") -> Response:
    """Answer with problem details (RFC 9457)."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return JSONResponse(body, status, media_type="application/problem+json")


def _headed(answer: Response, arrival: Arrival) -> Response:
    answer.headers["etag"] = f'"{arrival.stamp}"'
    return answer
