"""Sky view factor of the horizontal receiver, with walls, terrain and crowns in the way. The march is in `horizon`."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, threads
from felsina.kernels.radiation.horizon import (
    LANES,
    Window,
    cos2_of_tangent,
    highest_at,
    highest_for,
    load_heights,
    march,
    march_pixel,
    own_crown,
    start_lanes,
)
from felsina.kernels.radiation.obstacles import Obstacles, surface_height
from felsina.kernels.radiation.rays import Rays, require_reach

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_ZENITH = np.float32(1e9)  # tangent


@cell
def open_sky(tangent, top_tangent, base_tangent, opaque):
    """Share of the sky [1] above the horizon of one azimuth, less what the canopy hull takes of it."""
    under = cos2_of_tangent(max(tangent, min(base_tangent, top_tangent)))
    over = cos2_of_tangent(max(tangent, top_tangent))
    return cos2_of_tangent(tangent) - opaque * (under - over)


@threads
def _sky_view_driver(
    faces, ground, top, base, opaque, highest, j0, i0, nj, ni, half_cell, offsets, inverses, weights, share, out
):
    n_block = (ni + LANES - 1) // LANES
    for task in prange(nj * n_block):
        j, i = task // n_block, (task % n_block) * LANES
        n = min(LANES, ni - i)
        z0, t, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32), np.zeros(LANES, np.float32)
        top_t, base_t = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        load_heights(z0, faces, ground, j0 + j, i0 + i, n)
        z_max = highest_for(highest, j0 + j, i0 + i, n)
        for a in range(offsets.shape[0]):
            start_lanes(t, top_t, base_t, z0, top, base, j0 + j, i0 + i, n, half_cell)
            march(t, top_t, base_t, faces, ground, top, base, z0, z_max, j0 + j, i0 + i, n, offsets[a], inverses[a], weights[a])
            if top.shape[0] > 0:
                for l in range(n):
                    total[l] += open_sky(t[l], top_t[l], base_t[l], opaque)
            else:
                for l in range(n):
                    total[l] += cos2_of_tangent(t[l])
        for l in range(n):
            out[j, i + l] = total[l] * share if z0[l] == z0[l] else z0[l]


@gpu("f4* f4* f4* i4* f4* f4* f4* f4 u4 u4 u4 u4 u4 u4 u4", dims=2)
def sky_view_gpu(y, x, faces, ground, highest, offset, inverse, weight, out, share, ny, nx, n_azimuth, n_step, j0, i0, ni):
    j, i = np.uint32(j0 + y), np.uint32(i0 + x)
    here = np.uint32(j * nx + i)
    z0 = surface_height(faces[here], ground[here])
    z_max = highest_at(highest, j, i, nx)
    total = _ZERO
    a = np.uint32(0)
    while a < n_azimuth:
        t, _, _ = march_pixel(
            _ZERO, _ZERO, _ZENITH, faces, ground, ground, ground, False, z0, z_max, np.int32(j), np.int32(i), ny, nx,
            offset, inverse, weight, np.uint32(a * n_step), n_step,
        )  # fmt: skip
        total += cos2_of_tangent(t)
        a = np.uint32(a + np.uint32(1))
    out[np.uint32(y * ni + x)] = total * share if z0 == z0 else z0


@gpu("f4* f4* f4* f4* f4* i4* f4* f4* f4* f4 f4 f4 u4 u4 u4 u4 u4 u4 u4", dims=2)
def sky_view_with_crowns_gpu(
    y, x, faces, ground, top, base, highest, offset, inverse, weight, out, share, opaque, half_cell, ny, nx, n_azimuth, n_step,
    j0, i0, ni,
):  # fmt: skip
    j, i = np.uint32(j0 + y), np.uint32(i0 + x)
    here = np.uint32(j * nx + i)
    z0 = surface_height(faces[here], ground[here])
    z_max = highest_at(highest, j, i, nx)
    total = _ZERO
    own_top, own_base = own_crown(top[here], base[here], z0, half_cell)
    a = np.uint32(0)
    while a < n_azimuth:
        t, top_t, base_t = march_pixel(
            _ZERO, own_top, own_base, faces, ground, top, base, True, z0, z_max, np.int32(j), np.int32(i), ny, nx,
            offset, inverse, weight, np.uint32(a * n_step), n_step,
        )  # fmt: skip
        total += open_sky(t, top_t, base_t, opaque)
        a = np.uint32(a + np.uint32(1))
    out[np.uint32(y * ni + x)] = total * share if z0 == z0 else z0


def sky_view(
    obstacles: Obstacles,
    rays: Rays,
    window: Window | None = None,
    out: NDArray[np.float32] | None = None,
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
    obstacles : Obstacles
        Heights of the whole model, (ny, nx).
    rays : Rays
        Tables of the directions, such as `ray_tables(even_azimuths(32), resolution, 500.0)` (32 azimuths; 64 is the reference),
        in the same memory.
    window : (j0, j1, i0, i1)
        Part of the model to compute; all of it by default. Any cut gives the same bits.
    out : (j1 - j0, i1 - i0) float32
    transmissivity : float
        Share of the light that passes a crown (0.03: a deciduous tree in leaf, as SOLWEIG).

    Returns
    -------
    (j1 - j0, i1 - i0) float32
        Sky view factor [1]; NaN where the surface is unknown.

    Raises
    ------
    ValueError
        When the rays are longer than the obstacles were prepared for.

    References
    ----------
    Johnson and Watson 1984, J. Climate Appl. Meteorol. 23, 329-335; Lindberg and Grimmond 2011, Theor. Appl. Climatol. 105.
    """
    faces, ground, top, base, highest, _ = obstacles
    require_reach(obstacles, rays)
    j0, j1, i0, i1 = window or (0, faces.shape[0], 0, faces.shape[1])
    nj, ni = max(0, j1 - j0), max(0, i1 - i0)
    if out is None:
        out = array_module(faces).empty((nj, ni), np.float32)
    if nj == 0 or ni == 0:
        return out
    tables = (rays.offset, rays.inverse, rays.weight)
    share = _ONE / np.float32(len(rays.azimuth))
    opaque, half_cell = _ONE - np.float32(transmissivity), np.float32(0.5) * np.float32(rays.resolution)
    if not on_gpu(faces, ground, top, base, highest, *tables, out):
        _sky_view_driver(faces, ground, top, base, opaque, highest, j0, i0, nj, ni, half_cell, *tables, share, out)
        return out
    shape = (*faces.shape, *rays.weight.shape, j0, i0, ni)
    if top.size > 0:
        sky_view_with_crowns_gpu(
            (nj, ni), faces, ground, top, base, highest, *tables, out, share, opaque, half_cell, *shape
        )  # fmt: skip
    else:
        sky_view_gpu((nj, ni), faces, ground, highest, *tables, out, share, *shape)
    return out
