"""Who may pass: keys of programs, sessions of people, and nothing that a page of another site sets off.

A session's cookie goes with every call of the browser, so a change must also show that it comes from our own
pages: by where the browser says that it comes from (Sec-Fetch-Site, Origin), and by a token that only our pages
hold. The token is derived from the session's own (HMAC-SHA-256), so it ends with it and needs no room. A call
with a key needs neither: no browser adds a key by itself.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from isthmus.app.console import ConsoleConfig, ConsolePart
from isthmus.app.people.access import actor_of
from isthmus.app.people.person import Person, Role
from isthmus.app.people.rules import Lasting
from isthmus.app.people.trail import Actor
from isthmus.core.ports import Clock
from isthmus.faces.http.hub.sessions import Desk

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_CHALLENGE = {"www-authenticate": 'Bearer realm="isthmus"'}
_MOST_HOPS = 20


class SessionGuard:
    """The guard of one site's server."""

    def __init__(self, desk: Desk, console: ConsolePart, mark: str = "") -> None:
        """`mark` sets the cookies of several sites on one host apart: browsers do not do it by the port."""
        self.desk, self.console = desk, console
        name = f"isthmus_{mark}" if mark else "isthmus_console"
        self.cookie = f"__Host-{name}" if console.secure else name
        self._proxies = tuple(ip_network(proxy) for proxy in console.proxies)

    async def need(self, connection: HTTPConnection, role: Role = Role.VIEWER) -> Person:
        """Return who asks. Raises HTTPException 401 and 403, as hub.Guard says."""
        person = await self.who(connection)
        if person is not None and person.by == "session" and not _changes_nothing(connection):
            await self._own(connection, self.session(connection))
        if person is None:
            raise HTTPException(401, "log in, or send a key as Authorization: Bearer …", _CHALLENGE)
        state = connection.scope.setdefault("state", {})
        state["actor"], state["entered"] = self.actor(connection, person), person
        if not person.may(role):
            raise HTTPException(403, f"this needs the role {role}; {person.name} is {person.role}")
        return person

    async def who(self, connection: HTTPConnection, *, quietly: bool = False) -> Person | None:
        """Return who asks, by a key where one is sent, else by a session.

        `quietly` does not count as asking: who only watches is idle.
        """
        given = connection.headers.get("authorization", "")
        if given:
            scheme, _, text = given.partition(" ")
            key = text.strip() if scheme.lower() == "bearer" else ""
            return await self.desk.ask(lambda access: access.keys.person(key))
        token = self.session(connection)
        return await self.desk.ask(lambda access: access.sessions.person(token, quietly=quietly))

    def token(self, connection: HTTPConnection) -> str:
        """Return the token that changes of this session must bear; empty without a session."""
        return proof_of(self.session(connection))

    def session(self, connection: HTTPConnection) -> str:
        """Return the session's own token, as the browser sent it."""
        return connection.cookies.get(self.cookie, "")

    def proof(self, token: str) -> str:
        """Return the token that changes of the session with this one must bear."""
        return proof_of(token)

    def begin(self, response: Response, token: str) -> None:
        """Give a new session's token to the browser: for scripts out of reach, and never sent from elsewhere."""
        age = int(self.console.session_hours * 3600)
        secure = self.console.secure
        response.set_cookie(
            self.cookie, token, max_age=age, path="/", httponly=True, samesite="strict", secure=secure
        )

    def end(self, response: Response) -> None:
        """Take the session's token from the browser."""
        response.delete_cookie(self.cookie, path="/", httponly=True, samesite="strict", secure=self.console.secure)

    def where(self, connection: HTTPConnection) -> str:
        """Return the address that a call comes from: what the proxies of the TOML say, and nobody else."""
        address = connection.client.host if connection.client else ""
        hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")[-_MOST_HOPS:]
        while hops and self._is_proxy(address):
            nearer = hops.pop().strip()
            if not _is_address(nearer):
                break
            address = nearer
        return address or "unknown"

    def actor(self, connection: HTTPConnection, person: Person) -> Actor:
        """Return who asks, and from where, as the audit log names them."""
        return actor_of(person, self.where(connection))

    def own_page(self, connection: HTTPConnection) -> bool:
        """Tell whether a browser says that a call comes from our own pages; what is no browser says nothing.

        Sec-Fetch-Site comes first: under our referrer policy Origin may be `null` for our own forms.
        """
        site = connection.headers.get("sec-fetch-site", "")
        origin = connection.headers.get("origin", "")
        if site:
            return site == "same-origin" or (site == "none" and not origin)
        if not origin:
            return bool(connection.scope["type"] == "http")
        return self.ours(origin, connection.headers.get("host", ""))

    def ours(self, origin: str, host: str) -> bool:
        """Tell whether an origin is this server's: that of the name it was called by, or the public one."""
        parts = urlsplit(origin)
        public = urlsplit(self.console.public_url)
        if public.netloc and (parts.scheme, parts.netloc) == (public.scheme, public.netloc):
            return True
        scheme = "https" if self.console.tls_certificate else "http"
        return bool(host) and parts.netloc == host and parts.scheme == scheme

    def named(self, host: str) -> bool:
        """Tell whether the server answers to this Host header."""
        names = self.console.names
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return not names or name in names

    def _is_proxy(self, address: str) -> bool:
        return _is_address(address) and any(ip_address(address) in proxy for proxy in self._proxies)

    async def _own(self, connection: HTTPConnection, token: str) -> None:
        """Raise HTTPException 403 where a change may have been set off by somebody else's page."""
        if not self.own_page(connection):
            raise HTTPException(403, "a page of another site may not do this")
        given = connection.headers.get("x-csrf-token", "")
        media = connection.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not given and media in _FORMS and isinstance(connection, Request):
            field = (await connection.form()).get("csrf", "")
            given = field if isinstance(field, str) else ""
        if not hmac.compare_digest(given.encode(errors="replace"), proof_of(token).encode()):
            raise HTTPException(403, "the session's token is missing or of another session: load the page again")


def proof_of(token: str) -> str:
    """Return the token that changes of a session must bear."""
    return hmac.new(token.encode(errors="replace"), b"isthmus csrf", "sha256").hexdigest() if token else ""


def guard_of(config: ConsoleConfig, clock: Clock) -> SessionGuard:
    """Make the guard of a site's server."""
    part = config.console
    desk = Desk(config.people_file, clock, Lasting(part.session_hours * 3600, part.idle_minutes * 60))
    return SessionGuard(desk, part, mark_of(config.people_file))


def mark_of(file: Path) -> str:
    """Return eight hexadecimal digits that set one site's cookie apart from another's on the same host."""
    return blake2b(str(file.resolve()).encode(errors="replace"), digest_size=4).hexdigest()


def _changes_nothing(connection: HTTPConnection) -> bool:
    return connection.scope["type"] == "http" and connection.scope["method"] in SAFE


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
