"""Points to rasters: integer accumulation that is exact and independent of order, tile and rank.

Minimum, maximum, sum and count of the heights in a cell are kept as integers, so the grids of several chunks or ranks merge by
min, max and + into the very grids that one pass over all points gives. Frame: `felsina.kernels.pointcloud`.

On the GPU a point is a thread and a statistic an atomic of whole numbers: the same grids. Points are int32 there, as
`engine.io.las` reads them. Cell indices come from a float64 reciprocal on both kinds of processor, exact after a correction
by one; a 64-bit division takes several times as long on either.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels._gpu import atomic_add, atomic_max, atomic_min

NO_MIN = np.int32(2**31 - 1)  # identity of min: the minimum of a cell without points
NO_MAX = np.int32(-(2**31))  # identity of max
_POINTS = 16  # that a GPU thread takes where it counts those inside: one atomic for all of them


class Bins(NamedTuple):
    """Integer statistics of the heights in each cell of a (ny, nx) grid.

    Attributes
    ----------
    zmin, zmax : (ny, nx) int32
        Lowest and highest point [mm]; `NO_MIN` and `NO_MAX` where there is none.
    zsum : (ny, nx) int64
        Sum of heights [mm].
    n_point : (ny, nx) int32
        Number of points.
    """

    zmin: NDArray[np.int32]
    zmax: NDArray[np.int32]
    zsum: NDArray[np.int64]
    n_point: NDArray[np.int32]


def empty_bins(ny: int, nx: int, module: Any = np) -> Bins:
    """Return the bins of a (ny, nx) grid before the first point, as arrays of `module` (numpy or cupy)."""
    return Bins(
        module.full((ny, nx), NO_MIN, np.int32),
        module.full((ny, nx), NO_MAX, np.int32),
        module.zeros((ny, nx), np.int64),
        module.zeros((ny, nx), np.int32),
    )


def bin_points(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    cell_mm: int,
    ny: int,
    nx: int,
    zmin: NDArray[np.int32],
    zmax: NDArray[np.int32],
    zsum: NDArray[np.int64],
    count: NDArray[np.int32],
) -> int:
    """Accumulate points into the bins of a grid, in place; points outside the grid are left out.

    Parameters
    ----------
    x, y : (n,) int32 or int64
        Position east of the west edge and south of the north edge [mm]; int32 on the GPU.
    z : (n,) int32
        Height [mm].
    cell_mm : int
        Cell size [mm].
    ny, nx : int
        Shape of the grid.
    zmin, zmax, zsum, count : (ny, nx) int32, int32, int64, int32
        The bins (`empty_bins`), added to.

    Returns
    -------
    int
        How many of the n points lie in the grid. On the GPU this number is waited for and read back; the functions below
        return nothing and wait for nothing.
    """
    if cell_mm <= 0:
        raise ValueError(f"The cell size is {cell_mm} mm; expected a positive number.")
    for grid in (zmin, zmax, zsum, count):
        if grid.shape != (ny, nx):
            raise ValueError(f"A grid of shape {grid.shape} was given where ({ny}, {nx}) is expected.")
    if not on_gpu(x, y, z, zmin, zmax, zsum, count):
        return int(_bin_points(x, y, z, np.int64(cell_mm), zmin, zmax, zsum, count))
    inside = array_module(x).zeros(1, np.int64)
    stride = -(-x.size // _POINTS)
    bin_points_gpu((stride,), x, y, z, x.size, stride, cell_mm, 1.0 / cell_mm, ny, nx, zmin, zmax, zsum, count, inside)
    return int(inside.get()[0])


def bin_lowest(
    x: NDArray[np.integer], y: NDArray[np.integer], z: NDArray[np.int32], cell_mm: int, lowest: NDArray[np.int32]
) -> None:
    """Lower each cell of (ny, nx) `lowest` [mm] to its lowest point (x, y, z) [mm], in place; start from `NO_MIN`."""
    if on_gpu(x, y, z, lowest):
        bin_lowest_gpu(x.shape, x, y, z, cell_mm, 1.0 / cell_mm, *lowest.shape, lowest)
    else:
        _bin_lowest(x, y, z, np.int64(cell_mm), lowest)


def bin_highest(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    cell_mm: int,
    highest: NDArray[np.int32],
    count: NDArray[np.int32],
) -> None:
    """Raise each cell of (ny, nx) `highest` [mm] to its highest point and count points, in place; start from `NO_MAX` and 0."""
    if on_gpu(x, y, z, highest, count):
        bin_highest_gpu(x.shape, x, y, z, cell_mm, 1.0 / cell_mm, *highest.shape, highest, count)
    else:
        _bin_highest(x, y, z, np.int64(cell_mm), highest, count)


def bin_sums(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    cell_mm: int,
    zsum: NDArray[np.int64],
    count: NDArray[np.int32],
) -> None:
    """Add the heights of points to (ny, nx) `zsum` [mm] and their number to `count`, in place; start from 0 and 0."""
    if on_gpu(x, y, z, zsum, count):
        bin_sums_gpu(x.shape, x, y, z, cell_mm, 1.0 / cell_mm, *zsum.shape, zsum, count)
    else:
        _bin_sums(x, y, z, np.int64(cell_mm), zsum, count)


def hide_others(
    x: NDArray[np.int32], classification: NDArray[np.uint8], chosen: NDArray[np.bool_], out: NDArray[np.int32]
) -> None:
    """Write x [mm] of the points of chosen classes and -1, which is in no grid, for the others: binning then leaves them out.

    Parameters
    ----------
    x, out : (n,) int32
        Position east of the west edge [mm].
    classification : (n,) uint8
        Class of each point.
    chosen : (256,) bool
        Whether points of a class stay.
    """
    if on_gpu(x, classification, chosen, out):
        hide_others_gpu(x.shape, x, classification, chosen, out)
    else:
        _hide_others(x, classification, chosen, out)


def merge_bins(into: Bins, other: Bins) -> None:
    """Merge the bins of another chunk, tile or rank over the same grid into `into`, in place: min, max and +."""
    if on_gpu(*into, *other):
        merge_bins_gpu((into.zmin.size,), *into, *other)
        return
    np.minimum(into.zmin, other.zmin, out=into.zmin)
    np.maximum(into.zmax, other.zmax, out=into.zmax)
    np.add(into.zsum, other.zsum, out=into.zsum)
    np.add(into.n_point, other.n_point, out=into.n_point)


def cell_mean(zsum: NDArray[np.int64], count: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the mean height of each cell [m] as (ny, nx) float32, NaN where there is no point."""
    out = array_module(zsum).empty(zsum.shape, np.float32)
    if on_gpu(zsum, count):
        mean_gpu((zsum.size,), zsum, count, out)
    else:
        _mean(zsum.ravel(), count.ravel(), out.ravel())
    return out


def cell_height(extreme: NDArray[np.int32], count: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return `zmin` or `zmax` [mm] as (ny, nx) float32 heights [m], NaN where there is no point."""
    out = array_module(extreme).empty(extreme.shape, np.float32)
    if on_gpu(extreme, count):
        height_gpu((extreme.size,), extreme, count, out)
    else:
        _height(extreme.ravel(), count.ravel(), out.ravel())
    return out


@cell
def cell_of(position, cell_mm, reciprocal):
    """Return `position // cell_mm` exactly, for 0 <= position < 2**52 and reciprocal = 1 / cell_mm."""
    k = np.int64(position * reciprocal)
    if k * cell_mm > position:
        k -= 1
    elif (k + 1) * cell_mm <= position:
        k += 1
    return k


@cell
def flat_cell(x, y, cell_mm, reciprocal, ny, nx):
    """Return the flat index of the cell that holds (x, y) [mm], -1 beyond the grid."""
    if x < 0 or y < 0 or x >= nx * cell_mm or y >= ny * cell_mm:
        return np.int64(-1)
    # The loops would spend their time on 64-bit divisions; a product with the reciprocal is off by one at most.
    return cell_of(y, cell_mm, reciprocal) * nx + cell_of(x, cell_mm, reciprocal)


@cell
def nearest_cell(position, cell_mm, reciprocal, n):
    """Return the index of the cell that holds a position, of the first or last of n where it lies before or beyond them."""
    inside = min(max(position, np.int64(0)), n * cell_mm - np.int64(1))
    return cell_of(inside, cell_mm, reciprocal)


@cell
def whole_millimetres(height):
    """Return a height [m] in whole millimetres, halves to even."""
    # Doubles above 2**52 are whole: adding 1.5 x 2**52 rounds, and the product before it is exact.
    magic = 6755399441055744.0
    return np.int64((np.float64(height) * 1000.0 + magic) - magic)


def sample_nearest(grid: NDArray[np.float32], x: NDArray[np.int64], y: NDArray[np.int64], cell_mm: int) -> NDArray[np.int64]:
    """Return the value [mm] of the cell that holds each position; positions beyond the edge get the nearest cell.

    Parameters
    ----------
    grid : (ny, nx) float32
        Heights [m], finite.
    x, y : (n,) int64
        East of the west edge and south of the north edge [mm].

    Returns
    -------
    (n,) int64
        Heights, rounded to whole millimetres.
    """
    out = array_module(grid).empty(x.shape, np.int64)
    if on_gpu(grid, x, y):
        sample_nearest_gpu(x.shape, grid, x, y, cell_mm, 1.0 / cell_mm, *grid.shape, out)
    else:
        _sample_nearest(grid.ravel(), x, y, np.int64(cell_mm), *grid.shape, out)
    return out


@rows
def _bin_points(x, y, z, cell_mm, zmin, zmax, zsum, count):
    ny, nx = zmin.shape
    flat_min, flat_max, flat_sum, flat_count = zmin.ravel(), zmax.ravel(), zsum.ravel(), count.ravel()
    reciprocal = 1.0 / cell_mm
    inside = 0
    for i in range(x.size):
        k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
        if k >= 0:
            flat_min[k] = min(flat_min[k], z[i])
            flat_max[k] = max(flat_max[k], z[i])
            flat_sum[k] += z[i]
            flat_count[k] += np.int32(1)
            inside += 1
    return inside


@rows
def _bin_lowest(x, y, z, cell_mm, lowest):
    ny, nx = lowest.shape
    flat, reciprocal = lowest.ravel(), 1.0 / cell_mm
    for i in range(x.size):
        k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
        if k >= 0:
            flat[k] = min(flat[k], z[i])


@rows
def _bin_highest(x, y, z, cell_mm, highest, count):
    ny, nx = highest.shape
    flat, flat_count, reciprocal = highest.ravel(), count.ravel(), 1.0 / cell_mm
    for i in range(x.size):
        k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
        if k >= 0:
            flat[k] = max(flat[k], z[i])
            flat_count[k] += np.int32(1)


@rows
def _bin_sums(x, y, z, cell_mm, zsum, count):
    ny, nx = zsum.shape
    flat, flat_count, reciprocal = zsum.ravel(), count.ravel(), 1.0 / cell_mm
    for i in range(x.size):
        k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
        if k >= 0:
            flat[k] += z[i]
            flat_count[k] += np.int32(1)


@cell
def shown(x, is_chosen):
    """Return x, or -1 for a point that is not chosen."""
    return x if is_chosen else np.int32(-1)


@rows
def _hide_others(x, classification, chosen, out):
    for i in range(x.size):
        out[i] = shown(x[i], chosen[classification[i]])


@cell
def bilinear(grid, ny, nx, x, y, cell_mm):
    """Return the bilinear value of a flat cell-centred `grid` at (x, y) [mm], the outermost centres extended outward."""
    u = min(max(x / cell_mm - 0.5, 0.0), nx - 1.0)
    v = min(max(y / cell_mm - 0.5, 0.0), ny - 1.0)
    i0, j0 = np.int64(u), np.int64(v)
    i1, j1 = min(i0 + 1, nx - 1), min(j0 + 1, ny - 1)
    fu, fv = u - i0, v - j0
    north = (1.0 - fu) * grid[j0 * nx + i0] + fu * grid[j0 * nx + i1]
    south = (1.0 - fu) * grid[j1 * nx + i0] + fu * grid[j1 * nx + i1]
    return (1.0 - fv) * north + fv * south


@cell
def mean_height(total, n):
    """Return the mean [m] of n heights from their sum [mm]."""
    return np.float32(total / (n * 1000.0)) if n > 0 else np.float32(np.nan)


@cell
def height_if_any(extreme, n):
    """Return a height [mm] of a cell with n points in metres."""
    return np.float32(extreme / 1000.0) if n > 0 else np.float32(np.nan)


@threads
def _mean(zsum, count, out):
    for k in prange(out.size):
        out[k] = mean_height(zsum[k], count[k])


@threads
def _height(extreme, count, out):
    for k in prange(out.size):
        out[k] = height_if_any(extreme[k], count[k])


@threads
def _sample_nearest(grid, x, y, cell_mm, ny, nx, out):
    reciprocal = 1.0 / cell_mm
    for k in prange(out.size):
        j, i = nearest_cell(np.int64(y[k]), cell_mm, reciprocal, ny), nearest_cell(np.int64(x[k]), cell_mm, reciprocal, nx)
        out[k] = whole_millimetres(grid[j * nx + i])


@gpu("i4* i4* i4* u4 u4 i8 f8 i8 i8 i4* i4* i8* i4* i8*")
def bin_points_gpu(first, x, y, z, n, stride, cell_mm, reciprocal, ny, nx, zmin, zmax, zsum, count, inside):
    n_inside, i = np.int64(0), np.int64(first)
    while i < n:
        k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
        if k >= 0:
            atomic_min(zmin, k, z[i])
            atomic_max(zmax, k, z[i])
            atomic_add(zsum, k, np.int64(z[i]))
            atomic_add(count, k, np.int32(1))
            n_inside += 1
        i += np.int64(stride)
    if n_inside > 0:
        atomic_add(inside, 0, n_inside)


@gpu("i4* i4* i4* i8 f8 i8 i8 i4*")
def bin_lowest_gpu(i, x, y, z, cell_mm, reciprocal, ny, nx, lowest):
    k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
    if k >= 0:
        atomic_min(lowest, k, z[i])


@gpu("i4* i4* i4* i8 f8 i8 i8 i4* i4*")
def bin_highest_gpu(i, x, y, z, cell_mm, reciprocal, ny, nx, highest, count):
    k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
    if k >= 0:
        atomic_max(highest, k, z[i])
        atomic_add(count, k, np.int32(1))


@gpu("i4* i4* i4* i8 f8 i8 i8 i8* i4*")
def bin_sums_gpu(i, x, y, z, cell_mm, reciprocal, ny, nx, zsum, count):
    k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
    if k >= 0:
        atomic_add(zsum, k, np.int64(z[i]))
        atomic_add(count, k, np.int32(1))


@gpu("i4* u1* u1* i4*")
def hide_others_gpu(i, x, classification, chosen, out):
    out[i] = shown(x[i], chosen[classification[i]] != 0)


@gpu("i4* i4* i8* i4* i4* i4* i8* i4*")
def merge_bins_gpu(k, zmin, zmax, zsum, count, other_min, other_max, other_sum, other_count):
    zmin[k] = min(zmin[k], other_min[k])
    zmax[k] = max(zmax[k], other_max[k])
    zsum[k] += other_sum[k]
    count[k] += other_count[k]


@gpu("i8* i4* f4*")
def mean_gpu(k, zsum, count, out):
    out[k] = mean_height(zsum[k], count[k])


@gpu("i4* i4* f4*")
def height_gpu(k, extreme, count, out):
    out[k] = height_if_any(extreme[k], count[k])


@gpu("f4* i8* i8* i8 f8 i8 i8 i8*")
def sample_nearest_gpu(k, grid, x, y, cell_mm, reciprocal, ny, nx, out):
    j, i = nearest_cell(y[k], cell_mm, reciprocal, ny), nearest_cell(x[k], cell_mm, reciprocal, nx)
    out[k] = whole_millimetres(grid[j * nx + i])
