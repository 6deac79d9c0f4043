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

from felsina.kernels._backend import rows, threads
from felsina.kernels.air.transport import HALO, interior

LANES = 128  # columns of a row that are solved together


@rows
def _up_sweep(t, k, air, ratio, f, ratio_below, f_below, q0, sz, rate):
    """Eliminate one layer of a block of columns, from the ground up, for the increment T' - T."""
    one = rate / rate
    for i in range(f.size):
        q = q0 + np.uint64(i)
        lo, hi = q - sz, q + sz
        here = type(rate)(air[q])
        down = here * type(rate)(air[lo]) * (k[q] + k[lo]) * rate
        up = here * type(rate)(air[hi]) * (k[q] + k[hi]) * rate
        flux = up * (t[hi] - t[q]) + down * (t[lo] - t[q])
        inverse = one / (one + up + down * (one - ratio_below[np.uint64(i)]))
        ratio[np.uint64(i)] = up * inverse
        f[np.uint64(i)] = (flux + down * f_below[np.uint64(i)]) * inverse


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


def diffuse_vertically(
    temperature: NDArray[Any],
    diffusivity: NDArray[Any],
    is_air: NDArray[np.uint8],
    dz: float,
    time_step: float,
    columns: tuple[int, int, int, int] | None = None,
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
    """
    _, nz, _, ny, _, nx = interior(temperature)
    j0, j1, i0, i1 = columns or (0, ny, 0, nx)
    if nz == 0 or j1 <= j0 or i1 <= i0:
        return
    if not temperature.flags.c_contiguous:
        raise ValueError("Diffusion in place needs a C-contiguous temperature; a view of a larger array is not written.")
    rate = temperature.dtype.type(0.5 * time_step / dz**2)
    if rate > 0:
        sy, sz = temperature.shape[2], temperature.shape[1] * temperature.shape[2]
        flat = (a.reshape(-1) for a in (temperature, diffusivity, is_air))
        _columns(*flat, nz, j0, j1, i0, i1, sy, sz, rate)
