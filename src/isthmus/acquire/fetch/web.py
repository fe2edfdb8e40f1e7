"""The engine for all that libcurl speaks: one multi handle, one thread, epoll; handles and connections are reused.

Every connection, also one to an IP literal or after a redirect, is judged where its socket is made; a redirect is
not followed here but handed back, so that it is judged like a new address and gets its own server's credentials.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pycurl

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch import headers, outcomes
from isthmus.acquire.fetch.credentials import Secrets
from isthmus.acquire.fetch.locator import WIRES, canonical, wire
from isthmus.acquire.fetch.options import prepare
from isthmus.acquire.fetch.receiving import Buffer, Receiver
from isthmus.acquire.fetch.rules import Server
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got

_MOST_REFUSAL_BODY = 64 * 1024
_EVENTS = 512
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_MASKS = {pycurl.POLL_IN: _IN, pycurl.POLL_OUT: _OUT, pycurl.POLL_INOUT: _IN | _OUT, pycurl.POLL_NONE: 0}

Names = Callable[[str, int], Sequence[str]]
"""Answers a host name and port with IP addresses, instead of the system's resolver."""


@dataclass(frozen=True, slots=True)
class Onward:
    """The server says that the content lies elsewhere: `location` as it wrote it, relative to `url`."""

    location: str
    url: str


Outcome = Got | Failure | Onward


class Line:
    """One libcurl handle with what it is doing."""

    def __init__(self, folder: Path) -> None:
        self.curl = pycurl.Curl()
        self.folder = folder
        self.lines: list[bytes] = []
        self.token: Hashable = None
        self.kind: Hashable = None
        self.server: Server
        self.url = ""
        self.http = True
        self.began = 0.0
        self.most_ms = 0
        self.clean()

    def clean(self) -> None:
        """Forget the last request."""
        self.lines.clear()
        self.status = 0
        self.heads: headers.Heads = {}
        self.take: Callable[[Buffer], bool] | None = None
        self.receiver: Receiver | None = None
        self.skipped = 0
        self.refused = ""
        self.opened = 0

    def attach(self) -> None:
        """Set the callbacks, which a reset takes away."""
        self.curl.setopt(pycurl.OPENSOCKETFUNCTION, self.open)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.write, use_memoryview=True)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)

    def open(self, purpose: int, address: Any) -> Any:
        """Make the socket for a connection, or refuse: the one place that every connection passes."""
        family, kind, protocol, where = address[:4]
        if family not in (socket.AF_INET, socket.AF_INET6):
            self.refused = "a connection that is not IP"
            return pycurl.SOCKET_BAD
        host = where[0].decode() if isinstance(where[0], bytes) else where[0]
        if why := self.server.networks.refusal(host):
            self.refused = why
            return pycurl.SOCKET_BAD
        self.opened += 1
        return socket.socket(family, kind, protocol)

    def write(self, chunk: Buffer) -> int | None:
        """Take in body bytes; 0 ends the transfer."""
        take = self.take
        if take is None:
            take = self.take = self._begin()
        return None if take(chunk) else 0

    def _begin(self) -> Callable[[Buffer], bool]:
        most = self.server.storage.most_bytes
        if self.http:
            self.status, self.heads = headers.read(self.lines)
            if self.status not in outcomes.FINE:
                return self._skip
        receiver = self.receiver = Receiver(self.folder, most)
        length = self.heads.get(b"content-length", b"")
        announced = int(length[:18]) if length.isdigit() else 0
        if announced > most:
            receiver.failure = Failure(Kind.TOO_LARGE, f"{announced:,} bytes are more than {most:,}")
            return _stop
        if encoding := self.heads.get(b"content-encoding"):
            packing = encoding.decode("latin-1").lower()
            if packing != "identity":
                return receiver.take if receiver.unpack(packing) else _stop
        if length:
            receiver.expect(announced)
        return receiver.take

    def _skip(self, chunk: Buffer) -> bool:
        self.skipped += len(chunk)
        return self.skipped <= _MOST_REFUSAL_BODY

    def outcome(self, code: int, message: str) -> Outcome:
        """Say how the request ended; `code` is libcurl's, 0 for well."""
        found = self._judged(code, message)
        if self.receiver is not None and not isinstance(found, Got):
            self.receiver.close()
        return found

    def _judged(self, code: int, message: str) -> Outcome:
        receiver = self.receiver
        if receiver is not None and receiver.failure is not None:
            return receiver.failure
        if self.refused and not self.opened:
            return Failure(Kind.FORBIDDEN, self.refused)
        if self.http and self.status == 0 and code == 0:
            self.status, self.heads = headers.read(self.lines)
        if self.http and self.status and self.status not in outcomes.FINE and (code == 0 or self.skipped):
            if location := outcomes.onward(self.status, self.heads):
                return Onward(location, self.url)
            failure = outcomes.of_status(self.status, self.heads, datetime.now(UTC))
            if failure is not None:
                return failure
        if code:
            return outcomes.of_code(code, message)
        if receiver is None:
            receiver = self.receiver = Receiver(self.folder, 0)
        told = headers.told(self.heads) if self.http else self._file_told()
        return receiver.got(told, time.monotonic() - self.began)

    def _file_told(self) -> Told:
        seconds = self.curl.getinfo(pycurl.INFO_FILETIME)
        return Told(modified=datetime.fromtimestamp(seconds, UTC)) if 0 < seconds < 1 << 33 else Told()


class Web:
    """Runs requests; only `wake` may be called by another thread than the one that polls."""

    def __init__(self, folder: Path, names: Names | None = None, most_connections: int = 256) -> None:
        self._folder = folder
        self._names = names
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._time)
        self._multi.setopt(pycurl.M_MAXCONNECTS, most_connections)
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._bell_lock = threading.Lock()
        self._epoll.register(self._bell, _IN)
        self._watched: dict[int, int] = {}
        self._resting: set[int] = set()
        """Sockets that stay in the set of epoll, though libcurl does not ask for them: most come back soon."""
        self._timer: float | None = None
        self._busy: dict[Hashable, Line] = {}
        self._of: dict[pycurl.Curl, Line] = {}
        self._idle: dict[Hashable, list[Line]] = {}
        self._ready: list[tuple[Hashable, Outcome]] = []

    def __len__(self) -> int:
        return len(self._busy)

    def fileno(self) -> int:
        """Return the handle that can be read from when `poll` has something to move on."""
        return self._epoll.fileno()

    def begin(self, token: Hashable, server: Server, rest: str, secrets: Secrets, most_s: float) -> None:
        """Start a request; its outcome comes from `poll` under the token."""
        line = self._line(server, secrets)
        line.token, line.server, line.began = token, server, time.monotonic()
        line.url = wire(server.origin, canonical(rest) if server.storage.s3_region else rest)
        curl = line.curl
        try:
            curl.setopt(pycurl.URL, line.url)
            most_ms = (int(most_s * 10) + 1) * 100  # seldom another one
            if most_ms != line.most_ms:
                curl.setopt(pycurl.TIMEOUT_MS, most_ms)
                line.most_ms = most_ms
            if self._names is not None:
                self._pin(curl, server)
            self._multi.add_handle(curl)
        except pycurl.error as error:
            self._release(line)
            self._ready.append((token, outcomes.of_code(int(error.args[0]), "")))
            return
        self._busy[token] = line

    def stop(self, token: Hashable) -> None:
        """End a request without an outcome."""
        line = self._busy.pop(token, None)
        if line is not None:
            self._multi.remove_handle(line.curl)
            if line.receiver is not None:
                line.receiver.close()
            self._release(line)

    def wake(self) -> None:
        """Let a waiting `poll` return; from any thread."""
        with self._bell_lock, contextlib.suppress(BlockingIOError):
            if self._bell >= 0:
                os.eventfd_write(self._bell, 1)

    def poll(self, wait_s: float) -> list[tuple[Hashable, Outcome]]:
        """Move everything on, waiting up to so long for something to happen; return what has ended."""
        if self._timer is not None:
            wait_s = min(wait_s, max(0.0, self._timer - time.monotonic()))
        if self._ready:
            wait_s = 0.0
        for at, event in self._epoll.poll(wait_s, _EVENTS):
            if at == self._bell:
                os.eventfd_read(self._bell)
                continue
            if at not in self._watched:  # its server ended a connection that rests, or there is something to read
                self._resting.discard(at)
                with contextlib.suppress(OSError):  # closed already: gone from the set by itself
                    self._epoll.unregister(at)
                continue
            bits = 0
            if event & (_IN | select.EPOLLHUP):
                bits |= pycurl.CSELECT_IN
            if event & _OUT:
                bits |= pycurl.CSELECT_OUT
            if event & select.EPOLLERR:
                bits |= pycurl.CSELECT_ERR
            self._multi.socket_action(at, bits)
        if self._timer is not None and self._timer <= time.monotonic():
            self._timer = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return self._ended()

    def close(self) -> None:
        """Stop everything and free it."""
        for token in list(self._busy):
            self.stop(token)
        for line in self._of.values():
            line.curl.close()
        self._multi.close()
        self._epoll.close()
        with self._bell_lock:  # its number may soon be somebody else's
            os.close(self._bell)
            self._bell = -1

    def _ended(self) -> list[tuple[Hashable, Outcome]]:
        ended, self._ready = self._ready, []
        left = 1
        while left:
            left, fine, failed = self._multi.info_read()
            for curl in fine:
                self._end(curl, 0, "", ended)
            for curl, code, message in failed:
                self._end(curl, code, message, ended)
        return ended

    def _end(self, curl: pycurl.Curl, code: int, message: str, ended: list[tuple[Hashable, Outcome]]) -> None:
        line = self._of[curl]
        self._multi.remove_handle(curl)
        del self._busy[line.token]
        ended.append((line.token, line.outcome(code, message)))
        self._release(line)

    def _line(self, server: Server, secrets: Secrets) -> Line:
        kind = (server.origin.scheme, server.place)
        idle = self._idle.get(kind)
        if idle:
            return idle.pop()
        other = next((lines for lines in self._idle.values() if lines), None)
        if other and len(self._of) >= 2 * _EVENTS:  # enough handles: one of another kind changes over
            line = other.pop()
            line.curl.reset()
            line.most_ms = 0
        else:
            line = Line(self._folder)
            self._of[line.curl] = line
        line.kind, line.http = kind, WIRES[server.origin.scheme] in ("http", "https")
        line.attach()
        prepare(line.curl, server.origin.scheme, server.storage, secrets)
        return line

    def _release(self, line: Line) -> None:
        line.clean()
        self._idle.setdefault(line.kind, []).append(line)

    def _pin(self, curl: pycurl.Curl, server: Server) -> None:
        assert self._names is not None
        where = server.origin
        found = self._names(where.host, where.port)
        if found:
            curl.setopt(pycurl.RESOLVE, [f"{where.host}:{where.port}:{','.join(found)}"])

    def _watch(self, what: int, at: int, multi: object, mark: object) -> None:
        if what == pycurl.POLL_REMOVE:
            if self._watched.pop(at, None) is not None:
                self._resting.add(at)
            return
        mask = _MASKS[what]
        known = self._watched.get(at)
        if known != mask:
            self._in_epoll(at, mask, known is not None or at in self._resting)
            self._resting.discard(at)
            self._watched[at] = mask

    def _in_epoll(self, at: int, mask: int, known: bool) -> None:
        """Ask for events of a socket. A closed one went from the set, and its number may be another's now."""
        try:
            if known:
                self._epoll.modify(at, mask)
            else:
                self._epoll.register(at, mask)
        except FileNotFoundError:
            self._epoll.register(at, mask)
        except FileExistsError:
            self._epoll.modify(at, mask)

    def _time(self, milliseconds: int) -> None:
        self._timer = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


def _stop(chunk: Buffer) -> bool:
    return False
