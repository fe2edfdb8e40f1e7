"""Streams that take all that is printed, whatever terminal or pipe they lead to."""

from __future__ import annotations

import io
from typing import TextIO


def bearing(stream: TextIO) -> TextIO:
    """Return a stream to the same place that shows a ? for a sign it cannot write and loses nothing of a line.

    Where PYTHONUNBUFFERED is set, as images of containers do, text goes to the bare file: of a long line, what a
    full pipe has not taken when a signal comes would be lost. There, lines go through a buffer that sends it all.
    """
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if isinstance(stream.buffer, io.FileIO):
        file = io.FileIO(stream.fileno(), "wb", closefd=False)
        return io.TextIOWrapper(io.BufferedWriter(file), stream.encoding, "replace", line_buffering=True)
    stream.reconfigure(errors="replace")
    return stream
