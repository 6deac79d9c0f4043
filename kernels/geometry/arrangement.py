"""Planar arrangement of lines within a polygon, on the grid of whole millimetres: vertices, half-edges, faces.

Crossings are rounded to the grid, and every segment is bent to all vertices whose pixel it passes (snap rounding: Hobby 1999,
doi:10.1016/S0925-7721(99)00021-8; Guibas & Marimont 1998, doi:10.1142/S0218195998000108): two edges then meet in common
vertices only, and no vertex moves twice. All predicates are signs of integers, exact while a polygon spans less than 1,000 km.
Faces lie to the left of their half-edges. What follows from a set of lines does not depend on their order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

Integers = NDArray[np.int64]

OUTSIDE = -1
_MOST_ROUNDS = 8  # of snapping; one is the rule, a second one the exception


class Arrangement(NamedTuple):
    """Faces of a polygon that lines cut; half-edges 2 e and 2 e + 1 are the two sides of edge e.

    Attributes
    ----------
    xy : (n_vertex, 2) int64
        Vertices [mm], ascending by x, then y.
    origin : (2 n_edge,) int64
        Vertex at which each half-edge starts; its twin starts where it ends.
    face : (2 n_edge,) int64
        Face to the left, OUTSIDE where that is no part of the polygon.
    source : (n_edge,) int64
        Edge of the polygon that the edge lies on, -1 for edges inside.
    area2 : (n_face,) int64
        Twice the area of each face [mm2].
    """

    xy: Integers
    origin: Integers
    face: Integers
    source: Integers
    area2: Integers


def arrange(outline: Integers, lines: Integers) -> Arrangement | None:
    """Cut a polygon along lines.

    Parameters
    ----------
    outline : (n_edge, 4) int64
        Edges x0, y0, x1, y1 of a polygon with holes [mm], interior on the left.
    lines : (n_line, 4) int64
        Segments [mm]; what lies outside the polygon is left out, and so are ends that close no face.

    Returns
    -------
    Arrangement or None
        None where nothing is left of the polygon, or its rings cross.
    """
    segments = np.concatenate((outline, lines[(lines[:, :2] != lines[:, 2:]).any(axis=1)]))
    xy, edges, source, is_done = _node(segments, len(outline), _MOST_ROUNDS)
    if not is_done:
        return None
    made = _trace(xy, edges, source)
    return Arrangement(*made[:5]) if made[5] else None


@cell
def turn(ax, ay, bx, by, cx, cy):
    """Return twice the signed area of the triangle a, b, c: positive where it turns left."""
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


@rows
def segments_meet(ax, ay, bx, by, cx, cy, dx, dy):
    """Tell whether the closed segments a-b and c-d have a point in common."""
    if max(ax, bx) < min(cx, dx) or max(cx, dx) < min(ax, bx) or max(ay, by) < min(cy, dy) or max(cy, dy) < min(ay, by):
        return False
    t1, t2 = turn(ax, ay, bx, by, cx, cy), turn(ax, ay, bx, by, dx, dy)
    if (t1 > 0 and t2 > 0) or (t1 < 0 and t2 < 0):
        return False
    t3, t4 = turn(cx, cy, dx, dy, ax, ay), turn(cx, cy, dx, dy, bx, by)
    return not ((t3 > 0 and t4 > 0) or (t3 < 0 and t4 < 0))


@cell
def _round_ratio(numerator, denominator):
    """Return numerator / denominator to the nearest integer, halves up; denominator > 0."""
    return (2 * numerator + denominator) // (2 * denominator)


@rows
def _crossing(s, i, j):
    """Return whether two segments cross or touch in one point, and that point on the grid."""
    ax, ay, bx, by = s[i, 0], s[i, 1], s[i, 2], s[i, 3]
    cx, cy, dx, dy = s[j, 0], s[j, 1], s[j, 2], s[j, 3]
    ux, uy, vx, vy = bx - ax, by - ay, dx - cx, dy - cy
    det = ux * vy - uy * vx
    if det == 0 or not segments_meet(ax, ay, bx, by, cx, cy, dx, dy):
        return False, np.int64(0), np.int64(0)
    t = (cx - ax) * vy - (cy - ay) * vx
    if det < 0:
        det, t = -det, -t
    # t / det of the way; a quotient and a remainder keep the products below 2**63.
    x = _along(ux, t, det)
    y = _along(uy, t, det)
    return True, ax + x, ay + y


@cell
def _along(u, t, det):
    """Return u t / det to the nearest integer, for 0 <= t <= det, by doubles where the product would overflow."""
    if abs(u) < 2_000_000 and det < 1_000_000_000_000:
        return _round_ratio(u * t, det)
    return np.int64(np.floor(float(u) * (float(t) / float(det)) + 0.5))


@rows
def _is_inside2(x2, y2, outline):
    """Tell whether a point in half millimetres lies inside the polygon."""
    inside = False
    for e in range(len(outline)):
        xi, yi, xj, yj = 2 * outline[e, 0], 2 * outline[e, 1], 2 * outline[e, 2], 2 * outline[e, 3]
        if (yi <= y2) != (yj <= y2):
            t = turn(xi, yi, xj, yj, x2, y2)
            if t != 0 and (t > 0) == (yj > yi):
                inside = not inside
    return inside


@rows
def _node(segments, n_outline, most_rounds):
    """Bend segments to the vertices whose pixel they pass until they meet in vertices only; drop what is outside.

    Returns vertices, edges (n, 2) with the lower vertex first, the polygon's edge that each lies on with its direction (2 e
    forwards, 2 e + 1 backwards, -1 inside), and whether the snapping came to rest.
    """
    outline = segments[:n_outline]
    current = segments.copy()
    origin = np.full(len(segments), -1, np.int64)
    for e in range(n_outline):
        origin[e] = e
    xy = np.empty((0, 2), np.int64)
    for turn_number in range(most_rounds):
        xy = _hot_points(current, outline)
        pieces, owner = _split(current, xy)
        # Pieces inside or on the outline, each once.
        n, key, sign = len(pieces), np.empty(len(pieces), np.int64), np.empty(len(pieces), np.int64)
        kept = 0
        for p in range(n):
            a, b, o = pieces[p, 0], pieces[p, 1], origin[owner[p]]
            if o < 0 and turn_number == 0 and not _is_inside2(xy[a, 0] + xy[b, 0], xy[a, 1] + xy[b, 1], outline):
                continue
            key[kept] = min(a, b) * len(xy) + max(a, b)
            if o < 0:
                sign[kept] = -1
            elif turn_number == 0:
                sign[kept] = 2 * o + (0 if a < b else 1)
            else:
                sign[kept] = 2 * (o >> 1) + ((o & 1) ^ (0 if a < b else 1))
            kept += 1
        order = np.argsort(key[:kept], kind="mergesort")
        edges, source, m = np.empty((kept, 2), np.int64), np.empty(kept, np.int64), 0
        first = 0
        while first < kept:
            last, on, n_outer = first, np.int64(-1), 0
            while last < kept and key[order[last]] == key[order[first]]:
                if sign[order[last]] >= 0:
                    on = sign[order[last]]
                    n_outer += 1
                last += 1
            a, b = key[order[first]] // len(xy), key[order[first]] % len(xy)
            first = last
            if n_outer > 1:
                # Two sides of the outline have become one: a seam where there was a slit, nothing where there was a spike.
                on = np.int64(-1)
                if not _is_inside2(*_beside(xy, a, b), outline):
                    continue
            edges[m, 0], edges[m, 1], source[m] = a, b, on
            m += 1
        edges, source = edges[:m], source[:m]
        current = np.empty((m, 4), np.int64)
        for e in range(m):
            current[e, 0], current[e, 1] = xy[edges[e, 0], 0], xy[edges[e, 0], 1]
            current[e, 2], current[e, 3] = xy[edges[e, 1], 0], xy[edges[e, 1], 1]
        if _is_noded(current):
            return xy, edges, source, True
        origin = source.copy()
    return xy, edges, source, False


@rows
def _beside(xy, a, b):
    """Return a point, in half millimetres, 2 mm beside the middle of two vertices."""
    dx, dy = float(xy[b, 0] - xy[a, 0]), float(xy[b, 1] - xy[a, 1])
    scale = 4.0 / math.sqrt(dx * dx + dy * dy)
    return xy[a, 0] + xy[b, 0] - np.int64(round(dy * scale)), xy[a, 1] + xy[b, 1] + np.int64(round(dx * scale))


@rows
def _is_noded(s):
    """Tell whether segments meet in common ends only."""
    order = np.argsort(np.minimum(s[:, 0], s[:, 2]), kind="mergesort")
    for p in range(len(s)):
        i = order[p]
        east = max(s[i, 0], s[i, 2])
        for q in range(p + 1, len(s)):
            j = order[q]
            if min(s[j, 0], s[j, 2]) > east:
                break
            if not segments_meet(s[i, 0], s[i, 1], s[i, 2], s[i, 3], s[j, 0], s[j, 1], s[j, 2], s[j, 3]):
                continue
            common = 0
            for a in range(0, 4, 2):
                for b in range(0, 4, 2):
                    if s[i, a] == s[j, b] and s[i, a + 1] == s[j, b + 1]:
                        common += 1
                        ox, oy = s[i, 2 - a], s[i, 3 - a]
                        px, py = s[j, 2 - b], s[j, 3 - b]
                        cx, cy = s[i, a], s[i, a + 1]
                        # Two edges from one vertex in one direction lie on each other.
                        if turn(cx, cy, ox, oy, px, py) == 0 and (ox - cx) * (px - cx) + (oy - cy) * (py - cy) > 0:
                            return False
            if common != 1:
                return False
    return True


@rows
def _hot_points(s, outline):
    """Return the ends of segments, and their rounded crossings in the frame of the outline, each once, ascending."""
    n = len(s)
    west, east = min(outline[:, 0].min(), outline[:, 2].min()), max(outline[:, 0].max(), outline[:, 2].max())
    south, north = min(outline[:, 1].min(), outline[:, 3].min()), max(outline[:, 1].max(), outline[:, 3].max())
    size = 4 * n + 64
    x, y, m = np.empty(size, np.int64), np.empty(size, np.int64), 0
    for i in range(n):
        for a in range(0, 4, 2):
            x[m], y[m] = s[i, a], s[i, a + 1]
            m += 1
    for i in range(n):
        for j in range(i + 1, n):
            is_found, px, py = _crossing(s, i, j)
            if not is_found or px < west or px > east or py < south or py > north:
                continue
            if m == size:
                size *= 2
                wider, taller = np.empty(size, np.int64), np.empty(size, np.int64)
                wider[:m], taller[:m] = x, y
                x, y = wider, taller
            x[m], y[m] = px, py
            m += 1
    west, south = x[:m].min(), y[:m].min()
    key = np.sort(((x[:m] - west) << 31) + (y[:m] - south))
    out, c = np.empty((m, 2), np.int64), 0
    for t in range(m):
        if t == 0 or key[t] != key[t - 1]:
            out[c, 0], out[c, 1] = (key[t] >> 31) + west, (key[t] & 0x7FFFFFFF) + south
            c += 1
    return out[:c]


@rows
def _split(s, xy):
    """Return the pieces (vertex, vertex) of each segment between the vertices whose pixel it passes, and its segment."""
    size = 4 * len(s) + 64
    pieces, owner, n = np.empty((size, 2), np.int64), np.empty(size, np.int64), 0
    at, place = np.empty(len(xy), np.int64), np.empty(len(xy), np.int64)
    for i in range(len(s)):
        ax, ay, bx, by = s[i, 0], s[i, 1], s[i, 2], s[i, 3]
        ux, uy = bx - ax, by - ay
        reach = abs(ux) + abs(uy)
        m = 0
        low = np.searchsorted(xy[:, 0], min(ax, bx))
        for v in range(low, len(xy)):
            px, py = xy[v, 0], xy[v, 1]
            if px > max(ax, bx):
                break
            if py < min(ay, by) or py > max(ay, by):
                continue
            # The line passes the pixel around p where |u x (p - a)| <= (|ux| + |uy|) / 2.
            if 2 * abs(ux * (py - ay) - uy * (px - ax)) <= reach:
                d = ux * (px - ax) + uy * (py - ay)
                k = m
                while k > 0 and at[k - 1] > d:
                    at[k], place[k] = at[k - 1], place[k - 1]
                    k -= 1
                at[k], place[k] = d, v
                m += 1
        if n + m > size:
            size = 2 * (size + m)
            wider, longer = np.empty((size, 2), np.int64), np.empty(size, np.int64)
            wider[:n], longer[:n] = pieces[:n], owner[:n]
            pieces, owner = wider, longer
        for k in range(1, m):
            pieces[n, 0], pieces[n, 1], owner[n] = place[k - 1], place[k], i
            n += 1
    return pieces[:n], owner[:n]


@rows
def sort_around(xy, origin):
    """Sort the half-edges that leave each vertex anticlockwise; return where those of each vertex start, and the order.

    The half-edge that comes after h (2 e) on the face to its left leaves its end vertex next to its twin, clockwise.
    """
    n = len(origin)
    start = np.zeros(len(xy) + 1, np.int64)
    for h in range(n):
        start[origin[h] + 1] += 1
    for v in range(len(xy)):
        start[v + 1] += start[v]
    fill, order = start[:-1].copy(), np.empty(n, np.int64)
    for h in range(n):
        v = origin[h]
        w = origin[h ^ 1]
        dx, dy = xy[w, 0] - xy[v, 0], xy[w, 1] - xy[v, 1]
        half = 0 if dy > 0 or (dy == 0 and dx > 0) else 1
        k = fill[v]
        fill[v] += 1
        while k > start[v]:
            o = origin[order[k - 1] ^ 1]
            ex, ey = xy[o, 0] - xy[v, 0], xy[o, 1] - xy[v, 1]
            other = 0 if ey > 0 or (ey == 0 and ex > 0) else 1
            if other < half or (other == half and ex * dy - ey * dx >= 0):
                break
            order[k] = order[k - 1]
            k -= 1
        order[k] = h
    return start, order


@rows
def followers(xy, origin):
    """Return for each half-edge the next one around the face to its left."""
    start, order = sort_around(xy, origin)
    following = np.empty(len(origin), np.int64)
    for v in range(len(xy)):
        for k in range(start[v], start[v + 1]):
            before = order[k - 1] if k > start[v] else order[start[v + 1] - 1]
            following[order[k] ^ 1] = before
    return following


@rows
def _trace(xy, edges, source):
    """Prune ends that close nothing, trace faces, find the face around each island. The last result: whether all is well."""
    n = len(edges)
    degree, is_alive = np.zeros(len(xy), np.int64), np.ones(n, np.bool_)
    for e in range(n):
        degree[edges[e, 0]] += 1
        degree[edges[e, 1]] += 1
    is_changed = True
    while is_changed:
        is_changed = False
        for e in range(n):
            if is_alive[e] and (degree[edges[e, 0]] == 1 or degree[edges[e, 1]] == 1):
                is_alive[e] = False
                degree[edges[e, 0]] -= 1
                degree[edges[e, 1]] -= 1
                is_changed = True
    number, m = np.full(len(xy), -1, np.int64), 0
    for v in range(len(xy)):
        if degree[v] > 0:
            number[v] = m
            m += 1
    places = xy[number >= 0]
    alive = np.flatnonzero(is_alive)
    origin, on, half_on = (
        np.empty(2 * len(alive), np.int64),
        np.empty(len(alive), np.int64),
        np.full(2 * len(alive), -1, np.int64),
    )
    for k in range(len(alive)):
        e = alive[k]
        origin[2 * k], origin[2 * k + 1] = number[edges[e, 0]], number[edges[e, 1]]
        on[k] = source[e] >> 1 if source[e] >= 0 else -1
        if source[e] >= 0:
            forwards = source[e] & 1
            half_on[2 * k + forwards], half_on[2 * k + 1 - forwards] = 1, 0
    following = followers(places, origin)
    loop, area2, lead, side, n_loop = find_loops(places, origin, following, half_on)
    face_of_loop, face_area, n_face = np.full(n_loop, -1, np.int64), np.empty(n_loop, np.int64), 0
    is_good = True
    for c in range(n_loop):
        if side[c] == 2:
            is_good = False  # inside and outside along one boundary: the outline touches itself
        if area2[c] > 0 and side[c] != 0:
            face_of_loop[c] = n_face
            face_area[n_face] = area2[c]
            n_face += 1
    for c in range(n_loop):
        if area2[c] <= 0 and side[c] != 0:
            # The boundary of an island seen from around: the smallest loop that holds it is the outside of its face.
            p = places[origin[lead[c]]]
            best = -1
            for o in range(n_loop):
                is_smaller = area2[o] > -area2[c] and (best < 0 or area2[o] < area2[best])
                if is_smaller and area2[o] > 0 and loop_contains(places, origin, loop, o, p[0], p[1]):
                    best = o
            if best < 0 or face_of_loop[best] < 0:
                is_good = False
            else:
                face_of_loop[c] = face_of_loop[best]
                face_area[face_of_loop[best]] += area2[c]
    face = np.empty(len(origin), np.int64)
    for h in range(len(origin)):
        face[h] = face_of_loop[loop[h]]
    return places, origin, face, on, face_area[:n_face], is_good and n_face > 0


@rows
def find_loops(xy, origin, following, mark):
    """Follow half-edges around.

    Returns the loop of each half-edge, twice the area of each loop, its first half-edge, and the common mark of its half-edges
    (-1 where none has one, 2 where they differ), and the number of loops.
    """
    n = len(origin)
    loop = np.full(n, -1, np.int64)
    area2, lead, side, count = np.zeros(n, np.int64), np.empty(n, np.int64), np.full(n, -1, np.int64), 0
    for h0 in range(n):
        if loop[h0] >= 0:
            continue
        lead[count] = h0
        h = h0
        ox, oy = xy[origin[h0], 0], xy[origin[h0], 1]
        while loop[h] < 0:
            loop[h] = count
            v, w = origin[h], origin[h ^ 1]
            area2[count] += turn(ox, oy, xy[v, 0], xy[v, 1], xy[w, 0], xy[w, 1])
            if mark[h] >= 0:
                side[count] = mark[h] if side[count] < 0 or side[count] == mark[h] else 2
            h = following[h]
        count += 1
    return loop, area2[:count], lead[:count], side[:count], count


@rows
def loop_contains(xy, origin, loop, number, x, y):
    """Tell whether a point lies inside a loop of half-edges; points on the loop may be either."""
    inside = False
    for h in range(len(origin)):
        if loop[h] != number:
            continue
        v, w = origin[h], origin[h ^ 1]
        if (xy[v, 1] <= y) != (xy[w, 1] <= y):
            t = turn(xy[v, 0], xy[v, 1], xy[w, 0], xy[w, 1], x, y)
            if t != 0 and (t > 0) == (xy[w, 1] > xy[v, 1]):
                inside = not inside
    return inside
