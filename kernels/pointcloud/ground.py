"""Simple morphological filter (SMRF): which points are ground.

The lowest point of each cell makes a surface; openings by growing windows cut off what stands out of it by more than
slope x radius (objects); the surface without objects, filled smoothly, is the provisional ground; a point is ground when

    |z - z_ground(x, y)| <= elevation_threshold + elevation_scaler x |grad z_ground|(x, y).

All of it is defined on the grid of the whole scene, and each stage reads a window around a cell at most: the stages take row
ranges [j0, j1), and no cut changes a bit. Windows are octagons (close to the disks of the paper, and exact in
min/max passes over rows). The surface must have no voids where it is opened: `felsina.kernels.pointcloud.gaps` fills them.

Reference: Pingel, Clarke & McBride 2013, doi:10.1016/j.isprsjprs.2012.12.002. Unlike there, voids are filled harmonically and
not by springs, and the default parameters were chosen once for all of the eight ISPRS samples that the validation test holds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import get_num_threads, prange
from numpy.typing import NDArray

from felsina.kernels._backend import rows, threads
from felsina.kernels.pointcloud.gaps import fill_gaps
from felsina.kernels.pointcloud.raster import bilinear

WINDOW_M = 18.0  # radius of the largest window; wider objects (halls) need more
SLOPE = 0.18  # tangent of the steepest ground
LOW_OUTLIER_SLOPE = 5.0  # a cell this steep below all its neighbours' closing is a multipath echo
ELEVATION_THRESHOLD_M = 0.45
ELEVATION_SCALER_M = 1.2  # Pingel et al. name this elevation scaler: metres of tolerance per unit slope
_FILL_CYCLES = 6
_BLOCK = 96  # rows of a block at least: halos of two windows are opened twice


class SmrfSurface(NamedTuple):
    """What the filter knows about each cell of the grid.

    Attributes
    ----------
    ground : (ny, nx) float32
        Provisional ground [m], without voids.
    slope : (ny, nx) float32
        Its gradient |grad z| [1].
    is_object : (ny, nx) bool
        Cells whose lowest point stands on something, or lies below ground.
    """

    ground: NDArray[np.float32]
    slope: NDArray[np.float32]
    is_object: NDArray[np.bool_]


def smrf(
    zmin: NDArray[np.float32],
    cell_m: float,
    window_m: float = WINDOW_M,
    slope: float = SLOPE,
    low_outlier_slope: float = LOW_OUTLIER_SLOPE,
    fill_cycles: int = _FILL_CYCLES,
) -> SmrfSurface:
    """Return the provisional ground under the lowest points of a grid.

    Parameters
    ----------
    zmin : (ny, nx) float32
        Lowest point of each cell [m], NaN where there is none.
    cell_m : float
        Cell size [m].
    window_m : float
        Radius of the largest window [m]: objects up to twice as wide are removed.
    slope : float
        Ground is at most this steep [1].
    low_outlier_slope : float
        A cell is a low outlier when the closing over its neighbours lies more than this times `cell_m` above it [1].
    fill_cycles : int
        Multigrid cycles of each filling.

    Returns
    -------
    SmrfSurface

    Raises
    ------
    ValueError
        When no cell has a point.
    """
    surface = fill_gaps(zmin, fill_cycles)
    is_object = low_outliers(surface, low_outlier_slope * cell_m)
    if is_object.any():
        surface[is_object] = np.nan
        surface = fill_gaps(surface, fill_cycles)
    last = surface
    opened = np.empty_like(surface)
    for radius in range(1, window_cells(window_m, cell_m) + 1):
        open_rows(last, radius, 0, last.shape[0], opened)
        mark_objects(last, opened, slope * cell_m * radius, 0, last.shape[0], is_object)
        # The first surface is needed again below; from then on two arrays change places.
        last, opened = opened, last if radius > 1 else np.empty_like(surface)
    surface[is_object | np.isnan(zmin)] = np.nan
    ground = fill_gaps(surface, fill_cycles)
    steepness = np.empty_like(ground)
    slope_rows(ground, cell_m, 0, ground.shape[0], steepness)
    return SmrfSurface(ground, steepness, is_object)


def window_cells(window_m: float, cell_m: float) -> int:
    """Return the radius of the largest window in whole cells."""
    return max(1, math.ceil(window_m / cell_m - 1e-9))


def low_outliers(surface: NDArray[np.float32], threshold_m: float) -> NDArray[np.bool_]:
    """Mark cells more than `threshold_m` [m] below the morphological closing over 3 x 3 cells, as (ny, nx) bool."""
    inverted = -surface
    opened = np.empty_like(surface)
    open_rows(inverted, 1, 0, surface.shape[0], opened)
    is_low = np.zeros(surface.shape, np.bool_)
    mark_objects(inverted, opened, threshold_m, 0, surface.shape[0], is_low)
    return is_low


def open_rows(surface: NDArray[np.float32], radius: int, j0: int, j1: int, out: NDArray[np.float32]) -> None:
    """Write rows [j0, j1) of the opening of a surface by an octagon; the window ends at the edge of the grid.

    Reads rows [j0 - 2 radius, j1 + 2 radius) of `surface`.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface without voids.
    radius : int
        Radius of the octagon [cells]: a square of half-width radius - b and a diamond of radius b = 0.42 radius, rounded.
    j0, j1 : int
        Rows to write.
    out : (ny, nx) float32
        The opened surface; another array than `surface`.
    """
    if j1 <= j0 or surface.size == 0:
        return
    diamond = (42 * radius + 50) // 100
    # As few blocks as threads: what a block reads beyond its rows is opened twice, and the result does not depend on it.
    block = max(_BLOCK, -(-(j1 - j0) // get_num_threads())) if j1 - j0 < 8192 else 1024
    if block >= j1 - j0:
        _open_block(surface, radius - diamond, diamond, j0, j1, out)
    else:
        _open_blocks(surface, radius - diamond, diamond, j0, j1, block, out)


def mark_objects(
    before: NDArray[np.float32], after: NDArray[np.float32], threshold_m: float, j0: int, j1: int, out: NDArray[np.bool_]
) -> None:
    """Set `out` (ny, nx) in rows [j0, j1) where an opening lowered the surface by more than `threshold_m` [m]."""
    _mark_objects(before, after, np.float32(threshold_m), j0, j1, out)


def slope_rows(ground: NDArray[np.float32], cell_m: float, j0: int, j1: int, out: NDArray[np.float32]) -> None:
    """Write rows [j0, j1) of |grad z| [1]: central differences, one-sided at the edge. Reads one row beyond."""
    _slope_rows(ground, np.float32(cell_m), j0, j1, out)


def is_ground(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    surface: SmrfSurface,
    cell_mm: int,
    elevation_threshold_m: float = ELEVATION_THRESHOLD_M,
    elevation_scaler_m: float = ELEVATION_SCALER_M,
    out: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Tell which points are ground: within a tolerance that grows with the slope of the provisional ground.

    Parameters
    ----------
    x, y : (n,) int32 or int64
        Position east of the west edge and south of the north edge of the grid [mm].
    z : (n,) int32
        Height [mm].
    surface : SmrfSurface
        The filter's surface over the whole grid.
    cell_mm : int
        Cell size of the grid [mm].
    elevation_threshold_m, elevation_scaler_m : float
        Tolerance on flat ground [m], and what each unit of slope adds [m].
    out : (n,) bool, optional
        Array to write to.

    Returns
    -------
    (n,) bool
    """
    if out is None:
        out = np.empty(x.shape, np.bool_)
    _is_ground(x, y, z, surface.ground, surface.slope, cell_mm, elevation_threshold_m, elevation_scaler_m, out)
    return out


def height_above(
    x: NDArray[np.integer], y: NDArray[np.integer], z: NDArray[np.int32], ground: NDArray[np.float32], cell_mm: int
) -> NDArray[np.float32]:
    """Return the (n,) float32 heights of points [mm] above a (ny, nx) ground [m], interpolated bilinearly [m]."""
    out = np.empty(x.shape, np.float32)
    _height_above(x, y, z, ground, cell_mm, out)
    return out


@threads
def _is_ground(x, y, z, ground, slope, cell_mm, threshold, scaler, out):
    for i in prange(x.size):
        height = z[i] / 1000.0 - bilinear(ground, x[i], y[i], cell_mm)
        out[i] = abs(height) <= threshold + scaler * bilinear(slope, x[i], y[i], cell_mm)


@threads
def _height_above(x, y, z, ground, cell_mm, out):
    for i in prange(x.size):
        out[i] = np.float32(z[i] / 1000.0 - bilinear(ground, x[i], y[i], cell_mm))


@rows
def _mark_objects(before, after, threshold, j0, j1, out):
    for j in range(j0, j1):
        for i in range(before.shape[1]):
            out[j, i] |= before[j, i] - after[j, i] > threshold


@rows
def _slope_rows(ground, cell_m, j0, j1, out):
    ny, nx = ground.shape
    for j in range(j0, j1):
        north, south = max(j - 1, 0), min(j + 1, ny - 1)
        run_y = np.float32(max(south - north, 1)) * cell_m
        for i in range(nx):
            west, east = max(i - 1, 0), min(i + 1, nx - 1)
            p = (ground[j, east] - ground[j, west]) / (np.float32(max(east - west, 1)) * cell_m)
            q = (ground[south, i] - ground[north, i]) / run_y
            out[j, i] = np.sqrt(p * p + q * q)


@rows
def _set(out, value):
    # Loops instead of slices of rows: slices cost the compiler another seven seconds (12.3 against 5.4).
    for i in range(out.size):
        out[i] = value


@rows
def _copy(a, out):
    for i in range(a.size):
        out[i] = a[i]


@rows
def _negate(a):
    for i in range(a.size):
        a[i] = -a[i]


@rows
def _lower(a, b, out):
    for i in range(out.size):
        out[i] = a[i] if a[i] < b[i] else b[i]


@rows
def _lowest_along(row, half, pad, out):
    """Write the minimum over 2 half + 1 cells of a row: windows of 2, 4, 8 ... cells, then two that overlap."""
    n, width = row.size, 2 * half + 1
    m = n + 2 * half
    for i in range(half):
        pad[i] = pad[half + n + i] = np.float32(np.inf)
    for i in range(n):
        pad[half + i] = row[i]
    covered = 1
    while 2 * covered <= width:
        for i in range(m - covered):
            pad[i] = pad[i] if pad[i] < pad[i + covered] else pad[i + covered]
        covered *= 2
    rest = width - covered
    for i in range(n):
        out[i] = pad[i] if pad[i] < pad[i + rest] else pad[i + rest]


@rows
def _lowest_across(a, half, work):
    """Replace each row of `a` by the minimum over 2 half + 1 rows, in the same way; `work` has 2 half more rows."""
    n, width = a.shape[0], 2 * half + 1
    m = n + 2 * half
    for j in range(half):
        _set(work[j], np.float32(np.inf))
        _set(work[half + n + j], np.float32(np.inf))
    for j in range(n):
        _copy(a[j], work[half + j])
    covered = 1
    while 2 * covered <= width:
        for j in range(m - covered):
            _lower(work[j], work[j + covered], work[j])
        covered *= 2
    rest = width - covered
    for j in range(n):
        _lower(work[j], work[j + rest], a[j])


@rows
def _lowest_cross(a, work):
    """Replace each cell of `a` by the minimum of itself and its four neighbours."""
    n, nx = a.shape
    for j in range(n):
        _copy(a[j], work[j])
    for j in range(n):
        here, out = work[j], a[j]
        _lower(work[max(j - 1, 0)], work[min(j + 1, n - 1)], out)
        for i in range(nx):
            west, east = here[max(i - 1, 0)], here[min(i + 1, nx - 1)]
            side = west if west < east else east
            side = side if side < here[i] else here[i]
            out[i] = out[i] if out[i] < side else side


@rows
def _erode(a, square, diamond, pad, work):
    if square > 0:
        for j in range(a.shape[0]):
            _lowest_along(a[j], square, pad, a[j])
        _lowest_across(a, square, work)
    for _ in range(diamond):
        _lowest_cross(a, work)


@rows
def _open_block(surface, square, diamond, j0, j1, out):
    ny, nx = surface.shape
    halo = 2 * (square + diamond)
    top, bottom = max(j0 - halo, 0), min(j1 + halo, ny)
    a = np.empty((bottom - top, nx), np.float32)
    work = np.empty((bottom - top + 2 * square, nx), np.float32)
    pad = np.empty(nx + 2 * square, np.float32)
    for j in range(top, bottom):
        _copy(surface[j], a[j - top])
    _erode(a, square, diamond, pad, work)
    # The dilation is the erosion of the negative; rows within the halo of a cut are wrong by now, and left out.
    for j in range(a.shape[0]):
        _negate(a[j])
    _erode(a, square, diamond, pad, work)
    for j in range(j0, j1):
        _negate(a[j - top])
        _copy(a[j - top], out[j])


@threads
def _open_blocks(surface, square, diamond, j0, j1, block, out):
    for b in prange((j1 - j0 + block - 1) // block):
        _open_block(surface, square, diamond, j0 + b * block, min(j0 + (b + 1) * block, j1), out)
