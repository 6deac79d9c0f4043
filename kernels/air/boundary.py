"""What the air beyond the edge of the grid is: the halo that no neighbouring tile fills."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, gpu, on_gpu, threads
from felsina.kernels.air.transport import HALO, interior, strides


@cell
def beyond(inflow, profile, inner):
    """Value beyond an edge: the weather's where air flows in (velocity towards the grid > 0), else that of the last cell."""
    return profile if inflow > type(inflow)(0) else inner


@threads
def _sides(t, u, v, profile, west, east, north, south):
    nz, ny, nx = t.shape[0] - 2 * HALO, t.shape[1] - 2 * HALO, t.shape[2] - 2 * HALO
    for k in prange(HALO, HALO + nz):
        p = profile[k - HALO]
        for j in range(HALO, HALO + ny):
            for h in range(HALO):
                if west:
                    t[k, j, h] = beyond(u[k, j, HALO], p, t[k, j, HALO])
                if east:
                    t[k, j, HALO + nx + h] = beyond(-u[k, j, HALO + nx], p, t[k, j, HALO + nx - 1])
        for i in range(HALO, HALO + nx):
            for h in range(HALO):
                if north:
                    t[k, h, i] = beyond(v[k, HALO, i], p, t[k, HALO, i])
                if south:
                    t[k, HALO + ny + h, i] = beyond(-v[k, HALO + ny, i], p, t[k, HALO + ny - 1, i])


@gpu("T* T* T* u4 u4 u4 u4 u4", dims=2)
def side_gpu(k, m, t, velocity, profile, last, along, up, inward, is_low):
    """Two halo cells of an edge from its last inner cell.

    Flat index of that cell = last + k up + m along; `inward` is the step across the edge, towards growing indices inside if
    `is_low`. The face belongs to the inner cell of a low edge and to the halo cell of a high one.
    """
    q = np.uint64(np.uint32(np.uint32(last + np.uint32(k * up)) + np.uint32(m * along)))
    step = np.uint64(inward)
    if is_low != np.uint32(0):
        value = beyond(velocity[q], profile[k], t[q])
        t[q - step], t[q - step - step] = value, value
    else:
        value = beyond(-velocity[q + step], profile[k], t[q])
        t[q + step], t[q + step + step] = value, value


@gpu("T* T u4 u4", dims=1)
def caps_gpu(q, t, top, above, plane):
    """Two cells below the ground and two above the top, from layer `above`, of one column of the padded array."""
    low, step = np.uint64(q), np.uint64(plane)
    high = np.uint64(np.uint32(q + np.uint32(above * plane)))
    ground = t[low + step + step]
    t[low], t[low + step] = ground, ground
    t[high], t[high + step] = top, top


def fill_boundary(
    temperature: NDArray[Any],
    u: NDArray[Any],
    v: NDArray[Any],
    profile: NDArray[Any],
    top: float,
    sides: tuple[bool, bool, bool, bool] = (True, True, True, True),
) -> None:
    """Fill the halo beyond the grid's edge: inflow brings `profile`, outflow has no gradient, the top is at `top`.

    Parameters
    ----------
    temperature, u, v : (nz + 4, ny + 4, nx + 4) float
        The halo of `temperature` [K] is written; below the ground it takes the lowest cell.
    profile : (nz,) float
        Temperature of the air that flows in [K]; on the GPU of the type of `temperature`.
    top : float
        Temperature above the uppermost layer [K].
    sides : (west, east, north, south)
        Which sides of this tile lie on the grid's edge; the others belong to the halo exchange.
    """
    _, nz, _, ny, _, nx = interior(temperature)
    if 0 in (nz, ny, nx):
        return
    kind = temperature.dtype.type
    if not on_gpu(temperature, u, v, profile):
        _sides(temperature, u, v, profile.astype(kind), *sides)
        temperature[:HALO] = temperature[HALO]
        temperature[-HALO:] = kind(top)
        return
    first, sy, sz = strides(temperature)
    lasts = (first, first + nx - 1, first, first + (ny - 1) * sy)  # west, east, north, south
    for side, (is_edge, last) in enumerate(zip(sides, lasts, strict=True)):
        if is_edge:
            across_rows = side >= 2
            n, along, inward = (nx, 1, sy) if across_rows else (ny, sy, 1)
            side_gpu((nz, n), temperature, v if across_rows else u, profile, last, along, sz, inward, side % 2 == 0)
    caps_gpu((sz,), temperature, top, nz + HALO, sz)
