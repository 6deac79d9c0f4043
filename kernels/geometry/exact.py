"""Signs of determinants of integer millimetres, and whether triangles in space meet: no rounding decides anything.

A determinant of three differences of coordinates needs more than 64 bits as soon as a solid is larger than a kilometre. It is
summed in two halves: n = h 2^30 + l with 0 <= l < 2^30 for each component of the normal, so that n . x = (h . x) 2^30 + l . x,
and every partial product stays below 2^63 for differences up to `LARGEST_EXTENT_MM`. This costs three multiplications more than
a product in floating point, so there is no filter in front of it.

References
----------
Guigue and Devillers (2003), Fast and robust triangle-triangle overlap test using orientation predicates (the idea of deciding
by signs alone; the cases here are by the number of vertices that the triangles share).
"""

from __future__ import annotations

import numpy as np

from felsina.kernels._backend import cell, rows

LARGEST_EXTENT_MM = 1 << 30  # 1,074 km
_BITS = 30
_MASK = (1 << _BITS) - 1


@cell
def turn(ax, ay, bx, by, cx, cy):
    """Return twice the signed area of the plane triangle a, b, c: positive where it runs anticlockwise."""
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


@cell
def scalar_product(nx, ny, nz, x, y, z):
    """Return high, low with n . x = high 2^30 + low and 0 <= low < 2^30, exactly."""
    low = (nx & _MASK) * x + (ny & _MASK) * y + (nz & _MASK) * z
    high = (nx >> _BITS) * x + (ny >> _BITS) * y + (nz >> _BITS) * z + (low >> _BITS)
    return high, low & _MASK


@cell
def sign_of(high, low):
    """Return the sign of high 2^30 + low, 0 <= low < 2^30."""
    if high > 0 or (high == 0 and low > 0):
        return 1
    return -1 if high < 0 else 0


@cell
def cross(p, a, b, c):
    """Return the normal (b - a) x (c - a) of points of p (n, 3)."""
    ux, uy, uz = p[b, 0] - p[a, 0], p[b, 1] - p[a, 1], p[b, 2] - p[a, 2]
    vx, vy, vz = p[c, 0] - p[a, 0], p[c, 1] - p[a, 1], p[c, 2] - p[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@cell
def side(p, nx, ny, nz, a, d):
    """Return on which side of the plane through a with normal n the point d lies: 1, 0 or -1."""
    high, low = scalar_product(nx, ny, nz, p[d, 0] - p[a, 0], p[d, 1] - p[a, 1], p[d, 2] - p[a, 2])
    return sign_of(high, low)


@rows
def orientation(p, a, b, c, d):
    """Return the sign of the volume of the tetrahedron a, b, c, d."""
    nx, ny, nz = cross(p, a, b, c)
    return side(p, nx, ny, nz, a, d)


@cell
def plane_axes(nx, ny, nz):
    """Return the two coordinates that are left when the one is dropped along which n is longest, in cyclic order."""
    if abs(nx) > abs(ny) and abs(nx) > abs(nz):
        return 1, 2
    if abs(ny) > abs(nz):
        return 2, 0
    return 0, 1


@cell
def _turn_in(p, i, j, a, b, c):
    return turn(p[a, i], p[a, j], p[b, i], p[b, j], p[c, i], p[c, j])


@cell
def _is_in_box(p, i, j, a, b, c):
    return min(p[a, i], p[b, i]) <= p[c, i] <= max(p[a, i], p[b, i]) and min(p[a, j], p[b, j]) <= p[c, j] <= max(
        p[a, j], p[b, j]
    )


@rows
def _segments_meet(p, i, j, a, b, c, d):
    """Tell whether the closed segments a-b and c-d, seen in the coordinates i and j, have a point in common."""
    t1, t2 = _turn_in(p, i, j, a, b, c), _turn_in(p, i, j, a, b, d)
    t3, t4 = _turn_in(p, i, j, c, d, a), _turn_in(p, i, j, c, d, b)
    if ((t1 > 0 and t2 < 0) or (t1 < 0 and t2 > 0)) and ((t3 > 0 and t4 < 0) or (t3 < 0 and t4 > 0)):
        return True
    return (
        (t1 == 0 and _is_in_box(p, i, j, a, b, c))
        or (t2 == 0 and _is_in_box(p, i, j, a, b, d))
        or (t3 == 0 and _is_in_box(p, i, j, c, d, a))
        or (t4 == 0 and _is_in_box(p, i, j, c, d, b))
    )


@rows
def _is_in_triangle(p, i, j, a, b, c, d):
    t1, t2, t3 = _turn_in(p, i, j, a, b, d), _turn_in(p, i, j, b, c, d), _turn_in(p, i, j, c, a, d)
    return (t1 >= 0 and t2 >= 0 and t3 >= 0) or (t1 <= 0 and t2 <= 0 and t3 <= 0)


@rows
def _segment_meets_triangle(p, d, e, side_d, side_e, a, b, c, normal):
    """Tell whether the closed segment d-e meets the closed triangle a, b, c; the sides are those of its plane."""
    if side_d * side_e > 0:
        return False
    if side_d == 0 and side_e == 0:
        i, j = plane_axes(normal[0], normal[1], normal[2])
        return (
            _is_in_triangle(p, i, j, a, b, c, d)
            or _is_in_triangle(p, i, j, a, b, c, e)
            or _segments_meet(p, i, j, d, e, a, b)
            or _segments_meet(p, i, j, d, e, b, c)
            or _segments_meet(p, i, j, d, e, c, a)
        )
    s1, s2, s3 = orientation(p, d, e, a, b), orientation(p, d, e, b, c), orientation(p, d, e, c, a)
    return not ((s1 > 0 or s2 > 0 or s3 > 0) and (s1 < 0 or s2 < 0 or s3 < 0))


@rows
def triangles_meet(p, triangles, normals, t, u):
    """Tell whether two triangles have a point in common besides the vertices or the edge that they share.

    Parameters
    ----------
    p : (n_point, 3) int64
        Positions [mm]; no two are equal.
    triangles : (n_triangle, 3) int64
        Points of each; not on one line.
    normals : (n_triangle, 3) int64
        (b - a) x (c - a) of each [mm2].
    t, u : int
        The two triangles.
    """
    n_shared, i, j = 0, 0, 0  # the places of a shared vertex, or of the two that are not shared
    sum_i, sum_j = 0, 0
    for k in range(3):
        for m in range(3):
            if triangles[t, k] == triangles[u, m]:
                n_shared += 1
                i, j = k, m
                sum_i += k
                sum_j += m
    nt, nu = normals[t], normals[u]
    if n_shared == 3:
        return True
    if n_shared == 2:
        v, w = triangles[t, 3 - sum_i], triangles[u, 3 - sum_j]
        a, b = triangles[t, (4 - sum_i) % 3], triangles[t, (5 - sum_i) % 3]
        if side(p, nt[0], nt[1], nt[2], a, w) != 0:
            return False
        i, j = plane_axes(nt[0], nt[1], nt[2])
        return (_turn_in(p, i, j, a, b, v) > 0) == (_turn_in(p, i, j, a, b, w) > 0)
    a, b, c = triangles[t, i], triangles[t, (i + 1) % 3], triangles[t, (i + 2) % 3]
    d, e, f = triangles[u, j], triangles[u, (j + 1) % 3], triangles[u, (j + 2) % 3]
    se, sf = side(p, nt[0], nt[1], nt[2], a, e), side(p, nt[0], nt[1], nt[2], a, f)
    if n_shared == 1:
        # Another common point lies on a ray from the shared vertex; where the ray leaves the first of the triangles, it meets
        # the edge opposite to the vertex.
        if se * sf > 0:
            return False
        sb, sc = side(p, nu[0], nu[1], nu[2], d, b), side(p, nu[0], nu[1], nu[2], d, c)
        if sb * sc > 0:
            return False
        return _segment_meets_triangle(p, e, f, se, sf, a, b, c, nt) or _segment_meets_triangle(p, b, c, sb, sc, d, e, f, nu)
    sd = side(p, nt[0], nt[1], nt[2], a, d)
    if sd * se > 0 and sd * sf > 0:
        return False
    sa, sb, sc = (
        side(p, nu[0], nu[1], nu[2], d, a),
        side(p, nu[0], nu[1], nu[2], d, b),
        side(p, nu[0], nu[1], nu[2], d, c),
    )
    if sa * sb > 0 and sa * sc > 0:
        return False
    return (
        _segment_meets_triangle(p, d, e, sd, se, a, b, c, nt)
        or _segment_meets_triangle(p, e, f, se, sf, a, b, c, nt)
        or _segment_meets_triangle(p, f, d, sf, sd, a, b, c, nt)
        or _segment_meets_triangle(p, a, b, sa, sb, d, e, f, nu)
        or _segment_meets_triangle(p, b, c, sb, sc, d, e, f, nu)
        or _segment_meets_triangle(p, c, a, sc, sa, d, e, f, nu)
    )


@rows
def fan_volume(p, ring, origin, high, low):
    """Add six times the volume between a ring and a point to high 2^30 + low, exactly; the ring is cut into a fan."""
    for i in range(1, len(ring) - 1):
        nx, ny, nz = cross(p, ring[0], ring[i], ring[i + 1])
        h, m = scalar_product(
            nx, ny, nz, p[ring[0], 0] - p[origin, 0], p[ring[0], 1] - p[origin, 1], p[ring[0], 2] - p[origin, 2]
        )
        high, low = high + h, low + m
    return high + (low >> _BITS), low & np.int64(_MASK)
