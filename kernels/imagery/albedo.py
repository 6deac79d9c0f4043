"""Broadband albedo from the reflectance of four bands.

    rho_vis = 0.443 blue + 0.317 green + 0.240 red                    Liang 2001, doi:10.1016/S0034-4257(00)00205-4
    albedo  = 0.526 rho_vis + 0.474 rho_nir         no vegetation     Brest & Goward 1987, doi:10.1080/01431168708948612
    albedo  = 0.526 rho_vis + 0.418 rho_nir         vegetation; 0.362 + 0.112 / 2: beyond 1.3 um leaves reflect half as much

Reflectances are taken for hemispherical ones: surfaces are matt.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, threads


class AlbedoCoefficients(NamedTuple):
    """Weights [1]: of the bands in the visible reflectance, and of visible and near infrared in the albedo."""

    blue: float
    green: float
    red: float
    visible: float
    nir: float
    nir_vegetated: float


@cell
def first_known(a, b):
    """Return a, or b where a is unknown."""
    return b if math.isnan(a) else a


@cell
def visible_reflectance(blue, green, red, weights):
    """Return the visible reflectance; blue, then green, where unknown, is taken for the next longer band."""
    green = first_known(green, red)
    blue = first_known(blue, green)
    return weights.blue * blue + weights.green * green + weights.red * red


def broadband_albedo(
    blue: NDArray[np.float32],
    green: NDArray[np.float32],
    red: NDArray[np.float32],
    nir: NDArray[np.float32],
    is_vegetated: NDArray[np.bool_],
    coefficients: AlbedoCoefficients,
) -> NDArray[np.float32]:
    """Return the broadband albedo.

    Parameters
    ----------
    blue, green, red, nir : (...) float32
        Reflectances [1], NaN where a band is missing: blue is then taken for green, green for red, and near infrared for red.
    is_vegetated : (...) bool
    coefficients : weights of the bands

    Returns
    -------
    (...) float32
        Albedo, 0 to 1; NaN where red is unknown.
    """
    out = np.empty(red.shape, np.float32)
    bands = [np.ascontiguousarray(b).ravel() for b in (blue, green, red, nir, is_vegetated)]
    _albedo(*bands, coefficients, out.ravel())
    return out


@threads
def _albedo(blue, green, red, nir, is_vegetated, w, out):
    for k in prange(out.size):
        r = np.float64(red[k])
        visible = visible_reflectance(np.float64(blue[k]), np.float64(green[k]), r, w)
        infrared = first_known(np.float64(nir[k]), r)
        share = w.nir_vegetated if is_vegetated[k] else w.nir
        value = w.visible * visible + share * infrared
        out[k] = np.float32(min(max(value, 0.0), 1.0)) if value == value else np.float32(np.nan)
