"""Rings of one polygon in its plane: whether they cross, touch, lie within each other and leave the interior in one piece.

All predicates are signs of integers. Edges meet in a sweep along one axis: a ring of many corners costs little more than its
sorting. Rings may touch in single points (ISO 19107 allows it); they are then joined there, so that a walk along the joined
rings has the interior on its left and a sector of it at each corner.

References
----------
ISO 19107:2003, 6.3.4-6.3.8 as read in Ledoux (2013), On the validation of solids represented with the international standards
for geographic information.
"""

from __future__ import annotations

import numpy as np

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.exact import turn


@cell
def _turn(p, i, j, k):
    return turn(p[i, 0], p[i, 1], p[j, 0], p[j, 1], p[k, 0], p[k, 1])


@cell
def _is_between(p, i, j, k):
    return min(p[i, 0], p[j, 0]) <= p[k, 0] <= max(p[i, 0], p[j, 0]) and min(p[i, 1], p[j, 1]) <= p[k, 1] <= max(
        p[i, 1], p[j, 1]
    )


@cell
def _same(p, i, j):
    return p[i, 0] == p[j, 0] and p[i, 1] == p[j, 1]


APART, TOUCH, CROSS = 0, 1, 2


@rows
def _contact(p, a, b, c, d):
    """Return how the closed segments a-b and c-d meet, and for a touch the end of one of them at which they do."""
    t1, t2, t3, t4 = _turn(p, a, b, c), _turn(p, a, b, d), _turn(p, c, d, a), _turn(p, c, d, b)
    if ((t1 > 0 and t2 < 0) or (t1 < 0 and t2 > 0)) and ((t3 > 0 and t4 < 0) or (t3 < 0 and t4 > 0)):
        return CROSS, -1
    place, n_place = -1, 0
    for end, sign, v, w in ((c, t1, a, b), (d, t2, a, b), (a, t3, c, d), (b, t4, c, d)):
        if sign == 0 and _is_between(p, v, w, end) and (n_place == 0 or not _same(p, end, place)):
            place = end
            n_place += 1
    if n_place > 1:
        return CROSS, -1  # they share more than a point
    return (TOUCH if n_place == 1 else APART), place


@rows
def ring_contacts(p, before, after, ring):
    """Find where the edges of rings meet.

    Parameters
    ----------
    p : (n, 2) int64
        Corners of all rings of a polygon.
    before, after, ring : (n,) int64
        Neighbours of each corner, and its ring.

    Returns
    -------
    is_simple : bool
        False where a ring crosses or touches itself (104).
    crossing : (2,) int64
        Two rings that cross or share more than a point (201), or -1.
    touches : (n_touch, 3) int64
        Corner at which two rings touch, and the edges (by first corner) of either that meet there.
    """
    n = len(p)
    crossing = np.full(2, -1, np.int64)
    touches, n_touch = np.empty((4, 3), np.int64), 0
    low = np.empty(n, np.int64)
    for i in range(n):
        low[i] = min(p[i, 0], p[after[i], 0])
        # A neighbour that folds back lies on the edge itself.
        j, k = after[i], after[after[i]]
        onward = (p[j, 0] - p[i, 0]) * (p[k, 0] - p[j, 0]) + (p[j, 1] - p[i, 1]) * (p[k, 1] - p[j, 1])
        if onward < 0 and _turn(p, i, j, k) == 0:
            return False, crossing, touches[:0]
    order = np.argsort(low)
    is_simple = True
    for i in range(n):
        a = order[i]
        b = after[a]
        east = max(p[a, 0], p[b, 0])
        south, north = min(p[a, 1], p[b, 1]), max(p[a, 1], p[b, 1])
        for j in range(i + 1, n):
            c = order[j]
            if low[c] > east:
                break
            d = after[c]
            if min(p[c, 1], p[d, 1]) > north or max(p[c, 1], p[d, 1]) < south or b == c or d == a:
                continue
            kind, place = _contact(p, a, b, c, d)
            if kind == APART:
                continue
            if ring[a] == ring[c]:
                is_simple = False
            elif kind == CROSS or _pass_through(p, before, after, a, c, place):
                crossing[0], crossing[1] = min(ring[a], ring[c]), max(ring[a], ring[c])
            else:
                if n_touch == len(touches):
                    grown = np.empty((2 * n_touch, 3), np.int64)
                    for k in range(n_touch):  # a copy of a slice would cost seconds to compile
                        for q in range(3):
                            grown[k, q] = touches[k, q]
                    touches = grown
                touches[n_touch, 0], touches[n_touch, 1], touches[n_touch, 2] = place, a, c
                n_touch += 1
    return is_simple, crossing, touches[:n_touch]


@rows
def _arms(p, before, after, edge, place):
    """Return the corners before and after a place on an edge."""
    if _same(p, edge, place):
        return before[edge], after[edge]
    if _same(p, after[edge], place):
        return edge, after[after[edge]]
    return edge, after[edge]


@rows
def _is_in_sector(p, o, start, end, k):
    """Tell whether the direction o -> k lies strictly within the sector from o -> start anticlockwise to o -> end."""
    whole = _turn(p, o, start, end)
    if whole > 0:
        return _turn(p, o, start, k) > 0 and _turn(p, o, k, end) > 0
    if whole < 0:
        return not (_turn(p, o, end, k) >= 0 and _turn(p, o, k, start) >= 0)
    return _turn(p, o, start, k) > 0  # a straight angle


@rows
def _pass_through(p, before, after, a, c, place):
    """Tell whether the ring of edge c changes sides of the ring of edge a at the place where they meet."""
    r1, r2 = _arms(p, before, after, a, place)
    s1, s2 = _arms(p, before, after, c, place)
    return _is_in_sector(p, place, r2, r1, s1) != _is_in_sector(p, place, r2, r1, s2)


@rows
def _is_inside(p, a, b, k):
    """Tell whether point k lies inside the ring of corners a..b (exclusive)."""
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
def ring_area2(p, a, b):
    """Return twice the signed area of the ring of corners a..b (exclusive)."""
    total = np.int64(0)
    for i in range(a + 1, b - 1):
        total += _turn(p, a, i, i + 1)
    return total


@rows
def is_ring_within(p, offsets, before, after, ring, touches, outer, inner):
    """Tell whether one ring lies inside another that it does not cross.

    Where they touch, the direction in which the inner ring leaves tells; else any of its corners.
    """
    for k in range(len(touches)):
        place, a, c = touches[k, 0], touches[k, 1], touches[k, 2]
        if ring[a] == inner and ring[c] == outer:
            a, c = c, a
        if ring[a] != outer or ring[c] != inner:
            continue
        r1, r2 = _arms(p, before, after, a, place)
        s1, _ = _arms(p, before, after, c, place)
        if ring_area2(p, offsets[outer], offsets[outer + 1]) < 0:
            r1, r2 = r2, r1
        return _is_in_sector(p, place, r2, r1, s1)
    return _is_inside(p, offsets[outer], offsets[outer + 1], offsets[inner])


@rows
def are_duplicates(p, offsets, r, s):
    """Tell whether two rings have the same corners, in either direction."""
    n = offsets[r + 1] - offsets[r]
    if n != offsets[s + 1] - offsets[s]:
        return False
    a, b = offsets[r], offsets[s]
    for shift in range(n):
        if not _same(p, a, b + shift):
            continue
        is_forward, is_backward = True, True
        for k in range(n):
            is_forward = is_forward and _same(p, a + k, b + (shift + k) % n)
            is_backward = is_backward and _same(p, a + k, b + (shift - k) % n)
        if is_forward or is_backward:
            return True
    return False


@rows
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@rows
def is_interior_connected(p, ring, touches, n_ring):
    """Tell whether the interior is in one piece: the graph of rings and the points at which they touch has no cycle (205)."""
    n = len(touches)
    parent = np.arange(n_ring + n)
    is_joined = np.zeros((n, n_ring), np.bool_)
    for k in range(n):
        point = 0  # the first touch at this place stands for it
        while not _same(p, touches[k, 0], touches[point, 0]):
            point += 1
        for m in (1, 2):
            r = ring[touches[k, m]]
            if is_joined[point, r]:
                continue
            is_joined[point, r] = True
            x, y = _root(parent, r), _root(parent, n_ring + point)
            if x == y:
                return False
            parent[max(x, y)] = min(x, y)
    return True


@rows
def join_touching(p, before, after, ring, touches):
    """Join rings where corners of two meet, so that the walk along `after` keeps the interior on its left.

    `before` and `after` are changed. Rings are valid: they touch in single points and leave the interior in one piece.

    Returns
    -------
    bool
        False where a corner of one ring lies on an edge of another between its ends; such rings cannot be joined.
    """
    n = len(p)
    n_ring = ring.max() + 1
    parent = np.arange(n_ring)
    is_conforming = True
    for k in range(len(touches)):
        place, a, c = touches[k, 0], touches[k, 1], touches[k, 2]
        x, y = _root(parent, ring[a]), _root(parent, ring[c])
        if x == y:
            continue
        # Of the corners at the place, the one of either walk in whose sector the other walk lies.
        i, j = -1, -1
        for v in range(n):
            if _same(p, v, place) and _root(parent, ring[v]) == x:
                for w in range(n):
                    if (
                        _same(p, w, place)
                        and _root(parent, ring[w]) == y
                        and _is_in_sector(p, v, after[v], before[v], after[w])
                        and _is_in_sector(p, w, after[w], before[w], after[v])
                    ):
                        i, j = v, w
        if i < 0:
            is_conforming = False
            continue
        ahead, behind = after[i], after[j]
        after[i], before[behind] = behind, i
        after[j], before[ahead] = ahead, j
        parent[max(x, y)] = min(x, y)
    return is_conforming
