"""Who may pass: bearer keys, the page's session cookie, and no call that another site's page makes."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from isthmus.acquire.ports import Key
from isthmus.acquire.server.keys import AGENT, CLIENT, OPERATOR, VIEWER
from isthmus.acquire.server.service import AcquireService

COOKIE = "isthmus_session"
ASKS = frozenset({CLIENT, OPERATOR})
SEES = frozenset({CLIENT, VIEWER, OPERATOR})
RULES = frozenset({OPERATOR})
FETCHES = frozenset({AGENT})
ANYBODY = frozenset({CLIENT, VIEWER, OPERATOR, AGENT})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


async def key_of(connection: HTTPConnection, service: AcquireService, roles: Collection[str]) -> Key:
    """Return the key of a call. Raises HTTPException 401 where there is none, 403 where its role is another."""
    given = connection.headers.get("authorization", "")
    if given:
        scheme, _, text = given.partition(" ")
        key = await service.key_of(text.strip()) if scheme.lower() == "bearer" else None
    else:
        ring = await service.ring()
        key = service.sessions.key(connection.cookies.get(COOKIE, ""), ring, service.clock.now())
        if key is not None and not _own(connection):
            raise HTTPException(403, "a page of another site may not do this")
    if key is None:
        service.counts.refused["key"] += 1
        raise HTTPException(401, "an API key is needed; send it as Authorization: Bearer …", _CHALLENGE)
    if key.role not in roles:
        service.counts.refused["role"] += 1
        raise HTTPException(
            403, f"a key of role {key.role} may not do this; it needs {' or '.join(sorted(roles))}"
        )
    return key


_CHALLENGE = {"www-authenticate": 'Bearer realm="isthmus"'}


def _own(connection: HTTPConnection) -> bool:
    """Tell whether a call that a cookie goes with comes from our own page (or changes nothing)."""
    if connection.scope["type"] == "http" and connection.scope["method"] in _SAFE:
        return True
    origin = urlsplit(connection.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc == connection.headers.get("host", "")


def begin_session(connection: HTTPConnection, response: Response, service: AcquireService, key: Key) -> None:
    """Set the session's cookie: for scripts out of reach, never sent from another site."""
    token = service.sessions.make(key, service.clock.now())
    secure = connection.url.scheme == "https"
    age = int(service.sessions.lasting_s)
    response.set_cookie(COOKIE, token, max_age=age, httponly=True, samesite="strict", secure=secure, path="/")


def end_session(response: Response) -> None:
    """Remove the cookie."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", path="/")
