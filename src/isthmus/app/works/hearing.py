"""What a command prints, as it comes: progress apart from what is for people, each kept within bounds."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

from isthmus.core.progress import Progress

MOST_LINES = 60
MOST_LINE = 2000
_MOST_WAITING = 65_536
"""A line longer than this is taken in parts."""
_PREFIX = "isthmus: "


class Hearing:
    """Takes bytes of both streams and keeps the last progress, the last lines, and the last words of an error."""

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._errors: deque[str] = deque(maxlen=MOST_LINES)
        self._rest = {"stdout": b"", "stderr": b""}

    @property
    def said(self) -> str:
        """The last lines for people, of both streams as they came."""
        return "\n".join(self._lines)

    def take(self, stream: str, content: bytes) -> tuple[bool, bytes]:
        """Take what a stream brought; empty at its end.

        Returns whether the progress is another now, and what is for people, whole lines.
        """
        text = self._rest[stream] + content
        whole, line_end, rest = text.rpartition(b"\n")
        if not content or len(rest) > _MOST_WAITING:
            whole, line_end, rest = text, b"", b""
        self._rest[stream] = rest
        moved, kept = False, []
        for line in (whole + line_end).splitlines(keepends=True):
            progress = progress_of(line) if stream == "stderr" else None
            if progress is not None:
                self.progress, moved = progress, True
                continue
            kept.append(line)
            if shown := line.decode(errors="replace").rstrip()[:MOST_LINE]:
                self._lines.append(shown)
                if stream == "stderr":
                    self._errors.append(shown)
        return moved, b"".join(kept)

    def error(self) -> str:
        """Return why it failed, by what it said: the lines of the command line's own errors, else the last one."""
        own = [line.removeprefix(_PREFIX) for line in self._errors if line.startswith(_PREFIX)]
        return "\n".join(own) if own else (self._errors[-1] if self._errors else "")


def progress_of(line: bytes) -> Progress | None:
    """Read a line of progress; None for anything else."""
    if not line.startswith(b'{"stage"'):
        return None
    try:
        found: Any = json.loads(line)
        stage, done, total = found["stage"], found["done"], found["total"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    unit, note = found.get("unit", ""), found.get("note", "")
    numbers = _whole(done) and (total is None or _whole(total))
    if not numbers or not all(isinstance(text, str) for text in (stage, unit, note)):
        return None
    return Progress(stage[:MOST_LINE], done, total, unit[:MOST_LINE], note[:MOST_LINE])


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
