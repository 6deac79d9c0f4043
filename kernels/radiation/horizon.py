"""Horizons and beam shadow over a surface model, by an exact march over the cells that a ray crosses.

Two height models are declared per cell, because one alone is wrong somewhere:

    block       the cell is a column with vertical faces; a ray meets it where it ENTERS the cell (walls, roof edges)
    continuous  the surface runs through the cell centres; heights are linear between neighbours along the ray (ground, roofs)

The entry edge alone lowers the sky view of a 30 degree slope by 0.11; interpolation alone smears every wall over a cell.

All pixels of a row share the directions, so a ray is a table of offsets and the march runs over lanes of pixels. A horizon is
the maximum over a fixed set of samples; stopping early drops only samples that cannot raise it. Results therefore do not
depend, to the bit, on the window, the lane block or the thread that computed them. `max_distance` is a physical limit, never
that of a tile. Azimuths are clockwise from north; row 0 is north, column 0 is west. What the horizons are used for (sky view)
is in `skyview`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

LANES = 128  # pixels of a row that march together; 64-256 measured within 10 %
_ABSENT = np.float32(-1e30)  # [m] height of "nothing stands here": never above any pixel, and finite, so 0 * absent = 0
_SNAP = 1e-9  # cells; a ray through a cell corner does not visit the two cells that it only touches
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_NO_CANOPY = np.empty((0, 0), np.float32)

Window = tuple[int, int, int, int]


def block_cells(surface: NDArray[np.float32], is_building: NDArray[np.bool_], step_slope: float = 2.0) -> NDArray[np.bool_]:
    """Return the cells that stand as blocks with vertical faces.

    A building cell is a block where a neighbour (of 8) outside the building is lower; any cell is a block where a neighbour is
    lower by more than `step_slope` per cell. The rest of the ground and of the roofs is continuous.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface height divided by the resolution [cells].
    is_building : (ny, nx) bool
        Building mask.
    step_slope : float
        Height step per unit of distance that is a wall, not a slope (2 = 63 degrees).

    Returns
    -------
    (ny, nx) bool
    """
    ny, nx = surface.shape
    block = np.zeros((ny, nx), np.bool_)
    for dj in (-1, 0, 1):
        for di in (-1, 0, 1):
            if dj == 0 and di == 0:
                continue
            here = (slice(max(0, -dj), ny - max(0, dj)), slice(max(0, -di), nx - max(0, di)))
            there = (slice(max(0, dj), ny - max(0, -dj)), slice(max(0, di), nx - max(0, -di)))
            drop = surface[here] - surface[there]
            edge = is_building[here] & ~is_building[there] & (drop > 0)
            block[here] |= edge | (drop > np.float32(step_slope * math.hypot(dj, di)))
    return block


def ray_table(
    azimuth: float, resolution: float, max_distance: float
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the samples of a ray that leaves a cell centre towards `azimuth`, one line per cell along its main axis.

    Slots 0 and 1 are the one or two cells entered there, slots 2 and 3 the two cells between whose centres the ray passes.

    Parameters
    ----------
    azimuth : float
        Direction, clockwise from north [rad].
    resolution : float
        Cell size [m].
    max_distance : float
        Samples farther away do not exist [m].

    Returns
    -------
    offset : (n_step, 4, 2) int32
        Row and column offset of each slot.
    distance : (n_step, 5) float32
        [m] Entry and exit of slot 0, entry and exit of slot 1, and the distance at which the ray passes between 2 and 3;
        a negative entry (or passage) marks an absent sample.
    weight : (n_step,) float32
        Weight of slot 3; slot 2 has 1 - weight.
    """
    n_step = int(max_distance / resolution) + 1
    offset = np.zeros((n_step, 4, 2), np.int32)
    distance = np.zeros((n_step, 5), np.float32)
    weight = np.zeros(n_step, np.float32)
    _fill_ray(float(azimuth), float(resolution), float(max_distance), offset, distance, weight)
    return offset, distance, weight


@rows
def _fill_ray(azimuth, resolution, max_distance, offset, distance, weight):
    east, south = math.sin(azimuth), -math.cos(azimuth)
    column_major = abs(east) >= abs(south)
    main, minor = (east, south) if column_major else (south, east)
    sign_main = 1 if main > 0 else -1
    sign_minor = 1 if minor > 0 else -1
    slope = abs(minor) / abs(main)
    if slope < _SNAP:
        slope = 0.0
    stretch = 1.0 / abs(main)  # length of the ray per cell along the main axis
    for n in range(offset.shape[0]):
        k = n + 1
        first = math.floor(slope * (k - 0.5) + 0.5 + _SNAP)
        last = math.ceil(slope * (k + 0.5) + 0.5 - _SNAP) - 1
        entry, leave = (k - 0.5) * stretch * resolution, (k + 0.5) * stretch * resolution
        between = math.floor(slope * k + _SNAP)
        share = max(0.0, slope * k - between)
        if share < 1e-6:
            share = 0.0
        minors = (first, max(first, last), between, between + (1 if share > 0.0 else 0))
        for slot in range(4):
            offset[n, slot, 1 if column_major else 0] = sign_main * k
            offset[n, slot, 0 if column_major else 1] = sign_minor * minors[slot]
        distance[n, 0], distance[n, 1], distance[n, 2], distance[n, 3] = entry, leave, -1.0, -1.0
        if last > first:
            cross = (first + 0.5) / abs(minor) * resolution
            distance[n, 1], distance[n, 2], distance[n, 3] = cross, cross, leave
            if cross > max_distance:
                distance[n, 2] = -1.0
        if entry > max_distance:
            distance[n, 0] = -1.0
        distance[n, 4] = k * stretch * resolution if k * stretch * resolution <= max_distance else -1.0
        weight[n] = share


@rows
def _raise(tangent, height, z0, inverse, shift, lo, hi):
    """Raise the horizon of lanes lo..hi by the cells at `shift` of a row."""
    for l in range(lo, hi):
        q = (height[np.uint64(l + shift)] - z0[np.uint64(l)]) * inverse
        t = tangent[np.uint64(l)]
        tangent[np.uint64(l)] = q if q > t else t


@rows
def _raise_between(tangent, near, far, z0, weight, inverse, shift, shift_far, lo, hi):
    """Raise the horizon of lanes lo..hi by the surface between two cells."""
    rest = _ONE - weight
    for l in range(lo, hi):
        z = z0[np.uint64(l)]
        q = (rest * (near[np.uint64(l + shift)] - z) + weight * (far[np.uint64(l + shift_far)] - z)) * inverse
        t = tangent[np.uint64(l)]
        tangent[np.uint64(l)] = q if q > t else t


@rows
def _raise_canopy(top_tangent, base_tangent, tangent, top, base, z0, inverse, inverse_exit, shift, lo, hi):
    """Widen the canopy hull of lanes lo..hi: highest crown top seen at its entry, lowest crown base seen at its exit."""
    for l in range(lo, hi):
        q = (top[np.uint64(l + shift)] - z0[np.uint64(l)]) * inverse
        low = max(_ZERO, (base[np.uint64(l + shift)] - z0[np.uint64(l)]) * inverse_exit)
        seen = q > tangent[np.uint64(l)]  # a crown hidden behind a nearer wall or hill changes nothing
        t, b = top_tangent[np.uint64(l)], base_tangent[np.uint64(l)]
        top_tangent[np.uint64(l)] = q if seen & (q > t) else t
        base_tangent[np.uint64(l)] = low if seen & (low < b) else b


@rows
def _unfinished(tangent, z0, z_max, inverse, n):
    """Say whether something as high as `z_max` at 1 / `inverse` or beyond could still raise a horizon."""
    open_lanes = 0
    for l in range(n):
        open_lanes += (z_max - z0[np.uint64(l)]) * inverse > tangent[np.uint64(l)]
    return open_lanes > 0


@rows
def _march(tangent, top_t, base_t, faces, ground, top, base, z0, z_max, j, i0, n, offset, distance, weight):
    """March `n` lanes from row `j`, column `i0` along one ray table; heights are tangents of the elevation angle."""
    ny, nx = faces.shape
    canopy = top.shape[0] > 0
    for k in range(offset.shape[0]):
        entry = distance[k, 0]
        if entry < _ZERO:
            break
        if (k & 3) == 0 and not _unfinished(tangent, z0, z_max, _ONE / entry, n):
            break
        for slot in range(2):
            d = distance[k, 2 * slot]
            if d < _ZERO:
                continue
            jj, di = j + offset[k, slot, 0], offset[k, slot, 1]
            lo, hi = max(0, -(i0 + di)), min(n, nx - (i0 + di))
            if jj < 0 or jj >= ny or lo >= hi:
                continue
            if canopy:
                # Before this cell's own face: a crown over a roof is seen above it.
                _raise_canopy(
                    top_t, base_t, tangent, top[jj], base[jj], z0, _ONE / d, _ONE / distance[k, 2 * slot + 1], i0 + di, lo, hi
                )
            _raise(tangent, faces[jj], z0, _ONE / d, i0 + di, lo, hi)
        d = distance[k, 4]
        ja, ia, jb, ib = j + offset[k, 2, 0], i0 + offset[k, 2, 1], j + offset[k, 3, 0], i0 + offset[k, 3, 1]
        lo, hi = max(0, max(-ia, -ib)), min(n, min(nx - ia, nx - ib))
        if d >= _ZERO and min(ja, jb) >= 0 and max(ja, jb) < ny and lo < hi:
            _raise_between(tangent, ground[ja], ground[jb], z0, weight[k], _ONE / d, ia, ib, lo, hi)


@rows
def _start(tangent, top_t, base_t, z0, surface, top, base, j, i0, n, resolution):
    """Load the lanes; a crown over the pixel itself reaches the zenith, and its base is seen half a cell away."""
    for l in range(n):
        z0[l] = surface[j, i0 + l]
        tangent[l] = _ZERO
        top_t[l] = _ZERO
        base_t[l] = np.float32(1e9)
    if top.shape[0] > 0:
        for l in range(n):
            if top[j, i0 + l] > z0[l]:
                top_t[l] = np.float32(1e9)
                base_t[l] = max(_ZERO, (base[j, i0 + l] - z0[l]) / (np.float32(0.5) * resolution))


@cell
def cos2_of_tangent(t):
    """Squared cosine of an elevation angle given by its tangent."""
    return _ONE / (_ONE + t * t)


@threads
def _horizon_driver(surface, faces, ground, z_max, j0, i0, nj, ni, resolution, offsets, distances, weights, out):
    n_block = (ni + LANES - 1) // LANES
    none = np.empty((0, 0), np.float32)
    for task in prange(nj * n_block):
        j, i = task // n_block, (task % n_block) * LANES
        n = min(LANES, ni - i)
        z0, t = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        top_t, base_t = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
        for a in range(out.shape[0]):
            _start(t, top_t, base_t, z0, surface, none, none, j0 + j, i0 + i, n, resolution)
            _march(
                t, top_t, base_t, faces, ground, none, none, z0, z_max, j0 + j, i0 + i, n, offsets[a], distances[a], weights[a]
            )
            for l in range(n):
                out[a, j, i + l] = t[l] if z0[l] == z0[l] else z0[l]


def horizon_tangents(
    surface: NDArray[np.float32],
    is_block: NDArray[np.bool_],
    resolution: float,
    n_azimuth: int,
    max_distance: float,
    window: Window | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Compute the tangent of the horizon elevation of each pixel towards `n_azimuth` directions.

    tan h = max over samples of (z - z_0) / d, and 0 where nothing rises above the pixel.

    Parameters
    ----------
    surface : (ny, nx) float32
        Surface height [m]; NaN is no surface.
    is_block : (ny, nx) bool
        Height model of each cell (see `block_cells`).
    resolution, max_distance : float
        Cell size and reach of the march [m].
    n_azimuth : int
        Azimuths are 2 pi (a + 1/2) / n_azimuth, clockwise from north.
    window : (j0, j1, i0, i1)
        Part of the array to compute; all of it by default.
    out : (n_azimuth, j1 - j0, i1 - i0) float32

    Returns
    -------
    `out`; NaN where `surface` is.
    """
    j0, j1, i0, i1 = window or (0, surface.shape[0], 0, surface.shape[1])
    if out is None:
        out = np.empty((n_azimuth, j1 - j0, i1 - i0), np.float32)
    if j1 > j0 and i1 > i0:
        part, faces, ground, (_, _), z_max, j, i = surroundings(surface, is_block, resolution, max_distance, (j0, j1, i0, i1))
        tables = ray_tables(n_azimuth, resolution, max_distance)
        _horizon_driver(part, faces, ground, z_max, j, i, j1 - j0, i1 - i0, np.float32(resolution), *tables, out)
    return out


def ray_tables(
    n_azimuth: int, resolution: float, max_distance: float
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """Return the stacked `ray_table`s of the azimuths 2 pi (a + 1/2) / n_azimuth."""
    tables = [ray_table(2.0 * math.pi * (a + 0.5) / n_azimuth, resolution, max_distance) for a in range(n_azimuth)]
    offsets, distances, weights = (np.stack(part) for part in zip(*tables))
    return offsets, distances, weights


def surroundings(
    surface: NDArray[np.float32],
    is_block: NDArray[np.bool_],
    resolution: float,
    max_distance: float,
    window: Window,
    canopy_top: NDArray[np.float32] | None = None,
    canopy_base: NDArray[np.float32] | None = None,
) -> tuple[
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    tuple[NDArray[np.float32], NDArray[np.float32]],
    np.float32,
    int,
    int,
]:
    """Cut the window with everything that its rays can reach, split by height model; absent heights are -1e30 m.

    Returns the surface, the faces, the continuous ground, (canopy top, canopy base), the highest height in reach, and row and
    column of the window's first pixel in the cut.
    """
    j0, j1, i0, i1 = window
    reach = int(max_distance / resolution) + 2
    a, b, c, d = max(0, j0 - reach), min(surface.shape[0], j1 + reach), max(0, i0 - reach), min(surface.shape[1], i1 + reach)
    part = np.ascontiguousarray(surface[a:b, c:d], np.float32)
    known, block = np.isfinite(part), np.asarray(is_block[a:b, c:d], np.bool_)
    faces, ground = np.where(known & block, part, _ABSENT), np.where(known & ~block, part, _ABSENT)
    canopy = (_NO_CANOPY, _NO_CANOPY)
    z_max = np.float32(part[known].max()) if known.any() else _ABSENT
    if canopy_top is not None and canopy_base is not None:
        top, base = canopy_top[a:b, c:d], canopy_base[a:b, c:d]
        crown = known & np.isfinite(top) & (top > part)
        canopy = (np.where(crown, top, _ABSENT).astype(np.float32), np.where(crown, base, _ABSENT).astype(np.float32))
        z_max = max(z_max, np.float32(canopy[0].max()))
    return part, faces, ground, canopy, z_max, j0 - a, i0 - c
