"""Tells systemd how the site stands: READY=1, STATUS=…, WATCHDOG=1, STOPPING=1 (sd_notify(3)).

Outside of a unit of Type=notify there is no NOTIFY_SOCKET, and nothing is told.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """Tells systemd. What cannot be told is left out: the site goes on without."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        told = os.environ if environment is None else environment
        self._address = told.get("NOTIFY_SOCKET", "")
        self.every_s: float | None = None
        """How often `alive` is to be told; None where nobody watches."""
        watched, pid = told.get("WATCHDOG_USEC", ""), told.get("WATCHDOG_PID", "")
        if self._address and watched.isdigit() and pid in ("", str(os.getpid())):
            self.every_s = int(watched) / 1e6 / 2

    def ready(self) -> None:
        """Tell that everything was started."""
        self._tell("READY=1")

    def status(self, text: str) -> None:
        """Tell a line for a person."""
        self._tell(f"STATUS={text.replace(chr(10), ' ')}")

    def alive(self) -> None:
        """Tell that the supervisor is at work."""
        self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the site is going down."""
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.settimeout(1.0)
            to.sendto(text.encode(), address)
