"""Delaunay triangles of one polygon in space: ears are cut in the projection, then diagonals are flipped.

A diagonal is flipped when the angles opposite to it, measured in space, add up to more than 180 degrees (Lawson 1977). Signs of
integers in the projection decide whether a flip is possible and that the triangles fill the polygon.

References
----------
Lawson (1977), Software for C1 surface interpolation. Sibson (1978), Locally equiangular triangulations.
"""

from __future__ import annotations

import math

import numpy as np

from felsina.kernels._backend import rows
from felsina.kernels.geometry.exact import turn
from felsina.kernels.geometry.triangulation import triangulate_one

_FLAT_SINE = 1e-9  # of the sum of the opposite angles: the corners lie on one circle and either diagonal will do


@rows
def triangulate_face(p, flat, after, first_corner, triangles):
    """Cut a polygon into Delaunay triangles.

    Parameters
    ----------
    p, flat : (n, 3), (n, 2) int64
        Corners of all rings in space and in the projection in which the exterior runs anticlockwise [mm].
    after : (n,) int64
        Next corner of each in the walk that has the interior on its left.
    first_corner : int
        A corner of the exterior.
    triangles : (n_triangle, 3) int64
        Receives corners; room for n + 2 h - 2 triangles, h holes.

    Returns
    -------
    int
        Number of triangles; 0 where the polygon cannot be triangulated.
    """
    n = len(flat)
    if n == 3:
        for k in range(3):
            triangles[0, k] = k
        return 1
    ordered, source, offsets, n_ring = _walk(flat, after, first_corner)
    n_triangle = n + 2 * (n_ring - 1) - 2
    made = triangles[:n_triangle]
    if not triangulate_one(ordered, offsets, 0, n_ring, made):
        return 0
    for t in range(n_triangle):
        for k in range(3):
            made[t, k] = source[made[t, k]]
    _make_delaunay(p, flat, made)
    return n_triangle


@rows
def _walk(flat, after, first_corner):
    """Write the corners in the order of the walks, that of the exterior first."""
    n = len(flat)
    ordered, source = np.empty((n, 2), np.int64), np.empty(n, np.int64)
    offsets = np.empty(n + 1, np.int64)
    is_met = np.zeros(n, np.bool_)
    n_done, n_ring = 0, 0
    for k in range(-1, n):
        start = first_corner if k < 0 else k
        if is_met[start]:
            continue
        offsets[n_ring] = n_done
        n_ring += 1
        i = start
        while not is_met[i]:
            is_met[i] = True
            ordered[n_done, 0], ordered[n_done, 1] = flat[i, 0], flat[i, 1]
            source[n_done] = i
            n_done += 1
            i = after[i]
    offsets[n_ring] = n_done
    return ordered, source, offsets, n_ring


@rows
def _neighbours(triangles, n):
    """Return the triangle (t * 3 + k) across edge k (from corner k to k + 1) of each, or -1."""
    m = 3 * len(triangles)
    key = np.empty(m, np.int64)
    for e in range(m):
        a, b = triangles[e // 3, e % 3], triangles[e // 3, (e % 3 + 1) % 3]
        key[e] = (min(a, b) * n + max(a, b)) * 2 + (1 if a < b else 0)
    order = np.argsort(key)
    across = np.full(m, -1, np.int64)
    for i in range(m - 1):
        e, o = order[i], order[i + 1]
        if key[e] // 2 == key[o] // 2 and key[e] != key[o]:
            across[e], across[o] = o, e
    return across


@rows
def _opposite_angle(p, a, b, c):
    """Return cosine and sine, both times the same number, of the angle at c over a-b."""
    ux, uy, uz = float(p[a, 0] - p[c, 0]), float(p[a, 1] - p[c, 1]), float(p[a, 2] - p[c, 2])
    vx, vy, vz = float(p[b, 0] - p[c, 0]), float(p[b, 1] - p[c, 1]), float(p[b, 2] - p[c, 2])
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return ux * vx + uy * vy + uz * vz, math.sqrt(x * x + y * y + z * z)


@rows
def _make_delaunay(p, flat, triangles):
    """Flip diagonals until no pair of opposite angles adds up to more than 180 degrees."""
    m = 3 * len(triangles)
    across = _neighbours(triangles, len(p))
    is_waiting = np.ones(m, np.bool_)
    queue = np.arange(m)
    n_queue = m
    budget = 20 * m * m  # a flip never returns to an earlier state; this only bounds what rounding could do
    while n_queue > 0 and budget > 0:
        budget -= 1
        n_queue -= 1
        e = queue[n_queue]
        is_waiting[e] = False
        o = across[e]
        if o < 0:
            continue
        t, k, u, j = e // 3, e % 3, o // 3, o % 3
        a, b, c, d = triangles[t, k], triangles[t, (k + 1) % 3], triangles[t, (k + 2) % 3], triangles[u, (j + 2) % 3]
        cos_c, sin_c = _opposite_angle(p, a, b, c)
        cos_d, sin_d = _opposite_angle(p, a, b, d)
        scale = math.sqrt((cos_c * cos_c + sin_c * sin_c) * (cos_d * cos_d + sin_d * sin_d))
        if sin_c * cos_d + cos_c * sin_d >= -_FLAT_SINE * scale:
            continue
        if (
            turn(flat[d, 0], flat[d, 1], flat[b, 0], flat[b, 1], flat[c, 0], flat[c, 1]) <= 0
            or turn(flat[c, 0], flat[c, 1], flat[a, 0], flat[a, 1], flat[d, 0], flat[d, 1]) <= 0
        ):
            continue  # the four corners make no convex quadrilateral
        # t = a b c and u = b a d become t = d b c and u = c a d.
        bc, ca = across[3 * t + (k + 1) % 3], across[3 * t + (k + 2) % 3]
        ad, db = across[3 * u + (j + 1) % 3], across[3 * u + (j + 2) % 3]
        triangles[t, 0], triangles[t, 1], triangles[t, 2] = d, b, c
        triangles[u, 0], triangles[u, 1], triangles[u, 2] = c, a, d
        sides = (db, bc, 3 * u + 2, ca, ad, 3 * t + 2)
        for s in range(6):
            own = 3 * t + s if s < 3 else 3 * u + s - 3
            across[own] = sides[s]
            if sides[s] >= 0:
                across[sides[s]] = own
            if not is_waiting[own]:
                is_waiting[own] = True
                queue[n_queue] = own
                n_queue += 1
