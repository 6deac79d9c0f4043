"""Normalised differences of two bands: vegetation (NIR, red), water (green, NIR), redness of soil (red, green).

Tucker 1979, doi:10.1016/0034-4257(79)90013-0 (NDVI); McFeeters 1996, doi:10.1080/01431169608948714 (NDWI).
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, threads

_ZERO, _NAN = np.float32(0.0), np.float32(np.nan)


@cell
def normalised(a, b):
    """Return (a - b) / (a + b); NaN where the sum is not positive or a value is unknown."""
    total = a + b
    return (a - b) / total if total > _ZERO else _NAN


def normalised_difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (a - b) / (a + b) of two bands.

    Parameters
    ----------
    a, b : (...) float32
        Reflectances [1], NaN where unknown; a negative one (a calibration's offset) counts as 0.

    Returns
    -------
    (...) float32
        -1 to 1; NaN where a band is unknown or both are 0.
    """
    out = np.empty(a.shape, np.float32)
    _difference(np.ascontiguousarray(a).ravel(), np.ascontiguousarray(b).ravel(), out.ravel())
    return out


@threads
def _difference(a, b, out):
    for k in prange(out.size):
        if math.isnan(a[k]) or math.isnan(b[k]):
            out[k] = _NAN
        else:
            out[k] = normalised(max(a[k], _ZERO), max(b[k], _ZERO))


def summed_difference(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (a - b) / (a + b) of two (...) int64 sums over the same things, as float32; NaN where both are 0."""
    out = np.empty(a.shape, np.float32)
    _summed(np.ascontiguousarray(a).ravel(), np.ascontiguousarray(b).ravel(), out.ravel())
    return out


@threads
def _summed(a, b, out):
    for k in prange(out.size):
        total = a[k] + b[k]
        out[k] = np.float32(np.float64(a[k] - b[k]) / np.float64(total)) if total > 0 else _NAN
