"""Numbers as text, and two figures set against each other: how much, and whether that is better."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.loop.measure import OVERALL, Measure

CANDIDATE, CHAMPION, BASELINE = "candidate", "champion", "constant velocity"
NONE = "–"
_MINUS = "−"


@dataclass(frozen=True, slots=True)
class Other:
    """Another model's figure, and how the candidate stands to it. `tone` is better, worse, same or empty."""

    value: str = NONE
    change: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One metric on one slice, with the other models beside in the order of the table's columns."""

    metric: str
    slice: str
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


def table(measures: Sequence[Measure], slices: Sequence[str] | None = None) -> Table:
    """Arrange measures with one line a metric and slice; `slices` keeps only these."""
    kept = [found for found in measures if slices is None or found.slice in slices]
    models = sorted({found.model for found in kept} - {CANDIDATE}, key=_model_order)
    cells: dict[tuple[str, str], dict[str, Measure]] = {}
    for found in kept:
        cells.setdefault((found.metric, found.slice), {}).setdefault(found.model, found)
    lines = []
    for (metric, part), of in cells.items():
        any_one = next(iter(of.values()))
        own = of.get(CANDIDATE) or Measure(metric, part, CANDIDATE, math.nan, 0, any_one.unit, any_one.better)
        others = tuple(change(own, of.get(model)) for model in models)
        count = f"{max(found.count for found in of.values()):,}"
        lines.append(Line(metric, part, any_one.unit, own.better, figure(own.value), count, others))
    return Table(tuple(models), tuple(lines))


def by_slice(measures: Sequence[Measure]) -> Table:
    """Arrange all slices but overall, those of one metric together."""
    found = table([measure for measure in measures if measure.slice != OVERALL])
    order = {metric: place for place, metric in enumerate(dict.fromkeys(line.metric for line in found.lines))}
    return Table(found.models, tuple(sorted(found.lines, key=lambda line: (order[line.metric], line.slice))))


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


def _model_order(name: str) -> tuple[int, str]:
    return {CHAMPION: 0, BASELINE: 1}.get(name, 2), name
