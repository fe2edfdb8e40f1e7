"""The child process for other sources: every connection that Python makes in it is judged first.

Two barriers: `socket.connect` resolves a name itself, judges, and connects to the address it has judged; and an
audit hook, which sees every connection of the interpreter however it is made, refuses what was not judged so.
"""

from __future__ import annotations

import ftplib
import re
import socket
import sys
import time
import uuid
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from isthmus.acquire.failure import Failure, Kind
from isthmus.acquire.fetch.addresses import Networks
from isthmus.acquire.fetch.outcomes import one_line
from isthmus.acquire.fetch.receiving import Receiver
from isthmus.acquire.image import Told
from isthmus.acquire.ports import Got

_CHUNK = 256 * 1024
_STATUS = re.compile(r"STATUS_[A-Z_]+")
_NONE = {
    "STATUS_NO_SUCH_FILE",
    "STATUS_OBJECT_NAME_NOT_FOUND",
    "STATUS_OBJECT_PATH_NOT_FOUND",
    "STATUS_BAD_NETWORK_NAME",
}
_DENIED = {
    "STATUS_ACCESS_DENIED",
    "STATUS_LOGON_FAILURE",
    "STATUS_ACCOUNT_DISABLED",
    "LogonFailure",
    "AccessDenied",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a child is to get: `path` on a file system of fsspec, made with `options`."""

    protocol: str
    options: dict[str, Any] = field(repr=False)
    path: str
    networks: Networks
    most_bytes: int
    folder: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The beginning of the file's name, by which it is found after a kill."""


class Forbidden(OSError):
    """A connection that the rules refuse."""


class Judge:
    """Stands before every connection of this process, once `installed`."""

    def __init__(self) -> None:
        self.networks = Networks()
        self.refused = ""
        self._connect = socket.socket.connect
        self._connect_ex = socket.socket.connect_ex

    def installed(self) -> Judge:
        """Take the place of the socket's methods and set the hook; this cannot be undone."""
        judge = self

        def connect(this: socket.socket, address: Any) -> None:
            judge._connect(this, judge.judged(this, address))

        def connect_ex(this: socket.socket, address: Any) -> int:
            return judge._connect_ex(this, judge.judged(this, address))

        socket.socket.connect = connect  # type: ignore[assignment,method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[assignment,method-assign]
        sys.addaudithook(self._hook)
        return self

    def judged(self, this: socket.socket, address: Any) -> Any:
        """Return an address of numbers to connect to, in place of one that may be a name. Raises Forbidden."""
        if this.family not in (socket.AF_INET, socket.AF_INET6):
            self._refuse("a connection that is not IP")
        found = socket.getaddrinfo(address[0], address[1], this.family, this.type)
        refusals = [self.networks.refusal(str(each[4][0])) for each in found]
        for each, refusal in zip(found, refusals, strict=True):
            if not refusal:
                return each[4]
        return self._refuse(next(iter(refusals), "a name without an address"))

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("socket.connect", "socket.sendto"):
            return
        this, address = arguments
        if this.family == socket.AF_UNIX and event == "socket.connect":
            self._refuse("a connection that is not IP")
        if not isinstance(address, tuple) or self.networks.refusal(str(address[0])):
            self._refuse(self.networks.refusal(str(address[0])) if isinstance(address, tuple) else "no IP address")

    def _refuse(self, why: str) -> Any:
        self.refused = why
        raise Forbidden(why)


def serve(pipe: Connection) -> None:
    """Answer requests until the pipe ends: the main function of the child."""
    judge = Judge().installed()
    while True:
        try:
            request = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(get(request, judge))


def get(request: Request, judge: Judge) -> Got | Failure:
    """Get what a request asks for."""
    judge.networks, judge.refused = request.networks, ""
    began = time.monotonic()
    receiver = Receiver(Path(request.folder), request.most_bytes, request.mark)
    try:
        import fsspec

        system = fsspec.filesystem(request.protocol, skip_instance_cache=True, **request.options)
        with system.open(request.path, "rb") as file:
            while chunk := file.read(_CHUNK):
                if not receiver.take(chunk):
                    break
        return receiver.got(Told(), time.monotonic() - began)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises becomes the outcome of this request
        receiver.close()
        return outcome(error, judge.refused)


def outcome(error: Exception, refused: str) -> Failure:
    """Turn what a driver raised into a failure. Its own text is not shown: it may hold paths."""
    if refused:
        return Failure(Kind.FORBIDDEN, refused)
    text = str(error)
    status = _STATUS.search(text)  # SMB drivers tell the server's word in the text alone
    word = status[0] if status else type(error).__name__
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)) or word in _NONE:
        return Failure(Kind.GONE, "no such file")
    if isinstance(error, (PermissionError, ftplib.error_perm)) or word in _DENIED or "Authentication" in word:
        return Failure(Kind.DENIED, f"the server does not let it be read ({word})")
    if isinstance(error, TimeoutError):
        return Failure(Kind.TIMEOUT, "too slow")
    if isinstance(error, (ConnectionResetError, EOFError)):
        return Failure(Kind.CUT, "the connection broke")
    if isinstance(error, ImportError):
        return Failure(Kind.BAD_ADDRESS, f"what speaks its scheme is not installed: {one_line(text)}")
    if isinstance(error, OSError):
        return Failure(Kind.UNREACHABLE, f"no connection ({word})")
    return Failure(Kind.SERVER, f"it failed ({word})")
