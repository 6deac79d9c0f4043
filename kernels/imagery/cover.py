"""Shadow and cover of the ground from four bands: rules on reflectance and on normalised differences, cell by cell."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, threads
from felsina.kernels.imagery.ndvi import normalised

PAVED, GRASS, BARE_SOIL, WATER = 1, 5, 6, 7  # UMEP land cover
UNKNOWN = 0


class CoverRules(NamedTuple):
    """Thresholds [1].

    Attributes
    ----------
    shadow_nir, shadow_visible : reflectances below which, both, a cell is in shadow, or water
    shadow_visible_alone : the same for images without near infrared
    vegetation_ndvi : least NDVI of grass and of green roofs
    water_ndwi : least (green - NIR) / (green + NIR) of water
    bare_ndvi : least NDVI of bare soil
    bare_redness : least (red - green) / (red + green) of bare soil
    """

    shadow_nir: float
    shadow_visible: float
    shadow_visible_alone: float
    vegetation_ndvi: float
    water_ndwi: float
    bare_ndvi: float
    bare_redness: float


@cell
def is_dark(green, red, nir, rules):
    """Tell whether a cell reflects what only shadow or water does; `green` may be unknown, `nir` too."""
    visible = 0.5 * (green + red) if green == green else red
    if math.isnan(nir):
        return visible < rules.shadow_visible_alone
    return nir < rules.shadow_nir and visible < rules.shadow_visible


@cell
def cover_code(green, red, nir, is_open, rules):
    """Return the land cover of a cell, `UNKNOWN` in shadow and where red or near infrared is unknown.

    Dark cells are water where they look so (NDWI) and the laser got nothing back; otherwise shadow.
    """
    if math.isnan(red) or math.isnan(nir):
        return UNKNOWN
    if is_dark(green, red, nir, rules):
        return WATER if is_open and normalised(green, nir) >= rules.water_ndwi else UNKNOWN
    ndvi = normalised(nir, red)
    if ndvi >= rules.vegetation_ndvi:
        return GRASS
    return BARE_SOIL if ndvi >= rules.bare_ndvi and normalised(red, green) >= rules.bare_redness else PAVED


def dark_cells(
    green: NDArray[np.float32], red: NDArray[np.float32], nir: NDArray[np.float32], rules: CoverRules
) -> NDArray[np.bool_]:
    """Mark cells in shadow, or of water, from (...) float32 reflectances [1]; False where red is unknown."""
    out = np.zeros(red.shape, np.bool_)
    _dark(*(np.ascontiguousarray(b).ravel() for b in (green, red, nir)), rules, out.ravel())
    return out


def ground_cover(
    green: NDArray[np.float32],
    red: NDArray[np.float32],
    nir: NDArray[np.float32],
    is_silent: NDArray[np.bool_],
    rules: CoverRules,
) -> NDArray[np.int8]:
    """Return what an image says of the ground.

    Parameters
    ----------
    green, red, nir : (...) float32
        Reflectances [1], NaN where unknown.
    is_silent : (...) bool
        Cells that no laser pulse came back from.
    rules : thresholds

    Returns
    -------
    (...) int8
        UMEP code 1 paved, 5 grass, 6 bare soil, 7 water; 0 in shadow and where red or near infrared is unknown.
    """
    out = np.zeros(red.shape, np.int8)
    _cover(*(np.ascontiguousarray(b).ravel() for b in (green, red, nir, is_silent)), rules, out.ravel())
    return out


@threads
def _dark(green, red, nir, rules, out):
    for k in prange(out.size):
        if not math.isnan(red[k]):
            out[k] = is_dark(np.float64(green[k]), np.float64(red[k]), np.float64(nir[k]), rules)


@threads
def _cover(green, red, nir, is_silent, rules, out):
    for k in prange(out.size):
        out[k] = cover_code(np.float64(green[k]), np.float64(red[k]), np.float64(nir[k]), is_silent[k], rules)
