"""What others wrote and an entry point brought: when it raises, the error names it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from isthmus.core.errors import IsthmusError, RunFailed


def one_line(error: BaseException) -> str:
    """Write an error in one line, with its kind."""
    return " ".join(f"{type(error).__name__}: {error}".split())


@contextlib.contextmanager
def blamed(kind: str, name: str) -> Iterator[None]:
    """Let whatever a block of a plugin raises become RunFailed that names it.

    Errors of Isthmus, and those of a full disk or memory, say enough by themselves.
    """
    try:
        yield
    except (IsthmusError, OSError, MemoryError):
        raise
    except Exception as error:
        raise RunFailed(
            f"{kind} {name!r} failed: {one_line(error)}", "correct it or leave it out of the pipeline's settings"
        ) from error
