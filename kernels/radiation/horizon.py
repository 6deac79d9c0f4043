"""Horizons over a surface model, by an exact march over the cells that a ray crosses.

The CPU's march runs over lanes of pixels of a row, the GPU's over one pixel per thread. A horizon is the maximum over a fixed
set of samples; stopping early drops only samples that cannot raise it. Results therefore do not depend, to the bit, on the
window, the lane block or the thread that computed them. What can be met is in `obstacles`, the samples in `rays`, what the
horizons are used for (sky view) in `skyview`.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels.radiation.obstacles import ABSENT, HEIGHT_BLOCK, Obstacles, surface_height
from felsina.kernels.radiation.rays import Rays, require_reach

LANES = 128  # pixels of a row that march together; 64-256 measured within 10 %
_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)
_ZENITH = np.float32(1e9)  # tangent

Window = tuple[int, int, int, int]


@cell
def rise_to(height, z0):
    """Height above the pixel [m]."""
    return height - z0


@cell
def rise_between(near, far, z0, rest, weight):
    """Height above the pixel [m] of the surface where the ray passes between two cells; their weights add up to 1."""
    return rest * (near - z0) + weight * (far - z0)


@cell
def raised(tangent, rise, inverse):
    """Horizon with one more sample."""
    q = rise * inverse
    return q if q > tangent else tangent


@cell
def could_rise(tangent, z0, z_max, inverse):
    """Say whether something as high as `z_max` at 1 / `inverse` or beyond could raise a horizon."""
    return (z_max - z0) * inverse > tangent


@cell
def widened(top_tangent, base_tangent, tangent, top, base, z0, inverse, inverse_exit):
    """Canopy hull with one more crown: highest crown top seen at its entry, lowest crown base seen at its exit."""
    q = (top - z0) * inverse
    low = max(_ZERO, (base - z0) * inverse_exit)
    seen = q > tangent  # a crown hidden behind a nearer wall or hill changes nothing
    return q if seen & (q > top_tangent) else top_tangent, low if seen & (low < base_tangent) else base_tangent


@cell
def own_crown(top, base, z0, half_cell):
    """Hull of the crown over the pixel itself: it reaches the zenith, and its base is seen half a cell away."""
    if top > z0:
        return _ZENITH, max(_ZERO, (base - z0) / half_cell)
    return _ZERO, _ZENITH


@cell
def cos2_of_tangent(t):
    """Squared cosine of an elevation angle given by its tangent."""
    return _ONE / (_ONE + t * t)


@rows
def _raise(tangent, height, z0, inverse, shift, lo, hi):
    """Raise the horizon of lanes lo..hi by the cells at `shift` of a row."""
    for l in range(lo, hi):
        rise = rise_to(height[np.uint64(l + shift)], z0[np.uint64(l)])
        tangent[np.uint64(l)] = raised(tangent[np.uint64(l)], rise, inverse)


@rows
def _raise_between(tangent, near, far, z0, weight, inverse, shift, shift_far, lo, hi):
    """Raise the horizon of lanes lo..hi by the surface between two cells."""
    rest = _ONE - weight
    for l in range(lo, hi):
        rise = rise_between(near[np.uint64(l + shift)], far[np.uint64(l + shift_far)], z0[np.uint64(l)], rest, weight)
        tangent[np.uint64(l)] = raised(tangent[np.uint64(l)], rise, inverse)


@rows
def _raise_canopy(top_tangent, base_tangent, tangent, top, base, z0, inverse, inverse_exit, shift, lo, hi):
    """Widen the canopy hull of lanes lo..hi by the crowns at `shift` of a row."""
    for l in range(lo, hi):
        k = np.uint64(l)
        top_tangent[k], base_tangent[k] = widened(
            top_tangent[k], base_tangent[k], tangent[k], top[np.uint64(l + shift)], base[np.uint64(l + shift)], z0[k],
            inverse, inverse_exit,
        )  # fmt: skip


@rows
def _unfinished(tangent, z0, z_max, inverse, n):
    """Say whether one of the first `n` horizons can still rise."""
    open_lanes = 0
    for l in range(n):
        open_lanes += could_rise(tangent[np.uint64(l)], z0[np.uint64(l)], z_max, inverse)
    return open_lanes > 0


@rows
def march(tangent, top_t, base_t, faces, ground, top, base, z0, z_max, j, i0, n, offset, inverse, weight):
    """March `n` lanes from row `j`, column `i0` along one ray table; heights are tangents of the elevation angle."""
    ny, nx = faces.shape
    canopy = top.shape[0] > 0
    for k in range(offset.shape[0]):
        entry = inverse[k, 0] if inverse[k, 0] >= _ZERO else inverse[k, 2]
        if entry < _ZERO:
            break
        if (k & 3) == 0 and not _unfinished(tangent, z0, z_max, entry, n):
            break
        for which in range(2):
            enter = inverse[k, 2 * which]
            if enter < _ZERO:
                continue
            jj, di = j + offset[k, which, 0], offset[k, which, 1]
            lo, hi = max(0, -(i0 + di)), min(n, nx - (i0 + di))
            if jj < 0 or jj >= ny or lo >= hi:
                continue
            if canopy:
                # Before this cell's own face: a crown over a roof is seen above it.
                _raise_canopy(top_t, base_t, tangent, top[jj], base[jj], z0, enter, inverse[k, 2 * which + 1], i0 + di, lo, hi)
            _raise(tangent, faces[jj], z0, enter, i0 + di, lo, hi)
        ja, ia, jb, ib = j + offset[k, 0, 0], i0 + offset[k, 0, 1], j + offset[k, 1, 0], i0 + offset[k, 1, 1]
        lo, hi = max(0, max(-ia, -ib)), min(n, min(nx - ia, nx - ib))
        if inverse[k, 4] >= _ZERO and min(ja, jb) >= 0 and max(ja, jb) < ny and lo < hi:
            _raise_between(tangent, ground[ja], ground[jb], z0, weight[k], inverse[k, 4], ia, ib, lo, hi)


@rows
def load_heights(z0, faces, ground, j, i0, n):
    """Load the surface height of `n` lanes."""
    for l in range(n):
        z0[l] = surface_height(faces[j, i0 + l], ground[j, i0 + l])


@rows
def highest_for(highest, j, i0, n):
    """Return the highest height that `n` lanes can reach [m]."""
    best = ABSENT
    for c in range(i0 // HEIGHT_BLOCK, (i0 + n - 1) // HEIGHT_BLOCK + 1):
        best = max(best, highest[j // HEIGHT_BLOCK, c])
    return best


@rows
def start_lanes(tangent, top_t, base_t, z0, top, base, j, i0, n, half_cell):
    """Set the horizons of `n` lanes to the plain, and the canopy hull to the crown over each."""
    for l in range(n):
        tangent[l] = _ZERO
        top_t[l], base_t[l] = _ZERO, _ZENITH
    if top.shape[0] > 0:
        for l in range(n):
            top_t[l], base_t[l] = own_crown(top[j, i0 + l], base[j, i0 + l], z0[l], half_cell)


@cell
def march_pixel(
    t, top_t, base_t, faces, ground, top, base, crowns, z0, z_max, j, i, ny, nx, offset, inverse, weight, first, n_step
):
    """March from one pixel along the `n_step` steps of a ray table that begin at `first`: the march of one GPU thread."""
    k, end = np.uint32(first), np.uint32(first + n_step)
    while k < end:
        d, o = np.uint32(np.uint32(5) * k), np.uint32(np.uint32(4) * k)
        near_entry, far_entry = inverse[d], inverse[np.uint32(d + np.uint32(2))]
        entry = near_entry if near_entry >= _ZERO else far_entry
        if entry < _ZERO or not could_rise(t, z0, z_max, entry):
            break
        ja, ia = np.uint32(j + offset[o]), np.uint32(i + offset[np.uint32(o + np.uint32(1))])
        jb, ib = np.uint32(j + offset[np.uint32(o + np.uint32(2))]), np.uint32(i + offset[np.uint32(o + np.uint32(3))])
        # A negative index is a large unsigned one.
        near_inside, far_inside = ja < ny and ia < nx, jb < ny and ib < nx
        near, far = np.uint32(ja * nx + ia), np.uint32(jb * nx + ib)
        if near_inside and near_entry >= _ZERO:
            if crowns:
                leave = inverse[np.uint32(d + np.uint32(1))]
                top_t, base_t = widened(top_t, base_t, t, top[near], base[near], z0, near_entry, leave)
            t = raised(t, rise_to(faces[near], z0), near_entry)
        if far_inside and far_entry >= _ZERO:
            if crowns:
                leave = inverse[np.uint32(d + np.uint32(3))]
                top_t, base_t = widened(top_t, base_t, t, top[far], base[far], z0, far_entry, leave)
            t = raised(t, rise_to(faces[far], z0), far_entry)
        between = inverse[np.uint32(d + np.uint32(4))]
        if near_inside and far_inside and between >= _ZERO:
            t = raised(t, rise_between(ground[near], ground[far], z0, _ONE - weight[k], weight[k]), between)
        k = np.uint32(k + np.uint32(1))
    return t, top_t, base_t


@threads
def _horizon_driver(faces, ground, highest, j0, i0, nj, ni, offsets, inverses, weights, out):
    n_block = (ni + LANES - 1) // LANES
    none = np.empty((0, 0), np.float32)
    for task in prange(nj * n_block):
        j, i = task // n_block, (task % n_block) * LANES
        n = min(LANES, ni - i)
        z0, t = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        top_t, base_t = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        load_heights(z0, faces, ground, j0 + j, i0 + i, n)
        z_max = highest_for(highest, j0 + j, i0 + i, n)
        for a in range(out.shape[0]):
            start_lanes(t, top_t, base_t, z0, none, none, j0 + j, i0 + i, n, _ONE)
            march(
                t, top_t, base_t, faces, ground, none, none, z0, z_max, j0 + j, i0 + i, n, offsets[a], inverses[a], weights[a]
            )
            for l in range(n):
                out[a, j, i + l] = t[l] if z0[l] == z0[l] else z0[l]


@gpu("f4* f4* f4* i4* f4* f4* f4* u4 u4 u4 u4 u4 u4 u4", dims=3, block=(32, 4, 1))
def horizon_gpu(a, y, x, faces, ground, highest, offset, inverse, weight, out, ny, nx, n_step, j0, i0, nj, ni):
    j, i = np.uint32(j0 + y), np.uint32(i0 + x)
    here = np.uint32(j * nx + i)
    z0 = surface_height(faces[here], ground[here])
    z_max = highest_at(highest, j, i, nx)
    t, _, _ = march_pixel(
        _ZERO, _ZERO, _ZENITH, faces, ground, ground, ground, False, z0, z_max, np.int32(j), np.int32(i), ny, nx,
        offset, inverse, weight, np.uint32(a * n_step), n_step,
    )  # fmt: skip
    out[np.uint32(np.uint32(np.uint32(a * nj) + y) * ni + x)] = t if z0 == z0 else z0


@cell
def highest_at(highest, j, i, nx):
    """Highest height that a pixel can reach [m], from flat `Obstacles.highest` of a model with `nx` columns."""
    side = np.uint32(HEIGHT_BLOCK)
    width = np.uint32(np.uint32(nx + np.uint32(HEIGHT_BLOCK - 1)) // side)
    return highest[np.uint32(np.uint32(j // side) * width + np.uint32(i // side))]


def horizon_tangents(
    obstacles: Obstacles, rays: Rays, window: Window | None = None, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Compute the tangent of the horizon elevation of each pixel towards the directions of `rays`; crowns are looked through.

    tan h = max over samples of (z - z_0) / d, and 0 where nothing rises above the pixel.

    Parameters
    ----------
    obstacles : Obstacles
        Heights of the whole model, (ny, nx).
    rays : Rays
        Tables of the n_azimuth directions, in the same memory.
    window : (j0, j1, i0, i1)
        Part of the model to compute; all of it by default. Any cut gives the same bits.
    out : (n_azimuth, j1 - j0, i1 - i0) float32

    Returns
    -------
    `out` [1]; NaN where the surface is unknown.

    Raises
    ------
    ValueError
        When the rays are longer than the obstacles were prepared for.
    """
    faces, ground, _, _, highest, _ = obstacles
    require_reach(obstacles, rays)
    j0, j1, i0, i1 = window or (0, faces.shape[0], 0, faces.shape[1])
    n_azimuth, n_step = rays.weight.shape
    nj, ni = max(0, j1 - j0), max(0, i1 - i0)
    if out is None:
        out = array_module(faces).empty((n_azimuth, nj, ni), np.float32)
    if nj == 0 or ni == 0:
        return out
    if on_gpu(faces, ground, highest, rays.offset, rays.inverse, rays.weight, out):
        horizon_gpu(
            (n_azimuth, nj, ni), faces, ground, highest, rays.offset, rays.inverse, rays.weight, out, *faces.shape, n_step,
            j0, i0, nj, ni,
        )  # fmt: skip
    else:
        _horizon_driver(faces, ground, highest, j0, i0, nj, ni, rays.offset, rays.inverse, rays.weight, out)
    return out


__all__ = ["LANES", "Window", "cos2_of_tangent", "horizon_gpu", "horizon_tangents"]
