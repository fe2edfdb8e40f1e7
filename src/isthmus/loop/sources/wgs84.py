"""Latitude and longitude to metres in a local plane. Pure.

WGS-84 to earth-centred coordinates to east-north-up around an origin, at height 0, as in Hofmann-Wellenhof,
Lichtenegger and Wasle, GNSS (2008), section 8.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SEMI_MAJOR_M = 6_378_137.0
FLATTENING = 1 / 298.257223563

_E2 = FLATTENING * (2 - FLATTENING)

Doubles = NDArray[np.float64]


def east_north(latitude: Doubles, longitude: Doubles, origin: tuple[float, float]) -> tuple[Doubles, Doubles]:
    """Return east and north in m of points in degrees, each (n,), around `origin` (latitude, longitude)."""
    lat0, lon0 = np.radians(origin[0]), np.radians(origin[1])
    x, y, z = _earth(np.radians(latitude), np.radians(longitude))
    x0, y0, z0 = _earth(lat0, lon0)
    dx, dy, dz = x - x0, y - y0, z - z0
    east = -np.sin(lon0) * dx + np.cos(lon0) * dy
    north = -np.sin(lat0) * np.cos(lon0) * dx - np.sin(lat0) * np.sin(lon0) * dy + np.cos(lat0) * dz
    return np.asarray(east, np.float64), np.asarray(north, np.float64)


def _earth(latitude: Doubles, longitude: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    normal = SEMI_MAJOR_M / np.sqrt(1 - _E2 * np.sin(latitude) ** 2)
    x: Doubles = normal * np.cos(latitude) * np.cos(longitude)
    y: Doubles = normal * np.cos(latitude) * np.sin(longitude)
    z: Doubles = normal * (1 - _E2) * np.sin(latitude)
    return x, y, z
