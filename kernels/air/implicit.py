"""Canopy air over a long step: implicit upwind transport, relaxed column by column on a checkerboard.

    (T - T_start) / dt = sum over open faces a_f (T_f - T) + S,      a_f = max(inflow_f, 0) / h + K_f / h^2

is one backward Euler step of the first-order upwind balance of `transport`, for any dt: its matrix is an M-matrix, so no step
makes a new extremum, and an infinite dt is the steady state. A column is solved exactly in the vertical, where layers are thin;
columns of one colour of the checkerboard depend on the other colour alone, so a sweep gives the same bits wherever tiles are
cut, as long as halos are exchanged between colours. Solved for the increment: an isothermal field stays so to the bit.

`transport` is the reference for what this computes: its explicit stages, repeated, end at the same state.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, threads
from felsina.kernels.air.transport import HALO, interior


@cell
def inflow(velocity, diffusivity, neighbour_diffusivity, open_, r, half_r2):
    """Coefficient a_f [s-1] of a face: `velocity` towards the cell, 1 / h, 1 / (2 h^2)."""
    return open_ * (max(velocity, type(velocity)(0.0)) * r + (diffusivity + neighbour_diffusivity) * half_r2)


@threads
def _relax(t, start, u, v, w, k, air, s, change, colour, j0, i0, nz, nj, ni, sy, sz, rx, ry, rz, dx2, dy2, dz2, rate):
    one = type(rate)(1.0)
    zero = type(rate)(0.0)
    for row in prange(nj):
        ratio, f = np.zeros(nz + 1, t.dtype), np.zeros(nz + 1, t.dtype)
        most = zero
        first = (colour + j0 + row + i0) % 2
        for column in range(first, ni, 2):
            base = HALO * sz + (row + HALO) * sy + column + HALO
            for l in range(nz):
                q = np.uint64(base + l * sz)
                if air[q] == 0:
                    ratio[l + 1], f[l + 1] = zero, zero
                    continue
                c, kc = t[q], k[q]
                e, n, h = q + np.uint64(1), q + np.uint64(sy), q + np.uint64(sz)
                ww, nn, b = q - np.uint64(1), q - np.uint64(sy), q - np.uint64(sz)
                a_w = inflow(u[q], kc, k[ww], type(rate)(air[ww]), rx, dx2)
                a_e = inflow(-u[e], kc, k[e], type(rate)(air[e]), rx, dx2)
                a_n = inflow(v[q], kc, k[nn], type(rate)(air[nn]), ry, dy2)
                a_s = inflow(-v[n], kc, k[n], type(rate)(air[n]), ry, dy2)
                a_b = inflow(w[q], kc, k[b], type(rate)(air[b]), rz, dz2)
                a_t = inflow(-w[h], kc, k[h], type(rate)(air[h]), rz, dz2)
                sides = a_w * (t[ww] - c) + a_e * (t[e] - c) + a_n * (t[nn] - c) + a_s * (t[n] - c)
                rhs = sides + a_b * (t[b] - c) + a_t * (t[h] - c) + rate * (start[q] - c) + s[q]
                diagonal = rate + a_w + a_e + a_n + a_s + a_t + a_b * (one - ratio[l])
                # A cell that nothing reaches keeps what it has.
                inverse = one / diagonal if diagonal > zero else zero
                ratio[l + 1] = a_t * inverse
                f[l + 1] = (rhs + a_b * f[l]) * inverse
            delta = zero
            for l in range(nz - 1, -1, -1):
                delta = f[l + 1] + ratio[l + 1] * delta
                t[np.uint64(base + l * sz)] += delta
                most = max(most, abs(delta))
        change[row] = most


def relax_columns(
    temperature: NDArray[Any],
    start: NDArray[Any],
    u: NDArray[Any],
    v: NDArray[Any],
    w: NDArray[Any],
    diffusivity: NDArray[Any],
    is_air: NDArray[np.uint8],
    source: NDArray[Any],
    spacing: tuple[float, float, float],
    time_step: float,
    colour: int,
    corner: tuple[int, int] = (0, 0),
) -> float:
    """Solve the columns of one colour of the checkerboard, the other colour held; in place.

    Parameters
    ----------
    temperature, start, u, v, w, diffusivity, is_air, source : (nz + 4, ny + 4, nx + 4)
        As in `transport.transport_stage`; the halo of `temperature` filled.
    spacing : (dz, dy, dx) [m]
    time_step : float
        [s]; infinite for the steady state.
    colour : 0 or 1
        Columns with (row + column + colour) even in the whole grid.
    corner : (j0, i0)
        Row and column of the tile's first cell in the whole grid.

    Returns
    -------
    float
        Largest change of a cell [K].

    References
    ----------
    Patankar 1980, Numerical Heat Transfer and Fluid Flow, chapters 4 and 5 (upwind balance, line by line); checkerboard
    relaxation: Briggs, Henson & McCormick 2000, A multigrid tutorial, chapter 2.
    """
    _, nz, _, ny, _, nx = interior(temperature)
    if nz * ny * nx == 0:
        return 0.0
    kind = temperature.dtype.type
    dz, dy, dx = spacing
    change = np.zeros(ny, temperature.dtype)
    flat = [a.reshape(-1) for a in (temperature, start, u, v, w, diffusivity, is_air, source)]
    scalars = (1 / dx, 1 / dy, 1 / dz, 0.5 / dx**2, 0.5 / dy**2, 0.5 / dz**2, 0.0 if math.isinf(time_step) else 1 / time_step)
    sy, sz = temperature.shape[2], temperature.shape[1] * temperature.shape[2]
    _relax(*flat, change, colour, *corner, nz, ny, nx, sy, sz, *(kind(x) for x in scalars))
    return float(change.max())
