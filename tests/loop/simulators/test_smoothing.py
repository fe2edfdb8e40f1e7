from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import savgol_filter

from isthmus.loop.simulators.smoothing import local_line, savitzky_golay


@given(st.integers(2, 60), st.floats(-30, 30), st.floats(-3, 3), st.sets(st.integers(0, 59), max_size=20))
def test_steady_motion_is_read_exactly_even_at_the_ends_and_beside_gaps(
    steps: int, begin: float, speed: float, gaps: set[int]
) -> None:
    values = begin + speed * np.arange(steps, dtype=float)
    values[[gap for gap in gaps if gap < steps]] = np.nan
    smooth, slope = local_line(values[None], 4.0)
    there = np.isfinite(values)
    assert np.array_equal(np.isfinite(smooth[0]), there)
    assert smooth[0][there] == pytest.approx(values[there], abs=1e-6)
    if there.sum() > 1 and np.diff(np.flatnonzero(there)).max() <= 5:
        assert slope[0][there] == pytest.approx(speed, abs=1e-6)


def test_noise_shrinks() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 500))
    smooth, _ = local_line(noise, 4.0)
    assert smooth.std() < 0.4 * noise.std()


@pytest.mark.parametrize(("window", "order", "derivative"), [(9, 2, 0), (15, 2, 1), (5, 2, 1), (5, 3, 2)])
def test_the_fit_is_that_of_scipy(window: int, order: int, derivative: int) -> None:
    values = np.random.default_rng(1).normal(size=40)
    expected = savgol_filter(values, window, order, deriv=derivative, delta=0.1)
    assert savitzky_golay(values, 0.1, window, order, derivative) == pytest.approx(expected)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8])
def test_a_short_series_is_fitted_with_what_there_is(steps: int) -> None:
    for derivative in (0, 1):
        found = savitzky_golay(np.ones(steps), 0.1, 15, 2, derivative)
        assert found == pytest.approx(np.full(steps, 1.0 - derivative))
