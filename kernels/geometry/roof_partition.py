"""The outline of roof parts: labelled faces dissolved, straightened, freed of short edges, moved onto exact intersections.

A partition is a set of half-edges (2 e and 2 e + 1 are the sides of edge e) with the label to the left of each; -1 is outside.
Every step is a move of one vertex that is taken only if no edge then meets another one away from their common ends and the
labels around every vertex it touches still agree: both are signs of integers, so a valid partition stays valid exactly, and
nothing has to be repaired afterwards.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.arrangement import segments_meet, turn

Integers = NDArray[np.int64]

STRAIGHT_MM = 25  # a vertex this near the straight line goes
SHORT_MM = 60  # shorter edges collapse
MOVE_MM = 80  # farther from its intersection a vertex is no vertex of it
_LEAST_SLOPE = 0.08  # difference of gradients that gives an intersection
_PINNED_MM = 3  # a corner of the footprint this flat is none: no survey sees it, and rounded heights tilt its triangle
_SETTLED_MM = 20  # reach of the second straightening: less, since it may undo a move
_AGREE_MM = 5.0  # heights nearer than this at the solved place count when the grid point is chosen


class Partition(NamedTuple):
    """Half-edges between labels.

    Attributes
    ----------
    xy : (n_vertex, 2) int64
        Vertices [mm].
    origin : (2 n_edge,) int64
        Vertex at which each half-edge starts.
    label : (2 n_edge,) int64
        Label to the left, -1 outside.
    source : (n_edge,) int64
        Edge of the footprint that the edge lies on, -1 inside.
    """

    xy: Integers
    origin: Integers
    label: Integers
    source: Integers


def dissolve(xy: Integers, origin: Integers, face: Integers, source: Integers, label: Integers) -> Partition:
    """Keep the edges of an arrangement that part two labels.

    Parameters
    ----------
    xy, origin, face, source
        See `arrangement.Arrangement`.
    label : (n_face,) int64
        Label of each face, >= 0.
    """
    sides = np.where(face >= 0, label[face], -1)
    kept = sides[0::2] != sides[1::2]
    both = np.repeat(kept, 2)
    return Partition(xy.copy(), origin[both], sides[both], source[kept])


def tidy(
    partition: Partition,
    coefficients: NDArray[np.float64],
    outline: Integers,
    straight_mm: int = STRAIGHT_MM,
    short_mm: int = SHORT_MM,
    move_mm: int = MOVE_MM,
    held: NDArray[np.bool_] | None = None,
) -> Partition:
    """Straighten edges, collapse short ones and put vertices where planes and footprint edges meet.

    Corners of the footprint never move; those within 3 mm of the straight line go.

    Parameters
    ----------
    partition : Partition
    coefficients : (n_label, 3) float64
        a [1], b [1], c [mm] of z = a x + b y + c, x and y in mm.
    outline : (n_edge, 4) int64
        Edges of the footprint [mm].
    straight_mm, short_mm, move_mm : int
        Reach of the three steps [mm]; 0 leaves a step out.
    held : (n_vertex,) bool, optional
        Vertices that stay as they are, with their edges.
    """
    held = np.zeros(len(partition.xy), np.bool_) if held is None else held
    xy, origin, label, source = (a.copy() for a in partition)
    is_alive = np.ones(len(source), np.bool_)
    _tidy(xy, origin, label, source, is_alive, held, coefficients, outline, straight_mm, short_mm, move_mm)
    both = np.repeat(is_alive, 2)
    return Partition(xy, origin[both], label[both], source[is_alive])


@rows
def _star(xy, origin, is_alive, v, star):
    """Fill the half-edges that leave v, anticlockwise; return their number, -1 where two leave in one direction."""
    m = 0
    x, y = xy[v, 0], xy[v, 1]
    is_good = True
    for h in range(len(origin)):
        if origin[h] != v or not is_alive[h >> 1]:
            continue
        if m == len(star):
            return -1
        w = origin[h ^ 1]
        dx, dy = xy[w, 0] - x, xy[w, 1] - y
        half = 0 if dy > 0 or (dy == 0 and dx > 0) else 1
        k = m
        while k > 0:
            o = origin[star[k - 1] ^ 1]
            ex, ey = xy[o, 0] - x, xy[o, 1] - y
            other = 0 if ey > 0 or (ey == 0 and ex > 0) else 1
            cross = ex * dy - ey * dx
            if other == half and cross == 0:
                is_good = False
            if other < half or (other == half and cross >= 0):
                break
            star[k] = star[k - 1]
            k -= 1
        star[k] = h
        m += 1
    return m if is_good else -1


@rows
def _agrees(xy, origin, label, is_alive, v, star):
    """Tell whether the labels on both sides of every sector around v are the same and at most one sector is outside."""
    m = _star(xy, origin, is_alive, v, star)
    if m < 0 or m == 1:
        return False
    outside = 0
    for k in range(m):
        if label[star[k]] != label[star[(k + 1) % m] ^ 1]:
            return False
        if label[star[k]] < 0:
            outside += 1
    return outside <= 1


@rows
def _is_free(xy, origin, is_alive, e):
    """Tell whether an edge meets the others in its own ends only."""
    a, b = origin[2 * e], origin[2 * e + 1]
    ax, ay, bx, by = xy[a, 0], xy[a, 1], xy[b, 0], xy[b, 1]
    if ax == bx and ay == by:
        return False
    for f in range(len(is_alive)):
        if f == e or not is_alive[f]:
            continue
        c, d = origin[2 * f], origin[2 * f + 1]
        cx, cy, dx, dy = xy[c, 0], xy[c, 1], xy[d, 0], xy[d, 1]
        if not segments_meet(ax, ay, bx, by, cx, cy, dx, dy):
            continue
        if c in (a, b) or d in (a, b):
            if (c == a and d == b) or (c == b and d == a):
                return False
            # From the common end: only an edge in the same direction lies on this one.
            if c == a:
                ox, oy, px, py, qx, qy = ax, ay, bx, by, dx, dy
            elif c == b:
                ox, oy, px, py, qx, qy = bx, by, ax, ay, dx, dy
            elif d == a:
                ox, oy, px, py, qx, qy = ax, ay, bx, by, cx, cy
            else:
                ox, oy, px, py, qx, qy = bx, by, ax, ay, cx, cy
            if turn(ox, oy, px, py, qx, qy) != 0 or (px - ox) * (qx - ox) + (py - oy) * (qy - oy) < 0:
                continue
        return False
    return True


@rows
def _is_star_good(xy, origin, label, is_alive, v, star, other):
    """Tell whether the partition is valid around v: its edges free, labels in agreement at v and at all ends."""
    m = _star(xy, origin, is_alive, v, star)
    if m < 0:
        return False
    for k in range(m):
        if not _is_free(xy, origin, is_alive, star[k] >> 1):
            return False
    for k in range(m):
        if not _agrees(xy, origin, label, is_alive, origin[star[k] ^ 1], other):
            return False
    return _agrees(xy, origin, label, is_alive, v, star)


@rows
def _find_edge(origin, is_alive, a, b):
    """Return the half-edge from a to b, -1 if there is none."""
    for h in range(len(origin)):
        if origin[h] == a and is_alive[h >> 1] and origin[h ^ 1] == b:
            return h
    return -1


@rows
def _straighten(xy, origin, label, source, is_alive, pinned, held, reach, star, other):
    """Take out vertices of degree 2 that lie within `reach` of the line between their neighbours."""
    is_changed = True
    while is_changed:
        is_changed = False
        for v in range(len(xy)):
            if held[v]:
                continue
            m = _star(xy, origin, is_alive, v, star)
            if m != 2:
                continue
            limit = min(reach, _PINNED_MM) if pinned[v] else reach
            h, g = star[0], star[1]
            a, b = origin[h ^ 1], origin[g ^ 1]
            dx, dy = xy[b, 0] - xy[a, 0], xy[b, 1] - xy[a, 1]
            px, py = xy[v, 0] - xy[a, 0], xy[v, 1] - xy[a, 1]
            length2, dot = dx * dx + dy * dy, dx * px + dy * py
            cross = float(dx * py - dy * px)
            if dot <= 0 or dot >= length2 or cross * cross > float(limit * limit) * float(length2):
                continue
            if _find_edge(origin, is_alive, a, b) >= 0:
                continue
            # h becomes b -> a: what lay to the left of v -> a.
            origin[h] = b
            is_alive[g >> 1] = False
            if (
                _is_free(xy, origin, is_alive, h >> 1)
                and _agrees(xy, origin, label, is_alive, a, star)
                and _agrees(xy, origin, label, is_alive, b, other)
            ):
                is_changed = True
            else:
                origin[h] = v
                is_alive[g >> 1] = True


@rows
def _collapse(xy, origin, label, source, is_alive, h0, star, other):
    """Collapse the half-edge h0 = v -> u onto u; return whether the partition stays valid, otherwise leave it broken."""
    v, u = origin[h0], origin[h0 ^ 1]
    is_alive[h0 >> 1] = False
    m = _star(xy, origin, is_alive, v, star)
    if m < 0:
        return False
    leaving = star[:m].copy()
    for k in range(m):
        h = leaving[k]
        c = origin[h ^ 1]
        g = _find_edge(origin, is_alive, u, c)
        if g < 0:
            origin[h] = u
            continue
        # The triangle u, c, v vanishes; its two sides become one edge.
        if turn(xy[u, 0], xy[u, 1], xy[c, 0], xy[c, 1], xy[v, 0], xy[v, 1]) > 0:
            label[g] = label[h]
        else:
            label[g ^ 1] = label[h ^ 1]
        is_alive[h >> 1] = False
        source[g >> 1] = max(source[g >> 1], source[h >> 1])
        if label[g] == label[g ^ 1]:
            is_alive[g >> 1] = False
    for k in range(m):
        if not _agrees_or_gone(xy, origin, label, is_alive, origin[leaving[k] ^ 1], other):
            return False
    return _is_star_good(xy, origin, label, is_alive, u, star, other)


@rows
def _agrees_or_gone(xy, origin, label, is_alive, v, star):
    return _star(xy, origin, is_alive, v, star) == 0 or _agrees(xy, origin, label, is_alive, v, star)


@rows
def _collapse_short(xy, origin, label, source, is_alive, pinned, held, short, star, other):
    """Collapse edges, the shortest first, footprint vertices onto nothing and boundary vertices along the boundary only."""
    n = len(is_alive)
    is_banned = np.zeros(n, np.bool_)
    n_alive = 0
    for e in range(n):
        n_alive += 1 if is_alive[e] else 0
    on_boundary = np.zeros(len(xy), np.bool_)
    while n_alive > 4:
        best, best2 = -1, np.int64(short) * short
        on_boundary[:] = False
        for e in range(n):
            if is_alive[e] and (label[2 * e] < 0 or label[2 * e + 1] < 0):
                on_boundary[origin[2 * e]] = True
                on_boundary[origin[2 * e + 1]] = True
        for e in range(n):
            if not is_alive[e] or is_banned[e]:
                continue
            a, b = origin[2 * e], origin[2 * e + 1]
            d2 = (xy[a, 0] - xy[b, 0]) ** 2 + (xy[a, 1] - xy[b, 1]) ** 2
            if d2 < best2 and not (pinned[a] and pinned[b]) and not held[a] and not held[b]:
                best, best2 = e, d2
        if best < 0:
            return
        a, b = origin[2 * best], origin[2 * best + 1]
        rank_a = 2 if pinned[a] else 1 if on_boundary[a] else 0
        rank_b = 2 if pinned[b] else 1 if on_boundary[b] else 0
        is_outer = label[2 * best] < 0 or label[2 * best + 1] < 0
        if rank_a > 0 and rank_b > 0 and not is_outer:
            is_banned[best] = True  # it would pinch the footprint
            continue
        h0 = 2 * best if rank_a < rank_b or (rank_a == rank_b and a > b) else 2 * best + 1
        keep_origin, keep_label, keep_source, keep_alive = origin.copy(), label.copy(), source.copy(), is_alive.copy()
        if not _collapse(xy, origin, label, source, is_alive, h0, star, other):
            origin[:], label[:], source[:], is_alive[:] = keep_origin, keep_label, keep_source, keep_alive
            is_banned[best] = True
        n_alive = 0
        for e in range(n):
            n_alive += 1 if is_alive[e] else 0


@cell
def plane_height(coefficients, k, x, y):
    """Return the height of plane k [mm] at x, y [mm]."""
    return coefficients[k, 0] * float(x) + coefficients[k, 1] * float(y) + coefficients[k, 2]


@rows
def _solve(xy, origin, label, source, is_alive, pinned, held, coefficients, outline, reach, star, other):
    """Move vertices onto the intersections of the planes around them, along the footprint edge they lie on."""
    size = len(star) + 2
    cx, cy, cd, kind = np.empty(size), np.empty(size), np.empty(size), np.empty(size, np.int64)
    one, two = np.empty(size, np.int64), np.empty(size, np.int64)
    for v in range(len(xy)):
        if pinned[v] or held[v]:
            continue
        m = _star(xy, origin, is_alive, v, star)
        if m < 2:
            continue
        x0, y0 = xy[v, 0], xy[v, 1]
        n = 0
        for k in range(m):
            e = source[star[k] >> 1]
            if e >= 0 and n == 0:
                ux, uy = float(outline[e, 2] - outline[e, 0]), float(outline[e, 3] - outline[e, 1])
                size_u = math.sqrt(ux * ux + uy * uy)
                cx[0], cy[0], kind[0] = -uy / size_u, ux / size_u, 0
                cd[0] = cx[0] * float(x0 - outline[e, 0]) + cy[0] * float(y0 - outline[e, 1])
                n = 1
        for k in range(m):
            a, b = label[star[k]], label[star[k] ^ 1]
            if a < 0 or b < 0:
                continue
            gx, gy = coefficients[a, 0] - coefficients[b, 0], coefficients[a, 1] - coefficients[b, 1]
            slope = math.sqrt(gx * gx + gy * gy)
            if slope <= _LEAST_SLOPE:
                continue
            d = (plane_height(coefficients, a, x0, y0) - plane_height(coefficients, b, x0, y0)) / slope
            if abs(d) < reach:
                cx[n], cy[n], cd[n], kind[n], one[n], two[n] = gx / slope, gy / slope, d, 1, a, b
                n += 1
        if n == 0 or (n == 1 and kind[0] == 0):
            continue
        dx, dy = -cd[0] * cx[0], -cd[0] * cy[0]
        for k in range(1, n):
            s = -cy[0] * cx[k] + cx[0] * cy[k]
            if abs(s) < 0.2:
                continue
            t = -(cd[k] + cx[k] * dx + cy[k] * dy) / s
            dx, dy = dx - cy[0] * t, dy + cx[0] * t
            break
        if math.sqrt(dx * dx + dy * dy) > reach:
            continue
        # The grid point about the solution where the heights that should agree do so best.
        best, best_x, best_y = 1e30, x0, y0
        bx, by = x0 + np.int64(round(dx)), y0 + np.int64(round(dy))
        for jy in range(-1, 2):
            for jx in range(-1, 2):
                qx, qy = bx + jx, by + jy
                worst = 0.0
                for k in range(n):
                    off = cd[k] + cx[k] * float(qx - x0) + cy[k] * float(qy - y0)
                    if kind[k] == 1:
                        off = plane_height(coefficients, one[k], qx, qy) - plane_height(coefficients, two[k], qx, qy)
                        if abs(off) > _AGREE_MM:
                            continue
                    worst = max(worst, abs(off))
                if worst < best:
                    best, best_x, best_y = worst, qx, qy
        if best_x == x0 and best_y == y0:
            continue
        xy[v, 0], xy[v, 1] = best_x, best_y
        if not _is_star_good(xy, origin, label, is_alive, v, star, other):
            xy[v, 0], xy[v, 1] = x0, y0


@rows
def _pin(xy, outline):
    """Mark the vertices of the footprint."""
    pinned = np.zeros(len(xy), np.bool_)
    for e in range(len(outline)):
        low, high = np.searchsorted(xy[:, 0], outline[e, 0]), len(xy)
        for v in range(low, high):
            if xy[v, 0] != outline[e, 0]:
                break
            if xy[v, 1] == outline[e, 1]:
                pinned[v] = True
    return pinned


@rows
def _tidy(xy, origin, label, source, is_alive, held, coefficients, outline, straight, short, move):
    pinned = _pin(xy, outline)
    star, other = np.empty(64, np.int64), np.empty(64, np.int64)
    if straight > 0:
        _straighten(xy, origin, label, source, is_alive, pinned, held, straight, star, other)
    if short > 0:
        _collapse_short(xy, origin, label, source, is_alive, pinned, held, short, star, other)
    if move > 0:
        _solve(xy, origin, label, source, is_alive, pinned, held, coefficients, outline, move, star, other)
        # Vertices that have come near each other, or onto the straight line, by moving.
        if straight > 0:
            _straighten(xy, origin, label, source, is_alive, pinned, held, np.int64(_SETTLED_MM), star, other)
        if short > 0:
            _collapse_short(xy, origin, label, source, is_alive, pinned, held, np.int64(_SETTLED_MM), star, other)
