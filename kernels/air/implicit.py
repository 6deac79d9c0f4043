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

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.air.transport import HALO, interior

LANES = 512  # columns of a row that are eliminated together


@cell
def inflow(velocity, diffusivity, neighbour_diffusivity, open_, r, half_r2):
    """Coefficient a_f [s-1] of a face: `velocity` towards the cell, 1 / h, 1 / (2 h^2)."""
    zero = type(velocity)(0.0)
    return max(velocity, zero) * r + (diffusivity + neighbour_diffusivity) * half_r2 if open_ != 0 else zero


@rows
def _up_sweep(t, start, u, v, w, k, air, s, ratio, f, ratio_below, f_below, q0, sy, sz, rx, ry, rz, dx2, dy2, dz2, rate):
    """Eliminate one layer of neighbouring columns, from the ground up, for the increment.

    Both colours are eliminated and one is used: contiguous vectors of which half is thrown away beat scalars by a factor of 2.
    """
    zero, one = type(rate)(0.0), type(rate)(1.0)
    for l in range(f.size):
        i = np.uint64(l)
        q = q0 + i
        e, n, h = q + np.uint64(1), q + sy, q + sz
        ww, nn, b = q - np.uint64(1), q - sy, q - sz
        c, kc = t[q], k[q]
        a_w = inflow(u[q], kc, k[ww], air[ww], rx, dx2)
        a_e = inflow(-u[e], kc, k[e], air[e], rx, dx2)
        a_n = inflow(v[q], kc, k[nn], air[nn], ry, dy2)
        a_s = inflow(-v[n], kc, k[n], air[n], ry, dy2)
        a_b = inflow(w[q], kc, k[b], air[b], rz, dz2)
        a_t = inflow(-w[h], kc, k[h], air[h], rz, dz2)
        sides = a_w * (t[ww] - c) + a_e * (t[e] - c) + a_n * (t[nn] - c) + a_s * (t[n] - c)
        rhs = sides + a_b * (t[b] - c) + a_t * (t[h] - c) + rate * (start[q] - c) + s[q]
        diagonal = rate + a_w + a_e + a_n + a_s + a_t + a_b * (one - ratio_below[i])
        # A solid cell, and one that nothing reaches, keeps what it has.
        moves = (air[q] != 0) & (diagonal > zero)
        inverse = one / (diagonal if moves else one)
        ratio[i] = a_t * inverse if moves else zero
        f[i] = (rhs + a_b * f_below[i]) * inverse if moves else zero


@rows
def _down_sweep(t, ratio, f, delta, own, most, q0):
    for l in range(delta.size):
        i = np.uint64(l)
        d = f[i] + ratio[i] * delta[i]
        delta[i] = d
        d = d if own[i] != 0 else type(d)(0.0)
        t[q0 + i] += d
        most[i] = max(most[i], abs(d))


@threads
def _relax(t, start, u, v, w, k, air, s, change, colour, j0, i0, nz, nj, ni, sy, sz, rx, ry, rz, dx2, dy2, dz2, rate):
    uy, uz = np.uint64(sy), np.uint64(sz)
    n_block = (ni + LANES - 1) // LANES
    for row in prange(nj):
        for block in range(n_block):
            first = block * LANES
            n = min(LANES, ni - first)
            ratio, f = np.zeros((nz + 1, n), t.dtype), np.zeros((nz + 1, n), t.dtype)
            delta, most, own = np.zeros(n, t.dtype), np.zeros(n, t.dtype), np.zeros(n, np.uint8)
            for i in range((colour + j0 + row + i0 + first) % 2, n, 2):
                own[i] = 1
            base = HALO * sz + (row + HALO) * sy + first + HALO
            for l in range(nz):
                q0 = np.uint64(base + l * sz)
                _up_sweep(t, start, u, v, w, k, air, s, ratio[l + 1], f[l + 1], ratio[l], f[l], q0, uy, uz, rx, ry, rz, dx2, dy2, dz2, rate)  # fmt: skip # noqa: E501
            for l in range(nz - 1, -1, -1):
                _down_sweep(t, ratio[l + 1], f[l + 1], delta, own, most, np.uint64(base + l * sz))
            for i in range(n):
                change[row] = max(change[row], most[i])


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
