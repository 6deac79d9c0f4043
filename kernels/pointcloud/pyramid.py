"""Coarse equations of the gap filling: what the void cells of a block conduct to those of the next block, and to the shore.

On every level a cell has a conductance to its east (`cx`) and to its south neighbour (`cy`), and one to the valid cells around
it (`shore`), which hold their values:

    c_e (u_e - u) + c_w (u_w - u) + c_s (u_s - u) + c_n (u_n - u) - shore u + rhs = 0

A block adds up the shore of its cells, and half of what the cells along its side conduct: summed whole, piecewise constant
corrections come out about half as large as they should be (Braess 1995, doi:10.1007/BF02238488). Because the shore is counted
where it is, a narrow void beside a long shore stays as stiff on a coarse level as it is, however wide the coarse cells are.

The cells take flat grids and the shape (ny, nx) of the finer of them, so that arrays and pointers serve alike.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from felsina.kernels._backend import cell, gpu, rows, threads

_BLOCK = 32  # rows a thread takes at a time
_HALF = np.float32(0.5)
_DAMPING = np.float32(0.8)


class Drivers(NamedTuple):
    """The drivers of one step.

    Attributes
    ----------
    serial, threaded : callable
        `driver(*arrays, j0, j1)` writes rows [j0, j1) of one of its arrays.
    gpu : GpuKernel
        `gpu((j1 - j0, nx_written), *arrays, ny, nx, j0)`, (ny, nx) the shape of the finer arrays.
    """

    serial: Any
    threaded: Any
    gpu: Any


@cell
def index(j, i, nx):
    """Return the flat index of a cell; unsigned, or numba would look for negative ones, which doubles the time of a sweep."""
    return np.uint64(j * nx + i)


@cell
def _void(is_void, j, i, ny, nx):
    """Return 1 for a void cell, 0 for a valid one and beyond the edge."""
    return np.float32(is_void[index(j, i, nx)]) if j < ny and i < nx else np.float32(0.0)


@cell
def _conductance_east(is_void, j, i, ny, nx):
    """Return the eastward conductance of a cell of the first coarse level from the void mask."""
    a = _void(is_void, 2 * j, 2 * i + 1, ny, nx) * _void(is_void, 2 * j, 2 * i + 2, ny, nx)
    b = _void(is_void, 2 * j + 1, 2 * i + 1, ny, nx) * _void(is_void, 2 * j + 1, 2 * i + 2, ny, nx)
    return _HALF * (a + b)


@cell
def _conductance_south(is_void, j, i, ny, nx):
    """Return the southward conductance of a cell of the first coarse level from the void mask."""
    a = _void(is_void, 2 * j + 1, 2 * i, ny, nx) * _void(is_void, 2 * j + 2, 2 * i, ny, nx)
    b = _void(is_void, 2 * j + 1, 2 * i + 1, ny, nx) * _void(is_void, 2 * j + 2, 2 * i + 1, ny, nx)
    return _HALF * (a + b)


@cell
def _valid_neighbours(is_void, j, i, ny, nx):
    """Return how many of the 4 neighbours of a void cell are valid; 0 for a valid cell."""
    if j >= ny or i >= nx or is_void[index(j, i, nx)] == 0:
        return np.float32(0.0)
    n = np.float32(0.0)
    if j > 0 and is_void[index(j - 1, i, nx)] == 0:
        n += np.float32(1.0)
    if j < ny - 1 and is_void[index(j + 1, i, nx)] == 0:
        n += np.float32(1.0)
    if i > 0 and is_void[index(j, i - 1, nx)] == 0:
        n += np.float32(1.0)
    if i < nx - 1 and is_void[index(j, i + 1, nx)] == 0:
        n += np.float32(1.0)
    return n


@cell
def _shore(is_void, j, i, ny, nx):
    """Return the shore of a cell of the first coarse level from the void mask."""
    north = _valid_neighbours(is_void, 2 * j, 2 * i, ny, nx) + _valid_neighbours(is_void, 2 * j, 2 * i + 1, ny, nx)
    south = _valid_neighbours(is_void, 2 * j + 1, 2 * i, ny, nx) + _valid_neighbours(is_void, 2 * j + 1, 2 * i + 1, ny, nx)
    return north + south


@cell
def _at(grid, j, i, ny, nx):
    """Return the value of a cell, 0 beyond the edge."""
    return grid[index(j, i, nx)] if j < ny and i < nx else np.float32(0.0)


@cell
def _next_east(fine, j, i, ny, nx):
    """Return the eastward conductance of a cell from those of the level below."""
    return _HALF * (_at(fine, 2 * j, 2 * i + 1, ny, nx) + _at(fine, 2 * j + 1, 2 * i + 1, ny, nx))


@cell
def _next_south(fine, j, i, ny, nx):
    """Return the southward conductance of a cell from those of the level below."""
    return _HALF * (_at(fine, 2 * j + 1, 2 * i, ny, nx) + _at(fine, 2 * j + 1, 2 * i + 1, ny, nx))


@cell
def _next_shore(fine, j, i, ny, nx):
    """Return the shore of a cell from those of the level below."""
    north = _at(fine, 2 * j, 2 * i, ny, nx) + _at(fine, 2 * j, 2 * i + 1, ny, nx)
    return north + (_at(fine, 2 * j + 1, 2 * i, ny, nx) + _at(fine, 2 * j + 1, 2 * i + 1, ny, nx))


@cell
def _terms(u, rhs, cx, cy, shore, j, i, ny, nx):
    """Return the residual of a cell and its diagonal."""
    k = index(j, i, nx)
    here = u[k]
    e = cx[k]
    s = cy[k]
    w = cx[index(j, i - 1, nx)] if i > 0 else np.float32(0.0)
    n = cy[index(j - 1, i, nx)] if j > 0 else np.float32(0.0)
    across = e * (u[index(j, min(i + 1, nx - 1), nx)] - here) + w * (u[index(j, max(i - 1, 0), nx)] - here)
    along = s * (u[index(min(j + 1, ny - 1), i, nx)] - here) + n * (u[index(max(j - 1, 0), i, nx)] - here)
    d = shore[k]
    return rhs[k] + (across + along) - d * here, (e + w) + (s + n) + d


@cell
def _relaxed(u, rhs, cx, cy, shore, j, i, ny, nx):
    """Return a cell after a step of damped Jacobi where it conducts, 0 elsewhere."""
    residual, diagonal = _terms(u, rhs, cx, cy, shore, j, i, ny, nx)
    return u[index(j, i, nx)] + _DAMPING * residual / diagonal if diagonal > 0 else np.float32(0.0)


@cell
def _residual(u, rhs, cx, cy, shore, j, i, ny, nx):
    """Return the residual of a cell, 0 beyond the edge."""
    return _terms(u, rhs, cx, cy, shore, j, i, ny, nx)[0] if j < ny and i < nx else np.float32(0.0)


@cell
def _residuals(u, rhs, cx, cy, shore, j, i, ny, nx):
    """Return the sum of the residuals of the 2 x 2 cells of coarse cell (j, i)."""
    north = _residual(u, rhs, cx, cy, shore, 2 * j, 2 * i, ny, nx) + _residual(u, rhs, cx, cy, shore, 2 * j, 2 * i + 1, ny, nx)
    j = 2 * j + 1
    return north + _residual(u, rhs, cx, cy, shore, j, 2 * i, ny, nx) + _residual(u, rhs, cx, cy, shore, j, 2 * i + 1, ny, nx)


# -- CPU ------------------------------------------------------------------------------------------------------------------


@rows
def _first_cx(is_void, cx, j0, j1):
    ny, nx = is_void.shape
    flat = is_void.ravel()
    for j in range(j0, j1):
        for i in range(cx.shape[1]):
            cx[j, i] = _conductance_east(flat, j, i, ny, nx)


@rows
def _first_cy(is_void, cy, j0, j1):
    ny, nx = is_void.shape
    flat = is_void.ravel()
    for j in range(j0, j1):
        for i in range(cy.shape[1]):
            cy[j, i] = _conductance_south(flat, j, i, ny, nx)


@rows
def _first_shore(is_void, shore, j0, j1):
    ny, nx = is_void.shape
    flat = is_void.ravel()
    for j in range(j0, j1):
        for i in range(shore.shape[1]):
            shore[j, i] = _shore(flat, j, i, ny, nx)


@rows
def _next_cx(fine, cx, j0, j1):
    ny, nx = fine.shape
    flat = fine.ravel()
    for j in range(j0, j1):
        for i in range(cx.shape[1]):
            cx[j, i] = _next_east(flat, j, i, ny, nx)


@rows
def _next_cy(fine, cy, j0, j1):
    ny, nx = fine.shape
    flat = fine.ravel()
    for j in range(j0, j1):
        for i in range(cy.shape[1]):
            cy[j, i] = _next_south(flat, j, i, ny, nx)


@rows
def _next_shores(fine, shore, j0, j1):
    ny, nx = fine.shape
    flat = fine.ravel()
    for j in range(j0, j1):
        for i in range(shore.shape[1]):
            shore[j, i] = _next_shore(flat, j, i, ny, nx)


@rows
def _relax(u, rhs, cx, cy, shore, out, j0, j1):
    ny, nx = u.shape
    u, rhs, cx, cy, shore = u.ravel(), rhs.ravel(), cx.ravel(), cy.ravel(), shore.ravel()
    for j in range(j0, j1):
        for i in range(nx):
            out[j, i] = _relaxed(u, rhs, cx, cy, shore, j, i, ny, nx)


@threads
def _relax_threads(u, rhs, cx, cy, shore, out, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _relax(u, rhs, cx, cy, shore, out, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


@rows
def _restrict(u, rhs, cx, cy, shore, coarse_rhs, j0, j1):
    ny, nx = u.shape
    u, rhs, cx, cy, shore = u.ravel(), rhs.ravel(), cx.ravel(), cy.ravel(), shore.ravel()
    for j in range(j0, j1):
        for i in range(coarse_rhs.shape[1]):
            coarse_rhs[j, i] = _residuals(u, rhs, cx, cy, shore, j, i, ny, nx)


@rows
def _prolong(coarse, u, j0, j1):
    for j in range(j0, j1):
        for i in range(u.shape[1]):
            u[j, i] += coarse[j >> 1, i >> 1]


# -- GPU ------------------------------------------------------------------------------------------------------------------


@gpu("u1* f4* i8 i8 i8", dims=2)
def first_cx_gpu(row, i, is_void, cx, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    cx[j * ((nx + 1) >> 1) + i] = _conductance_east(is_void, j, i, ny, nx)


@gpu("u1* f4* i8 i8 i8", dims=2)
def first_cy_gpu(row, i, is_void, cy, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    cy[j * ((nx + 1) >> 1) + i] = _conductance_south(is_void, j, i, ny, nx)


@gpu("u1* f4* i8 i8 i8", dims=2)
def first_shore_gpu(row, i, is_void, shore, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    shore[j * ((nx + 1) >> 1) + i] = _shore(is_void, j, i, ny, nx)


@gpu("f4* f4* i8 i8 i8", dims=2)
def next_cx_gpu(row, i, fine, cx, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    cx[j * ((nx + 1) >> 1) + i] = _next_east(fine, j, i, ny, nx)


@gpu("f4* f4* i8 i8 i8", dims=2)
def next_cy_gpu(row, i, fine, cy, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    cy[j * ((nx + 1) >> 1) + i] = _next_south(fine, j, i, ny, nx)


@gpu("f4* f4* i8 i8 i8", dims=2)
def next_shore_gpu(row, i, fine, shore, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    shore[j * ((nx + 1) >> 1) + i] = _next_shore(fine, j, i, ny, nx)


@gpu("f4* f4* f4* f4* f4* f4* i8 i8 i8", dims=2)
def relax_gpu(row, i, u, rhs, cx, cy, shore, out, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    out[j * nx + i] = _relaxed(u, rhs, cx, cy, shore, j, i, ny, nx)


@gpu("f4* f4* f4* f4* f4* f4* i8 i8 i8", dims=2)
def restrict_gpu(row, i, u, rhs, cx, cy, shore, coarse_rhs, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    coarse_rhs[j * ((nx + 1) >> 1) + i] = _residuals(u, rhs, cx, cy, shore, j, i, ny, nx)


@gpu("f4* f4* i8 i8 i8", dims=2)
def prolong_gpu(row, i, coarse, u, ny, nx, j0):
    j, i = j0 + np.int64(row), np.int64(i)
    u[j * nx + i] += coarse[(j >> 1) * ((nx + 1) >> 1) + (i >> 1)]


FIRST_CX = Drivers(_first_cx, _first_cx, first_cx_gpu)  # (is_void, cx): eastward conductances of the first coarse level
FIRST_CY = Drivers(_first_cy, _first_cy, first_cy_gpu)  # (is_void, cy): southward
FIRST_SHORE = Drivers(_first_shore, _first_shore, first_shore_gpu)  # (is_void, shore)
NEXT_CX = Drivers(_next_cx, _next_cx, next_cx_gpu)  # (fine cx, cx): of a level from the level below
NEXT_CY = Drivers(_next_cy, _next_cy, next_cy_gpu)  # (fine cy, cy)
NEXT_SHORE = Drivers(_next_shores, _next_shores, next_shore_gpu)  # (fine shore, shore)
RELAX = Drivers(_relax, _relax_threads, relax_gpu)  # (u, rhs, cx, cy, shore, out): damped Jacobi in cells that conduct
RESTRICT = Drivers(_restrict, _restrict, restrict_gpu)  # (u, rhs, cx, cy, shore, coarse rhs): sums of 2 x 2 residuals
PROLONG = Drivers(_prolong, _prolong, prolong_gpu)  # (coarse, u): add the correction of a block to its cells
