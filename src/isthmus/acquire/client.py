"""The interface server as a client's program sees it: over HTTP(S), with the standard library alone."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from isthmus.core.errors import Busy, InputError, Refused, UnknownName

CONTENT_TYPES = {".json": "application/json", ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson",
                 ".csv": "text/csv"}  # fmt: skip
_TIMEOUT_S = 60.0
_SILENT_S = 45.0
"""A stream that is silent for longer has lost its server: heartbeats come every 15 s."""
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 10.0


@dataclass(frozen=True, slots=True)
class Told:
    """One event as it came: its number, its kind (done, failed, cancelled, expired), and its facts."""

    number: int
    kind: str
    facts: Mapping[str, Any]


class Client:
    """A client of one interface server. Not for several threads at once.

    `ca` is a file with the certificates that the server's one is judged by; without it the system's count.
    """

    def __init__(self, url: str, key: str, ca: Path | None = None) -> None:
        """Nothing is connected yet. Raises InputError where the address is none, or asked in the clear."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise InputError(f"{url!r} is no address of a server", "write https://host:port")
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise InputError(f"the key would go to {parts.hostname} in the clear", "use https")
        if not key or not key.isascii() or not key.isprintable():
            raise InputError("there is no API key", "name the file or the environment variable that holds it")
        self._https, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._base, self._key, self._where = parts.path.rstrip("/"), key, f"{parts.scheme}://{parts.netloc}"
        try:
            self._context = ssl.create_default_context(cafile=ca) if self._https else None
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"{ca} is no certificate: {error}", "name a PEM file") from error

    def ask(self, content: bytes, content_type: str, *, label: str = "", once: str = "") -> dict[str, Any]:
        """Post a batch; returns the answer: batch, requests, following, again, status.

        With `once` (an Idempotency-Key) the same post again is answered by the first batch. Raises InputError with
        the first mistakes, Refused, Busy.
        """
        headers = {"Content-Type": content_type} | ({"Idempotency-Key": once} if once else {})
        query = f"?{urlencode({'label': label})}" if label else ""
        taken: dict[str, Any] = self._json("POST", f"/v1/acquisitions{query}", content, headers)
        return taken

    def batch(self, batch: str) -> dict[str, Any]:
        """Tell how a batch stands. Raises UnknownName."""
        found: dict[str, Any] = self._json("GET", f"/v1/batches/{quote(batch, safe='')}")
        return found

    def batches(self, most: int = 100) -> list[dict[str, Any]]:
        """List batches, newest first."""
        found: list[dict[str, Any]] = self._json("GET", f"/v1/batches?{urlencode({'most': most})}")
        return found

    def steer(self, batch: str, step: str) -> int:
        """Cancel, pause, resume or retry a batch; return how many requests that concerned."""
        return int(self._json("POST", f"/v1/batches/{quote(batch, safe='')}/{step}", b"")["changed"])

    def requests(self, **which: object) -> list[dict[str, Any]]:
        """List requests; `which` are the query's fields, such as batch, state, kind, most, after."""
        found: list[dict[str, Any]] = self._json("GET", f"/v1/requests?{urlencode(which)}")
        return found

    def image(self, digest: str) -> bytes:
        """Return an image's bytes. Raises UnknownName."""
        return self._bytes("GET", f"/v1/images/{quote(digest, safe='')}")

    def events(
        self, batch: str = "", after: int = 0, waiting: Callable[[float], None] = time.sleep
    ) -> Iterator[Told]:
        """Stream events after a number, for ever. Where the connection ends it is made again; nothing is missed.

        Raises Refused and UnknownName at once, Busy never.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                for told in self._stream(batch, after):
                    pause_s, after = _FIRST_PAUSE_S, told.number
                    yield told
            except Busy:
                waiting(pause_s)
                pause_s = min(2 * pause_s, _MOST_PAUSE_S)

    def _stream(self, batch: str, after: int) -> Iterator[Told]:
        query = f"?{urlencode({'batch': batch})}" if batch else ""
        with closing(self._connection(_SILENT_S)) as connection:
            answer = self._answer(connection, "GET", f"/v1/events{query}", None, {"Last-Event-ID": str(after)})
            try:
                yield from _told(answer)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Busy(f"{self._where} ended the stream: {error}", "it is asked again") from error
        raise Busy(f"{self._where} ended the stream", "it is asked again")

    def _json(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Any:
        content = self._bytes(method, path, body, headers)
        try:
            return json.loads(content)
        except ValueError as error:
            raise InputError(f"{self._where} answered with something else than JSON", "is it Isthmus?") from error

    def _bytes(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> bytes:
        with closing(self._connection(_TIMEOUT_S)) as connection:
            answer = self._answer(connection, method, path, body, headers)
            try:
                return answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise Busy(f"{self._where} broke off its answer: {error}", "try again") from error

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)

    def _answer(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        """Ask and judge the status. Raises what the problem that it tells of is."""
        try:
            whole = {"Authorization": f"Bearer {self._key}", "Connection": "close", **headers}
            connection.request(method, self._base + path, body, whole)
            answer = connection.getresponse()
            if answer.status < 300:
                return answer
            problem = _problem(answer.read(1 << 20))
        except (OSError, http.client.HTTPException) as error:
            raise Busy(
                f"{self._where} does not answer: {error}", "is it running, and is the address right?"
            ) from error
        what, hint = (
            problem.get("title") or f"{self._where} answered {answer.status}",
            str(problem.get("detail", "")),
        )
        if answer.status in (401, 403):
            raise Refused(what, hint)
        if answer.status == 404:
            raise UnknownName(what, hint)
        if answer.status >= 500 or answer.status == 429:
            raise Busy(what, hint or "try again later")
        lines = problem.get("lines") or ()
        shown = "; ".join(f"line {line['line']}: {line['what']}" for line in lines[:5])
        more = len(lines) - 5 + int(problem.get("more") or 0)
        raise InputError(f"{what}: {shown}{f'; {more} more' if more > 0 else ''}" if shown else what, hint)


def _problem(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _told(lines: Iterator[bytes] | http.client.HTTPResponse) -> Iterator[Told]:
    """Read server-sent events (WHATWG HTML, 9.2.6): id, event, data; comments are heartbeats."""
    number, kind, facts = 0, "", ""
    for raw in lines:
        line = raw.decode().rstrip("\r\n")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if facts:
                yield Told(number, kind, json.loads(facts))
            kind, facts = "", ""
        elif name == "id":
            number = int(value)
        elif name == "event":
            kind = value
        elif name == "data":
            facts += value
