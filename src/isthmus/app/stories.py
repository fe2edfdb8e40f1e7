"""The stories that the demonstration tells, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.chapters import Chapter, Happened
from isthmus.core.progress import Report

__all__ = ["Chapter", "Happened", "tell"]


def tell(folder: Path, only: str | None, report: Report) -> Iterator[Chapter | Happened]:
    """Tell the stories, or `only` the one of that name: loop, gallery, acquire or recovery."""
    if only in (None, "loop"):
        from isthmus.app.demo import demonstrate

        yield from demonstrate(folder, report)
    if only in (None, "gallery"):
        from isthmus.app.galleries.demo import tell_galleries

        yield from tell_galleries(folder / "gallery")
    if only in (None, "acquire"):
        from isthmus.app.acquiring.demo import tell_acquiring

        yield from tell_acquiring(folder / "acquire")
    if only in (None, "recovery"):
        from isthmus.app.recovery.demo import tell_recovery

        yield from tell_recovery(folder / "recovery")
