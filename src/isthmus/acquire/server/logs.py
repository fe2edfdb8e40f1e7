"""The server's log: one JSON object a line, each with the trace of the request that it speaks of."""

from __future__ import annotations

import contextlib
import threading
from typing import Protocol, TextIO

import msgspec

from isthmus.core.ports import Clock


class Say(Protocol):
    """Whatever takes the log: never raises. `what` is a short fixed phrase, the facts are plain JSON values."""

    def __call__(self, what: str, **facts: object) -> None:
        """Write one entry."""
        ...


def silent(what: str, **facts: object) -> None:
    """Write nothing."""


class JsonLines:
    """Writes entries as JSON lines to a stream. Safe to use from several threads."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream, self._clock = stream, clock
        self._encoder = msgspec.json.Encoder(enc_hook=str)
        self._turn = threading.Lock()

    def __call__(self, what: str, **facts: object) -> None:
        """Write one entry: `at`, `what`, then the facts. A log that cannot be written stops nothing."""
        entry = {"at": self._clock.now(), "what": what, **facts}
        line = self._encoder.encode(entry).decode() + "\n"
        with self._turn, contextlib.suppress(OSError, ValueError):
            self._stream.write(line)
            self._stream.flush()
