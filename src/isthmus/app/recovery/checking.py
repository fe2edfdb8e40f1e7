"""Checks of a pair's site beyond its TOML: keys and places that a round needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from isthmus.app.recovery.config import RecoveryConfig, read_recovery_config

_REMOTE = ("http://", "https://", "s3://")


def check_recovery(path: Path) -> tuple[str, list[str]]:
    """Return what the site is, in words, and notes on what is missing before rounds can run.

    Raises ConfigError with every mistake.
    """
    config = read_recovery_config(path)
    part = config.recovery
    return f"recovery with {part.peer} over {part.road}", list(_notes(config))


def _notes(config: RecoveryConfig) -> Iterator[str]:
    part = config.recovery
    if not config.place(part.key).exists():
        yield f"[recovery] has no signing key in {config.place(part.key)} yet: isthmus recovery keys"
    if not part.trust:
        yield f"[recovery] trusts no key yet: what {part.peer} sends is not read"
    for place in (part.out_place, part.in_place):
        if not place.startswith(_REMOTE) and not config.place(place).parent.is_dir():
            yield f"[recovery]: the folder around {place} is not there"
    for key, what in config.unheeded.items():
        yield f"{part.classic}: {key} does nothing here: {what}"
