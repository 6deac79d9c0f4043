"""Triangles of polygons with holes by ear clipping, with exact predicates on integer millimetres.

Holes are joined to the exterior ring by bridges (the hole with the easternmost vertex first, each to the nearest visible
vertex); then ears are cut. A vertex is an ear when its diagonal lies inside the polygon at both ends and its triangle holds no
other vertex. Every decision is the sign of an integer, so that a translated polygon gives the same triangles, and the areas of
the triangles sum up to that of the polygon exactly: that is how a polygon which cannot be triangulated is found.

References
----------
Meisters (1975), Polygons have ears. O'Rourke (1998), Computational Geometry in C, section 1.6 (the in-cone test).
Eberly (2002), Triangulation by ear clipping (bridges to holes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

Integers = NDArray[np.int64]


def triangulate(
    xy: Integers, ring_offsets: Integers, polygon_offsets: Integers
) -> tuple[Integers, NDArray[np.int64], NDArray[np.bool_]]:
    """Cut each polygon into triangles of its own vertices.

    Parameters
    ----------
    xy : (n_vertex, 2) int64
        Vertices [mm].
    ring_offsets : (n_ring + 1,) int64
        Vertices of each ring.
    polygon_offsets : (n_polygon + 1,) int64
        Rings of each polygon: the exterior (anticlockwise) first, then its holes (clockwise).

    Returns
    -------
    triangles : (n_triangle, 3) int64
        Vertex numbers, anticlockwise; n + 2 h - 2 triangles for n vertices and h holes.
    offsets : (n_polygon + 1,) int64
        Triangles of each polygon.
    is_complete : (n_polygon,) bool
        False where the rings touch or cross so that no triangulation exists; its triangles are then (0, 0, 0).
    """
    rings = np.diff(polygon_offsets)
    vertices = np.diff(ring_offsets[polygon_offsets])
    counts = np.where(rings > 0, np.maximum(vertices + 2 * (rings - 1) - 2, 0), 0)
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts)))
    triangles = np.zeros((int(offsets[-1]), 3), np.int64)
    is_complete = np.zeros(len(rings), np.bool_)
    _triangulate(xy, ring_offsets, polygon_offsets, offsets, triangles, is_complete)
    return triangles, offsets, is_complete


@cell
def _turn(ax, ay, bx, by, cx, cy):
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


@rows
def _is_in_cone(px, py, v, w, before, after):
    """Tell whether the segment v -> w starts inside the wedge of v between its neighbours (interior to the left)."""
    ax, ay, bx, by = px[before], py[before], px[after], py[after]
    vx, vy, wx, wy = px[v], py[v], px[w], py[w]
    if _turn(ax, ay, vx, vy, bx, by) > 0:
        return _turn(vx, vy, wx, wy, ax, ay) > 0 and _turn(wx, wy, vx, vy, bx, by) > 0
    if _turn(ax, ay, vx, vy, bx, by) == 0 and (ax - vx) * (bx - vx) + (ay - vy) * (by - vy) < 0:
        return _turn(vx, vy, wx, wy, ax, ay) > 0  # a straight angle: the half-plane on the left
    return not (_turn(vx, vy, wx, wy, bx, by) >= 0 and _turn(wx, wy, vx, vy, ax, ay) >= 0)


@cell
def _is_on_segment(px, py, a, b, c):
    return (
        min(px[a], px[b]) <= px[c] <= max(px[a], px[b])
        and min(py[a], py[b]) <= py[c] <= max(py[a], py[b])
        and _turn(px[a], py[a], px[b], py[b], px[c], py[c]) == 0
    )


@cell
def _same(px, py, a, b):
    return px[a] == px[b] and py[a] == py[b]


@rows
def _is_blocked(px, py, v, w, a, b):
    """Tell whether the edge a-b meets the segment v-w anywhere but at the ends of v-w."""
    if not (_same(px, py, a, v) or _same(px, py, a, w)) and _is_on_segment(px, py, v, w, a):
        return True
    if not (_same(px, py, b, v) or _same(px, py, b, w)) and _is_on_segment(px, py, v, w, b):
        return True
    if _same(px, py, a, v) or _same(px, py, a, w) or _same(px, py, b, v) or _same(px, py, b, w):
        return False
    d1 = _turn(px[v], py[v], px[w], py[w], px[a], py[a])
    d2 = _turn(px[v], py[v], px[w], py[w], px[b], py[b])
    d3 = _turn(px[a], py[a], px[b], py[b], px[v], py[v])
    d4 = _turn(px[a], py[a], px[b], py[b], px[w], py[w])
    return ((d1 > 0) != (d2 > 0)) and ((d3 > 0) != (d4 > 0)) and d1 != 0 and d2 != 0


@rows
def _bridge_target(px, py, before, after, n_used, m):
    """Find the nearest vertex of the outer chain that the hole vertex m sees; -1 if none."""
    best, best2 = -1, np.int64(0)
    for v in range(n_used):
        if before[v] < 0 or after[v] < 0:
            continue
        d2 = (px[v] - px[m]) ** 2 + (py[v] - py[m]) ** 2
        if d2 == 0 or (best >= 0 and d2 >= best2):
            continue
        if not _is_in_cone(px, py, v, m, before[v], after[v]):
            continue
        is_free = True
        for a in range(n_used):
            if after[a] >= 0 and _is_blocked(px, py, v, m, a, after[a]):
                is_free = False
                break
        if is_free:
            best, best2 = v, d2
    return best


@rows
def _clip(px, py, source, before, after, n, start, out):
    """Cut ears off the ring that starts at `start` with n vertices; return the number of triangles made."""
    made, v, tried = 0, start, 0
    while n > 3 and tried < n:
        p, q = before[v], after[v]
        is_ear = _turn(px[p], py[p], px[v], py[v], px[q], py[q]) > 0
        is_ear = is_ear and not _same(px, py, p, q)
        if is_ear:
            is_ear = _is_in_cone(px, py, p, q, before[p], v) and _is_in_cone(px, py, q, p, v, after[q])
        w = after[q]
        while is_ear and w != p:
            if (
                not (_same(px, py, w, p) or _same(px, py, w, v) or _same(px, py, w, q))
                and _turn(px[p], py[p], px[v], py[v], px[w], py[w]) >= 0
                and _turn(px[v], py[v], px[q], py[q], px[w], py[w]) >= 0
                and _turn(px[q], py[q], px[p], py[p], px[w], py[w]) >= 0
            ):
                is_ear = False
            w = after[w]
        if not is_ear:
            v = q
            tried += 1
            continue
        out[made, 0], out[made, 1], out[made, 2] = source[p], source[v], source[q]
        made += 1
        after[p], before[q] = q, p
        n -= 1
        tried = 0
        v = after[q]  # skip one: fans of needles from a single vertex are avoided
    if n == 3:
        p, q = before[v], after[v]
        if _turn(px[p], py[p], px[v], py[v], px[q], py[q]) > 0:
            out[made, 0], out[made, 1], out[made, 2] = source[p], source[v], source[q]
            made += 1
    return made


@rows
def triangulate_one(xy, ring_offsets, first, last, out):
    """Triangulate one polygon; return whether the triangles fill it exactly."""
    a0 = ring_offsets[first]
    n_vertex = ring_offsets[last] - a0
    n_hole = last - first - 1
    size = n_vertex + 2 * n_hole
    px, py = np.empty(size, np.int64), np.empty(size, np.int64)
    source = np.empty(size, np.int64)
    before, after = np.full(size, -1, np.int64), np.full(size, -1, np.int64)
    for i in range(n_vertex):
        # Relative to the first vertex: products stay small.
        px[i], py[i], source[i] = xy[a0 + i, 0] - xy[a0, 0], xy[a0 + i, 1] - xy[a0, 1], a0 + i
    area2 = np.int64(0)
    for r in range(first, last):
        a, b = ring_offsets[r] - a0, ring_offsets[r + 1] - a0
        if b - a < 3:
            return False
        for i in range(a, b):
            j = i + 1 if i + 1 < b else a
            after[i], before[j] = j, i
            area2 += px[i] * py[j] - px[j] * py[i]
    easternmost = np.empty(n_hole, np.int64)
    for h in range(n_hole):
        a, b = ring_offsets[first + 1 + h] - a0, ring_offsets[first + 2 + h] - a0
        m = a
        for i in range(a, b):
            if px[i] > px[m] or (px[i] == px[m] and py[i] > py[m]):
                m = i
        k = h
        while k > 0 and (
            px[easternmost[k - 1]] < px[m] or (px[easternmost[k - 1]] == px[m] and py[easternmost[k - 1]] < py[m])
        ):
            easternmost[k] = easternmost[k - 1]
            k -= 1
        easternmost[k] = m
    # Vertices of the outer chain; holes wait with their links in place and block the view, but are no targets.
    n_used = n_vertex
    outer_before = np.full(size, -1, np.int64)
    for i in range(ring_offsets[first + 1] - a0):
        outer_before[i] = before[i]
    n_chain = ring_offsets[first + 1] - a0
    for h in range(n_hole):
        m = easternmost[h]
        v = _bridge_target(px, py, outer_before, after, n_used, m)
        if v < 0:
            return False
        # A hole joined from two that touch passes the vertex twice: the bridge leaves the corner that opens towards it.
        for i in range(n_vertex):
            is_twin = i != m and _same(px, py, i, m) and before[i] >= 0 and not _is_in_cone(px, py, m, v, before[m], after[m])
            if is_twin and _is_in_cone(px, py, i, v, before[i], after[i]) and outer_before[i] < 0:
                m = i
        m2, v2 = n_used, n_used + 1
        px[m2], py[m2], source[m2] = px[m], py[m], source[m]
        px[v2], py[v2], source[v2] = px[v], py[v], source[v]
        n_used += 2
        # ... v -> m -> (around the hole) -> m2 -> v2 -> ...
        tail = before[m]
        after[v2], before[after[v]] = after[v], v2
        after[v], before[m] = m, v
        after[tail], before[m2] = m2, tail
        after[m2], before[v2] = v2, m2
        i = v
        n_chain = 0
        while True:
            outer_before[i] = before[i]
            n_chain += 1
            i = after[i]
            if i == v:
                break
    made = _clip(px, py, source, before, after, n_chain, 0, out)
    total = np.int64(0)
    for t in range(made):
        a, b, c = out[t, 0] - a0, out[t, 1] - a0, out[t, 2] - a0
        total += _turn(px[a], py[a], px[b], py[b], px[c], py[c])
    return made == len(out) and total == area2


@rows
def _triangulate(xy, ring_offsets, polygon_offsets, offsets, triangles, is_complete):
    for p in range(len(is_complete)):
        if polygon_offsets[p + 1] == polygon_offsets[p]:
            continue
        out = triangles[offsets[p] : offsets[p + 1]]
        is_complete[p] = triangulate_one(xy, ring_offsets, polygon_offsets[p], polygon_offsets[p + 1], out)
        if not is_complete[p]:
            out[:] = 0
