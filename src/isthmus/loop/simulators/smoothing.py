"""Takes the noise out of recorded motion. Positions of NGSIM were read off video: their second differences are
mostly noise, so accelerations must come from a fit over a good part of a second, never from neighbouring steps."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@lru_cache(maxsize=64)
def _kernels(steps: int, sigma: float) -> tuple[Array, Array, Array]:
    apart = np.arange(steps)[None, :] - np.arange(steps)[:, None]
    weight = np.exp(-0.5 * (apart / sigma) ** 2) * (np.abs(apart) <= 3 * sigma)
    return weight.T, (weight * apart).T, (weight * apart**2).T


def local_line(values: Array, sigma: float) -> tuple[Array, Array]:
    """Fit a straight line around each step, weighted by a Gaussian of `sigma` steps.

    `values` is (n, T) with NaN where nothing was recorded. Returns the fitted value and the slope per step, both
    float64 (n, T) and NaN where `values` is. Local linear regression (Cleveland 1979): unlike a moving mean
    it does not lag at the ends, and it reads steady motion exactly.
    """
    values = np.asarray(values, np.float64)
    present = np.isfinite(values)
    weight, first, second = _kernels(values.shape[1], sigma)
    ones, known = present.astype(np.float64), np.where(present, values, 0.0)
    s0, s1, s2 = ones @ weight, ones @ first, ones @ second
    y0, y1 = known @ weight, known @ first
    with np.errstate(invalid="ignore", divide="ignore"):
        base = s0 * s2 - s1 * s1
        alone = base < 1e-9
        value = np.where(alone, y0 / s0, (s2 * y0 - s1 * y1) / base)
        slope = np.where(alone, 0.0, (s0 * y1 - s1 * y0) / base)
    return np.where(present, value, np.nan), np.where(present, slope, np.nan)


def savitzky_golay(values: Array, dt: float, window: int, order: int, derivative: int = 0) -> Array:
    """Fit polynomials of `order` over an odd `window` of steps and return their derivative, (n,).

    Savitzky and Golay 1964; the ends are read off the first and last whole window. A shorter series is
    fitted as one window, and one too short for the order gives zeros for derivatives and itself else.
    """
    values = np.asarray(values, np.float64)
    window = min(window, len(values) - (1 - len(values) % 2))
    if window <= order:
        return values.copy() if derivative == 0 else np.zeros(len(values))
    table = _polynomials(window, order, derivative) / dt**derivative
    half = window // 2
    middle = np.lib.stride_tricks.sliding_window_view(values, window) @ table[half]
    return np.concatenate([table[:half] @ values[:window], middle, table[half + 1 :] @ values[-window:]])


@lru_cache(maxsize=64)
def _polynomials(window: int, order: int, derivative: int) -> Array:
    place = np.arange(window) - window // 2
    fit = np.linalg.pinv(np.vander(place, order + 1, increasing=True).astype(np.float64))
    powers = np.arange(order + 1)
    factor = np.array([np.prod(np.arange(p, p - derivative, -1)) if p >= derivative else 0.0 for p in powers])
    raised = place[:, None].astype(np.float64) ** np.maximum(powers - derivative, 0)
    table: Array = (raised * factor) @ fit
    return table
