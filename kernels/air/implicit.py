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

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels._gpu import atomic_raise
from felsina.kernels.air.transport import flat_index, interior, strides
from felsina.kernels.bounds import at_least

LANES = 512  # columns of a row that are eliminated together


@cell
def inflow(velocity, diffusivity, neighbour_diffusivity, open_, r, half_r2):
    """Coefficient a_f [s-1] of a face: `velocity` towards the cell, 1 / h, 1 / (2 h^2)."""
    zero = type(velocity)(0.0)
    return at_least(velocity, zero) * r + (diffusivity + neighbour_diffusivity) * half_r2 if open_ != 0 else zero


@cell
def eliminated(t, start, u, v, w, k, air, s, q, sy, sz, ratio_below, f_below, rx, ry, rz, dx2, dy2, dz2, rate):
    """Eliminate the cell at q from its column, for the increment: d = f + ratio d_above; returns ratio and f.

    `ratio_below` and `f_below` are those of the cell below, 0 under the lowest; r* = 1 / spacing, d*2 = 1 / (2 spacing^2),
    `rate` = 1 / dt.
    """
    zero, one = type(rate)(0.0), type(rate)(1.0)
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
    diagonal = rate + a_w + a_e + a_n + a_s + a_t + a_b * (one - ratio_below)
    # A solid cell, and one that nothing reaches, keeps what it has.
    moves = (air[q] != 0) & (diagonal > zero)
    inverse = one / (diagonal if moves else one)
    return a_t * inverse if moves else zero, (rhs + a_b * f_below) * inverse if moves else zero


@rows
def _up_sweep(t, start, u, v, w, k, air, s, ratio, f, ratio_below, f_below, q0, sy, sz, rx, ry, rz, dx2, dy2, dz2, rate):
    """Eliminate one layer of neighbouring columns, from the ground up.

    Both colours are eliminated and one is used: contiguous vectors of which half is thrown away beat scalars by a factor of 2.
    """
    for l in range(f.size):
        i = np.uint64(l)
        ratio[i], f[i] = eliminated(
            t, start, u, v, w, k, air, s, q0 + i, sy, sz, ratio_below[i], f_below[i], rx, ry, rz, dx2, dy2, dz2, rate
        )  # fmt: skip


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
def _relax(t, start, u, v, w, k, air, s, change, colour, j0, j1, i0, i1, nz, first, sy, sz, rx, ry, rz, dx2, dy2, dz2, rate):
    uy, uz = np.uint64(sy), np.uint64(sz)
    n_block = (i1 - i0 + LANES - 1) // LANES
    for row in prange(j0, j1):
        for block in range(n_block):
            i_first = i0 + block * LANES
            n = min(LANES, i1 - i_first)
            ratio, f = np.zeros((nz + 1, n), t.dtype), np.zeros((nz + 1, n), t.dtype)
            delta, most, own = np.zeros(n, t.dtype), np.zeros(n, t.dtype), np.zeros(n, np.uint8)
            for i in range((colour + row + i_first) % 2, n, 2):
                own[i] = 1
            base = first + row * sy + i_first
            for l in range(nz):
                q0 = np.uint64(base + l * sz)
                _up_sweep(t, start, u, v, w, k, air, s, ratio[l + 1], f[l + 1], ratio[l], f[l], q0, uy, uz, rx, ry, rz, dx2, dy2, dz2, rate)  # fmt: skip # noqa: E501
            for l in range(nz - 1, -1, -1):
                _down_sweep(t, ratio[l + 1], f[l + 1], delta, own, most, np.uint64(base + l * sz))
            for i in range(n):
                change[row] = max(change[row], most[i])


@gpu("T* T* T* T* T* T* u1* T* T* T* u4 u4 u4 u4 u4 u4 u4 u4 T T T T T T T", dims=2)
def relax_gpu(
    j, m, t, start, u, v, w, k, air, s, change, scratch, colour, j0, ni, nz, q0, sy, sz, n, rx, ry, rz, dx2, dy2, dz2, rate
):
    """One column: every other one of a row of `ni`; its place among the `n` of the scratch, layer after layer."""
    i = np.uint32(np.uint32(m + m) + np.uint32(np.uint32(colour + j) & np.uint32(1)))
    if i >= ni:
        return
    one, uy, uz = np.uint32(1), np.uint64(sy), np.uint64(sz)
    q = flat_index(q0, np.uint32(0), j, i, sy, sz)
    place, size = np.uint64(np.uint32(np.uint32(j * np.uint32(np.uint32(ni + one) >> one)) + m)), np.uint64(n)
    half = np.uint64(nz) * size
    ratio = f = delta = most = type(rate)(0)
    l = np.uint32(0)
    while l < nz:
        ratio, f = eliminated(t, start, u, v, w, k, air, s, q, uy, uz, ratio, f, rx, ry, rz, dx2, dy2, dz2, rate)
        scratch[place], scratch[place + half] = ratio, f
        place += size
        q += uz
        l = np.uint32(l + one)
    while l > np.uint32(0):
        place -= size
        q -= uz
        delta = scratch[place + half] + scratch[place] * delta
        t[q] += delta
        most = max(most, abs(delta))
        l = np.uint32(l - one)
    atomic_raise(change, np.uint32(j0 + j), most)


def relax_scratch(temperature: NDArray[Any]) -> NDArray[Any]:
    """Return the working memory that `relax_columns` needs on the GPU for all columns of a tile; nothing on the CPU.

    Part of it will do for part of the columns, and every stream needs its own: 2 n_layer n_row ceil(n_column / 2) numbers.
    """
    _, nz, _, ny, _, nx = interior(temperature)
    size = 2 * nz * ny * ((nx + 1) // 2) if on_gpu(temperature) else 0
    return array_module(temperature).empty(size, temperature.dtype)


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
    change: NDArray[Any],
    corner: tuple[int, int] = (0, 0),
    box: tuple[int, int, int, int] | None = None,
    scratch: NDArray[Any] | None = None,
) -> None:
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
    change : (ny,) float, of the type of `temperature`
        In and out: raised to the largest change of a cell of each row [K] where that is larger.
    corner : (j0, i0)
        Row and column of the tile's first cell in the whole grid.
    box : (j0, j1, i0, i1)
        Columns to solve, counted without halo; all by default. Any cut gives the same bits: columns of one colour do not
        depend on one another.
    scratch : (n,) float, of the type of `temperature`
        Working memory on the GPU, at least of `relax_scratch`; None takes some for this call.

    References
    ----------
    Patankar 1980, Numerical Heat Transfer and Fluid Flow, chapters 4 and 5 (upwind balance, line by line); checkerboard
    relaxation: Briggs, Henson & McCormick 2000, A multigrid tutorial, chapter 2.
    """
    _, nz, _, ny, _, nx = interior(temperature)
    j0, j1, i0, i1 = box or (0, ny, 0, nx)
    if nz == 0 or j1 <= j0 or i1 <= i0:
        return
    if not temperature.flags.c_contiguous:
        raise ValueError("Relaxation in place needs a C-contiguous temperature; a view of a larger array is not written.")
    dz, dy, dx = spacing
    arrays = (temperature, start, u, v, w, diffusivity, is_air, source)
    scalars = (1 / dx, 1 / dy, 1 / dz, 0.5 / dx**2, 0.5 / dy**2, 0.5 / dz**2, 0.0 if math.isinf(time_step) else 1 / time_step)
    parity = (colour + sum(corner)) % 2
    if on_gpu(*arrays, change):
        nj, ni = j1 - j0, i1 - i0
        n = nj * ((ni + 1) // 2)
        work = array_module(temperature).empty(2 * nz * n, temperature.dtype) if scratch is None else scratch
        if work.size < 2 * nz * n:
            raise ValueError(f"The relaxation of {nj} x {ni} columns needs a scratch of {2 * nz * n} numbers, not {work.size}.")
        q0, sy, sz = strides(temperature, (0, j0, i0))
        relax_gpu((nj, (ni + 1) // 2), *arrays, change, work, (parity + j0 + i0) % 2, j0, ni, nz, q0, sy, sz, n, *scalars)
        return
    first, sy, sz = strides(temperature)
    kind = temperature.dtype.type
    flat = (a.reshape(-1) for a in arrays)
    _relax(*flat, change, parity, j0, j1, i0, i1, nz, first, sy, sz, *(kind(x) for x in scalars))
