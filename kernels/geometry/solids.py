"""Validity of solids after ISO 19107: rings, faces, shells, reported with the code numbers of val3dity.

Each test runs on the whole batch; a solid keeps the first code that it fails, in the order ring, face, shell, for later tests
presume earlier ones. Coordinates are integer millimetres, so that two points are the same when they are equal.

Not tested: 306, faces of one shell that cross each other. In a prism of a valid polygon none can (its walls stand on the rings,
which 104 and 201 test); a solid with sloping faces needs a test of its own.

References
----------
Ledoux (2018), val3dity: validation of 3D GIS primitives according to the international standards, with its list of error codes.
ISO 19107:2003, clauses 6.3.4 to 6.3.18 as read there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

Integers = NDArray[np.int64]

VALID = 0
TOO_FEW_POINTS = 101
CONSECUTIVE_POINTS_SAME = 102
RING_SELF_INTERSECTION = 104
INTERSECTION_RINGS = 201
NON_PLANAR_DISTANCE = 203
NON_PLANAR_NORMALS = 204
INNER_RING_OUTSIDE = 206
INNER_RINGS_NESTED = 207
ORIENTATION_RINGS_SAME = 208
TOO_FEW_FACES = 301
SHELL_NOT_CLOSED = 302
NON_MANIFOLD = 303
SEVERAL_COMPONENTS = 305
FACE_WRONG_ORIENTATION = 307
SHELL_WRONG_ORIENTATION = 405

PLANARITY_MM = 1.0  # with 20 degrees the tolerances that the targets of LoD solids are stated for
NORMALS_DEG = 20.0


def check_solids(
    vertices: Integers,
    face_rings: Integers,
    ring_offsets: Integers,
    face_offsets: Integers,
    solid_offsets: Integers,
    planarity_mm: float = PLANARITY_MM,
    normals_deg: float = NORMALS_DEG,
) -> NDArray[np.int32]:
    """Check each solid and return the code of the first thing wrong with it.

    Parameters
    ----------
    vertices : (n_vertex, 3) int64
        Positions [mm].
    face_rings : (n_corner,) int64
        Vertex numbers of all rings; the first vertex is not repeated.
    ring_offsets : (n_ring + 1,) int64
        Corners of each ring.
    face_offsets : (n_face + 1,) int64
        Rings of each face, the exterior first.
    solid_offsets : (n_solid + 1,) int64
        Faces of each solid.
    planarity_mm : float
        Largest distance of a corner from the plane of its face [mm].
    normals_deg : float
        Largest angle between the normal of a corner's own triangle and that of the face [degree].

    Returns
    -------
    (n_solid,) int32
        0 where the solid is valid, else a code of val3dity: 101, 102, 104, 201, 203, 204, 206, 207, 208, 301, 302, 303, 305,
        307 or 405.
    """
    codes = np.zeros(len(solid_offsets) - 1, np.int32)
    _check(
        vertices,
        face_rings,
        ring_offsets,
        face_offsets,
        solid_offsets,
        planarity_mm,
        math.cos(math.radians(normals_deg)),
        codes,
    )
    return codes


@cell
def _turn(p, i, j, k):
    return (p[j, 0] - p[i, 0]) * (p[k, 1] - p[i, 1]) - (p[k, 0] - p[i, 0]) * (p[j, 1] - p[i, 1])


@cell
def _is_between(p, i, j, k):
    return min(p[i, 0], p[j, 0]) <= p[k, 0] <= max(p[i, 0], p[j, 0]) and min(p[i, 1], p[j, 1]) <= p[k, 1] <= max(
        p[i, 1], p[j, 1]
    )


@rows
def _meet(p, a, b, c, d):
    """Tell whether the closed plane segments a-b and c-d have a point in common."""
    t1, t2, t3, t4 = _turn(p, a, b, c), _turn(p, a, b, d), _turn(p, c, d, a), _turn(p, c, d, b)
    if ((t1 > 0 and t2 < 0) or (t1 < 0 and t2 > 0)) and ((t3 > 0 and t4 < 0) or (t3 < 0 and t4 > 0)):
        return True
    return (
        (t1 == 0 and _is_between(p, a, b, c))
        or (t2 == 0 and _is_between(p, a, b, d))
        or (t3 == 0 and _is_between(p, c, d, a))
        or (t4 == 0 and _is_between(p, c, d, b))
    )


@rows
def _is_inside(p, a, b, k):
    """Tell whether point k lies inside the plane ring of points a..b."""
    inside = False
    i = b - 1
    for j in range(a, b):
        if (p[i, 1] <= p[k, 1]) != (p[j, 1] <= p[k, 1]):
            t = _turn(p, i, j, k)
            if t != 0 and (t > 0) == (p[j, 1] > p[i, 1]):
                inside = not inside
        i = j
    return inside


@rows
def _area2(p, a, b):
    total = np.int64(0)
    for i in range(a + 1, b - 1):
        total += _turn(p, a, i, i + 1)
    return total


@rows
def _normal(vertices, ring, origin):
    """Return the (unnormalised) normal of a ring by Newell's method, relative to its first vertex."""
    nx, ny, nz = 0.0, 0.0, 0.0
    n = len(ring)
    for i in range(n):
        a, b = ring[i], ring[(i + 1) % n]
        ax = float(vertices[a, 0] - vertices[origin, 0])
        ay = float(vertices[a, 1] - vertices[origin, 1])
        az = float(vertices[a, 2] - vertices[origin, 2])
        bx = float(vertices[b, 0] - vertices[origin, 0])
        by = float(vertices[b, 1] - vertices[origin, 1])
        bz = float(vertices[b, 2] - vertices[origin, 2])
        nx += ay * bz - az * by
        ny += az * bx - ax * bz
        nz += ax * by - ay * bx
    return nx, ny, nz


@rows
def _check_rings(vertices, face_rings, ring_offsets, first, last):
    for r in range(first, last):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        if b - a < 3:
            return TOO_FEW_POINTS
    for r in range(first, last):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        for i in range(a, b):
            v, w = face_rings[i], face_rings[i + 1 if i + 1 < b else a]
            if vertices[v, 0] == vertices[w, 0] and vertices[v, 1] == vertices[w, 1] and vertices[v, 2] == vertices[w, 2]:
                return CONSECUTIVE_POINTS_SAME
    return VALID


@rows
def _project(vertices, face_rings, a, b, nx, ny, nz):
    """Drop the coordinate along which the face is seen largest, so that its exterior runs anticlockwise."""
    p = np.empty((b - a, 2), np.int64)
    u, v = 0, 1
    sign = 1 if nz > 0 else -1
    if abs(nx) > abs(ny) and abs(nx) > abs(nz):
        u, v, sign = 1, 2, 1 if nx > 0 else -1
    elif abs(ny) > abs(nz):
        u, v, sign = 2, 0, 1 if ny > 0 else -1
    o = face_rings[a]
    for i in range(a, b):
        p[i - a, 0] = sign * (vertices[face_rings[i], u] - vertices[o, u])
        p[i - a, 1] = vertices[face_rings[i], v] - vertices[o, v]
    return p


@rows
def _check_face(vertices, face_rings, ring_offsets, first, last, planarity, cosine):
    code = _check_rings(vertices, face_rings, ring_offsets, first, last)
    if code != VALID:
        return code
    a, b = ring_offsets[first], ring_offsets[first + 1]
    end = ring_offsets[last]
    origin = face_rings[a]
    nx, ny, nz = _normal(vertices, face_rings[a:b], origin)
    norm = math.sqrt(nx * nx + ny * ny + nz * nz)
    if norm == 0.0:
        return RING_SELF_INTERSECTION
    p = _project(vertices, face_rings, a, end, nx, ny, nz)
    for r in range(first, last):
        ra, rb = ring_offsets[r] - a, ring_offsets[r + 1] - a
        n = rb - ra
        for i in range(n):
            i2 = (i + 1) % n
            # A neighbour that folds back lies on the edge itself.
            k = (i + 2) % n
            if _turn(p, ra + i, ra + i2, ra + k) == 0:
                dot = (p[ra + i2, 0] - p[ra + i, 0]) * (p[ra + k, 0] - p[ra + i2, 0])
                dot += (p[ra + i2, 1] - p[ra + i, 1]) * (p[ra + k, 1] - p[ra + i2, 1])
                if dot < 0:
                    return RING_SELF_INTERSECTION
            for j in range(i + 2, n):
                if not (i == 0 and j == n - 1) and _meet(p, ra + i, ra + i2, ra + j, ra + (j + 1) % n):
                    return RING_SELF_INTERSECTION
    for r in range(first, last):
        for s in range(r + 1, last):
            for i in range(ring_offsets[r], ring_offsets[r + 1]):
                i2 = i + 1 if i + 1 < ring_offsets[r + 1] else ring_offsets[r]
                for j in range(ring_offsets[s], ring_offsets[s + 1]):
                    j2 = j + 1 if j + 1 < ring_offsets[s + 1] else ring_offsets[s]
                    # Rings may touch in a point after ISO 19107, but the prism on such a face is no manifold: refused here.
                    if _meet(p, i - a, i2 - a, j - a, j2 - a):
                        return INTERSECTION_RINGS
    for i in range(a, end):
        distance = 0.0
        for k, n in ((0, nx), (1, ny), (2, nz)):
            distance += float(vertices[face_rings[i], k] - vertices[origin, k]) * n
        if abs(distance) / norm > planarity:
            return NON_PLANAR_DISTANCE
    if _has_bent_corner(vertices, face_rings, a, b, nx / norm, ny / norm, nz / norm, cosine):
        return NON_PLANAR_NORMALS
    for r in range(first + 1, last):
        if not _is_inside(p, 0, b - a, ring_offsets[r] - a):
            return INNER_RING_OUTSIDE
        for s in range(first + 1, last):
            if s != r and _is_inside(p, ring_offsets[s] - a, ring_offsets[s + 1] - a, ring_offsets[r] - a):
                return INNER_RINGS_NESTED
    for r in range(first + 1, last):
        if _area2(p, ring_offsets[r] - a, ring_offsets[r + 1] - a) > 0:
            return ORIENTATION_RINGS_SAME
    return VALID


@rows
def _has_bent_corner(vertices, face_rings, a, b, nx, ny, nz, cosine):
    """Tell whether the triangle of a corner and its neighbours, where thicker than 1 mm, is turned out of the face."""
    for i in range(a, b):
        o, v, w = face_rings[b - 1 if i == a else i - 1], face_rings[i], face_rings[a if i + 1 == b else i + 1]
        ux = float(vertices[v, 0] - vertices[o, 0])
        uy = float(vertices[v, 1] - vertices[o, 1])
        uz = float(vertices[v, 2] - vertices[o, 2])
        wx = float(vertices[w, 0] - vertices[v, 0])
        wy = float(vertices[w, 1] - vertices[v, 1])
        wz = float(vertices[w, 2] - vertices[v, 2])
        cx, cy, cz = uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx
        size = math.sqrt(cx * cx + cy * cy + cz * cz)
        base = math.sqrt((ux + wx) ** 2 + (uy + wy) ** 2 + (uz + wz) ** 2)
        # Thinner corners have no normal worth the name in integer millimetres.
        if size <= base * 1.0 or size == 0.0:
            continue
        if abs(cx * nx + cy * ny + cz * nz) / size < cosine:
            return True
    return False


@rows
def _same_points(vertices, ids):
    """Number vertices by position: vertices at the same place get the same number."""
    n = len(ids)
    order = np.arange(n)
    width = 1
    other = np.empty(n, np.int64)
    while width < n:
        for a in range(0, n, 2 * width):
            m, b = min(a + width, n), min(a + 2 * width, n)
            i, j = a, m
            for k in range(a, b):
                take_left = j >= b
                if i < m and j < b:
                    take_left = True
                    for c in range(3):
                        x, y = vertices[ids[order[i]], c], vertices[ids[order[j]], c]
                        if x != y:
                            take_left = x < y
                            break
                if take_left:
                    other[k] = order[i]
                    i += 1
                else:
                    other[k] = order[j]
                    j += 1
        order, other = other, order
        width *= 2
    number = np.empty(n, np.int64)
    count = -1
    for k in range(n):
        v = ids[order[k]]
        if k == 0:
            count = 0
        else:
            w = ids[order[k - 1]]
            if vertices[v, 0] != vertices[w, 0] or vertices[v, 1] != vertices[w, 1] or vertices[v, 2] != vertices[w, 2]:
                count += 1
        number[order[k]] = count
    return number, count + 1


@rows
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@rows
def _check_shell(vertices, face_rings, ring_offsets, face_offsets, first, last):
    """Check that each edge is used once each way, the faces around each vertex form one fan and all faces hang together."""
    n_face = last - first
    a, b = ring_offsets[face_offsets[first]], ring_offsets[face_offsets[last]]
    number, n_place = _same_points(vertices, face_rings[a:b])
    n_edge = b - a
    key, back, face = np.empty(n_edge, np.int64), np.empty(n_edge, np.int64), np.empty(n_edge, np.int64)
    for f in range(first, last):
        for r in range(face_offsets[f], face_offsets[f + 1]):
            for i in range(ring_offsets[r], ring_offsets[r + 1]):
                j = i + 1 if i + 1 < ring_offsets[r + 1] else ring_offsets[r]
                v, w = number[i - a], number[j - a]
                key[i - a], back[i - a], face[i - a] = v * n_place + w, w * n_place + v, f - first
    order = np.argsort(key)
    ordered = key[order]
    uses = np.empty(n_edge, np.int64)  # how many half-edges run along this one, both ways
    is_wrong = False
    for e in range(n_edge):
        same = np.searchsorted(ordered, key[e], "right") - np.searchsorted(ordered, key[e], "left")
        opposite = np.searchsorted(ordered, back[e], "right") - np.searchsorted(ordered, back[e], "left")
        uses[e] = same + opposite
        is_wrong = is_wrong or same != opposite
    for e in range(n_edge):
        if uses[e] % 2 == 1:
            return SHELL_NOT_CLOSED
    for e in range(n_edge):
        if uses[e] > 2:
            return NON_MANIFOLD
    if is_wrong:
        return FACE_WRONG_ORIENTATION
    # Faces that share an edge hang together; corners of faces that share an edge at a place belong to one fan.
    parent, fan = np.arange(n_face), np.arange(n_edge)
    following = np.empty(n_edge, np.int64)
    preceding = np.empty(n_edge, np.int64)
    for r in range(face_offsets[first], face_offsets[last]):
        for i in range(ring_offsets[r], ring_offsets[r + 1]):
            j = i + 1 if i + 1 < ring_offsets[r + 1] else ring_offsets[r]
            following[i - a], preceding[j - a] = j - a, i - a
    for e in range(n_edge):
        o = order[np.searchsorted(ordered, back[e], "left")]
        x, y = _root(parent, face[e]), _root(parent, face[o])
        parent[max(x, y)] = min(x, y)
        # e leaves place v from corner e; its twin arrives at v, at the corner that follows the twin.
        x, y = _root(fan, e), _root(fan, following[o])
        fan[max(x, y)] = min(x, y)
    for f in range(n_face):
        if _root(parent, f) != 0:
            return SEVERAL_COMPONENTS
    first_fan = np.full(n_place, -1, np.int64)
    for e in range(n_edge):
        root = _root(fan, e)
        if first_fan[number[e]] < 0:
            first_fan[number[e]] = root
        elif first_fan[number[e]] != root:
            return NON_MANIFOLD
    return VALID


@rows
def _volume6(vertices, face_rings, ring_offsets, face_offsets, first, last):
    origin = face_rings[ring_offsets[face_offsets[first]]]
    total = 0.0
    for f in range(first, last):
        for r in range(face_offsets[f], face_offsets[f + 1]):
            ring = face_rings[ring_offsets[r] : ring_offsets[r + 1]]
            nx, ny, nz = _normal(vertices, ring, origin)
            dx = float(vertices[ring[0], 0] - vertices[origin, 0])
            dy = float(vertices[ring[0], 1] - vertices[origin, 1])
            dz = float(vertices[ring[0], 2] - vertices[origin, 2])
            total += nx * dx + ny * dy + nz * dz
    return total


@rows
def _check_solid(vertices, face_rings, ring_offsets, face_offsets, first, last, planarity, cosine):
    for f in range(first, last):
        code = _check_face(vertices, face_rings, ring_offsets, face_offsets[f], face_offsets[f + 1], planarity, cosine)
        if code != VALID:
            return code
    if last - first < 4:
        return TOO_FEW_FACES
    code = _check_shell(vertices, face_rings, ring_offsets, face_offsets, first, last)
    if code != VALID:
        return code
    if _volume6(vertices, face_rings, ring_offsets, face_offsets, first, last) <= 0.0:
        return SHELL_WRONG_ORIENTATION
    return VALID


@rows
def _check(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, planarity, cosine, codes):
    for s in range(len(codes)):
        codes[s] = _check_solid(
            vertices, face_rings, ring_offsets, face_offsets, solid_offsets[s], solid_offsets[s + 1], planarity, cosine
        )
