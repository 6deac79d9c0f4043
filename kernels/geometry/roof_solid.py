"""Solids over a partition: roofs on planes, walls between them, one ground; a closed 2-manifold by construction.

The height of a label at a vertex is its plane there, in whole millimetres; heights of one vertex that differ by no more than
`AGREE_MM` become one. Where the two heights along an edge cross, a vertex is put in. Each edge inside
then gives at most one wall, each side of the footprint one, with all heights of their vertices as corners, so that neighbouring
walls and roofs share every vertex: the surface closes. It is
a manifold where the heights around each vertex rise and fall once; where not, the vertex is reported and nothing is built.

2.5-D building models of this kind: Zhou & Neumann 2010, doi:10.1007/978-3-642-15558-1_9 (their condition on a hyper-point).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.arrangement import find_loops, followers, loop_contains, sort_around
from felsina.kernels.geometry.extrusion import GROUND, ROOF, WALL
from felsina.kernels.geometry.roof_partition import Partition, plane_height

Integers = NDArray[np.int64]

AGREE_MM = 1.5  # rounding a vertex to the grid parts two steep planes by about this much
BUILT, PINCHED, UNEVEN, CROSSED, UNPLACED, SUNK = 0, 1, 2, 3, 4, 5  # outcomes


class RoofSolid(NamedTuple):
    """One solid; faces are the ground, the walls, the roofs. See `extrusion.Prisms` for the offsets.

    Attributes
    ----------
    vertices : (n_vertex, 3) int64
        Positions [mm].
    face_rings : (n_corner,) int64
        Vertex numbers of all face rings, outward orientation.
    ring_offsets : (n_face_ring + 1,) int64
        Corners of each ring.
    face_offsets : (n_face + 1,) int64
        Rings of each face, the exterior first.
    face_type : (n_face,) int8
        GROUND, WALL or ROOF.
    face_label : (n_face,) int64
        Roofs: their label. Walls between roofs: the label above them. Others: -1.
    face_source : (n_face,) int64
        Walls on the footprint: its edge. Otherwise -1: roofs, ground, walls between roofs.
    """

    vertices: Integers
    face_rings: Integers
    ring_offsets: Integers
    face_offsets: Integers
    face_type: NDArray[np.int8]
    face_label: Integers
    face_source: Integers


def build_solid(
    partition: Partition, coefficients: NDArray[np.float64], ground_mm: int, joins_walls: bool = True
) -> tuple[RoofSolid | None, int, Integers]:
    """Build the solid over a partition.

    Parameters
    ----------
    partition : Partition
        See `roof_partition`.
    coefficients : (n_label, 3) float64
        a [1], b [1], c [mm] of z = a x + b y + c, x and y in mm.
    ground_mm : int
        Height of the ground [mm], below all roofs.
    joins_walls : bool
        One wall for each side of the footprint; else one for each of its edges, which has four corners or one more a step.

    Returns
    -------
    solid : RoofSolid or None
    outcome : int
        BUILT; PINCHED, a face touches itself or the footprint falls apart; UNEVEN, heights around a vertex rise more than once;
        CROSSED, heights cross within a millimetre of a vertex; UNPLACED, an island lies in a face of another label;
        SUNK, a roof reaches the ground.
    places : (n_place, 2) int64
        Where nothing was built, the vertices [mm] at fault, as far as they are known.
    """
    made = _build(*partition, coefficients, ground_mm, AGREE_MM, joins_walls)
    outcome = int(made[0])
    return (RoofSolid(*made[2:]) if outcome == BUILT else None, outcome, made[1])


def find_uneven(xy: Integers, origin: Integers, label: Integers, coefficients: NDArray[np.float64], ground_mm: int) -> Integers:
    """Return the vertices around which the heights rise more than once, or a roof reaches the ground: no solid stands there.

    Parameters
    ----------
    xy, origin : see `arrangement.Arrangement`
    label : (2 n_edge,) int64
        Label to the left of each half-edge, -1 outside; edges between equal labels may be among them.
    coefficients, ground_mm : see `build_solid`
    """
    return _find_uneven(xy, origin, label, coefficients, ground_mm, AGREE_MM)


@rows
def _find_uneven(xy, origin, label, coefficients, ground, agree):
    start, order = sort_around(xy, origin)
    height = _vertex_heights(xy, origin, label, start, order, coefficients, ground, agree)
    sunk = _find_sunk(origin, label, height, ground)
    return sunk if len(sunk) else _columns(height, start, order)[2]


@rows
def _find_sunk(origin, label, height, ground):
    """Return the vertices where a roof is no higher than the ground."""
    sunk, n = np.empty(len(origin), np.int64), 0
    for h in range(len(origin)):
        if label[h] >= 0 and height[h] <= ground:
            sunk[n] = origin[h]
            n += 1
    return np.unique(sunk[:n])


@rows
def _vertex_heights(xy, origin, label, start, order, coefficients, ground, agree):
    """Return the height at the start of each half-edge for the label to its left; near heights of one vertex become one."""
    height = np.empty(len(origin), np.int64)
    raw, which = np.empty(len(origin)), np.empty(len(origin), np.int64)
    for v in range(len(xy)):
        m = 0
        for k in range(start[v], start[v + 1]):
            h = order[k]
            z = float(ground) if label[h] < 0 else plane_height(coefficients, label[h], xy[v, 0], xy[v, 1])
            i = m
            while i > 0 and (raw[i - 1] > z or (raw[i - 1] == z and label[which[i - 1]] > label[h])):
                raw[i], which[i] = raw[i - 1], which[i - 1]
                i -= 1
            raw[i], which[i] = z, h
            m += 1
        first = 0
        while first < m:
            last, is_ground = first, False
            total, count = 0.0, 0
            while last < m and (last == first or raw[last] - raw[last - 1] <= agree):
                is_ground = is_ground or label[which[last]] < 0
                if last == first or label[which[last]] != label[which[last - 1]]:
                    total += raw[last]
                    count += 1
                last += 1
            z = ground if is_ground else np.int64(np.floor(total / count + 0.5))
            for i in range(first, last):
                height[which[i]] = z
            first = last
    return height


@rows
def _insert_crossings(xy, origin, label, source, height, coefficients):
    """Put a vertex where the heights along an edge cross; the last result lists the vertices that are nearer than the grid."""
    n, n_vertex = len(source), len(xy)
    following = followers(xy, origin)
    new_xy, new_origin = np.empty((n_vertex + n, 2), np.int64), np.empty(4 * n, np.int64)
    new_label, new_source, new_height = np.empty(4 * n, np.int64), np.empty(2 * n, np.int64), np.empty(4 * n, np.int64)
    new_xy[:n_vertex], new_origin[: 2 * n], new_label[: 2 * n] = xy, origin, label
    new_source[:n], new_height[: 2 * n] = source, height
    m, c = n, n_vertex
    unplaced, n_unplaced = np.empty(n, np.int64), 0
    for e in range(n):
        h, g = 2 * e, 2 * e + 1
        at_a = height[h] - height[following[g]]
        at_b = height[following[h]] - height[g]
        if not ((at_a > 0 and at_b < 0) or (at_a < 0 and at_b > 0)):
            continue
        a, b = origin[h], origin[g]
        t = float(at_a) / float(at_a - at_b)
        x = xy[a, 0] + np.int64(np.floor(t * float(xy[b, 0] - xy[a, 0]) + 0.5))
        y = xy[a, 1] + np.int64(np.floor(t * float(xy[b, 1] - xy[a, 1]) + 0.5))
        # The grid point about the crossing where both planes agree best: their mean is then on both.
        best, z, cx, cy = 1e30, 0.0, x, y
        for k in range(4, 13):  # the middle first
            px, py = cx + k % 9 // 3 - 1, cy + k % 3 - 1
            one, two = plane_height(coefficients, label[h], px, py), plane_height(coefficients, label[g], px, py)
            if abs(one - two) < best:
                best, z, x, y = abs(one - two), one + two, px, py
        if (x == xy[a, 0] and y == xy[a, 1]) or (x == xy[b, 0] and y == xy[b, 1]):
            unplaced[n_unplaced] = a if x == xy[a, 0] and y == xy[a, 1] else b
            n_unplaced += 1
            continue
        new_xy[c, 0], new_xy[c, 1] = x, y
        h2, g2 = 2 * m, 2 * m + 1
        new_origin[h2], new_origin[g2] = c, b
        new_label[h2], new_label[g2] = label[h], label[g]
        new_source[m] = source[e]
        new_origin[g] = c
        new_height[g2] = height[g]
        new_height[h2] = new_height[g] = np.int64(np.floor(0.5 * z + 0.5))
        m, c = m + 1, c + 1
    return new_xy[:c], new_origin[: 2 * m], new_label[: 2 * m], new_source[:m], new_height[: 2 * m], unplaced[:n_unplaced]


@rows
def _columns(height, start, order):
    """Return the heights of each vertex, ascending, as offsets and values; and the vertices where they rise twice."""
    n_vertex = len(start) - 1
    offsets, values, c = np.zeros(n_vertex + 1, np.int64), np.empty(len(height), np.int64), 0
    is_uneven = np.zeros(n_vertex, np.bool_)
    for v in range(n_vertex):
        first, a, b = c, start[v], start[v + 1]
        for k in range(a, b):
            z = height[order[k]]
            i = first
            while i < c and values[i] < z:
                i += 1
            if i < c and values[i] == z:
                continue
            for j in range(c, i, -1):
                values[j] = values[j - 1]
            values[i] = z
            c += 1
        offsets[v + 1] = c
        # Rises around the vertex: a run of climbing steps counts once.
        climbs, direction = 0, 0
        for k in range(a, b):
            step = height[order[k]] - height[order[k - 1] if k > a else order[b - 1]]
            if step != 0:
                direction = 1 if step > 0 else -1
        for k in range(a, b):
            step = height[order[k]] - height[order[k - 1] if k > a else order[b - 1]]
            if step > 0 and direction < 0:
                climbs += 1
            if step != 0:
                direction = 1 if step > 0 else -1
        is_uneven[v] = climbs > 1
    return offsets, values[:c], np.flatnonzero(is_uneven)


@rows
def _rings(xy, origin, label, following, loop, lead, n_loop):
    """Cut loops at vertices that they pass twice; return corners (half-edges), ring offsets and twice the areas."""
    n = len(origin)
    corners, offsets, area2 = np.empty(n, np.int64), np.zeros(n + 1, np.int64), np.empty(n, np.int64)
    stack, where = np.empty(n, np.int64), np.full(len(xy), -1, np.int64)
    c, r = 0, 0
    for q in range(n_loop):
        depth = 0
        h = lead[q]
        is_open = True
        while is_open:
            v = origin[h]
            if where[v] >= 0:
                # The half-edges since the last visit are a ring of their own.
                low = where[v]
                for i in range(low, depth):
                    corners[c + i - low] = stack[i]
                    where[origin[stack[i]]] = -1
                c += depth - low
                offsets[r + 1] = c
                r += 1
                depth = low
            where[v] = depth
            stack[depth] = h
            depth += 1
            h = following[h]
            is_open = h != lead[q]
        for i in range(depth):
            corners[c + i] = stack[i]
            where[origin[stack[i]]] = -1
        c += depth
        offsets[r + 1] = c
        r += 1
    for k in range(r):
        a, b = offsets[k], offsets[k + 1]
        area2[k] = 0
        ox, oy = xy[origin[corners[a]], 0], xy[origin[corners[a]], 1]
        for i in range(a, b):
            v, w = origin[corners[i]], origin[corners[i + 1 if i + 1 < b else a]]
            area2[k] += (xy[v, 0] - ox) * (xy[w, 1] - oy) - (xy[w, 0] - ox) * (xy[v, 1] - oy)
    return corners[:c], offsets[: r + 1], area2[:r]


@rows
def _column_index(offsets, values, v, z):
    i = offsets[v]
    while values[i] != z:
        i += 1
    return i


@rows
def _assign_holes(xy, origin, label, corners, offsets, area2, ring_of):
    """Return for each ring the exterior ring of its face (itself for exteriors), -1 for rings outside; or an outcome.

    The last result is the ring at fault, -1 where it is not known.
    """
    n = len(area2)
    parent = np.full(n, -1, np.int64)
    outer = 0
    for r in range(n):
        l = label[corners[offsets[r]]]
        if offsets[r + 1] - offsets[r] < 3 or area2[r] == 0:
            return parent, PINCHED, r
        if l < 0:
            outer += 1 if area2[r] < 0 else 0
            continue
        if area2[r] > 0:
            parent[r] = r
            continue
        h = corners[offsets[r]]
        best = -1
        for o in range(n):
            if area2[o] <= -area2[r] or (best >= 0 and area2[o] >= area2[best]):
                continue
            if loop_contains(xy, origin, ring_of, o, xy[origin[h], 0], xy[origin[h], 1]):
                best = o
        if best < 0 or label[corners[offsets[best]]] != l:
            return parent, UNPLACED, r
        parent[r] = best
    return parent, BUILT if outer == 1 else PINCHED, -1


@rows
def _build(xy, origin, label, source, coefficients, ground, agree, joins_walls):
    nowhere, nothing, no_types = np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0, np.int8)
    no_faces = (np.empty((0, 3), np.int64), nothing, nothing, nothing, no_types, nothing, nothing)
    start, order = sort_around(xy, origin)
    height = _vertex_heights(xy, origin, label, start, order, coefficients, ground, agree)
    sunk = _find_sunk(origin, label, height, ground)
    if len(sunk):
        return (SUNK, xy[sunk], *no_faces)
    xy, origin, label, source, height, unplaced = _insert_crossings(xy, origin, label, source, height, coefficients)
    if len(unplaced):
        return (CROSSED, xy[unplaced], *no_faces)
    start, order = sort_around(xy, origin)
    columns, values, uneven = _columns(height, start, order)
    if len(uneven):
        return (UNEVEN, xy[uneven], *no_faces)
    following = followers(xy, origin)
    loop, _, lead, _, n_loop = find_loops(xy, origin, following, np.full(len(origin), -1, np.int64))
    corners, offsets, area2 = _rings(xy, origin, label, following, loop, lead, n_loop)
    ring_of = np.empty(len(origin), np.int64)
    for r in range(len(area2)):
        for i in range(offsets[r], offsets[r + 1]):
            ring_of[corners[i]] = r
    parent, outcome, at = _assign_holes(xy, origin, label, corners, offsets, area2, ring_of)
    if outcome != BUILT:
        return (outcome, nowhere if at < 0 else xy[origin[corners[offsets[at] : offsets[at + 1]]]], *no_faces)
    vertices = np.empty((len(values), 3), np.int64)
    for v in range(len(xy)):
        for i in range(columns[v], columns[v + 1]):
            vertices[i, 0], vertices[i, 1], vertices[i, 2] = xy[v, 0], xy[v, 1], values[i]
    goes_on = _straight_on(xy, origin, label, source, corners, offsets)
    if not joins_walls:
        goes_on[:] = False
    faces = _write(
        origin, label, source, height, following, corners, offsets, area2, parent, goes_on, columns, values, vertices, ground
    )
    return (BUILT, nowhere, *faces)


@rows
def _write(
    origin, label, source, height, following, corners, offsets, area2, parent, goes_on, columns, values, vertices, ground
):
    """Write the faces: ground, walls on the footprint, walls between roofs, roofs."""
    n_edge, n_ring = len(source), len(area2)
    size = 4 * len(corners)
    for e in range(n_edge):
        a, b = origin[2 * e], origin[2 * e + 1]
        size += columns[a + 1] - columns[a] + columns[b + 1] - columns[b]
    rings, c = np.empty(size, np.int64), 0
    ring_offsets, r_out = np.zeros(n_edge + 2 * n_ring + 1, np.int64), 0
    face_offsets, f_out = np.zeros(n_edge + n_ring + 2, np.int64), 0
    kind, above = np.empty(n_edge + n_ring + 1, np.int8), np.full(n_edge + n_ring + 1, -1, np.int64)
    on = np.full(n_edge + n_ring + 1, -1, np.int64)
    # The ground is what lies outside, seen from below: its rings as traced, the outer one first.
    for turn_number in range(2):
        for r in range(n_ring):
            if label[corners[offsets[r]]] >= 0 or (area2[r] < 0) != (turn_number == 0):
                continue
            for i in range(offsets[r], offsets[r + 1]):
                if not goes_on[i]:
                    rings[c] = _column_index(columns, values, origin[corners[i]], ground)
                    c += 1
            r_out += 1
            ring_offsets[r_out] = c
    kind[0] = GROUND
    face_offsets[1], f_out = r_out, 1
    for r in range(n_ring):
        if label[corners[offsets[r]]] >= 0:
            continue
        a, b = offsets[r], offsets[r + 1]
        for i in range(a, b):
            if goes_on[i]:
                continue
            # One wall for each side of the footprint, from the vertex i as far as it goes; outside is on the left.
            n = 1
            while goes_on[a + (i - a + n) % (b - a)]:
                n += 1
            rings[c] = _column_index(columns, values, origin[corners[a + (i - a + n) % (b - a)]], ground)
            rings[c + 1] = _column_index(columns, values, origin[corners[i]], ground)
            c += 2
            for k in range(n + 1):
                v = origin[corners[a + (i - a + k) % (b - a)]]
                low = ground if k == 0 else height[corners[a + (i - a + k - 1) % (b - a)] ^ 1]
                top = ground if k == n else height[following[corners[a + (i - a + k) % (b - a)] ^ 1]]
                c = _climb(columns, values, v, low, top, k > 0, k < n, rings, c)
            r_out += 1
            ring_offsets[r_out] = c
            kind[f_out], on[f_out] = WALL, source[corners[i] >> 1]
            f_out += 1
            face_offsets[f_out] = r_out
    for h in range(2 * n_edge):
        g = h ^ 1
        if label[h] < 0 or label[g] < 0:
            continue
        a, b = origin[h], origin[g]
        top_a, top_b, low_a, low_b = height[h], height[following[h]], height[following[g]], height[g]
        if top_a < low_a or top_b < low_b or (top_a == low_a and top_b == low_b):
            continue
        rings[c] = _column_index(columns, values, a, low_a)
        c = _climb(columns, values, b, low_b, top_b, True, True, rings, c + 1)
        if top_a > low_a:
            c = _climb(columns, values, a, top_a, low_a, True, False, rings, c)
        r_out += 1
        ring_offsets[r_out] = c
        kind[f_out], above[f_out] = WALL, label[h]
        f_out += 1
        face_offsets[f_out] = r_out
    for r in range(n_ring):
        if parent[r] != r:
            continue
        for turn_number in range(2):
            for q in range(n_ring):
                if parent[q] != r or (q == r) != (turn_number == 0):
                    continue
                for i in range(offsets[q], offsets[q + 1]):
                    h = corners[i]
                    rings[c] = _column_index(columns, values, origin[h], height[h])
                    c += 1
                r_out += 1
                ring_offsets[r_out] = c
        kind[f_out], above[f_out] = ROOF, label[corners[offsets[r]]]
        f_out += 1
        face_offsets[f_out] = r_out
    number, m = np.full(len(vertices), -1, np.int64), 0
    for i in range(c):
        number[rings[i]] = 0
    for i in range(len(vertices)):
        if number[i] == 0:
            vertices[m] = vertices[i]
            number[i] = m
            m += 1
    for i in range(c):
        rings[i] = number[rings[i]]
    return (
        vertices[:m].copy(),
        rings[:c].copy(),
        ring_offsets[: r_out + 1].copy(),
        face_offsets[: f_out + 1].copy(),
        kind[:f_out].copy(),
        above[:f_out].copy(),
        on[:f_out].copy(),
    )


@rows
def _straight_on(xy, origin, label, source, corners, offsets):
    """Tell for each corner of the rings outside whether the footprint goes straight on there: no wall ends at it."""
    out = np.zeros(len(corners), np.bool_)
    for r in range(len(offsets) - 1):
        a, b = offsets[r], offsets[r + 1]
        if label[corners[a]] >= 0:
            continue
        for i in range(a, b):
            before = corners[i - 1 if i > a else b - 1]
            h = corners[i]
            if source[h >> 1] < 0 or source[h >> 1] != source[before >> 1]:
                continue
            u, v, w = origin[before], origin[h], origin[h ^ 1]
            dx, dy = xy[w, 0] - xy[u, 0], xy[w, 1] - xy[u, 1]
            cross = dx * (xy[v, 1] - xy[u, 1]) - dy * (xy[v, 0] - xy[u, 0])
            # Within 1 mm of the line between its neighbours.
            out[i] = float(cross) * float(cross) <= float(dx * dx + dy * dy)
    return out


@rows
def _climb(columns, values, v, low, high, has_first, has_last, rings, c):
    """Append the heights of a vertex from `low` to `high`, up or down, with or without the ends; return the new length."""
    i, j = _column_index(columns, values, v, low), _column_index(columns, values, v, high)
    if i == j:
        if has_first or has_last:
            rings[c] = i
            c += 1
        return c
    step = 1 if j > i else -1
    for k in range(i if has_first else i + step, (j if has_last else j - step) + step, step):
        rings[c] = k
        c += 1
    return c
