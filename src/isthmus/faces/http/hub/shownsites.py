"""Which of the sites that a server shows a call is about."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from isthmus.core.errors import UnknownName
from isthmus.faces.http.hub.hub import Hub


def name_of(toml: Path) -> str:
    """Return a site's name, also where the rest of its TOML is wrong; its folder's where it has none."""
    part = _read(toml).get("site")
    name = part.get("name") if isinstance(part, dict) else None
    return name if isinstance(name, str) and name else toml.resolve().parent.name


def _read(toml: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(toml.read_text("utf-8-sig"))
    except (OSError, ValueError):
        return {}


def sites_of(hub: Hub) -> dict[str, Path]:
    """Return all sites by name, the server's own first; of two with one name the first counts."""
    found: dict[str, Path] = {}
    for toml in dict.fromkeys((hub.toml, *hub.sites)):
        found.setdefault(name_of(toml), toml)
    return found


def site_at(hub: Hub, name: str = "") -> Path:
    """Return the TOML of a site by its name; the server's own where none is given. Raises UnknownName."""
    if not name:
        return hub.toml
    found = sites_of(hub)
    if name not in found:
        raise UnknownName.among("site", name, found)
    return found[name]


def sites_with(hub: Hub, tables: Collection[str]) -> dict[str, Path]:
    """Return those sites whose TOML has one of some tables, by name, the server's own first."""
    return {name: toml for name, toml in sites_of(hub).items() if set(_read(toml)) & set(tables)}
