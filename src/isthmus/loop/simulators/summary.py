"""From episodes to figures: overall and for each slice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from isthmus.loop.measure import OVERALL, Better, Measure
from isthmus.loop.simulators.port import Episode

FIGURES: tuple[tuple[str, str, Better], ...] = (
    ("score", "", "higher"),
    ("pass_rate", "", "higher"),
    ("collision_rate", "", "lower"),
    ("at_fault_rate", "", "lower"),
    ("progress", "", "higher"),
    ("ttc_min_p5", "s", "higher"),
    ("ttc_within_rate", "", "higher"),
    ("comfort_rate", "", "higher"),
)
"""Name, unit and direction of every figure; the metric's full name is SIMULATOR.NAME, such as log_replay.score."""


def summarise(episodes: Iterable[Episode], slices: Mapping[str, tuple[str, ...]], model: str) -> list[Measure]:
    """Sum up the episodes of each simulator, overall and for each slice.

    `slices` gives the slices (`KIND:NAME`) of a scene id; a scene without any counts overall alone. `progress` is
    the mean of the ratios, each at most 1; `ttc_min_p5` the 5th percentile of the least times to collision.
    Simulators and slices come in the order of their names, overall first.
    """
    groups: dict[tuple[str, bool, str], list[Episode]] = {}
    for episode in episodes:
        for name in (OVERALL, *dict.fromkeys(slices.get(episode.scene_id, ()))):
            groups.setdefault((episode.simulator, name != OVERALL, name), []).append(episode)
    measures = []
    for (simulator, _, name), members in sorted(groups.items()):
        values = _values(members)
        measures += [
            Measure(f"{simulator}.{metric}", name, model, values[metric], len(members), unit, better)
            for metric, unit, better in FIGURES
        ]
    return measures


def worst(episodes: Iterable[Episode], count: int = 6) -> Sequence[Episode]:
    """Pick the episodes that a report should show: collisions at fault first, then the lowest scores."""
    return sorted(episodes, key=lambda e: (not e.at_fault, e.score, e.ttc_min_s, e.scene_id))[:count]


def _values(episodes: Sequence[Episode]) -> Mapping[str, float]:
    def mean(values: Iterable[Any]) -> float:
        return math.fsum(float(value) for value in values) / len(episodes)

    return {
        "score": mean(e.score for e in episodes),
        "pass_rate": mean(e.passed for e in episodes),
        "collision_rate": mean(e.collided for e in episodes),
        "at_fault_rate": mean(e.at_fault for e in episodes),
        "progress": mean(min(1.0, e.progress) for e in episodes),
        "ttc_min_p5": float(np.percentile([e.ttc_min_s for e in episodes], 5)),
        "ttc_within_rate": mean(e.ttc_within for e in episodes),
        "comfort_rate": mean(e.comfort for e in episodes),
    }
