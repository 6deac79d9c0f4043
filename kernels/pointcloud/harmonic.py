"""Laplace's equation in the void cells of a raster: the finest level of the gap filling, and its way to the coarse ones.

    rhs + sum over neighbours k of (u_k - u) = 0   in every void cell, u = the given value in every valid cell.

A neighbour beyond the edge equals the cell itself. `gaps` runs these drivers, `pyramid` has the coarse equations.
The cells take flat grids and the shape (ny, nx) of the finer of them, so that arrays and pointers serve alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels._gpu import atomic_add, atomic_max
from felsina.kernels.pointcloud.pyramid import Drivers, index

_BLOCK = 32  # rows a thread takes at a time
_RANGE_CELLS = 256  # that a GPU thread looks at before it meets the others in three atomics
_KEYS = 2**31  # half the number of the keys of float32
_MAGNITUDE = np.int32(0x7FFFFFFF)  # the bits of a float without its sign
_INFINITY = np.int32(0x7F800000)  # the bits of infinity; only NaN lies beyond


def value_range(grid: NDArray[np.float32]) -> tuple[float, float, int]:
    """Return the lowest and the highest value of a (ny, nx) grid and the number of its cells that are not NaN.

    On the GPU the host waits for these three numbers.
    """
    if not on_gpu(grid):
        return _range(grid)
    found = array_module(grid).zeros(3, np.int64)
    stride = -(-grid.size // _RANGE_CELLS)
    range_gpu((stride,), grid.view(np.int32), grid.size, stride, found)
    below, above, n_valid = (int(v) for v in found.get())
    if n_valid == 0:
        return np.inf, -np.inf, 0
    keys = np.array([_KEYS - below, above - _KEYS]).astype(np.int32)
    low, high = np.where(keys < 0, keys ^ _MAGNITUDE, keys).view(np.float32)
    return float(low), float(high), n_valid


def finish(grid: NDArray[np.float32], u: NDArray[np.float32], offset: Any, out: NDArray[np.float32]) -> None:
    """Write the values of a grid, and u + offset where it is void; all (ny, nx)."""
    if on_gpu(grid, u, out):
        finish_gpu((grid.size,), grid, u, offset, out)
    else:
        _finish(grid, u, offset, out)


@rows
def _range(grid):
    low, high, n_valid = np.float32(np.inf), np.float32(-np.inf), 0
    for value in grid.flat:
        if not np.isnan(value):
            low, high = min(low, value), max(high, value)
            n_valid += 1
    return low, high, n_valid


@cell
def _start_value(value, offset):
    """Return a value above the offset, 0 in a void."""
    return np.float32(0.0) if np.isnan(value) else value - offset


@rows
def _start_void(grid, is_void, j0, j1):
    for j in range(j0, j1):
        for i in range(grid.shape[1]):
            is_void[j, i] = np.uint8(np.isnan(grid[j, i]))


@rows
def _start(grid, u, offset, j0, j1):
    for j in range(j0, j1):
        for i in range(grid.shape[1]):
            u[j, i] = _start_value(grid[j, i], offset)


@rows
def _clear(u, j0, j1):
    """Start a coarse correction from 0."""
    u[j0:j1] = np.float32(0.0)


@cell
def _finished(value, u, offset):
    """Return a valid value itself, and what was found for a void one."""
    return u + offset if np.isnan(value) else value


@rows
def _finish(grid, u, offset, out):
    for j in range(grid.shape[0]):
        for i in range(grid.shape[1]):
            out[j, i] = _finished(grid[j, i], u[j, i], offset)


@cell
def _all_void(is_void, j, i, ny, nx):
    """Return 1 for a coarse cell whose 2 x 2 cells are all void."""
    north, south, west, east = 2 * j, min(2 * j + 1, ny - 1), 2 * i, min(2 * i + 1, nx - 1)
    above = is_void[index(north, west, nx)] & is_void[index(north, east, nx)]
    return above & is_void[index(south, west, nx)] & is_void[index(south, east, nx)]


@rows
def _push_void(is_void, coarse_void, j0, j1):
    ny, nx = is_void.shape
    flat = is_void.ravel()
    for j in range(j0, j1):
        for i in range(coarse_void.shape[1]):
            coarse_void[j, i] = _all_void(flat, j, i, ny, nx)


@cell
def _valid_value(u, is_void, j, i, ny, nx):
    """Return value and number of a valid cell, 0 and 0 of a void one and beyond the edge."""
    here = index(min(j, ny - 1), min(i, nx - 1), nx)
    is_valid = (j < ny) & (i < nx) & (is_void[here] == 0)
    value = u[here]
    return (value if is_valid else np.float32(0.0)), np.float32(is_valid)


@cell
def _mean_of_valid(u, is_void, j, i, ny, nx):
    """Return the mean of the valid ones of 2 x 2 cells, 0 where there is none."""
    a, n_a = _valid_value(u, is_void, 2 * j, 2 * i, ny, nx)
    b, n_b = _valid_value(u, is_void, 2 * j, 2 * i + 1, ny, nx)
    c, n_c = _valid_value(u, is_void, 2 * j + 1, 2 * i, ny, nx)
    d, n_d = _valid_value(u, is_void, 2 * j + 1, 2 * i + 1, ny, nx)
    n = n_a + n_b + n_c + n_d
    return (a + b + c + d) / n if n > 0 else np.float32(0.0)


@rows
def _push(u, is_void, coarse, j0, j1):
    ny, nx = u.shape
    flat, flat_void = u.ravel(), is_void.ravel()
    for j in range(j0, j1):
        for i in range(coarse.shape[1]):
            coarse[j, i] = _mean_of_valid(flat, flat_void, j, i, ny, nx)


@cell
def _interpolated(coarse, j, i, ny, nx):
    """Return the bilinear value at fine cell (j, i) from coarse cells: weights 9/16, 3/16, 3/16, 1/16."""
    n_j, n_i = (ny + 1) >> 1, (nx + 1) >> 1
    row, k = j >> 1, i >> 1
    other_row = min(row + 1, n_j - 1) if j & 1 else max(row - 1, 0)
    other = min(k + 1, n_i - 1) if i & 1 else max(k - 1, 0)
    a = np.float32(0.75) * coarse[index(row, k, n_i)] + np.float32(0.25) * coarse[index(other_row, k, n_i)]
    b = np.float32(0.75) * coarse[index(row, other, n_i)] + np.float32(0.25) * coarse[index(other_row, other, n_i)]
    return np.float32(0.75) * a + np.float32(0.25) * b


@rows
def _pull(coarse, is_void, u, j0, j1):
    """Write the interpolated coarse value into the void cells."""
    ny, nx = u.shape
    flat = coarse.ravel()
    for j in range(j0, j1):
        for i in range(nx):
            value = _interpolated(flat, j, i, ny, nx)
            u[j, i] = value if is_void[j, i] else u[j, i]


@cell
def _corrected(u, correction, is_void):
    """Return the value of a void cell with its coarse correction, and that of a valid one."""
    return u + (correction if is_void else np.float32(0.0))


@rows
def _prolong(coarse, is_void, u, j0, j1):
    """Add the coarse correction of its block to each void cell."""
    for j in range(j0, j1):
        for i in range(u.shape[1]):
            u[j, i] = _corrected(u[j, i], coarse[j >> 1, i >> 1], is_void[j, i])


@cell
def _residual(north, here, south, west, east, rhs):
    """Return what is missing to the mean of the neighbours, four times; a neighbour beyond the edge equals the cell itself."""
    return rhs + ((north - here) + (south - here)) + ((west - here) + (east - here))


@cell
def _jacobi(north, here, south, west, east, rhs, is_void):
    """Return a cell after a step of damped Jacobi, u + 0.8 / 4 x residual where it is void."""
    step = np.float32(0.2) * _residual(north, here, south, west, east, rhs)
    return here + (step if is_void else np.float32(0.0))


@rows
def _relax_row(north, here, south, rhs, is_void, out):
    # Made SIMD, the middle of a row would be contracted and its ends not: with clamped indices all is scalar, and one rounding.
    n = here.size
    for i in range(n):
        out[i] = _jacobi(north[i], here[i], south[i], here[max(i - 1, 0)], here[min(i + 1, n - 1)], rhs[i], is_void[i])


@rows
def _relax(u, rhs, is_void, out, j0, j1):
    last = u.shape[0] - 1
    for j in range(j0, j1):
        _relax_row(u[max(j - 1, 0)], u[j], u[min(j + 1, last)], rhs[j], is_void[j], out[j])


@cell
def _void_residual(u, rhs, is_void, j, i, ny, nx):
    """Return the residual of a void cell, 0 of a valid one and beyond the edge."""
    is_wanted = j < ny and i < nx
    j, i = min(j, ny - 1), min(i, nx - 1)
    here = index(j, i, nx)
    north, south = u[index(max(j - 1, 0), i, nx)], u[index(min(j + 1, ny - 1), i, nx)]
    west, east = u[index(j, max(i - 1, 0), nx)], u[index(j, min(i + 1, nx - 1), nx)]
    # Worked out for valid cells too: a branch on a mask without a pattern takes three times as long.
    found = _residual(north, u[here], south, west, east, rhs[here])
    return found if is_wanted & (is_void[here] != 0) else np.float32(0.0)


@cell
def _residuals(u, rhs, is_void, j, i, ny, nx):
    """Return the sum of the residuals of the void ones of 2 x 2 cells."""
    a, b = _void_residual(u, rhs, is_void, 2 * j, 2 * i, ny, nx), _void_residual(u, rhs, is_void, 2 * j, 2 * i + 1, ny, nx)
    c = _void_residual(u, rhs, is_void, 2 * j + 1, 2 * i, ny, nx)
    d = _void_residual(u, rhs, is_void, 2 * j + 1, 2 * i + 1, ny, nx)
    return (a + b) + (c + d)


@rows
def _restrict(u, rhs, is_void, coarse_rhs, j0, j1):
    ny, nx = u.shape
    flat, flat_rhs, flat_void = u.ravel(), rhs.ravel(), is_void.ravel()
    for j in range(j0, j1):
        for i in range(coarse_rhs.shape[1]):
            coarse_rhs[j, i] = _residuals(flat, flat_rhs, flat_void, j, i, ny, nx)


@threads
def _relax_threads(u, rhs, is_void, out, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _relax(u, rhs, is_void, out, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


@threads
def _restrict_threads(u, rhs, is_void, coarse_rhs, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _restrict(u, rhs, is_void, coarse_rhs, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


@threads
def _prolong_threads(coarse, is_void, u, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _prolong(coarse, is_void, u, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


# -- GPU ------------------------------------------------------------------------------------------------------------------


@gpu("i4* u4 u4 i8*")
def range_gpu(first, bits, n, stride, found):
    """Raise `found` to 2**31 less the lowest key of valid values and to their highest plus 2**31, and add their number.

    The bits of floats, those of the magnitude inverted where they are negative, are whole numbers in the order of the floats.
    """
    low, high, n_valid, k = np.int64(_KEYS), np.int64(-_KEYS), np.int64(0), np.int64(first)
    while k < n:
        value = bits[k]
        if (value & _MAGNITUDE) <= _INFINITY:
            key = np.int64(value ^ ((value >> 31) & _MAGNITUDE))
            low, high = min(low, key), max(high, key)
            n_valid += 1
        k += np.int64(stride)
    if n_valid > 0:
        atomic_max(found, 0, np.int64(_KEYS) - low)
        atomic_max(found, 1, high + np.int64(_KEYS))
        atomic_add(found, 2, n_valid)


@gpu("f4* u1* i8 i8 i8", dims=2)
def start_void_gpu(row, i, grid, is_void, ny, nx, j0):
    k = (j0 + np.int64(row)) * nx + np.int64(i)
    is_void[k] = np.uint8(np.isnan(grid[k]))


@gpu("f4* f4* f4 i8 i8 i8", dims=2)
def start_gpu(row, i, grid, u, offset, ny, nx, j0):
    k = (j0 + np.int64(row)) * nx + np.int64(i)
    u[k] = _start_value(grid[k], offset)


@gpu("f4* i8 i8 i8", dims=2)
def clear_gpu(row, i, u, ny, nx, j0):
    u[(j0 + np.int64(row)) * nx + np.int64(i)] = np.float32(0.0)


@gpu("f4* f4* f4 f4*")
def finish_gpu(k, grid, u, offset, out):
    out[k] = _finished(grid[k], u[k], offset)


@gpu("u1* u1* i8 i8 i8", dims=2)
def push_void_gpu(row, i, is_void, coarse_void, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    coarse_void[j * ((nx + 1) >> 1) + i] = _all_void(is_void, j, i, ny, nx)


@gpu("f4* u1* f4* i8 i8 i8", dims=2)
def push_gpu(row, i, u, is_void, coarse, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    coarse[j * ((nx + 1) >> 1) + i] = _mean_of_valid(u, is_void, j, i, ny, nx)


@gpu("f4* u1* f4* i8 i8 i8", dims=2)
def pull_gpu(row, i, coarse, is_void, u, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    if is_void[j * nx + i]:
        u[j * nx + i] = _interpolated(coarse, j, i, ny, nx)


@gpu("f4* u1* f4* i8 i8 i8", dims=2)
def prolong_gpu(row, i, coarse, is_void, u, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    k = j * nx + i
    u[k] = _corrected(u[k], coarse[(j >> 1) * ((nx + 1) >> 1) + (i >> 1)], is_void[k])


@gpu("f4* f4* u1* f4* i8 i8 i8", dims=2)
def relax_gpu(row, i, u, rhs, is_void, out, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    k = j * nx + i
    north, south = u[max(j - 1, 0) * nx + i], u[min(j + 1, ny - 1) * nx + i]
    west, east = u[j * nx + max(i - 1, 0)], u[j * nx + min(i + 1, nx - 1)]
    out[k] = _jacobi(north, u[k], south, west, east, rhs[k], is_void[k])


@gpu("f4* f4* u1* f4* i8 i8 i8", dims=2)
def restrict_gpu(row, i, u, rhs, is_void, coarse_rhs, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    coarse_rhs[j * ((nx + 1) >> 1) + i] = _residuals(u, rhs, is_void, j, i, ny, nx)


START_VOID = Drivers(_start_void, _start_void, start_void_gpu)  # (grid, is_void)
START = Drivers(_start, _start, start_gpu)  # (grid, u, offset)
CLEAR = Drivers(_clear, _clear, clear_gpu)  # (u): start a coarse correction from 0
PUSH_VOID = Drivers(_push_void, _push_void, push_void_gpu)  # (is_void, coarse void): all of 2 x 2 cells
PUSH = Drivers(_push, _push, push_gpu)  # (u, is_void, coarse u): mean of the valid ones of 2 x 2 cells
PULL = Drivers(_pull, _pull, pull_gpu)  # (coarse u, is_void, u): interpolate into void cells
RELAX = Drivers(_relax, _relax_threads, relax_gpu)  # (u, rhs, is_void, out): damped Jacobi in void cells
RESTRICT = Drivers(_restrict, _restrict_threads, restrict_gpu)  # (u, rhs, is_void, coarse rhs): sums of 2 x 2 residuals
PROLONG = Drivers(_prolong, _prolong_threads, prolong_gpu)  # (coarse u, is_void, u): add the correction in void cells
