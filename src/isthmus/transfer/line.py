"""A watched HTTP connection, how long it is waited for, and whom it believes."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from isthmus.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to believe (`ca`; None: whom the system does), and how to show who calls. All files are PEM."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Build what TLS needs. Raises InputError where a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.certificate is not None:
                context.load_cert_chain(self.certificate, self.key)
        except OSError as error:  # ssl.SSLError is one
            raise InputError(
                f"the certificates for TLS cannot be used: {error}", "see that they are PEM"
            ) from error
        return context


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited, in seconds: for the network to move at all, and, by size, for a call as a whole.

    A call that moves n bytes may take `wait_s + n / slowest`. A fetch that is cut is resumed; `resumes` times in a
    row without getting any further.
    """

    wait_s: float = 30.0
    slowest: int = 16_384
    resumes: int = 4


class Line:
    """A connection, watched: it is cut from another thread once the time of a call is up."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection, self.used, self.late = connection, False, False
        self._timer: threading.Timer | None = None

    def allow(self, seconds: float) -> None:
        """Let the call go on for so long from now."""
        self.rest()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def rest(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stale(self) -> bool:
        """Tell whether the other side has ended it, or talks out of turn."""
        opened = self.connection.sock
        if opened is None:
            return True
        asked = select.poll()
        asked.register(opened, select.POLLIN)
        return bool(asked.poll(0))

    def close(self) -> None:
        """End it."""
        self.rest()
        self.connection.close()

    def _cut(self) -> None:
        self.late = True
        with contextlib.suppress(OSError):
            if (opened := self.connection.sock) is not None:
                socket.socket.shutdown(opened, socket.SHUT_RDWR)  # below TLS: nothing is ever said in the clear
