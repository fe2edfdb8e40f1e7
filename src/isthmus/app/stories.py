"""The stories that the demonstration tells: one life through all four, or one of them alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.chapters import Chapter, Happened
from isthmus.core.progress import Report

__all__ = ["Chapter", "Happened", "tell"]


def tell(folder: Path, only: str | None, report: Report) -> Iterator[Chapter | Happened]:
    """Tell one life, or `only` the story of a name, with sites of its own: loop, gallery, acquire or recovery."""
    if only is None:
        from isthmus.app.life import tell_life

        yield from tell_life(folder, report)
    elif only == "loop":
        from isthmus.app.demo import demonstrate

        yield from demonstrate(folder, report)
    elif only == "gallery":
        from isthmus.app.galleries.demo import tell_galleries

        yield from tell_galleries(folder / "gallery")
    elif only == "acquire":
        from isthmus.app.acquiring.demo import tell_acquiring

        yield from tell_acquiring(folder / "acquire")
    else:
        from isthmus.app.recovery.demo import tell_recovery

        yield from tell_recovery(folder / "recovery")
