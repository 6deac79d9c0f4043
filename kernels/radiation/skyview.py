"""Sky view factor of the horizontal receiver, with walls, terrain and crowns in the way. The march is in `horizon`."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import threads
from felsina.kernels.radiation.horizon import (
    LANES,
    Window,
    _march,
    _start,
    cos2_of_tangent,
    ray_tables,
    surroundings,
)


@threads
def _sky_view_driver(
    surface, faces, ground, top, base, transmissivity, z_max, j0, i0, nj, ni, resolution, offsets, distances, weights, out
):
    n_block = (ni + LANES - 1) // LANES
    n_azimuth = offsets.shape[0]
    share = np.float32(1.0) / np.float32(n_azimuth)
    opaque = np.float32(1.0) - transmissivity
    for task in prange(nj * n_block):
        j, i = task // n_block, (task % n_block) * LANES
        n = min(LANES, ni - i)
        z0, t, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.zeros(LANES, np.float32)
        top_t, base_t = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        for a in range(n_azimuth):
            _start(t, top_t, base_t, z0, surface, top, base, j0 + j, i0 + i, n, resolution)
            _march(
                t, top_t, base_t, faces, ground, top, base, z0, z_max, j0 + j, i0 + i, n, offsets[a], distances[a], weights[a]
            )
            if top.shape[0] > 0:
                for l in range(n):
                    under = cos2_of_tangent(max(t[l], min(base_t[l], top_t[l])))
                    over = cos2_of_tangent(max(t[l], top_t[l]))
                    total[l] += cos2_of_tangent(t[l]) - opaque * (under - over)
            else:
                for l in range(n):
                    total[l] += cos2_of_tangent(t[l])
        for l in range(n):
            out[j, i + l] = total[l] * share if z0[l] == z0[l] else z0[l]


def sky_view(
    surface: NDArray[np.float32],
    is_block: NDArray[np.bool_],
    resolution: float,
    n_azimuth: int = 32,
    max_distance: float = 500.0,
    window: Window | None = None,
    out: NDArray[np.float32] | None = None,
    canopy_top: NDArray[np.float32] | None = None,
    canopy_base: NDArray[np.float32] | None = None,
    transmissivity: float = 0.03,
) -> NDArray[np.float32]:
    """Compute the sky view factor of an upward-facing horizontal receiver in each cell centre of the surface.

        psi = 1/N sum_a cos^2 h_a

    the cosine-weighted share of the hemisphere above the horizon h: 1 on a plain, (1 + cos b) / 2 on a plane of slope b,
    cos(atan(2 H / W)) in the middle of a long street. With crowns, the band between crown base b and crown top c that shows
    above the solid horizon passes only the share tau of the sky, one hull per azimuth:

        psi = 1/N sum_a [cos^2 h - (1 - tau) (cos^2 max(h, b) - cos^2 max(h, c))]

    Right beside a wall (d < H / 4) 32 directions alone err by up to 0.008; 64 by 0.004, and 0.0002 from d = H / 8 on.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface height without trees [m]; NaN is no surface.
    is_block : (ny, nx) bool
        Height model of each cell (`horizon.block_cells`).
    resolution : float
        Cell size [m].
    n_azimuth : int
        Number of directions (32; 64 is the reference).
    max_distance : float
        Reach of the horizon [m]: a property of the model, not of a tile.
    window : (j0, j1, i0, i1)
        Part of the array to compute; all of it by default. Any cut gives the same bits.
    out : (j1 - j0, i1 - i0) float32
    canopy_top, canopy_base : (ny, nx) float32
        Height of crown top and crown base on the datum of `surface` [m]; no crown where NaN or top <= surface.
    transmissivity : float
        Share of the light that passes a crown (0.03: a deciduous tree in leaf, as SOLWEIG).

    Returns
    -------
    (j1 - j0, i1 - i0) float32
        Sky view factor [1]; NaN where `surface` is.

    References
    ----------
    Johnson and Watson 1984, J. Climate Appl. Meteorol. 23, 329-335; Lindberg and Grimmond 2011, Theor. Appl. Climatol. 105.
    """
    j0, j1, i0, i1 = window or (0, surface.shape[0], 0, surface.shape[1])
    if out is None:
        out = np.empty((j1 - j0, i1 - i0), np.float32)
    if j1 > j0 and i1 > i0:
        part, faces, ground, canopy, z_max, j, i = surroundings(
            surface, is_block, resolution, max_distance, (j0, j1, i0, i1), canopy_top, canopy_base
        )
        tables = ray_tables(n_azimuth, resolution, max_distance)
        tau = np.float32(transmissivity)
        _sky_view_driver(part, faces, ground, *canopy, tau, z_max, j, i, j1 - j0, i1 - i0, np.float32(resolution), *tables, out)
    return out
