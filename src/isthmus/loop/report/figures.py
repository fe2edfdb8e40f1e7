"""Numbers as text, and two figures set against each other: how much, and whether that is better."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from isthmus.loop.measure import OVERALL, Measure
from isthmus.loop.report.slices import groups

CANDIDATE, CHAMPION, BASELINE = "candidate", "champion", "constant velocity"
NONE = "–"
_MINUS = "−"
_FIRST = ("ADE", "FDE", "minADE", "minFDE", "miss_rate")
"""Metrics in the order in which a reader wants them; the first that was measured is drawn slice by slice."""
_THEN = "slowdown"


@dataclass(frozen=True, slots=True)
class Other:
    """Another model's figure, and how the candidate stands to it. `tone` is better, worse, same or empty."""

    value: str = NONE
    change: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One metric on one slice, with the other models beside in the order of the table's columns.

    `slices` names it, and after it those with the same figures throughout.
    """

    metric: str
    slices: tuple[str, ...]
    unit: str
    better: str
    value: str
    count: str
    others: tuple[Other, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Lines over the same columns."""

    models: tuple[str, ...]
    lines: tuple[Line, ...]


def figure(value: float | None) -> str:
    """Show a figure with the digits that matter: three decimals below 10, fewer above."""
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    decimals = 3 if size < 10 else 2 if size < 100 else 1 if size < 10_000 else 0
    text = f"{value:,.{decimals}f}"
    if size and float(text.replace(",", "")) == 0:
        text = f"{value:.1e}"
    return text.replace("-", _MINUS)


def change(own: Measure, other: Measure | None) -> Other:
    """Set the candidate's figure against another model's, as a share of the latter."""
    if other is None or not math.isfinite(other.value):
        return Other()
    shown = figure(other.value)
    if not math.isfinite(own.value):
        return Other(shown)
    if own.value == other.value:
        return Other(shown, "±0", "same")
    tone = "better" if (own.value < other.value) == (own.better == "lower") else "worse"
    sign = _MINUS if own.value < other.value else "+"
    if other.value == 0:
        return Other(shown, f"{sign}{figure(abs(own.value))}", tone)
    share = abs(own.value - other.value) / abs(other.value) * 100
    text = f"{share:.1f}" if share < 1000 else "1000+"
    return Other(shown, f"{sign}{text} %", tone if text != "0.0" else "same")


def rank(metric: str) -> int:
    """Say how early a metric is shown: the errors of the way first, then slow-downs, then whatever else."""
    if metric in _FIRST:
        return _FIRST.index(metric)
    return len(_FIRST) + (not metric.startswith(_THEN))


def metrics(measures: Sequence[Measure]) -> tuple[str, ...]:
    """List the metrics in the order in which they are shown."""
    return tuple(sorted(dict.fromkeys(found.metric for found in measures), key=rank))


def table(measures: Sequence[Measure]) -> Table:
    """Arrange the measures of one metric a line, over all samples."""
    kept = [found for found in measures if found.slice == OVERALL]
    models = _models(kept)
    cells: dict[str, dict[str, Measure]] = {}
    for found in kept:
        cells.setdefault(found.metric, {}).setdefault(found.model, found)
    return Table(models, tuple(_line((OVERALL,), cells[metric], models) for metric in metrics(kept)))


def by_slice(measures: Sequence[Measure]) -> tuple[Table, ...]:
    """Arrange all slices but overall, one table a metric; slices with the same figures share a line."""
    kept = [found for found in measures if found.slice != OVERALL]
    models, together = _models(kept), groups(kept)
    tables = []
    for metric in metrics(kept):
        lines = tuple(_line(group.names, of, models) for group in together if (of := group.metric(metric)))
        if lines:
            tables.append(Table(models, lines))
    return tuple(tables)


def duration(start: datetime.datetime | None, end: datetime.datetime | None) -> str:
    """Show how long something took."""
    if start is None or end is None or end < start:
        return NONE
    return seconds((end - start).total_seconds())


def seconds(amount: float | None) -> str:
    """Show an amount of time: `48 s`, `3 min 20 s`, `2 h 05 min`."""
    if amount is None or not math.isfinite(amount):
        return NONE
    if amount < 60:
        return f"{amount:.1f} s" if amount < 10 else f"{amount:.0f} s"
    minutes, rest = divmod(round(amount), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _line(names: tuple[str, ...], of: Mapping[str, Measure], models: Sequence[str]) -> Line:
    known = next(iter(of.values()))
    own = of.get(CANDIDATE) or replace(known, model=CANDIDATE, value=math.nan, count=0)
    others = tuple(change(own, of.get(model)) for model in models)
    count = f"{max(found.count for found in of.values()):,}"
    return Line(known.metric, names, known.unit, known.better, figure(own.value), count, others)


def _models(measures: Sequence[Measure]) -> tuple[str, ...]:
    return tuple(sorted({found.model for found in measures} - {CANDIDATE}, key=_model_order))


def _model_order(name: str) -> tuple[int, str]:
    return {CHAMPION: 0, BASELINE: 1}.get(name, 2), name
