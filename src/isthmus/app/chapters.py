"""What the demonstrations tell, and the real samples that they tell it of where those are there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_NEAR = (Path("../shared/data"),)


@dataclass(frozen=True, slots=True)
class Chapter:
    """What the demonstration does next."""

    title: str


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of what the demonstration did."""

    what: str
    result: str


def find_samples() -> Path | None:
    """Return the folder of the real samples: ISTHMUS_SAMPLES, or ../shared/data where that is there."""
    named = os.environ.get("ISTHMUS_SAMPLES")
    for folder in (Path(named),) if named else _NEAR:
        if (folder / "driving").is_dir():
            return folder
    return None
