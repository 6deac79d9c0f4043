"""Simple morphological filter (SMRF): which points are ground.

The lowest point of each cell makes a surface; openings by growing windows cut off what stands out of it by more than
slope x radius (objects); the surface without objects, filled smoothly, is the provisional ground; a point is ground when

    |z - z_ground(x, y)| <= elevation_threshold + elevation_scaler x |grad z_ground|(x, y).

All of it is defined on the grid of the whole scene, and each stage reads a window around a cell at most: the stages take row
ranges [j0, j1), and no cut changes a bit. Windows are octagons (`opening`), close to the disks of the paper. The surface must
have no voids where it is opened: `felsina.kernels.pointcloud.gaps` fills them.

Reference: Pingel, Clarke & McBride 2013, doi:10.1016/j.isprsjprs.2012.12.002. Unlike there, voids are filled harmonically and
not by springs, and the default parameters were chosen once for all of the eight ISPRS samples that the validation test holds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels.pointcloud.gaps import fill_gaps
from felsina.kernels.pointcloud.opening import open_rows
from felsina.kernels.pointcloud.pyramid import index
from felsina.kernels.pointcloud.raster import bilinear

WINDOW_M = 18.0  # radius of the largest window; wider objects (halls) need more
SLOPE = 0.18  # tangent of the steepest ground
LOW_OUTLIER_SLOPE = 5.0  # a cell this steep below all its neighbours' closing is a multipath echo
ELEVATION_THRESHOLD_M = 0.45
ELEVATION_SCALER_M = 1.2  # Pingel et al. name this elevation scaler: metres of tolerance per unit slope
_FILL_CYCLES = 6


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
    """Return the provisional ground under the lowest points of a grid, on the side where the grid lives.

    On the GPU the host waits three times, for the range of heights of each filling.

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
    ny = surface.shape[0]
    opened = _empty_like(surface)
    remove_objects(surface, surface, is_object, 0, ny, opened)
    surface = last = fill_gaps(opened, fill_cycles)
    for radius in range(1, window_cells(window_m, cell_m) + 1):
        open_rows(last, radius, 0, ny, opened)
        mark_objects(last, opened, slope * cell_m * radius, 0, ny, is_object)
        # The first surface is needed again below; from then on two arrays change places.
        last, opened = opened, last if radius > 1 else _empty_like(surface)
    remove_objects(surface, zmin, is_object, 0, ny, last)
    ground = fill_gaps(last, fill_cycles)
    steepness = _empty_like(ground)
    slope_rows(ground, cell_m, 0, ny, steepness)
    return SmrfSurface(ground, steepness, is_object)


def _empty_like(array: NDArray[np.float32]) -> NDArray[np.float32]:
    made: NDArray[np.float32] = array_module(array).empty(array.shape, np.float32)
    return made


def window_cells(window_m: float, cell_m: float) -> int:
    """Return the radius of the largest window in whole cells."""
    return max(1, math.ceil(window_m / cell_m - 1e-9))


def low_outliers(surface: NDArray[np.float32], threshold_m: float) -> NDArray[np.bool_]:
    """Mark cells more than `threshold_m` [m] below the morphological closing over 3 x 3 cells, as (ny, nx) bool."""
    is_low: NDArray[np.bool_] = array_module(surface).zeros(surface.shape, np.bool_)
    mark_low_outliers(surface, threshold_m, 0, surface.shape[0], is_low)
    return is_low


def mark_low_outliers(surface: NDArray[np.float32], threshold_m: float, j0: int, j1: int, out: NDArray[np.bool_]) -> None:
    """Set `out` (ny, nx) in rows [j0, j1) as `low_outliers`; reads two rows beyond."""
    if j1 <= j0:
        return
    top, bottom = max(j0 - 2, 0), min(j1 + 2, surface.shape[0])
    inverted = _empty_like(surface[top:bottom])
    if on_gpu(surface, out):
        negate_gpu((inverted.size,), surface[top:bottom], inverted)
    else:
        np.negative(surface[top:bottom], out=inverted)
    opened = _empty_like(inverted)
    open_rows(inverted, 1, j0 - top, j1 - top, opened)
    mark_objects(inverted, opened, threshold_m, j0 - top, j1 - top, out[top:bottom])


def mark_objects(
    before: NDArray[np.float32], after: NDArray[np.float32], threshold_m: float, j0: int, j1: int, out: NDArray[np.bool_]
) -> None:
    """Set `out` (ny, nx) in rows [j0, j1) where an opening lowered the surface by more than `threshold_m` [m]."""
    if on_gpu(before, after, out):
        part = before[j0:j1]
        mark_objects_gpu((part.size,), part, after[j0:j1], threshold_m, out[j0:j1])
    else:
        _mark_objects(before, after, np.float32(threshold_m), j0, j1, out)


def remove_objects(
    surface: NDArray[np.float32],
    known: NDArray[np.float32],
    is_object: NDArray[np.bool_],
    j0: int,
    j1: int,
    out: NDArray[np.float32],
) -> None:
    """Write rows [j0, j1) of a surface [m] with NaN in cells that are objects or NaN in `known`; all (ny, nx)."""
    if on_gpu(surface, known, is_object, out):
        part = surface[j0:j1]
        remove_objects_gpu((part.size,), part, known[j0:j1], is_object[j0:j1], out[j0:j1])
    else:
        _remove_objects(surface, known, is_object, j0, j1, out)


def slope_rows(ground: NDArray[np.float32], cell_m: float, j0: int, j1: int, out: NDArray[np.float32]) -> None:
    """Write rows [j0, j1) of |grad z| [1]: central differences, one-sided at the edge. Reads one row beyond."""
    if on_gpu(ground, out):
        slope_gpu((j1 - j0, ground.shape[1]), ground, *ground.shape, cell_m, j0, out)
    else:
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
        Position east of the west edge and south of the north edge of the grid [mm]; int32 on the GPU.
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
        out = array_module(x).empty(x.shape, np.bool_)
    ground, slope = surface.ground, surface.slope
    if on_gpu(x, y, z, ground, slope, out):
        tolerance = elevation_threshold_m, elevation_scaler_m
        is_ground_gpu(x.shape, x, y, z, ground, slope, *ground.shape, cell_mm, *tolerance, out)
    else:
        _is_ground(x, y, z, ground, slope, cell_mm, elevation_threshold_m, elevation_scaler_m, out)
    return out


def height_above(
    x: NDArray[np.integer], y: NDArray[np.integer], z: NDArray[np.int32], ground: NDArray[np.float32], cell_mm: int
) -> NDArray[np.float32]:
    """Return the (n,) float32 heights of points [mm] above a (ny, nx) ground [m], interpolated bilinearly [m]."""
    out: NDArray[np.float32] = array_module(x).empty(x.shape, np.float32)
    if on_gpu(x, y, z, ground):
        height_above_gpu(x.shape, x, y, z, ground, *ground.shape, cell_mm, out)
    else:
        _height_above(x, y, z, ground, cell_mm, out)
    return out


@cell
def height_over(ground, ny, nx, x, y, z, cell_mm):
    """Return the height [m] of a point [mm] above a flat grid."""
    return z / 1000.0 - bilinear(ground, ny, nx, x, y, cell_mm)


@cell
def is_within(height, slope, threshold, scaler):
    """Tell whether a height above the provisional ground [m] is within its tolerance."""
    return abs(height) <= threshold + scaler * slope


@threads
def _is_ground(x, y, z, ground, slope, cell_mm, threshold, scaler, out):
    ny, nx = ground.shape
    flat, flat_slope = ground.ravel(), slope.ravel()
    for i in prange(x.size):
        steepness = bilinear(flat_slope, ny, nx, x[i], y[i], cell_mm)
        out[i] = is_within(height_over(flat, ny, nx, x[i], y[i], z[i], cell_mm), steepness, threshold, scaler)


@gpu("i4* i4* i4* f4* f4* i8 i8 i8 f8 f8 u1*")
def is_ground_gpu(i, x, y, z, ground, slope, ny, nx, cell_mm, threshold, scaler, out):
    steepness = bilinear(slope, ny, nx, x[i], y[i], cell_mm)
    out[i] = is_within(height_over(ground, ny, nx, x[i], y[i], z[i], cell_mm), steepness, threshold, scaler)


@threads
def _height_above(x, y, z, ground, cell_mm, out):
    ny, nx = ground.shape
    flat = ground.ravel()
    for i in prange(x.size):
        out[i] = np.float32(height_over(flat, ny, nx, x[i], y[i], z[i], cell_mm))


@gpu("i4* i4* i4* f4* i8 i8 i8 f4*")
def height_above_gpu(i, x, y, z, ground, ny, nx, cell_mm, out):
    out[i] = np.float32(height_over(ground, ny, nx, x[i], y[i], z[i], cell_mm))


@cell
def stands_out(before, after, threshold):
    """Tell whether an opening lowered a cell by more than a threshold."""
    return before - after > threshold


@rows
def _mark_objects(before, after, threshold, j0, j1, out):
    for j in range(j0, j1):
        for i in range(before.shape[1]):
            out[j, i] |= stands_out(before[j, i], after[j, i], threshold)


@gpu("f4* f4* f4 u1*")
def mark_objects_gpu(k, before, after, threshold, out):
    out[k] |= np.uint8(stands_out(before[k], after[k], threshold))


@cell
def value_or_void(value, known, is_object):
    """Return a value, NaN where it is not known or an object's."""
    return np.float32(np.nan) if is_object or np.isnan(known) else value


@rows
def _remove_objects(surface, known, is_object, j0, j1, out):
    for j in range(j0, j1):
        for i in range(surface.shape[1]):
            out[j, i] = value_or_void(surface[j, i], known[j, i], is_object[j, i])


@gpu("f4* f4* u1* f4*")
def remove_objects_gpu(k, surface, known, is_object, out):
    out[k] = value_or_void(surface[k], known[k], is_object[k] != 0)


@gpu("f4* f4*")
def negate_gpu(k, values, out):
    out[k] = -values[k]


@cell
def steepness(ground, j, i, ny, nx, cell_m):
    """Return |grad z| of a cell of a flat grid."""
    north, south = max(j - 1, 0), min(j + 1, ny - 1)
    west, east = max(i - 1, 0), min(i + 1, nx - 1)
    rise_x = ground[index(j, east, nx)] - ground[index(j, west, nx)]
    rise_y = ground[index(south, i, nx)] - ground[index(north, i, nx)]
    p = rise_x / (np.float32(max(east - west, 1)) * cell_m)
    q = rise_y / (np.float32(max(south - north, 1)) * cell_m)
    return math.sqrt(p * p + q * q)


@rows
def _slope_rows(ground, cell_m, j0, j1, out):
    ny, nx = ground.shape
    flat = ground.ravel()
    for j in range(j0, j1):
        for i in range(nx):
            out[j, i] = steepness(flat, j, i, ny, nx, cell_m)


@gpu("f4* i8 i8 f4 i8 f4*", dims=2)
def slope_gpu(row, i, ground, ny, nx, cell_m, j0, out):
    j, i = j0 + np.int64(row), np.int64(i)
    out[j * nx + i] = steepness(ground, j, i, ny, nx, cell_m)
