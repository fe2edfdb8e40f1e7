"""Carrying doors for tests, and a line to them that can be cut, stalled and spoiled."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.faces.http.carry import CarryHttpServer, Road
from isthmus.transfer.http import HttpCarrier
from isthmus.transfer.inbox import Caps, Inbox
from isthmus.transfer.line import Patience, Tls

TOKEN = "a-token-of-the-tests-0123456789"
QUICK = Patience(wait_s=20.0, resumes=4)


@dataclass
class Door:
    """A door that stands open. `said` is what it told of refusals."""

    port: int
    inbox: Inbox
    scheme: str = "http"
    said: list[str] = field(default_factory=list)

    def carrier(
        self,
        token: str = TOKEN,
        *,
        port: int = 0,
        road: str = "north",
        patience: Patience = QUICK,
        tls: Tls | None = None,
    ) -> HttpCarrier:
        """A carrier to the door; through another port where a line lies before it."""
        url = f"{self.scheme}://127.0.0.1:{port or self.port}/v1/carry/{road}"
        return HttpCarrier(url, token, tls, patience, pause=lambda seconds: None)


@contextlib.contextmanager
def door(
    folder: Path, caps: Caps | None = None, certificate: str = "", key: str = "", clients: str = ""
) -> Iterator[Door]:
    """Serve one road, `north`, from a thread."""
    inbox = Inbox(folder, caps)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Door(listener.getsockname()[1], inbox, "https" if certificate else "http")
        server = CarryHttpServer(
            {"north": Road.of(inbox, TOKEN)},
            certificate=certificate,
            key=key,
            clients=clients,
            say=found.said.append,
        )
        server.config.timeout_graceful_shutdown = 1
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


class Line:
    """A TCP line to a port. What goes wrong on it happens so many times, then it is a good one."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.times = 0
        self.cut_there: int | None = None
        """After so many bytes towards the server the line is cut."""
        self.cut_back: int | None = None
        """After so many bytes from the server the line is cut."""
        self.flip_there: int | None = None
        """The byte at this place towards the server is another one."""
        self.stalled = threading.Event()
        """While it is set, nothing moves."""
        self.before_cut = lambda: None
        self.back_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End it, and all that is on it."""
        self.stalled.clear()
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open += [near, far]
                for source, sink, there in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._pump, args=(source, sink, there), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, there: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                while self.stalled.is_set():
                    threading.Event().wait(0.01)
                cut = self.cut_there if there else self.cut_back
                flip = self.flip_there if there else None
                if self.times and flip is not None and passed <= flip < passed + len(piece):
                    self.times -= 1
                    at = flip - passed
                    piece = piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :]
                if self.times and cut is not None and passed + len(piece) > cut:
                    self.times -= 1
                    self.before_cut()
                    sink.sendall(piece[: cut - passed])
                    _drain(sink)
                    break
                passed += len(piece)
                self.back_bytes += 0 if there else len(piece)
                sink.sendall(piece)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)  # wakes the thread of the other direction
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


def _drain(sink: socket.socket) -> None:
    """Wait until the other end has what was sent: a line that is reset throws away what it still holds."""
    for _ in range(1000):
        if not int.from_bytes(fcntl.ioctl(sink, termios.TIOCOUTQ, bytes(4)), "little"):
            return
        threading.Event().wait(0.01)


@contextlib.contextmanager
def line_to(port: int) -> Iterator[Line]:
    """Lay a line to a port of loopback."""
    line = Line(port)
    try:
        yield line
    finally:
        line.close()
