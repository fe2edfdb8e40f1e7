"""Units that sources may use, as factors to those of a record: m, s, rad, m/s, m/s². Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LENGTH: dict[str, float] = {"m": 1.0, "ft": 0.3048, "cm": 0.01, "km": 1000.0}
SPEED: dict[str, float] = {"m/s": 1.0, "km/h": 1 / 3.6, "mph": 0.44704, "ft/s": 0.3048, "kn": 1852 / 3600}
ACCEL: dict[str, float] = {"m/s2": 1.0, "ft/s2": 0.3048, "g": 9.80665}
TIME: dict[str, float] = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def radians(angle: NDArray[np.float64], unit: str) -> NDArray[np.float64]:
    """Convert a heading; `compass_deg` counts clockwise from north, a record's counter-clockwise from east."""
    if unit == "rad":
        return angle
    turned = np.radians(90.0 - angle if unit == "compass_deg" else angle)
    wrapped: NDArray[np.float64] = np.remainder(turned + math.pi, 2 * math.pi) - math.pi
    return np.asarray(wrapped, np.float64)
