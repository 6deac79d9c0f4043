"""Validity of solids after ISO 19107: rings, polygons, shells and solids, reported with the code numbers of val3dity.

`check_solids` gives each solid of a batch the first code that it fails, in the order of the tests: rings and polygons face by
face, then the shell. `list_errors` names everything that is wrong, with the faces. Coordinates are integer millimetres, so that
two points are the same when they are equal; all tests but planarity (203, 204) are decided by signs of integers.

A solid is one shell. Codes 401 to 404, which compare an outer shell with inner ones, have no meaning for it; of the codes of
solids only 405 applies.

References
----------
Ledoux (2018), val3dity: validation of 3D GIS primitives according to the international standards, with its list of error codes.
ISO 19107:2003, clauses 6.3.4 to 6.3.18 as read there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.crossing import crossing_pairs
from felsina.kernels.geometry.exact import LARGEST_EXTENT_MM
from felsina.kernels.geometry.facets import triangulate_face
from felsina.kernels.geometry.planarity import are_normals_close, flatten, is_flat, newell_normal
from felsina.kernels.geometry.rings import (
    are_duplicates,
    is_interior_connected,
    is_ring_within,
    join_touching,
    ring_area2,
    ring_contacts,
)
from felsina.kernels.geometry.shells import (
    join_by_edges,
    number_places,
    pair_half_edges,
    signed_volume,
    split_vertices,
    spread_orientation,
)

Integers = NDArray[np.int64]

VALID = 0
TOO_FEW_POINTS = 101
CONSECUTIVE_POINTS_SAME = 102
RING_NOT_CLOSED = 103
RING_SELF_INTERSECTION = 104
INTERSECTION_RINGS = 201
DUPLICATED_RINGS = 202
NON_PLANAR_DISTANCE = 203
NON_PLANAR_NORMALS = 204
INTERIOR_DISCONNECTED = 205
INNER_RING_OUTSIDE = 206
INNER_RINGS_NESTED = 207
ORIENTATION_RINGS_SAME = 208
NOT_A_MANIFOLD = 300
TOO_FEW_FACES = 301
SHELL_NOT_CLOSED = 302
NON_MANIFOLD = 303
SEVERAL_COMPONENTS = 305
SHELL_SELF_INTERSECTION = 306
FACE_WRONG_ORIENTATION = 307
SHELL_WRONG_ORIENTATION = 405
NOT_JUDGED = 999

PLANARITY_MM = 1.0  # with 20 degrees the tolerances that the targets of LoD solids are stated for
NORMALS_DEG = 20.0
_RING_BROKEN, _FACE_BROKEN, _TOUCHES_EDGE = 1, 2, 3  # what stops later tests of a face


class Errors(NamedTuple):
    """What is wrong with solids; (n_error,) each, in the order of solid, code, face.

    Attributes
    ----------
    solid : solid of each error
    code : number of val3dity
    face : face (row of `face_offsets`), -1 where it is the whole solid
    other : the other face of a pair (303, 305, 306), else -1; in 306 the face itself where it touches itself
    """

    solid: Integers
    code: Integers
    face: Integers
    other: Integers


def check_solids(
    vertices: Integers,
    face_rings: Integers,
    ring_offsets: Integers,
    face_offsets: Integers,
    solid_offsets: Integers,
    planarity_mm: float = PLANARITY_MM,
    normals_deg: float = NORMALS_DEG,
    repeats_first: bool = False,
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
        Largest distance of a corner from the plane of least squares of its face [mm].
    normals_deg : float
        Largest angle between the normals of two Delaunay triangles of a face [degree].
    repeats_first : bool
        Rings end with their first vertex, as in GML; one that does not is 103.

    Returns
    -------
    (n_solid,) int32
        0 where the solid is valid, else a code of val3dity: 101-104, 201-208, 300-303, 305-307 or 405; 999 where it spans more
        than 1,074 km, beyond which integers do not decide, or a face cannot be cut into triangles.
    """
    codes = np.zeros(len(solid_offsets) - 1, np.int32)
    _require_vertices(vertices, face_rings)
    face_rings, ring_offsets, is_open = _opened(vertices, face_rings, ring_offsets, repeats_first)
    cosine = math.cos(math.radians(normals_deg))
    _check(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, is_open, planarity_mm, cosine, codes)
    return codes


def list_errors(
    vertices: Integers,
    face_rings: Integers,
    ring_offsets: Integers,
    face_offsets: Integers,
    solid_offsets: Integers,
    planarity_mm: float = PLANARITY_MM,
    normals_deg: float = NORMALS_DEG,
    repeats_first: bool = False,
) -> Errors:
    """List everything that is wrong with each solid; the parameters are those of `check_solids`.

    A broken face is told apart from its consequences as far as it can be: a polygon is judged when its rings are, edges of the
    shell are paired when all rings have points, and crossings are sought among the faces that could be cut into triangles.
    """
    _require_vertices(vertices, face_rings)
    face_rings, ring_offsets, is_open = _opened(vertices, face_rings, ring_offsets, repeats_first)
    cosine = math.cos(math.radians(normals_deg))
    found = np.empty((len(solid_offsets) - 1 + 64, 4), np.int64)
    while True:
        n = _list(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, is_open, planarity_mm, cosine, found)
        if n <= len(found):
            break
        found = np.empty((n, 4), np.int64)
    rows_found = np.unique(found[:n], axis=0)
    return Errors(*np.ascontiguousarray(rows_found.T))


def _require_vertices(vertices: Integers, face_rings: Integers) -> None:
    if len(face_rings) and (face_rings.min() < 0 or face_rings.max() >= len(vertices)):
        raise ValueError(f"Corners point outside the {len(vertices)} vertices: {face_rings.min()} to {face_rings.max()}.")


def _opened(
    vertices: Integers, face_rings: Integers, ring_offsets: Integers, repeats_first: bool
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Return rings without a repeated first vertex, and which ones did not repeat it."""
    n_ring = len(ring_offsets) - 1
    if not repeats_first:
        return face_rings, ring_offsets, np.zeros(n_ring, np.bool_)
    first, last = ring_offsets[:-1], ring_offsets[1:] - 1
    is_open = np.ones(n_ring, np.bool_)
    long = last > first
    is_open[long] = (vertices[face_rings[first[long]]] != vertices[face_rings[last[long]]]).any(axis=1)
    kept = np.ones(len(face_rings), np.bool_)
    kept[last[~is_open]] = False
    counts = np.diff(ring_offsets) - ~is_open
    return face_rings[kept], np.concatenate((np.zeros(1, np.int64), np.cumsum(counts))), is_open


@rows
def _note(out, n, code, face, other):
    if n < len(out):
        out[n, 0], out[n, 1], out[n, 2] = code, face, other
    return n + 1


@rows
def _check_rings(vertices, face_rings, ring_offsets, first, last, is_open, out, n, face):
    for r in range(first, last):
        if is_open[r]:
            n = _note(out, n, RING_NOT_CLOSED, face, -1)
    for r in range(first, last):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        if b - a < 3:
            n = _note(out, n, TOO_FEW_POINTS, face, -1)
        for i in range(a, b):
            v, w = face_rings[i], face_rings[i + 1 if i + 1 < b else a]
            if (
                b - a > 1
                and vertices[v, 0] == vertices[w, 0]
                and vertices[v, 1] == vertices[w, 1]
                and vertices[v, 2] == vertices[w, 2]
            ):
                n = _note(out, n, CONSECUTIVE_POINTS_SAME, face, -1)
                break
    return n


@rows
def _check_face(
    vertices, face_rings, ring_offsets, first, last, is_open, planarity, cosine, start, after, triangles, out, n, face
):
    """Test one polygon, cut it into triangles and link its corners; return the errors, the triangles and what stops more tests.

    `after` and `triangles` belong to the solid, whose first corner is `start`.
    """
    before_face = n
    n = _check_rings(vertices, face_rings, ring_offsets, first, last, is_open, out, n, face)
    if n > before_face or last == first:
        return (n if last > first else _note(out, n, TOO_FEW_POINTS, face, -1)), 0, _RING_BROKEN
    a, end = ring_offsets[first], ring_offsets[last]
    m, n_ring = end - a, last - first
    p = np.empty((m, 3), np.int64)
    before, following, ring = np.empty(m, np.int64), np.empty(m, np.int64), np.empty(m, np.int64)
    offsets = np.empty(n_ring + 1, np.int64)
    for r in range(n_ring):
        ra, rb = ring_offsets[first + r] - a, ring_offsets[first + r + 1] - a
        offsets[r], offsets[r + 1] = ra, rb
        for i in range(ra, rb):
            for k in range(3):
                p[i, k] = vertices[face_rings[a + i], k] - vertices[face_rings[a], k]
            following[i] = i + 1 if i + 1 < rb else ra
            before[i] = i - 1 if i > ra else rb - 1
            ring[i] = r
            after[a - start + i] = a - start + following[i]
    nx, ny, nz = newell_normal(p, offsets[0], offsets[1])  # no literal: `repair` calls the same machine code
    if nx == 0 and ny == 0 and nz == 0:
        return _note(out, n, RING_SELF_INTERSECTION, face, -1), 0, _FACE_BROKEN
    if m == 3:
        for k in range(3):
            triangles[0, k] = a - start + k
        return n, 1, VALID
    if not is_flat(p, nx, ny, nz, planarity):
        return _note(out, n, NON_PLANAR_DISTANCE, face, -1), 0, _FACE_BROKEN
    flat = flatten(p, nx, ny, nz)
    is_simple, crossing, touches = ring_contacts(flat, before, following, ring)
    if not is_simple:
        n = _note(out, n, RING_SELF_INTERSECTION, face, -1)
    if crossing[0] >= 0:
        is_same = are_duplicates(flat, offsets, crossing[0], crossing[1])
        n = _note(out, n, DUPLICATED_RINGS if is_same else INTERSECTION_RINGS, face, -1)
    if n > before_face:
        return n, 0, _FACE_BROKEN
    if n_ring > 1:
        n = _check_holes(flat, offsets, before, following, ring, touches, out, n, face)
        if n > before_face:
            return n, 0, _FACE_BROKEN
        is_conforming = join_touching(flat, before, following, ring, touches)
        for i in range(m):
            after[a - start + i] = a - start + following[i]
        if not is_conforming:
            return n, 0, _TOUCHES_EDGE
    made = triangulate_face(p, flat, following, 0, triangles)
    if made == 0:
        return _note(out, n, NOT_JUDGED, face, -1), 0, _FACE_BROKEN
    if not are_normals_close(p, triangles[:made], cosine):
        n = _note(out, n, NON_PLANAR_NORMALS, face, -1)
    for t in range(made):
        for k in range(3):
            triangles[t, k] += a - start
    return n, made, VALID


@rows
def _check_holes(flat, offsets, before, after, ring, touches, out, n, face):
    n_ring = len(offsets) - 1
    is_placed = True
    for r in range(1, n_ring):
        if not is_ring_within(flat, offsets, before, after, ring, touches, 0, r):
            n = _note(out, n, INNER_RING_OUTSIDE, face, -1)
            is_placed = False
        for s in range(1, n_ring):
            if s != r and is_ring_within(flat, offsets, before, after, ring, touches, s, r):
                n = _note(out, n, INNER_RINGS_NESTED, face, -1)
                is_placed = False
    if is_placed and not is_interior_connected(flat, ring, touches, n_ring):
        n = _note(out, n, INTERIOR_DISCONNECTED, face, -1)
    for r in range(1, n_ring):
        if ring_area2(flat, offsets[r], offsets[r + 1]) > 0:
            n = _note(out, n, ORIENTATION_RINGS_SAME, face, -1)
    return n


@rows
def _check_edges(face, twin, uses, first, out, n):
    for e in range(len(face)):
        if uses[e] == 1:
            n = _note(out, n, SHELL_NOT_CLOSED, first + face[e], -1)
    for e in range(len(face)):
        if uses[e] > 2:
            f, g = face[e], face[twin[e]]
            n = _note(out, n, NON_MANIFOLD, first + min(f, g), first + max(f, g))
    return n


@rows
def _check_orientation(
    vertices, face_rings, ring_offsets, face_offsets, first, n_face, face, twin, uses, is_same_way, is_closed, out, n
):
    """Note faces that look the other way than the others of their component; return how many components look inwards."""
    component, is_turned, is_orientable = spread_orientation(face, twin, uses, is_same_way, n_face)
    n_inward = 0
    if not is_orientable:
        return _note(out, n, NOT_A_MANIFOLD, -1, -1), n_inward
    members, turned = np.empty(n_face, np.int64), np.empty(n_face, np.bool_)
    for c in range(n_face):
        if component[c] != c:
            continue
        n_member, n_turned = 0, 0
        for f in range(c, n_face):
            if component[f] == c:
                members[n_member], turned[n_member] = first + f, is_turned[f]
                n_turned += is_turned[f]
                n_member += 1
        if is_closed:
            sign = signed_volume(vertices, face_rings, ring_offsets, face_offsets, members[:n_member], turned[:n_member])
            is_inward = sign < 0
        else:
            sign = 1
            is_inward = 2 * n_turned > n_member  # nobody can say which side is outside: the few are wrong
        n_wrong = n_member - n_turned if is_inward else n_turned
        if sign == 0 or n_wrong == n_member:
            n_inward += 1
            continue
        for i in range(n_member):
            if turned[i] != is_inward:
                n = _note(out, n, FACE_WRONG_ORIENTATION, members[i], -1)
    return n, n_inward


@rows
def _check_shell(
    vertices, face_rings, ring_offsets, face_offsets, first, last, after, face, place, n_place, out, n, first_only
):
    """Check that edges have two faces, faces look outwards and hang together, and each vertex has one fan of faces."""
    before_shell, n_face = n, last - first
    twin, uses, is_same_way = pair_half_edges(place, n_place, after)
    n = _check_edges(face, twin, uses, first, out, n)
    is_closed = n == before_shell
    if first_only and not is_closed:
        return n, 0
    n, n_inward = _check_orientation(
        vertices, face_rings, ring_offsets, face_offsets, first, n_face, face, twin, uses, is_same_way, is_closed, out, n
    )
    if first_only and n > before_shell:
        return n, 0
    component = join_by_edges(face, twin, n_face)
    for f in range(1, n_face):
        if component[f] == f:
            n = _note(out, n, SEVERAL_COMPONENTS, first, first + f)
    if is_closed:
        fans = split_vertices(place, n_place, after, twin, uses, is_same_way)
        for v in range(n_place):
            if fans[v, 0] >= 0:
                f, g = face[fans[v, 0]], face[fans[v, 1]]
                n = _note(out, n, NON_MANIFOLD, first + min(f, g), first + max(f, g))
    return n, n_inward


@rows
def _check_solid(vertices, face_rings, ring_offsets, face_offsets, first, last, is_open, planarity, cosine, out, first_only):
    n = 0
    if last == first:
        return _note(out, n, NOT_A_MANIFOLD, -1, -1)
    r0, r1 = face_offsets[first], face_offsets[last]
    start, end = ring_offsets[r0], ring_offsets[r1]
    n_corner = end - start
    for k in range(3):
        for i in range(start, end):
            if abs(vertices[face_rings[i], k] - vertices[face_rings[start], k]) > LARGEST_EXTENT_MM // 2:
                return _note(out, n, NOT_JUDGED, -1, -1)
    after, face = np.empty(n_corner, np.int64), np.empty(n_corner, np.int64)
    triangles = np.empty((n_corner + 2 * (r1 - r0), 3), np.int64)
    triangle_face = np.empty(len(triangles), np.int64)
    n_triangle, is_paired = 0, True
    touching, n_touching = np.empty(last - first, np.int64), 0
    for f in range(first, last):
        n, made, state = _check_face(
            vertices,
            face_rings,
            ring_offsets,
            face_offsets[f],
            face_offsets[f + 1],
            is_open,
            planarity,
            cosine,
            start,
            after,
            triangles[n_triangle:],
            out,
            n,
            f,
        )
        if first_only and n > 0:
            return n
        for t in range(n_triangle, n_triangle + made):
            triangle_face[t] = f
        n_triangle += made
        is_paired = is_paired and state != _RING_BROKEN
        for i in range(ring_offsets[face_offsets[f]], ring_offsets[face_offsets[f + 1]]):
            face[i - start] = f - first
        if state == _TOUCHES_EDGE:
            touching[n_touching] = f
            n_touching += 1
    if last - first < 4:
        n = _note(out, n, TOO_FEW_FACES, -1, -1)
        if first_only:
            return n
    place, n_place = number_places(vertices, face_rings[start:end])
    n_inward = 0
    if is_paired:
        n, n_inward = _check_shell(
            vertices, face_rings, ring_offsets, face_offsets, first, last, after, face, place, n_place, out, n, first_only
        )
        if first_only and n > 0:
            return n
    for i in range(n_touching):
        n = _note(out, n, SHELL_SELF_INTERSECTION, touching[i], touching[i])
    p = np.empty((n_place, 3), np.int64)
    for i in range(n_corner):
        for k in range(3):
            p[place[i], k] = vertices[face_rings[start + i], k] - vertices[face_rings[start], k]
    for t in range(n_triangle):
        for k in range(3):
            triangles[t, k] = place[triangles[t, k]]
    pairs = crossing_pairs(p, triangles[:n_triangle], triangle_face[:n_triangle], first_only)
    for i in range(len(pairs)):
        n = _note(out, n, SHELL_SELF_INTERSECTION, pairs[i, 0], pairs[i, 1])
    if n_inward > 0:
        n = _note(out, n, SHELL_WRONG_ORIENTATION, -1, -1)
    return n


@rows
def _check(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, is_open, planarity, cosine, codes):
    out = np.zeros((1, 3), np.int64)
    for s in range(len(codes)):
        a, b = solid_offsets[s], solid_offsets[s + 1]
        if _check_solid(vertices, face_rings, ring_offsets, face_offsets, a, b, is_open, planarity, cosine, out, True) > 0:
            codes[s] = out[0, 0]


@rows
def _list(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, is_open, planarity, cosine, found):
    n = 0
    for s in range(len(solid_offsets) - 1):
        a, b = solid_offsets[s], solid_offsets[s + 1]
        out = found[min(n, len(found)) :, 1:]
        made = _check_solid(vertices, face_rings, ring_offsets, face_offsets, a, b, is_open, planarity, cosine, out, False)
        for i in range(n, min(n + made, len(found))):
            found[i, 0] = s
        n += made
    return n
