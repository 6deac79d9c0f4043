"""Vertical diffusion of canopy air, implicit: layers are thin and eddies tall, so an explicit step would be short.

    (T' - T) / dt = d/dz (K dT'/dz)        backward Euler, unconditionally stable, no new extremum at any step

The box and its conventions are those of `transport`. A halo cell above or below that is air is held at its temperature; one
that is solid closes the column. Horizontal diffusion is explicit, in `transport`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels.air.transport import HALO, flat_index, interior, strides

LANES = 128  # columns of a row that are solved together


@cell
def eliminated(t, k, air, q, sz, ratio_below, f_below, rate):
    """Eliminate the cell at q from its column, for the increment: d = f + ratio d_above; rate = dt / (2 dz^2)."""
    one = type(rate)(1)
    lo, hi = q - sz, q + sz
    here = type(rate)(air[q])
    down = here * type(rate)(air[lo]) * (k[q] + k[lo]) * rate
    up = here * type(rate)(air[hi]) * (k[q] + k[hi]) * rate
    flux = up * (t[hi] - t[q]) + down * (t[lo] - t[q])
    inverse = one / (one + up + down * (one - ratio_below))
    return up * inverse, (flux + down * f_below) * inverse


@rows
def _up_sweep(t, k, air, ratio, f, ratio_below, f_below, q0, sz, rate):
    """Eliminate one layer of a block of columns, from the ground up, for the increment T' - T."""
    for l in range(f.size):
        i = np.uint64(l)
        ratio[i], f[i] = eliminated(t, k, air, q0 + i, sz, ratio_below[i], f_below[i], rate)


@rows
def _down_sweep(t, ratio, f, delta, q0):
    for i in range(delta.size):
        d = f[np.uint64(i)] + ratio[np.uint64(i)] * delta[np.uint64(i)]
        delta[np.uint64(i)] = d
        t[q0 + np.uint64(i)] += d


@threads
def _columns(t, k, air, nz, j0, j1, i0, i1, sy, sz, rate):
    n_block = (i1 - i0 + LANES - 1) // LANES
    for task in prange((j1 - j0) * n_block):
        i = i0 + (task % n_block) * LANES
        n = min(LANES, i1 - i)
        ratio, f = np.zeros((nz + 1, n), t.dtype), np.zeros((nz + 1, n), t.dtype)
        base = (j0 + task // n_block + HALO) * sy + i + HALO
        for l in range(nz):
            q0 = np.uint64((l + HALO) * sz + base)
            _up_sweep(t, k, air, ratio[l + 1], f[l + 1], ratio[l], f[l], q0, np.uint64(sz), rate)
        delta = np.zeros(n, t.dtype)
        for l in range(nz - 1, -1, -1):
            _down_sweep(t, ratio[l + 1], f[l + 1], delta, np.uint64((l + HALO) * sz + base))


@gpu("T* T* u1* T* u4 u4 u4 u4 u4 u4 T", dims=2)
def columns_gpu(j, i, t, k, air, scratch, nz, ni, q0, sy, sz, n, rate):
    """One column of `n`; ratio and f of a layer stand side by side in the scratch, layer after layer."""
    one, uz, size = np.uint32(1), np.uint64(sz), np.uint64(n)
    q = flat_index(q0, np.uint32(0), j, i, sy, sz)
    place = np.uint64(np.uint32(np.uint32(j * ni) + i))
    half = np.uint64(nz) * size
    ratio = f = delta = type(rate)(0)
    l = np.uint32(0)
    while l < nz:
        ratio, f = eliminated(t, k, air, q, uz, ratio, f, rate)
        scratch[place], scratch[place + half] = ratio, f
        place += size
        q += uz
        l = np.uint32(l + one)
    while l > np.uint32(0):
        place -= size
        q -= uz
        delta = scratch[place + half] + scratch[place] * delta
        t[q] += delta
        l = np.uint32(l - one)


def diffuse_vertically(
    temperature: NDArray[Any],
    diffusivity: NDArray[Any],
    is_air: NDArray[np.uint8],
    dz: float,
    time_step: float,
    columns: tuple[int, int, int, int] | None = None,
    scratch: NDArray[Any] | None = None,
) -> None:
    """Diffuse each column by one implicit step, in place; heat is conserved to rounding in a closed column.

    Parameters
    ----------
    temperature : (nz + 4, ny + 4, nx + 4) float32 or float64
        [K] (or any other scalar); the cells of `columns` are replaced.
    diffusivity : same shape
        Eddy diffusivity K [m2 s-1]; that of a face is the mean of its two cells.
    is_air : same shape, uint8
        1 air, 0 solid.
    dz, time_step : float
        Layer thickness [m] and step [s].
    columns : (j0, j1, i0, i1)
        Columns to solve, counted without halo; all by default. Any cut gives the same bits.
    scratch : (n,) float, of the type of `temperature`
        Working memory on the GPU, 2 numbers for each cell; None takes some for this call.
    """
    _, nz, _, ny, _, nx = interior(temperature)
    j0, j1, i0, i1 = columns or (0, ny, 0, nx)
    if nz == 0 or j1 <= j0 or i1 <= i0:
        return
    if not temperature.flags.c_contiguous:
        raise ValueError("Diffusion in place needs a C-contiguous temperature; a view of a larger array is not written.")
    rate = temperature.dtype.type(0.5 * time_step / dz**2)
    if not rate > 0:
        return
    arrays = (temperature, diffusivity, is_air)
    if on_gpu(*arrays):
        nj, ni = j1 - j0, i1 - i0
        work = array_module(temperature).empty(2 * nz * nj * ni, temperature.dtype) if scratch is None else scratch
        if work.size < 2 * nz * nj * ni:
            raise ValueError(
                f"Diffusion in {nj} x {ni} columns needs a scratch of {2 * nz * nj * ni} numbers, not {work.size}."
            )
        q0, sy, sz = strides(temperature, (0, j0, i0))
        columns_gpu((nj, ni), *arrays, work, nz, ni, q0, sy, sz, nj * ni, rate)
        return
    sy, sz = temperature.shape[2], temperature.shape[1] * temperature.shape[2]
    _columns(*(a.reshape(-1) for a in arrays), nz, j0, j1, i0, i1, sy, sz, rate)
