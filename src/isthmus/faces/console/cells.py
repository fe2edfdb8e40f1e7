"""How pages write the values of a table's fields, and what they hand on of a filter."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from isthmus.app.views.scenes import Column
from isthmus.faces.console.filters import number
from isthmus.faces.console.words import Words

_LONGEST = 300


def cell(value: Any) -> str:
    """Write one value in short; a dash where there is none."""
    if value is None or value == "" or value == []:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return number(value) if math.isfinite(value) else "–"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return short(", ".join(cell(one) for one in value[:50]) + (", …" if len(value) > 50 else ""))
    if isinstance(value, Mapping):
        return short(json.dumps(value, ensure_ascii=False, default=str))
    return short(str(value))


def short(text: str) -> str:
    """Cut a long text."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def heads(columns: Iterable[Column], t: Words) -> list[tuple[str, str]]:
    """Return the heads of columns, each with its class."""
    found = []
    for one in columns:
        name = t.known(f"scenes.field.{one.name}", one.name)
        found.append((f"{name} ({one.unit})" if one.unit else name, "number" if one.numeric else ""))
    return found


def setting_list(settings: Mapping[str, Any]) -> list[str]:
    """Write parameters as `--set` takes them."""
    return [f"{name}={value}" for name, value in settings.items()]


def query_of(texts: Mapping[str, str]) -> str:
    """Write a filter as the parameters of an address."""
    return urlencode(dict(texts))
