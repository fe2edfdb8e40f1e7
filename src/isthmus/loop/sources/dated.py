"""Paths that name a day: `{day}` stands for 2026-11-20, `{yyyymmdd}` for 20261120. Pure."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence

PLACEHOLDERS = ("{day}", "{yyyymmdd}")

_SPECIAL = re.compile(r"[*?\[{]")


def names_day(pattern: str) -> bool:
    """Say whether the pattern has a placeholder for the day."""
    return any(placeholder in pattern for placeholder in PLACEHOLDERS)


def for_day(pattern: str, day: datetime.date) -> str:
    """Put the day into a pattern."""
    return pattern.replace("{day}", day.isoformat()).replace("{yyyymmdd}", day.strftime("%Y%m%d"))


def fixed_part(pattern: str) -> str:
    """Return the folders before the first wildcard or placeholder: they must be there on every day."""
    found = _SPECIAL.search(pattern)
    if not found:
        return pattern.rsplit("/", 1)[0] if "/" in pattern else "."
    head = pattern[: found.start()]
    return head.rsplit("/", 1)[0] or "/" if "/" in head else "."


def record_names(paths: Sequence[str]) -> Mapping[str, str]:
    """Give each path a short name that is fit for an id, and no two the same.

    The name is the file's own, with `_` for what is no letter, digit or minus; where two files of a day would
    share one, a few digits of the path's digest follow.
    """
    short = {path: re.sub(r"[^A-Za-z0-9-]+", "_", path.rsplit("/", 1)[-1]).strip("_") or "file" for path in paths}
    taken = list(short.values())
    return {path: name if taken.count(name) == 1 else f"{name}-{_digest(path)}" for path, name in short.items()}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
