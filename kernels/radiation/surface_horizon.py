"""Horizons of walls and roofs: what stands before sample points on the surfaces of solids, by azimuth.

Two models meet. The building's own solid is met exactly, edge by edge: in the vertical half-plane of an azimuth a triangle is
highest at one of its edges, so the horizon is the highest crossing of an edge. All else is the surface model of `obstacles`,
with the samples of `horizon` taken along a ray that starts anywhere, not in the middle of a cell only. Cells of the building
itself are left out there, so a wall cannot meet its own raster; what is nearer than half a cell is taken at half a cell.

A march looks at groups of sixteen columns first and leaves out those whose highest height cannot raise the horizon. That drops
only samples that change nothing, so the result is that of every sample. The surface's own plane is part of its horizon where it
faces up: nothing below it can be seen.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import ArrayLike, NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.radiation.horizon import raised, rise_between, rise_to, widened
from felsina.kernels.radiation.obstacles import ABSENT, HEIGHT_BLOCK, Obstacles, cells_in_reach

GROUP = 16  # columns of a march that are left out together
_SNAP = 1e-9  # cells; a ray through a cell corner does not visit the two cells that it only touches
IN_FRONT = 0.01  # m in front of the plane of a surface from which an edge of its own solid is an obstacle
_ZERO, _ONE, _HALF = np.float32(0.0), np.float32(1.0), np.float32(0.5)
_ZENITH = np.float32(1e9)  # tangent
_STEEP = np.float32(1e6)  # tangent; the plane of a wall seen from behind


class Samples(NamedTuple):
    """Points on surfaces, in order of the surfaces.

    Attributes
    ----------
    position : (n, 3) float64
        East, north, height [m].
    normal : (n, 3) float64
        Outward unit normal [1].
    area : (n,) float64
        Area that a point stands for [m2]; those of a surface add up to its area.
    surface : (n,) int64
    """

    position: NDArray[np.float64]
    normal: NDArray[np.float64]
    area: NDArray[np.float64]
    surface: NDArray[np.int64]

    def chosen(self, which: NDArray[Any]) -> Samples:
        """Return the points that a mask or a list of places chooses."""
        return Samples(self.position[which], self.normal[which], self.area[which], self.surface[which])


class SurfaceHorizons(NamedTuple):
    """Tangents of the elevation of what stands before each sample, (n_azimuth, n) float32.

    Attributes
    ----------
    tangent : solid obstacles, >= 0
    crown_top, crown_base : hull of the crowns above them, as in `skyview`; (0, 0) without crowns
    """

    tangent: NDArray[np.float32]
    crown_top: NDArray[np.float32]
    crown_base: NDArray[np.float32]


@cell
def _splits(area, largest, most):
    """Return how often a triangle is halved: until its parts are not above `largest`, `most` times at most."""
    n = 0
    while area > largest and n < most:
        area *= 0.5
        n += 1
    return n


@rows
def _count_samples(vertices, triangles, largest, most, count):
    for t in range(triangles.shape[0]):
        a, b, c = vertices[triangles[t, 0]], vertices[triangles[t, 1]], vertices[triangles[t, 2]]
        _, _, _, twice = _cross(a, b, c)
        count[t] = 1 << _splits(0.5 * twice, largest, most) if twice > 0.0 else 0


@cell
def _cross(a, b, c):
    """Return the cross product of two sides of a triangle and its length."""
    ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return x, y, z, math.sqrt(x * x + y * y + z * z)


@rows
def _place_samples(vertices, triangles, count, first, position, normal, area):
    corner = np.empty((3, 3))
    side = np.empty(3)
    for t in range(triangles.shape[0]):
        n = count[t]
        if n == 0:
            continue
        x, y, z, twice = _cross(vertices[triangles[t, 0]], vertices[triangles[t, 1]], vertices[triangles[t, 2]])
        for part in range(n):
            for m in range(3):
                for d in range(3):
                    corner[m, d] = vertices[triangles[t, m], d]
            rest, left = part, n
            while left > 1:
                # Halve the longest side; the bit of the part's number says which half goes on.
                for m in range(3):
                    p, q = (m + 1) % 3, (m + 2) % 3
                    dx, dy, dz = corner[p, 0] - corner[q, 0], corner[p, 1] - corner[q, 1], corner[p, 2] - corner[q, 2]
                    side[m] = dx * dx + dy * dy + dz * dz
                m = 0
                if side[1] > side[m]:
                    m = 1
                if side[2] > side[m]:
                    m = 2
                p, q = (m + 1) % 3, (m + 2) % 3
                moved = p if (rest & 1) == 0 else q
                for d in range(3):
                    corner[moved, d] = 0.5 * (corner[p, d] + corner[q, d])
                rest >>= 1
                left >>= 1
            k = first[t] + part
            for d in range(3):
                position[k, d] = (corner[0, d] + corner[1, d] + corner[2, d]) / 3.0
            normal[k, 0], normal[k, 1], normal[k, 2] = x / twice, y / twice, z / twice
            area[k] = 0.5 * twice / n


def sample_surfaces(
    vertices: ArrayLike, triangles: ArrayLike, surface: ArrayLike, largest_area: float = 6.0, most_halvings: int = 3
) -> Samples:
    """Place sample points on triangulated surfaces: centroids of triangles, halved along their longest side where large.

    Points with their areas integrate what is linear over a surface exactly, and add up to its area.

    Parameters
    ----------
    vertices : (n_vertex, 3) float
        East, north, height [m].
    triangles : (n_triangle, 3) int
        Rows of `vertices`, anticlockwise from outside.
    surface : (n_triangle,) int
        Surface of each; triangles of a negative surface are left out.
    largest_area : float
        Largest area that one point stands for [m2].
    most_halvings : int
        Largest number of halvings, so 2^most_halvings points at most on a triangle, whatever its size.

    Returns
    -------
    Samples
        In order of the surface, then of the triangle.
    """
    v = np.ascontiguousarray(vertices, np.float64).reshape(-1, 3)
    of = np.ascontiguousarray(surface, np.int64)
    order = np.argsort(of, kind="stable")
    order = order[of[order] >= 0]
    t = np.ascontiguousarray(np.asarray(triangles, np.int64).reshape(-1, 3)[order])
    count = np.zeros(len(t), np.int64)
    _count_samples(v, t, float(largest_area), int(most_halvings), count)
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(count)])
    n = int(first[-1])
    made = Samples(np.empty((n, 3)), np.empty((n, 3)), np.empty(n), np.repeat(of[order], count))
    _place_samples(v, t, count, first, made.position, made.normal, made.area)
    return made


def mesh_edges(triangles: ArrayLike, owner: ArrayLike, n_owner: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the edges of closed meshes by owner, each once.

    Parameters
    ----------
    triangles : (n_triangle, 3) int
        Closed surfaces: an edge is in two triangles, in opposite directions.
    owner : (n_triangle,) int
        Building of each triangle.

    Returns
    -------
    edges (n, 2) rows of the vertices, first (n_owner + 1,) first edge of each owner
    """
    t, of = np.asarray(triangles, np.int64).reshape(-1, 3), np.asarray(owner, np.int64)
    edges = np.concatenate([t[:, [0, 1]], t[:, [1, 2]], t[:, [2, 0]]])
    of = np.concatenate([of, of, of])
    keep = edges[:, 0] < edges[:, 1]
    edges, of = edges[keep], of[keep]
    order = np.argsort(of, kind="stable")
    return np.ascontiguousarray(edges[order]), np.searchsorted(of[order], np.arange(n_owner + 1))


@cell
def plane_tangent(across, up):
    """Return the tangent of the elevation from which a surface sees an azimuth; across = n . u, up = n_z [1]."""
    if across >= 0.0:
        return 0.0
    return min(-across / up, 1e6) if up > 1e-6 else 1e6


@rows
def _own_edges(vertices, edges, e0, e1, x, y, z, nx, ny, nz, sine, cosine, tangent):
    """Raise the horizons of a point by the edges e0..e1 of its own solid."""
    n_azimuth = tangent.size
    for e in range(e0, e1):
        ax, ay, az = vertices[edges[e, 0], 0] - x, vertices[edges[e, 0], 1] - y, vertices[edges[e, 0], 2] - z
        bx, by, bz = vertices[edges[e, 1], 0] - x, vertices[edges[e, 1], 1] - y, vertices[edges[e, 1], 2] - z
        front_a, front_b = nx * ax + ny * ay + nz * az, nx * bx + ny * by + nz * bz
        if max(front_a, front_b) <= IN_FRONT or max(az, bz) <= 0.0:
            continue
        for a in range(n_azimuth):
            left, right = sine[a] * ay - cosine[a] * ax, sine[a] * by - cosine[a] * bx
            if left * right > 0.0 or left == right:
                continue
            share = left / (left - right)
            if front_a + share * (front_b - front_a) <= IN_FRONT:
                continue
            d = sine[a] * (ax + share * (bx - ax)) + cosine[a] * (ay + share * (by - ay))
            rise = az + share * (bz - az)
            if d <= 0.0 or rise <= 0.0:
                continue
            q = np.float32(min(rise / max(d, 1e-3), 1e6))
            if q > tangent[a]:
                tangent[a] = q


@cell
def _top_of_group(tops, row_major, c, group, low, high, ny, nx):
    """Highest height in a group of columns `c` (rows where `row_major`) between two minor indices."""
    best = ABSENT
    n_minor = nx if row_major else ny
    first, last = max(0, low) // GROUP, min(n_minor - 1, high) // GROUP
    for m in range(first, last + 1):
        height = tops[group, m] if row_major else tops[m, group]
        best = height if height > best else best
    return best


@cell
def _march(
    tangent, top_t, base_t, faces, ground, top, base, tops, index, own, f_main, f_minor, row_major, sign, slope, stretch, z0,
    z_max, n_column, max_distance, resolution, canopy,
):  # fmt: skip
    """March from the point (f_main, f_minor) [cells, 0 in the middle of a cell] along one direction; f_minor grows with slope.

    Returns horizon and canopy hull as tangents.
    """
    ny, nx = faces.shape
    n_main, n_minor = (ny, nx) if row_major else (nx, ny)
    start = int(math.floor(f_main + 0.5))
    half = _HALF * np.float32(resolution)
    snap = _SNAP if slope > 0.0 else (-_SNAP if slope < 0.0 else 0.0)
    k = 0
    while k < n_column:
        c = start + sign * k
        if c < 0 or c >= n_main:
            # Before the model begins a ray may still come to it; behind its end there is nothing.
            if (sign > 0 and c >= n_main) or (sign < 0 and c < 0):
                break
            k += 1
            continue
        enter = (sign * (c - f_main) - 0.5) * stretch  # [cells]
        if enter * resolution > max_distance:
            break
        to_end = GROUP - 1 - c % GROUP if sign > 0 else c % GROUP
        if k == 0 or to_end == GROUP - 1:
            m0 = f_minor + slope * max(0.0, enter / stretch)
            m1 = f_minor + slope * ((enter / stretch) + to_end + 1.0)
            low, high = int(math.floor(min(m0, m1) - 0.5)), int(math.ceil(max(m0, m1) + 0.5))
            if high < 0 or low >= n_minor:
                k += to_end + 1
                continue
            best = _top_of_group(tops, row_major, c, c // GROUP, low, high, ny, nx)
            nearest = max(np.float32(enter * resolution), half)
            if z_max - z0 <= tangent * nearest:
                break
            if best - z0 <= tangent * nearest:  # a crown no higher than the solid horizon is hidden, too
                k += to_end + 1
                continue
        leave = enter + stretch
        begin = max(enter, 0.0)
        m_in, m_out = f_minor + slope * begin / stretch, f_minor + slope * leave / stretch
        first, last = int(math.floor(m_in + 0.5 + snap)), int(math.floor(m_out + 0.5 - snap))
        if (last - first) * snap < 0.0:
            last = first
        for which in range(2):
            m = first if which == 0 else last
            if which == 1 and last == first:
                break
            d_in, d_out = begin, leave
            if last != first:
                crossing = (max(first, last) - 0.5 - f_minor) / slope * stretch
                if which == 0:
                    d_out = crossing
                else:
                    d_in = crossing
            if m < 0 or m >= n_minor or d_in * resolution > max_distance:
                continue
            j, i = (c, m) if row_major else (m, c)
            inverse = _ONE / max(np.float32(d_in * resolution), half)
            if canopy:
                top_t, base_t = widened(
                    top_t, base_t, tangent, top[j, i], base[j, i], z0, inverse,
                    _ONE / max(np.float32(d_out * resolution), half),
                )  # fmt: skip
            if index[j, i] != own:
                tangent = raised(tangent, rise_to(faces[j, i], z0), inverse)
        middle = enter + 0.5 * stretch
        if middle > 0.0 and middle * resolution <= max_distance:
            at = f_minor + slope * middle / stretch
            near = int(math.floor(at + _SNAP))
            share = max(0.0, at - near)
            far = near + 1 if share > _SNAP else near
            weight = np.float32(share)
            if near >= 0 and far < n_minor:
                ja, ia = (c, near) if row_major else (near, c)
                jb, ib = (c, far) if row_major else (far, c)
                if index[ja, ia] != own and index[jb, ib] != own:
                    rise = rise_between(ground[ja, ia], ground[jb, ib], z0, _ONE - weight, weight)
                    tangent = raised(tangent, rise, _ONE / max(np.float32(middle * resolution), half))
        k += 1
    return tangent, top_t, base_t


@threads
def _horizon_driver(
    position, normal, owner, vertices, edges, first_edge, faces, ground, top, base, highest, tops, index, west, north,
    resolution, max_distance, sine, cosine, out, out_top, out_base,
):  # fmt: skip
    n_azimuth = sine.size
    canopy = top.shape[0] > 0
    width = math.sin(2.0 * math.pi / n_azimuth)
    for s in prange(position.shape[0]):
        x, y, z = position[s, 0], position[s, 1], position[s, 2]
        nx, ny, nz = normal[s, 0], normal[s, 1], normal[s, 2]
        own = owner[s] if owner[s] >= 0 else -2  # no cell has that index
        t = np.zeros(n_azimuth, np.float32)
        for a in range(n_azimuth):
            t[a] = np.float32(plane_tangent(nx * sine[a] + ny * cosine[a], nz)) if nz > 0.0 else _ZERO
        if own >= 0:
            _own_edges(vertices, edges, first_edge[own], first_edge[own + 1], x, y, z, nx, ny, nz, sine, cosine, t)
        column, row = (x - west) / resolution - 0.5, (north - y) / resolution - 0.5
        z_max = -ABSENT  # of a point outside the model nothing is known
        j, i = int(math.floor(row + 0.5)), int(math.floor(column + 0.5))
        if 0 <= j < faces.shape[0] and 0 <= i < faces.shape[1]:
            z_max = highest[j // HEIGHT_BLOCK, i // HEIGHT_BLOCK]
        for a in range(n_azimuth):
            top_t, base_t = _ZERO, _ZENITH
            # A direction behind a wall is never looked at, but for the one beside its edge that interpolation reaches.
            behind = nx * sine[a] + ny * cosine[a] < -width and nz < 1e-3
            if not behind and t[a] < _STEEP:
                east, south = sine[a], -cosine[a]
                row_major = abs(south) > abs(east)
                main, minor = (south, east) if row_major else (east, south)
                stretch = 1.0 / abs(main)
                sign = 1 if main > 0.0 else -1
                n_column = int(max_distance / resolution * abs(main)) + 2
                t[a], top_t, base_t = _march(
                    t[a], top_t, base_t, faces, ground, top, base, tops, index, own, row if row_major else column,
                    column if row_major else row, row_major, sign, minor * stretch, stretch, np.float32(z), z_max, n_column,
                    max_distance, resolution, canopy,
                )  # fmt: skip
            out[a, s] = t[a]
            if canopy:
                out_top[a, s], out_base[a, s] = top_t, base_t


@threads
def _group_tops(faces, ground, top, out):
    ny, nx = faces.shape
    for b in prange(out.shape[0]):
        for c in range(out.shape[1]):
            best = ABSENT
            for j in range(b * GROUP, min(ny, (b + 1) * GROUP)):
                for i in range(c * GROUP, min(nx, (c + 1) * GROUP)):
                    best = faces[j, i] if faces[j, i] > best else best
                    best = ground[j, i] if ground[j, i] > best else best
                    if top.shape[0] > 0:
                        best = top[j, i] if top[j, i] > best else best
            out[b, c] = best


def group_tops(city: Obstacles) -> NDArray[np.float32]:
    """Find the highest height of each block of 16 x 16 cells [m]: (ceil(ny / 16), ceil(nx / 16)), once per model."""
    ny, nx = city.faces.shape
    out = np.full((-(-ny // GROUP), -(-nx // GROUP)), ABSENT, np.float32)
    _group_tops(city.faces, city.ground, city.crown_top, out)
    return out


def surface_azimuths(n_azimuth: int) -> NDArray[np.float64]:
    """Return the azimuths of surface horizons, 2 pi a / n_azimuth from north [rad]: a wall's own direction is one of them."""
    return np.array([2.0 * math.pi * a / n_azimuth for a in range(n_azimuth)])


def surface_horizons(
    samples: Samples,
    owner: ArrayLike,
    mesh: tuple[ArrayLike, ArrayLike, ArrayLike],
    city: Obstacles,
    building_index: ArrayLike,
    corner: tuple[float, float],
    resolution: float,
    max_distance: float,
    n_azimuth: int = 32,
    tops: NDArray[np.float32] | None = None,
) -> SurfaceHorizons:
    """Compute the horizons of points on surfaces, towards even azimuths from north.

    tan h = max over own edges and samples of the model within `max_distance` of (z - z_0) / d, and no less than 0 or the
    surface's own plane where it faces up.

    Parameters
    ----------
    samples : Samples
        n points.
    owner : (n,) int
        Building of each point, as in `building_index`; -1 meets all cells and no mesh.
    mesh : vertices (n_vertex, 3) [m], edges (n_edge, 2), first edge of each building (n_building + 1,)
        Solids of the buildings; edges from `mesh_edges`.
    city : Obstacles
        Surface model, (ny, nx); row 0 is north, column 0 is west.
    building_index : (ny, nx) int32
        Building whose cell it is, -1 where none is: a point passes the cells of its own.
    corner : (west, north)
        Outer corner of the first cell [m].
    resolution, max_distance : float
        Cell size, and the distance behind which nothing counts [m].
    n_azimuth : int
        Number of azimuths (`surface_azimuths`).
    tops : from `group_tops`; computed where missing

    Returns
    -------
    SurfaceHorizons

    Raises
    ------
    ValueError
        When the horizons are longer than the obstacles were prepared for.
    """
    if cells_in_reach(resolution, max_distance) > city.reach:
        raise ValueError(
            f"The horizons reach {cells_in_reach(resolution, max_distance)} cells, but the obstacles were prepared for "
            f"{city.reach}. Prepare them with the largest distance."
        )
    n = len(samples.area)
    vertices, edges, first = mesh
    with_crowns = city.crown_top.size > 0
    out = np.zeros((n_azimuth, n), np.float32)
    crowns = [np.zeros((n_azimuth, n) if with_crowns else (0, 0), np.float32) for _ in range(2)]
    angles = surface_azimuths(n_azimuth)
    sine = np.array([math.sin(a) for a in angles])
    cosine = np.array([math.cos(a) for a in angles])
    if n:
        _horizon_driver(
            samples.position, samples.normal, np.ascontiguousarray(owner, np.int64),
            np.ascontiguousarray(vertices, np.float64).reshape(-1, 3), np.ascontiguousarray(edges, np.int64).reshape(-1, 2),
            np.ascontiguousarray(first, np.int64), city.faces, city.ground, city.crown_top, city.crown_base, city.highest,
            group_tops(city) if tops is None else tops, np.ascontiguousarray(building_index, np.int32), float(corner[0]),
            float(corner[1]), float(resolution), float(max_distance), sine, cosine, out, *crowns,
        )  # fmt: skip
    return SurfaceHorizons(out, *crowns)
