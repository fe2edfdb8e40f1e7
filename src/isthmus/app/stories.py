"""The stories that the demonstration tells: one life through all four, or one of them alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from isthmus.app.chapters import Chapter, Happened
from isthmus.core.progress import Report

__all__ = ["Chapter", "Happened", "tell", "told_briefly"]

_BRIEFLY = {
    "rows": "acquired",
    "warehouse": "warehouse",
    "mine": "mined",
    "champion": "released",
    "report": "report",
    "outer": "behind the gate",
    "run": "on the device",
    "identify": "identified",
    "killed": "killed",
    "failover": "took over",
    "kept aside": "kept aside",
    "verify": "verified",
    "primary": "in the end",
}
"""Of a whole life, what is told once more at its end, each by its last line, and under which words."""


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


def told_briefly(happened: Sequence[Happened], only: str | None) -> list[tuple[str, str]]:
    """Return what happened once more: all of one story, the outcomes of a life."""
    if only is not None:
        return [(one.what, one.result) for one in happened]
    last = {one.what: one.result for one in happened}
    return [(words, last[what]) for what, words in _BRIEFLY.items() if what in last]
