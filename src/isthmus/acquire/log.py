"""Structured log lines of server and agent: a JSON object a line, with the traces of the requests it speaks of."""

from __future__ import annotations

import contextlib
import threading
from typing import IO, Protocol

import msgspec

from isthmus.core.ports import Clock


class Say(Protocol):
    """Takes what happened. Quick, from any thread, and never raises."""

    def __call__(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Write down one event, a short fixed phrase; `level` is debug, info, warning or error."""
        ...


def silent(event: str, /, *, level: str = "info", **fields: object) -> None:
    """Say nothing: where nobody listens."""


_LEVELS = ("debug", "info", "warning", "error")


class Log:
    """Writes events as JSON lines; every line bears the fields given here, such as agent and environment."""

    def __init__(self, stream: IO[str], clock: Clock, *, level: str = "info", **fields: object) -> None:
        self._stream, self._clock, self._fields = stream, clock, fields
        self._least = _LEVELS.index(level)
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder(enc_hook=str)

    def __call__(self, event: str, /, *, level: str = "info", **fields: object) -> None:
        """Write one line. A log that cannot be written stops nothing."""
        if _LEVELS.index(level) < self._least:
            return
        line = {"at": self._clock.now(), "level": level, "event": event, **self._fields, **fields}
        text = self._encoder.encode(line).decode() + "\n"
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
