"""How pages write numbers, sizes, moments and durations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.datastructures import QueryParams

from isthmus.app.views.shelves import model_of
from isthmus.faces.console.sayings import said
from isthmus.faces.console.words import Words

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")
_NONE = "–"
_SENTENCE = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")
"""Two words in a row; whatever has none is a value, the same in every language."""


def number(value: float | int | None, places: int | None = None) -> str:
    """Write a number with its thousands apart; a dash where there is none."""
    if value is None:
        return _NONE
    if places is not None:
        return f"{value:,.{places}f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def size(value: float | int | None) -> str:
    """Write bytes in the decimal unit that suits them, such as `1.3 MB`."""
    if value is None:
        return _NONE
    left, unit = float(value), 0
    while abs(left) >= 999.5 and unit < len(_SIZES) - 1:
        left, unit = left / 1000, unit + 1
    return f"{left:.0f} B" if unit == 0 else f"{left:.3g} {_SIZES[unit]}"


def percent(value: float | None, places: int = 0) -> str:
    """Write a part of one as percent."""
    return _NONE if value is None else f"{value * 100:.{places}f} %"


def span(value: float | timedelta | None, t: Words) -> str:
    """Write a duration, given in seconds, in its two largest units: `2 d 3 h`, `4 min 5 s`, `0.25 s`."""
    if value is None:
        return _NONE
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return "-" + span(-seconds, t)
    if seconds < 10:
        return f"{f'{seconds:.2g}' if seconds < 1 else f'{seconds:.1f}'} {t('base.unit.s')}"
    whole = round(seconds)
    parts = [(whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    while parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {t(f'base.unit.{unit}')}" for count, unit in parts[:2] if count)


@pass_context
def lasting(context: Context, value: float | timedelta | None) -> str:
    """Write a duration, given in seconds."""
    return span(value, context["t"])


@pass_context
def told(context: Context, text: str) -> Markup:
    """Write a sentence that the product said, in the page's language; one of no known kind as its own words."""
    t: Words = context["t"]
    found = said(str(text), t.language)
    if found is not None or not _SENTENCE.search(str(text)):
        return escape(found or text)
    return Markup('<span class="own-words">{}<q lang="en">{}</q></span>').format(t("base.own-words"), text)


def as_json(value: Any) -> str:
    """Write a value as JSON for a `data-…` attribute; the template escapes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def instant(seconds: float) -> datetime:
    """Return the moment that lies so many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def without(query: QueryParams, name: str, value: str = "") -> str:
    """Return an address's parameters without one of them, or with another value for it."""
    kept = [pair for pair in query.multi_items() if pair[0] != name]
    return urlencode([*kept, (name, value)] if value else kept)


@pass_context
def moment(context: Context, value: datetime | None, of: str = "second") -> Markup:
    """Write a moment in the site's time zone; `of` is "second", "minute" or "day"."""
    if value is None:
        return Markup(_NONE)
    shape = {"second": "%Y-%m-%d %H:%M:%S", "minute": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d"}[of]
    return _time(context, value, value.astimezone(context["zone"]).strftime(shape))


@pass_context
def ago(context: Context, value: datetime | None) -> Markup:
    """Write how long a moment is past."""
    if value is None:
        return Markup(_NONE)
    t: Words = context["t"]
    past = (context["now"] - value).total_seconds()
    text = (
        t("base.ago" if past > 0 else "base.ahead", time=span(abs(past), t)) if abs(past) >= 1 else t("base.now")
    )
    return _time(context, value, text)


@pass_context
def yes_no(context: Context, value: object) -> str:
    """Write yes or no."""
    t: Words = context["t"]
    return t("base.yes" if value else "base.no")


@pass_context
def plainly(context: Context, values: Mapping[str, Any]) -> dict[str, Any]:
    """Write moments in the site's time zone, and roles of recovery in words, for a text that they stand in."""
    t: Words = context["t"]
    found = dict(values)
    for name, value in values.items():
        if isinstance(value, datetime):
            found[name] = f"{value.astimezone(context['zone']):%Y-%m-%d %H:%M:%S}"
        elif name in ("role", "wanted"):
            found[name] = t.known(f"recovery.role.{value}", str(value))
        elif name == "road":
            found[name] = t.known(f"recovery.road.{value}", str(value))
    return found


def _time(context: Context, value: datetime, text: str) -> Markup:
    here = value.astimezone(context["zone"])
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        here.isoformat(timespec="seconds"), here.strftime("%Y-%m-%d %H:%M:%S %Z"), text
    )


@pass_context
def told_plainly(context: Context, text: str) -> str:
    """Write a sentence that the product said, without marks, for a place that takes none."""
    t: Words = context["t"]
    return said(str(text), t.language) or str(text)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "number": number,
    "size": size,
    "percent": percent,
    "lasting": lasting,
    "as_json": as_json,
    "instant": instant,
    "without": without,
    "moment": moment,
    "ago": ago,
    "yes_no": yes_no,
    "plainly": plainly,
    "model_of": model_of,
    "told": told,
    "told_plainly": told_plainly,
}
