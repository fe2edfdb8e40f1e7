"""One figure of an evaluation. Offline metrics and simulators both end in these; the gate and report read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

OVERALL = "overall"

Better = Literal["lower", "higher"]


@dataclass(frozen=True, slots=True)
class Measure:
    """The value of `metric` for `model` on `slice`, from `count` samples or episodes.

    `slice` is `overall` or `KIND:NAME`, where KIND is rule, tag or source. `model` is `candidate`, `champion` or
    a baseline's name. `value` is NaN where `count` is 0.
    """

    metric: str
    slice: str
    model: str
    value: float
    count: int
    unit: str
    better: Better
