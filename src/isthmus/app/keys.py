"""Every key that a site's TOML takes, gathered from the settings classes themselves.

The loop's, acquiring's and recovery's classes are imported only when their keys are asked for: a device explains
its own without them.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from isthmus.app.console import ConsolePart
from isthmus.app.galleries.config import TABLES as GALLERY
from isthmus.app.sitepart import ACQUIRE_TABLES, RECOVERY_TABLES, SitePart
from isthmus.app.upconfig import TABLES as UP
from isthmus.core.errors import UnknownName
from isthmus.core.settings import describe

_SITE: dict[str, type] = {"site": SitePart}
_CONSOLE: dict[str, type] = {"console": ConsolePart, **UP}


def explained(part: str | None = None) -> Iterator[tuple[str, str, str, str]]:
    """List (table, key, default, meaning). `part` chooses tables by the beginning of their name.

    Raises UnknownName where no table begins so, ModuleNotFoundError for the loop's where it is not installed.
    """
    first = part.partition(".")[0] if part is not None else ""
    if first in ACQUIRE_TABLES:
        parts = _acquire()
    elif first in RECOVERY_TABLES:
        parts = _recovery()
    elif part in (*_SITE, *_CONSOLE, *GALLERY):
        parts = {**_SITE, **GALLERY, **_CONSOLE}
    else:
        parts = {**_SITE, **_loop(), **_acquire(), **GALLERY, **_recovery(), **_CONSOLE}
    rows = [row for name, cls in parts.items() for row in _rows(name, cls)]
    if part is not None:
        kind, *rest = part.replace(".NAME", "").split(".")
        wanted = [".".join((kind, *rest)), ".".join((kind, *rest[1:]))]  # a site's own name may come second
        begins = [[row for row in rows if row[0].replace(".NAME", "").startswith(text)] for text in wanted]
        known = any(name.startswith(f"{kind}.NAME") for name in parts)
        chosen = begins[0] or (begins[1] if known else [])
        if not chosen:
            raise UnknownName.among("table", part, {row[0] for row in rows})
        rows = chosen
    yield from rows


def _acquire() -> dict[str, type]:
    from isthmus.app.acquiring.config import TABLES

    return TABLES


def _recovery() -> dict[str, type]:
    from isthmus.app.recovery.config import TABLES

    return TABLES


def _loop() -> dict[str, type]:
    from isthmus.app.config import RulesPart, TriggerPart, WarehousePart
    from isthmus.loop.extract import ExtractSettings
    from isthmus.loop.runs.settings import PipelineSettings
    from isthmus.loop.sources.port import GROUP, job_type

    parts: dict[str, type] = {
        "warehouse": WarehousePart,
        "extract": ExtractSettings,
        "rules": RulesPart,
        "trigger.NAME": TriggerPart,
        "pipeline.NAME": PipelineSettings,
    }
    for name in sorted(point.name for point in entry_points(group=GROUP)):
        parts[f"source.NAME.settings ({name})"] = job_type(name).Settings
    return parts


def rows_of(cls: type) -> list[tuple[str, str, str, str]]:
    """List the keys of one settings class alone, as `explained` does, with no table's name."""
    return [row for row in _rows("", cls) if not row[0]]


def _rows(table: str, cls: type) -> Iterator[tuple[str, str, str, str]]:
    hints = typing.get_type_hints(cls)
    inner: list[tuple[str, type]] = []
    for key, default, meaning in describe(cls):
        nested = _settings_class(hints[key])
        if nested is None:
            yield table, key, default, meaning
        else:
            mapped = typing.get_origin(hints[key]) is Mapping
            inner.append((f"{key}.NAME" if mapped else key, nested))
    for key, nested in inner:
        yield from _rows(f"{table}.{key}", nested)


def _settings_class(hint: Any) -> type | None:
    """Return the settings class within a type such as X, X | None, tuple[X, ...] or Mapping[str, X]."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    for argument in typing.get_args(hint):
        if (found := _settings_class(argument)) is not None:
            return found
    return None
