"""The carrier over HTTP(S): files go to and come from the carrying door of another site.

What the network does is an OSError, which senders and receivers try again; a token that does not open the road is
Refused, which a person has to mend. Nothing waits for ever: each wait for the network is bounded, and so is each
call, by the size of what it moves. A fetch that is cut goes on where it was cut. The token travels in a header
alone, never in an address or a message.
"""

from __future__ import annotations

import contextlib
import errno
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn
from urllib.parse import urlsplit

from isthmus.core.errors import InputError, IsthmusError, Refused
from isthmus.core.ports import Arrival
from isthmus.transfer.inbox import pieces, proper
from isthmus.transfer.line import Line, Patience, Tls
from isthmus.transfer.sealing import digest_of

_PIECE = 1 << 18
_ASKED_FROM = 1 << 18
"""Files of this size or more are asked for first: a refusal need not overtake their bytes."""
_PROGRESS = 1 << 16
_MOST_LISTING = 64 << 20
_MOST_PROBLEM = 1 << 14
_TOKEN = re.compile(r"[\x21-\x7e]+")
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", re.ASCII)


class _Fetch:
    """A file that is fetched in one or several calls; it is opened once the first one answers."""

    def __init__(self, into: Path) -> None:
        self._into, self._stamp = into, ""
        self._file: BinaryIO | None = None
        self.have = self.size = 0
        self.full = False
        """Whether it was our own disk that refused: asking again helps nobody then."""

    def __enter__(self) -> _Fetch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def heads(self) -> dict[str, str]:
        """Return what asks for the rest of the same file."""
        return {"range": f"bytes={self.have}-", "if-match": self._stamp} if self.have else {}

    def begin(self, size: int, stamp: str) -> None:
        """Begin, or begin anew where something was fetched before."""
        if self._file is None:
            self._file = self._into.open("wb")
        self._file.seek(0)
        self._file.truncate()
        self.have, self.size, self._stamp = 0, size, stamp

    def anew(self) -> None:
        """Forget what was fetched: another file lies there now."""
        self.have = 0

    def go_on(self, told: str) -> None:
        """See that what comes is what was asked for. Raises OSError."""
        match = _RANGE.fullmatch(told)
        if match is None or (int(match[1]), int(match[2])) != (self.have, self.size):
            self.anew()
            raise OSError(errno.EPROTO, "the door answers with another stretch of the file than was asked for")

    def write(self, piece: bytes) -> None:
        """Write the next piece."""
        assert self._file is not None
        try:
            self._file.write(piece)
        except OSError:
            self.full = True
            raise
        self.have += len(piece)


class HttpCarrier:
    """A road of a carrying door as a `core.ports.Carrier`; several threads may use it at a time.

    `url` is `https://<host>[:<port>][/<prefix>]/v1/carry/<road>`. Besides OSError and FileNotFoundError, its calls
    raise Refused where the token does not open the road, and InputError for names that are not carried.
    """

    def __init__(
        self,
        url: str,
        token: str,
        tls: Tls | None = None,
        patience: Patience | None = None,
        *,
        plain: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; nothing is connected yet. `plain` allows `http:` beyond loopback. Raises InputError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise InputError(
                "a carrying door is told as https://<host>[:<port>]/v1/carry/<road>", "correct the url"
            )
        if parts.username is not None or parts.password is not None:
            raise InputError("a url with a name or password in it is not used", "give the token apart from it")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not plain:
            raise InputError(
                f"the token would go in the clear to {parts.hostname}", "use https, or allow it: plain"
            )
        if not _TOKEN.fullmatch(token):
            raise InputError(
                "the token is empty, or has characters that no token has", "see the file it is read from"
            )
        self._host, self._base, self._token = parts.hostname, parts.path.rstrip("/"), token
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._context = (tls or Tls()).context() if parts.scheme == "https" else None
        self._patience, self._pause = patience or Patience(), pause
        self._where = f"{self._host}:{self._port}{self._base}"
        self._idle: list[Line] = []
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"HttpCarrier({self._where})"

    def put(self, name: str, file: Path) -> None:
        """Send a file; the server keeps it whole or not at all, and another one stays there until then."""
        path, digest = self._path(name), digest_of(file)
        with file.open("rb") as content:
            size = content.seek(0, 2)
            if size >= _ASKED_FROM:
                with self._call("POST", path, {"isthmus-size": str(size), "content-length": "0"}) as answer:
                    self._expect(answer, name, 204)
            heads = {"content-length": str(size), "isthmus-digest": digest}
            with self._call("PUT", path, heads, content, size) as answer:
                self._expect(answer, name, 201)

    def names(self) -> list[str]:
        """List what lies at the door, sorted."""
        with self._call("GET", f"{self._base}/") as answer:
            self._expect(answer, "", 200)
            text = answer.read(_MOST_LISTING)
            if answer.length:
                raise ConnectionResetError(errno.ECONNRESET, f"{self._where} broke off its listing")
        try:
            names = [one["name"] for one in json.loads(text)["files"]]
            return sorted(name for name in names if proper(name))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise OSError(errno.EPROTO, f"{self._where} gives no listing of a carrying door") from error

    def look(self, name: str) -> Arrival:
        """Tell size and stamp."""
        with self._call("HEAD", self._path(name)) as answer:
            self._expect(answer, name, 200)
            return Arrival(self._length(answer), answer.headers.get("etag", ""))

    def take(self, name: str, into: Path) -> int:
        """Fetch a file, whole: it goes on where a connection was cut, and begins anew where another came."""
        path, had, left = self._path(name), 0, self._patience.resumes
        with _Fetch(into) as fetch:
            while True:
                try:
                    if self._fetched(path, name, fetch):
                        return fetch.have
                    left -= 1
                except (FileNotFoundError, ssl.SSLCertVerificationError):
                    raise
                except OSError:
                    if fetch.full:
                        raise
                    left = self._patience.resumes if fetch.have >= had + _PROGRESS else left - 1
                    if left < 0:
                        raise
                    self._pause(0.1 * 2 ** (self._patience.resumes - left))
                if left < 0:
                    raise OSError(errno.EBUSY, f"{name} at {self._where} is another one each time")
                had = fetch.have

    def drop(self, name: str) -> None:
        """Remove a file; nothing happens where it has gone."""
        with self._call("DELETE", self._path(name)) as answer:
            if answer.status != 404:
                self._expect(answer, name, 204)

    def close(self) -> None:
        """Close the connections that wait for further calls."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            line.close()

    def _fetched(self, path: str, name: str, fetch: _Fetch) -> bool:
        """Fetch what is left of a file; False where it has to begin anew. Raises OSError where it was cut."""
        with self._call("GET", path, fetch.heads()) as answer:
            if answer.status in (412, 416) and fetch.have:
                fetch.anew()
                return False
            if answer.status == 206 and fetch.have:
                fetch.go_on(answer.headers.get("content-range", ""))
            else:
                self._expect(answer, name, 200)
                fetch.begin(self._length(answer), answer.headers.get("etag", ""))
            while fetch.have < fetch.size:
                piece = answer.read(min(_PIECE, fetch.size - fetch.have))
                if not piece:
                    raise ConnectionResetError(
                        errno.ECONNRESET, f"{self._where} broke off after {fetch.have:,} of {fetch.size:,} bytes"
                    )
                fetch.write(piece)
        return True

    def _path(self, name: str) -> str:
        if not proper(name):
            raise InputError(f"{name[:80]!r} is no name that is carried", "bundles, reports and inventories are")
        return f"{self._base}/{name}"

    @contextlib.contextmanager
    def _call(
        self,
        method: str,
        path: str,
        heads: Mapping[str, str] | None = None,
        content: BinaryIO | None = None,
        size: int = 0,
    ) -> Iterator[HTTPResponse]:
        """Make a call and hand out its answer; the connection is kept where the answer was read to its end."""
        told = {"authorization": f"Bearer {self._token}", "accept-encoding": "identity", **(heads or {})}
        while True:
            line = self._line()
            try:
                answer = self._answered(line, method, path, told, content, size)
                break
            except (OSError, HTTPException) as error:
                line.close()
                if not line.used or line.late:  # else it was one that the door had ended meanwhile: once more
                    self._raise(line, error)
        kept = False
        try:
            if not line.late:  # a head that was cut looks like a whole one
                yield answer
                answer.read(_MOST_PROBLEM)
            if line.late:
                raise TimeoutError
            kept = self._kept(line, answer)
        except (OSError, HTTPException) as error:
            self._raise(line, error)
        finally:
            if not kept:
                line.close()

    def _line(self) -> Line:
        """Return a connection that waits, or a new one. Raises OSError."""
        with self._lock:
            while self._idle:
                line = self._idle.pop()
                if not line.stale():
                    return line
                line.close()
        wait_s = self._patience.wait_s
        if self._context is None:
            return Line(HTTPConnection(self._host, self._port, timeout=wait_s))
        return Line(HTTPSConnection(self._host, self._port, timeout=wait_s, context=self._context))

    def _kept(self, line: Line, answer: HTTPResponse) -> bool:
        """Keep a connection for further calls, where that may be; return whether it was."""
        line.rest()
        if answer.will_close or line.late or not answer.isclosed():
            return False
        line.used = True
        with self._lock:
            self._idle.append(line)
        return True

    def _answered(
        self, line: Line, method: str, path: str, heads: Mapping[str, str], content: BinaryIO | None, size: int
    ) -> HTTPResponse:
        """Send a request with its content; return the answer's head. Raises OSError, HTTPException."""
        connection, patience = line.connection, self._patience
        if connection.sock is None:
            connection.connect()
        line.allow(2 * patience.wait_s + size / patience.slowest)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for head, value in heads.items():
            connection.putheader(head, value)
        connection.endheaders()
        if content is not None:
            content.seek(0)
            try:
                for piece in pieces(content, _PIECE, size):
                    connection.send(piece)
            except ConnectionError:  # refused while it was sent: the answer may lie there
                return connection.getresponse()
        answer = connection.getresponse()
        line.allow(patience.wait_s + (answer.length or 0) / patience.slowest)
        return answer

    def _raise(self, line: Line, error: OSError | HTTPException) -> NoReturn:
        """Raise what an error on a connection means."""
        if line.late and not isinstance(error, FileNotFoundError):
            raise TimeoutError(errno.ETIMEDOUT, f"{self._where} was too slow") from error
        if isinstance(error, TimeoutError):
            wait_s = self._patience.wait_s
            raise TimeoutError(errno.ETIMEDOUT, f"{self._where} did not go on for {wait_s:g} s") from error
        if isinstance(error, HTTPException):
            why = f"{self._where} broke off: {type(error).__name__}"
            raise ConnectionResetError(errno.ECONNRESET, why) from error
        if isinstance(error, socket.gaierror):
            raise ConnectionError(errno.EHOSTUNREACH, f"{self._host} has no address: {error.strerror}") from error
        if isinstance(error, ConnectionError):
            raise type(error)(error.errno, f"{self._where}: {error.strerror or error}") from error
        raise error

    def _length(self, answer: HTTPResponse) -> int:
        text = answer.headers.get("content-length", "")
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise OSError(errno.EPROTO, f"{self._where} does not tell how long a file is")
        return int(text)

    def _expect(self, answer: HTTPResponse, name: str, status: int) -> None:
        """Return where an answer has this status. Raises what another one means."""
        if answer.status == status:
            return
        raise meaning(answer.status, self._where, name, self._told(answer))

    def _told(self, answer: HTTPResponse) -> str:
        """Return what a refusal says, without what a door could have learned from us."""
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            title = str(json.loads(answer.read(_MOST_PROBLEM))["title"])
            return "".join(filter(str.isprintable, title.replace(self._token, "…")))[:200]
        return ""


_NUMBERS = {404: errno.ENOENT, 408: errno.ETIMEDOUT, 413: errno.EFBIG, 422: errno.EIO, 507: errno.ENOSPC}


def meaning(status: int, where: str, name: str, told: str) -> OSError | IsthmusError:
    """Say what an answer other than the expected one means to a sender or receiver."""
    if status in (401, 403):
        return Refused(
            f"{where} lets nobody in with this token",
            "give the road's token: it lies at the site that has the door",
        )
    if status == 404 and name:
        return FileNotFoundError(errno.ENOENT, f"{where} has no such file", name)
    if 300 <= status < 400:
        told = told or "it leads elsewhere: give the address of the door itself"
    return OSError(_NUMBERS.get(status, errno.EIO), f"{where} answers {status}" + (f": {told}" if told else ""))
