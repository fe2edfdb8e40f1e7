"""Puts the slices of an evaluation in order, and together those with the same figures throughout.

Tags often come in company: whatever is simulated may also be merging traffic, and driven by one policy. Such
slices have the same figures throughout, and a reader wants them once, under all their names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.loop.measure import OVERALL, Measure

_KINDS = ("rule", "source", "tag")


@dataclass(frozen=True, slots=True)
class Group:
    """Slices with the same figures and counts for every metric and model; `of` finds them by metric and model."""

    names: tuple[str, ...]
    of: Mapping[tuple[str, str], Measure]

    def metric(self, metric: str) -> dict[str, Measure]:
        """Return what each model has on one metric; empty where none of them has a sample."""
        found = {model: measure for (name, model), measure in self.of.items() if name == metric}
        return found if any(measure.count for measure in found.values()) else {}


def place(name: str) -> tuple[int, str, str]:
    """Sort slices: overall, then rules, sources and tags, each by name."""
    kind, _, rest = name.partition(":")
    if name == OVERALL:
        return -1, "", ""
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS), kind, rest


def groups(measures: Sequence[Measure]) -> tuple[Group, ...]:
    """Group the slices that are the same, in the order of their first names. Overall stays by itself.

    Slices without a single sample are left out.
    """
    cells: dict[str, dict[tuple[str, str], Measure]] = {}
    for found in measures:
        cells.setdefault(found.slice, {}).setdefault((found.metric, found.model), found)
    same: dict[object, list[str]] = {}
    for name in sorted(cells, key=place):
        if any(found.count for found in cells[name].values()):
            same.setdefault(name if name == OVERALL else _seen(cells[name]), []).append(name)
    return tuple(Group(tuple(names), cells[names[0]]) for names in same.values())


def _seen(of: Mapping[tuple[str, str], Measure]) -> frozenset[object]:
    """Make what two slices must have in common; no number equals no number here."""
    return frozenset(
        (key, found.count, None if math.isnan(found.value) else found.value) for key, found in of.items()
    )
