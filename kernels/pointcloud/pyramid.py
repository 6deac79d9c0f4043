"""Coarse equations of the gap filling: what the void cells of a block conduct to those of the next block, and to the shore.

On every level a cell has a conductance to its east (`cx`) and to its south neighbour (`cy`), and one to the valid cells around
it (`shore`), which hold their values:

    c_e (u_e - u) + c_w (u_w - u) + c_s (u_s - u) + c_n (u_n - u) - shore u + rhs = 0

A block adds up the shore of its cells, and half of what the cells along its side conduct: summed whole, piecewise constant
corrections come out about half as large as they should be (Braess 1995, doi:10.1007/BF02238488). Because the shore is counted
where it is, a narrow void beside a long shore stays as stiff on a coarse level as it is, however wide the coarse cells are.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from felsina.kernels._backend import cell, rows, threads

_BLOCK = 32  # rows a thread takes at a time
_HALF = np.float32(0.5)
_DAMPING = np.float32(0.8)


@cell
def _void(is_void, j, i):
    """Return 1 for a void cell, 0 for a valid one and beyond the edge."""
    ny, nx = is_void.shape
    return np.float32(is_void[j, i]) if j < ny and i < nx else np.float32(0.0)


@rows
def first_cx(is_void, cx, j0, j1):
    """Write the eastward conductance of the first coarse level from the void mask."""
    for j in range(j0, j1):
        for i in range(cx.shape[1]):
            a = _void(is_void, 2 * j, 2 * i + 1) * _void(is_void, 2 * j, 2 * i + 2)
            b = _void(is_void, 2 * j + 1, 2 * i + 1) * _void(is_void, 2 * j + 1, 2 * i + 2)
            cx[j, i] = _HALF * (a + b)


@rows
def first_cy(is_void, cy, j0, j1):
    """Write the southward conductance of the first coarse level from the void mask."""
    for j in range(j0, j1):
        for i in range(cy.shape[1]):
            a = _void(is_void, 2 * j + 1, 2 * i) * _void(is_void, 2 * j + 2, 2 * i)
            b = _void(is_void, 2 * j + 1, 2 * i + 1) * _void(is_void, 2 * j + 2, 2 * i + 1)
            cy[j, i] = _HALF * (a + b)


@cell
def _valid_neighbours(is_void, j, i):
    """Return how many of the 4 neighbours of a void cell are valid; 0 for a valid cell."""
    ny, nx = is_void.shape
    if j >= ny or i >= nx or is_void[j, i] == 0:
        return np.float32(0.0)
    n = np.float32(0.0)
    if j > 0 and is_void[j - 1, i] == 0:
        n += np.float32(1.0)
    if j < ny - 1 and is_void[j + 1, i] == 0:
        n += np.float32(1.0)
    if i > 0 and is_void[j, i - 1] == 0:
        n += np.float32(1.0)
    if i < nx - 1 and is_void[j, i + 1] == 0:
        n += np.float32(1.0)
    return n


@rows
def first_shore(is_void, shore, j0, j1):
    """Write the shore of the first coarse level from the void mask."""
    for j in range(j0, j1):
        for i in range(shore.shape[1]):
            north = _valid_neighbours(is_void, 2 * j, 2 * i) + _valid_neighbours(is_void, 2 * j, 2 * i + 1)
            south = _valid_neighbours(is_void, 2 * j + 1, 2 * i) + _valid_neighbours(is_void, 2 * j + 1, 2 * i + 1)
            shore[j, i] = north + south


@cell
def _at(grid, j, i):
    ny, nx = grid.shape
    return grid[j, i] if j < ny and i < nx else np.float32(0.0)


@rows
def next_cx(fine, cx, j0, j1):
    """Write the eastward conductance of a level from that of the level below."""
    for j in range(j0, j1):
        for i in range(cx.shape[1]):
            cx[j, i] = _HALF * (_at(fine, 2 * j, 2 * i + 1) + _at(fine, 2 * j + 1, 2 * i + 1))


@rows
def next_cy(fine, cy, j0, j1):
    """Write the southward conductance of a level from that of the level below."""
    for j in range(j0, j1):
        for i in range(cy.shape[1]):
            cy[j, i] = _HALF * (_at(fine, 2 * j + 1, 2 * i) + _at(fine, 2 * j + 1, 2 * i + 1))


@rows
def next_shore(fine, shore, j0, j1):
    """Write the shore of a level from that of the level below."""
    for j in range(j0, j1):
        for i in range(shore.shape[1]):
            north = _at(fine, 2 * j, 2 * i) + _at(fine, 2 * j, 2 * i + 1)
            shore[j, i] = north + (_at(fine, 2 * j + 1, 2 * i) + _at(fine, 2 * j + 1, 2 * i + 1))


@cell
def _terms(u, rhs, cx, cy, shore, j, i):
    """Return the residual of a cell and its diagonal."""
    ny, nx = u.shape
    here = u[j, i]
    e = cx[j, i]
    s = cy[j, i]
    w = cx[j, i - 1] if i > 0 else np.float32(0.0)
    n = cy[j - 1, i] if j > 0 else np.float32(0.0)
    across = e * (u[j, min(i + 1, nx - 1)] - here) + w * (u[j, max(i - 1, 0)] - here)
    along = s * (u[min(j + 1, ny - 1), i] - here) + n * (u[max(j - 1, 0), i] - here)
    d = shore[j, i]
    return rhs[j, i] + (across + along) - d * here, (e + w) + (s + n) + d


@rows
def _relax(u, rhs, cx, cy, shore, out, j0, j1):
    for j in range(j0, j1):
        for i in range(u.shape[1]):
            residual, diagonal = _terms(u, rhs, cx, cy, shore, j, i)
            out[j, i] = u[j, i] + _DAMPING * residual / diagonal if diagonal > 0 else np.float32(0.0)


@rows
def restrict(u, rhs, cx, cy, shore, coarse_rhs, j0, j1):
    """Write the sum of the residuals of 2 x 2 cells."""
    ny, nx = u.shape
    for j in range(j0, j1):
        for i in range(coarse_rhs.shape[1]):
            total = np.float32(0.0)
            for jj in range(2 * j, min(2 * j + 2, ny)):
                for ii in range(2 * i, min(2 * i + 2, nx)):
                    total += _terms(u, rhs, cx, cy, shore, jj, ii)[0]
            coarse_rhs[j, i] = total


@rows
def prolong(coarse, u, j0, j1):
    """Add the correction of a block to its cells."""
    for j in range(j0, j1):
        for i in range(u.shape[1]):
            u[j, i] += coarse[j >> 1, i >> 1]


@threads
def _relax_threads(u, rhs, cx, cy, shore, out, j0, j1):
    for b in prange((j1 - j0 + _BLOCK - 1) // _BLOCK):
        _relax(u, rhs, cx, cy, shore, out, j0 + b * _BLOCK, min(j0 + (b + 1) * _BLOCK, j1))


RELAX = (_relax, _relax_threads)  # serial and threaded: damped Jacobi in cells that conduct, 0 elsewhere
