"""Beam shadow at the true direction of the sun, and the shaded share of an interval. The ray tables are in `rays`.

A look-up from the horizons of 32 directions mislabels up to 8.6 % of the shaded pixels; one march at the true direction costs
1/32 of a sky view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import array_module, cell, gpu, on_gpu, rows, threads
from felsina.kernels.radiation.horizon import LANES, Window, highest_at, highest_for, load_heights, rise_between, rise_to
from felsina.kernels.radiation.obstacles import Obstacles, surface_height
from felsina.kernels.radiation.rays import Rays, require_reach

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@cell
def shaded(light, rise, ray):
    """Light of a pixel where the ray, `ray` above it, meets something `rise` above it [m]."""
    return _ZERO if rise > ray else light


@cell
def dimmed(light, top, base, z0, ray_in, ray_out, transmissivity):
    """Light where the ray passes a crown between its entry and its exit; one crown or many dim alike."""
    inside = (top - z0 > ray_in) & (base - z0 < ray_out)
    return min(light, transmissivity) if inside else light


@rows
def _shade(light, height, z0, ray, shift, lo, hi):
    for l in range(lo, hi):
        rise = rise_to(height[np.uint64(l + shift)], z0[np.uint64(l)])
        light[np.uint64(l)] = shaded(light[np.uint64(l)], rise, ray)


@rows
def _shade_between(light, near, far, z0, ray, weight, shift, shift_far, lo, hi):
    rest = _ONE - weight
    for l in range(lo, hi):
        rise = rise_between(near[np.uint64(l + shift)], far[np.uint64(l + shift_far)], z0[np.uint64(l)], rest, weight)
        light[np.uint64(l)] = shaded(light[np.uint64(l)], rise, ray)


@rows
def _dim(light, top, base, z0, ray_in, ray_out, transmissivity, shift, lo, hi):
    for l in range(lo, hi):
        k = np.uint64(l)
        light[k] = dimmed(
            light[k], top[np.uint64(l + shift)], base[np.uint64(l + shift)], z0[k], ray_in, ray_out, transmissivity
        )


@threads
def _sun_driver(
    faces, ground, top, base, tau, highest, j0, i0, nj, ni, slope, half_cell, sunlight, offset, distance, weight, n_step, out
):
    ny, nx = faces.shape
    n_block = (ni + LANES - 1) // LANES
    canopy = top.shape[0] > 0
    for task in prange(nj * n_block):
        j, i = j0 + task // n_block, i0 + (task % n_block) * LANES
        n = min(LANES, i0 + ni - i)
        z0, light = np.empty(LANES, np.float32), np.full(LANES, sunlight, np.float32)
        load_heights(z0, faces, ground, j, i, n)
        z_max = highest_for(highest, j, i, n)
        z_min = np.float32(1e30)
        for l in range(n):
            z_min = min(z_min, z0[l]) if z0[l] == z0[l] else z_min
        if canopy:
            _dim(light, top[j], base[j], z0, _ZERO, half_cell * slope, tau, i, 0, n)
        for k in range(n_step):
            entry = distance[k, 0] if distance[k, 0] >= _ZERO else distance[k, 2]
            if entry < _ZERO or z_max - z_min < entry * slope:
                break
            for which in range(2):
                d = distance[k, 2 * which]
                jj, ii = j + offset[k, which, 0], i + offset[k, which, 1]
                lo, hi = max(0, -ii), min(n, nx - ii)
                if d < _ZERO or jj < 0 or jj >= ny or lo >= hi:
                    continue
                if canopy:
                    _dim(light, top[jj], base[jj], z0, d * slope, distance[k, 2 * which + 1] * slope, tau, ii, lo, hi)
                _shade(light, faces[jj], z0, d * slope, ii, lo, hi)
            d = distance[k, 4]
            ja, ia, jb, ib = j + offset[k, 0, 0], i + offset[k, 0, 1], j + offset[k, 1, 0], i + offset[k, 1, 1]
            lo, hi = max(0, max(-ia, -ib)), min(n, min(nx - ia, nx - ib))
            if d >= _ZERO and min(ja, jb) >= 0 and max(ja, jb) < ny and lo < hi:
                _shade_between(light, ground[ja], ground[jb], z0, d * slope, weight[k], ia, ib, lo, hi)
        for l in range(n):
            out[j - j0, i - i0 + l] = light[l] if z0[l] == z0[l] else z0[l]


@gpu("f4* f4* f4* f4* f4* i4* f4* f4* f4* f4 f4 f4 f4 u4 u4 u4 u4 u4 u4 u4", dims=2)
def sun_visible_gpu(
    y, x, faces, ground, top, base, highest, offset, distance, weight, out, tau, slope, half_cell, sunlight, crowns, ny, nx,
    n_step, j0, i0, ni,
):  # fmt: skip
    j, i = np.uint32(j0 + y), np.uint32(i0 + x)
    here = np.uint32(j * nx + i)
    z0 = surface_height(faces[here], ground[here])
    z_max = highest_at(highest, j, i, nx)
    light = sunlight
    if crowns:
        light = dimmed(light, top[here], base[here], z0, _ZERO, half_cell * slope, tau)
    k = np.uint32(0)
    while k < n_step:
        d, o = np.uint32(np.uint32(5) * k), np.uint32(np.uint32(4) * k)
        near_entry, far_entry = distance[d], distance[np.uint32(d + np.uint32(2))]
        entry = near_entry if near_entry >= _ZERO else far_entry
        # What is dark stays dark, and the ray leaves the city where it is above all that can be met.
        if entry < _ZERO or not (z_max - z0 >= entry * slope) or light == _ZERO:
            break
        ja, ia = np.uint32(np.int32(j) + offset[o]), np.uint32(np.int32(i) + offset[np.uint32(o + np.uint32(1))])
        jb = np.uint32(np.int32(j) + offset[np.uint32(o + np.uint32(2))])
        ib = np.uint32(np.int32(i) + offset[np.uint32(o + np.uint32(3))])
        near_inside, far_inside = ja < ny and ia < nx, jb < ny and ib < nx
        near, far = np.uint32(ja * nx + ia), np.uint32(jb * nx + ib)
        if near_inside and near_entry >= _ZERO:
            if crowns:
                leave = distance[np.uint32(d + np.uint32(1))] * slope
                light = dimmed(light, top[near], base[near], z0, near_entry * slope, leave, tau)
            light = shaded(light, rise_to(faces[near], z0), near_entry * slope)
        if far_inside and far_entry >= _ZERO:
            if crowns:
                leave = distance[np.uint32(d + np.uint32(3))] * slope
                light = dimmed(light, top[far], base[far], z0, far_entry * slope, leave, tau)
            light = shaded(light, rise_to(faces[far], z0), far_entry * slope)
        between = distance[np.uint32(d + np.uint32(4))]
        if near_inside and far_inside and between >= _ZERO:
            rise = rise_between(ground[near], ground[far], z0, _ONE - weight[k], weight[k])
            light = shaded(light, rise, between * slope)
        k = np.uint32(k + np.uint32(1))
    out[np.uint32(y * ni + x)] = light if z0 == z0 else z0


def sun_visible(
    obstacles: Obstacles,
    ray: Rays,
    elevation: float,
    window: Window | None = None,
    out: NDArray[np.float32] | None = None,
    transmissivity: float = 0.03,
) -> NDArray[np.float32]:
    """Compute the share of the direct beam that reaches each cell centre of the surface.

    0 where the ray towards the sun meets a block face or the continuous surface within its length, `transmissivity` where it
    passes a crown between base and top, else 1; 0 everywhere while the sun is at or below the horizon.

    Parameters
    ----------
    obstacles, window, transmissivity
        As in `skyview.sky_view`.
    ray : Rays
        Table of the one direction of the sun: `ray_tables([azimuth], resolution, longest shadow)`, in the same memory.
    elevation : float
        Of the sun above the horizon [rad].
    out : (j1 - j0, i1 - i0) float32

    Returns
    -------
    (j1 - j0, i1 - i0) float32
        Share of the beam [1]; NaN where the surface is unknown.

    Raises
    ------
    ValueError
        When the ray is longer than the obstacles were prepared for, or not one.
    """
    faces, ground, top, base, highest, _ = obstacles
    require_reach(obstacles, ray)
    if len(ray.azimuth) != 1:
        raise ValueError(f"The sun stands in one direction; the table holds {len(ray.azimuth)}.")
    j0, j1, i0, i1 = window or (0, faces.shape[0], 0, faces.shape[1])
    nj, ni = max(0, j1 - j0), max(0, i1 - i0)
    if out is None:
        out = array_module(faces).empty((nj, ni), np.float32)
    if nj == 0 or ni == 0:
        return out
    is_up, azimuth = elevation > 0.0, ray.azimuth[0]
    n_step, sunlight = (ray.weight.shape[1], _ONE) if is_up else (0, _ZERO)
    slope = np.float32(math.tan(elevation) if is_up else 0.0)
    half_cell = np.float32(0.5 * ray.resolution / max(abs(math.sin(azimuth)), abs(math.cos(azimuth))))
    tau = np.float32(transmissivity)
    if on_gpu(faces, ground, top, base, highest, ray.offset, ray.distance, ray.weight, out):
        sun_visible_gpu(
            (nj, ni), faces, ground, top, base, highest, ray.offset, ray.distance, ray.weight, out, tau, slope, half_cell,
            sunlight, top.size > 0, *faces.shape, n_step, j0, i0, ni,
        )  # fmt: skip
    else:
        _sun_driver(
            faces, ground, top, base, tau, highest, j0, i0, nj, ni, slope, half_cell, sunlight, ray.offset[0], ray.distance[0],
            ray.weight[0], n_step, out,
        )  # fmt: skip
    return out


@cell
def add_shade(total, visible, weight):
    """Shaded share with one more sub-step."""
    return total + weight * (_ONE - visible)


@threads
def _accumulate(visible, weight, out):
    for j in prange(out.shape[0]):
        for i in range(out.shape[1]):
            out[j, i] = add_shade(out[j, i], visible[j, i], weight)


@gpu("f4* f4* f4")
def add_shade_gpu(element, visible, out, weight):
    out[element] = add_shade(out[element], visible[element], weight)


def shadow_fraction(
    obstacles: Obstacles,
    rays: Rays,
    elevations: Sequence[float] | NDArray[np.float64],
    weights: Sequence[float] | NDArray[np.float64] | None = None,
    window: Window | None = None,
    out: NDArray[np.float32] | None = None,
    transmissivity: float = 0.03,
) -> NDArray[np.float32]:
    """Compute the mean shaded share of the direct beam over sub-steps of an interval, sub-step by sub-step in order.

    S = sum_s w_s (1 - visible_s) / sum_s w_s over the sub-steps with the sun up; 0 where it is never up. Sub-steps of
    10 minutes or less keep the edge of a moving shadow within a cell for most of the day.

    Parameters
    ----------
    rays : Rays
        Table of the azimuth of the sun in each of the n_sub sub-steps.
    elevations : (n_sub,) float
        Of the sun [rad], in the memory of the host.
    weights : (n_sub,) float
        Weight of each sub-step, such as its direct irradiance; equal by default. In the memory of the host.
    Others as in `sun_visible`.

    Returns
    -------
    (j1 - j0, i1 - i0) float32
        Shaded share [1].
    """
    j0, j1, i0, i1 = window or (0, obstacles.faces.shape[0], 0, obstacles.faces.shape[1])
    xp = array_module(obstacles.faces)
    if out is None:
        out = xp.empty((max(0, j1 - j0), max(0, i1 - i0)), np.float32)
    out.fill(0)
    given = [1.0] * len(elevations) if weights is None else [float(w) for w in weights]
    up = [s for s in range(len(elevations)) if elevations[s] > 0.0 and given[s] > 0.0]
    total = math.fsum(given[s] for s in up)
    visible = xp.empty(out.shape, np.float32)
    for s in up:
        sun_visible(obstacles, rays.one(s), float(elevations[s]), (j0, j1, i0, i1), visible, transmissivity)
        weight = np.float32(given[s] / total)
        if on_gpu(visible, out):
            add_shade_gpu((out.size,), visible, out, weight)
        else:
            _accumulate(visible, weight, out)
    return out
