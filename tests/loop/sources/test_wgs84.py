from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.loop.sources import units
from isthmus.loop.sources.wgs84 import east_north

LATITUDES = st.floats(-80, 80)
LONGITUDES = st.floats(-180, 180)


def test_a_degree_at_the_equator_has_its_known_length() -> None:
    east, north = east_north(np.array([0.0, 0.001]), np.array([0.001, 0.0]), (0.0, 0.0))
    assert east[0] == pytest.approx(111.3195, abs=1e-3)
    assert north[1] == pytest.approx(110.5743, abs=1e-3)


@given(LATITUDES, LONGITUDES, st.floats(-2000, 2000), st.floats(-2000, 2000))
def test_near_the_origin_distances_agree_with_the_radii_of_curvature(
    latitude: float, longitude: float, east_m: float, north_m: float
) -> None:
    e2 = (1 / 298.257223563) * (2 - 1 / 298.257223563)
    s = math.sin(math.radians(latitude))
    normal = 6378137.0 / math.sqrt(1 - e2 * s * s)
    meridian = 6378137.0 * (1 - e2) / (1 - e2 * s * s) ** 1.5
    lat = latitude + math.degrees(north_m / meridian)
    lon = longitude + math.degrees(east_m / (normal * math.cos(math.radians(latitude))))
    east, north = east_north(np.array([lat]), np.array([lon]), (latitude, longitude))
    assert abs(east[0] - east_m) < 10 and abs(north[0] - north_m) < 10


def test_the_date_line_is_no_jump() -> None:
    east, _ = east_north(np.array([10.0]), np.array([-179.999]), (10.0, 179.999))
    assert east[0] == pytest.approx(219.26, abs=0.5)


def test_a_compass_counts_the_other_way_round() -> None:
    turned = units.radians(np.array([0.0, 90.0, 180.0, 270.0]), "compass_deg")
    assert np.allclose(np.abs(turned), [math.pi / 2, 0, math.pi / 2, math.pi])
    assert turned[0] > 0 > turned[2]
