"""Shells of solids as half-edges: closed, manifold, in one piece, every face looking outwards.

Vertices count by position: two numbers at one place are one vertex. A corner is where a half-edge starts in its ring; `after`
gives the next corner of each, and where rings of a face touch, the next corner of the walk that keeps the interior on
its left (`rings.join_touching`), so that corner by corner the face has one sector.

References
----------
Ledoux (2013), On the validation of solids represented with the international standards for geographic information.
"""

from __future__ import annotations

import numpy as np

from felsina.kernels._backend import rows
from felsina.kernels.geometry.exact import fan_volume, sign_of


@rows
def number_places(vertices, ids):
    """Number vertices by position, in the order of x, y, z; return the number of each of `ids` and how many there are."""
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
def pair_half_edges(place, n_place, after):
    """Pair half-edges that run between the same places, in either direction.

    Returns
    -------
    twin : (n,) int64
        The other half-edge where there are exactly two, else the next one of the same edge in a circle, itself if alone.
    uses : (n,) int64
        How many half-edges run along the edge of each.
    is_same_way : (n,) bool
        True where the twin of a pair runs in the same direction.
    """
    n = len(place)
    key = np.empty(n, np.int64)
    for e in range(n):
        v, w = place[e], place[after[e]]
        key[e] = min(v, w) * n_place + max(v, w)
    order = np.argsort(key)
    twin, uses = np.empty(n, np.int64), np.empty(n, np.int64)
    is_same_way = np.zeros(n, np.bool_)
    a = 0
    while a < n:
        b = a + 1
        while b < n and key[order[b]] == key[order[a]]:
            b += 1
        for i in range(a, b):
            twin[order[i]] = order[i + 1 if i + 1 < b else a]
            uses[order[i]] = b - a
        if b - a == 2:
            is_same = place[order[a]] == place[order[a + 1]]
            is_same_way[order[a]], is_same_way[order[a + 1]] = is_same, is_same
        a = b
    return twin, uses, is_same_way


@rows
def spread_orientation(face, twin, uses, is_same_way, n_face):
    """Walk over edges with two faces and say which faces have to be turned over to agree with the first of their component.

    Returns
    -------
    component : (n_face,) int64
        Lowest face of the component of each.
    is_turned : (n_face,) bool
    is_orientable : bool
        False where a component cannot be oriented (as a Moebius strip).
    """
    component, is_turned = np.full(n_face, -1, np.int64), np.zeros(n_face, np.bool_)
    n_edge = len(face)
    first, count = np.zeros(n_face + 1, np.int64), np.zeros(n_face, np.int64)
    for e in range(n_edge):
        first[face[e] + 1] += 1
    for f in range(n_face):
        first[f + 1] += first[f]
    edges = np.empty(n_edge, np.int64)
    for e in range(n_edge):
        f = face[e]
        edges[first[f] + count[f]] = e
        count[f] += 1
    stack = np.empty(n_face, np.int64)
    is_orientable = True
    for start in range(n_face):
        if component[start] >= 0:
            continue
        component[start] = start
        stack[0], n_stack = start, 1
        while n_stack > 0:
            n_stack -= 1
            f = stack[n_stack]
            for i in range(first[f], first[f + 1]):
                e = edges[i]
                if uses[e] != 2:
                    continue
                g = face[twin[e]]
                turned = is_turned[f] != is_same_way[e]
                if component[g] < 0:
                    component[g], is_turned[g] = start, turned
                    stack[n_stack] = g
                    n_stack += 1
                elif is_turned[g] != turned:
                    is_orientable = False
    return component, is_turned, is_orientable


@rows
def join_by_edges(face, twin, n_face):
    """Return the lowest face of the component of each face, over edges of any number of faces."""
    parent = np.arange(n_face)
    for e in range(len(face)):
        x, y = _root(parent, face[e]), _root(parent, face[twin[e]])
        parent[max(x, y)] = min(x, y)
    for f in range(n_face):
        parent[f] = _root(parent, f)
    return parent


@rows
def _root(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@rows
def split_vertices(place, n_place, after, twin, uses, is_same_way):
    """Find vertices around which the faces form more than one fan.

    Returns
    -------
    (n_place, 2) int64
        A corner of either of two fans, or -1 where there is one fan. Edges of one or more than two faces join nothing.
    """
    n = len(place)
    fan = np.arange(n)
    for e in range(n):
        if uses[e] != 2:
            continue
        o = twin[e]
        # e starts at corner e and ends at after[e]; a twin the other way ends where e starts.
        start, end = (o, after[o]) if is_same_way[e] else (after[o], o)
        x, y = _root(fan, e), _root(fan, start)
        fan[max(x, y)] = min(x, y)
        x, y = _root(fan, after[e]), _root(fan, end)
        fan[max(x, y)] = min(x, y)
    found = np.full((n_place, 2), -1, np.int64)
    for e in range(n):
        v, root = place[e], _root(fan, e)
        if found[v, 0] < 0:
            found[v, 0] = root
        elif found[v, 0] != root and found[v, 1] < 0:
            found[v, 1] = root
    for v in range(n_place):
        if found[v, 1] < 0:
            found[v, 0] = -1
    return found


@rows
def signed_volume(vertices, face_rings, ring_offsets, face_offsets, faces, is_turned):
    """Return the sign of the volume that some faces enclose, each of them turned over where told; exact for closed shells."""
    high, low = np.int64(0), np.int64(0)
    origin = face_rings[ring_offsets[face_offsets[faces[0]]]]
    for i in range(len(faces)):
        f = faces[i]
        h, m = np.int64(0), np.int64(0)
        for r in range(face_offsets[f], face_offsets[f + 1]):
            h, m = fan_volume(vertices, face_rings[ring_offsets[r] : ring_offsets[r + 1]], origin, h, m)
        high, low = (high - h, low - m) if is_turned[i] else (high + h, low + m)
    return sign_of(high + (low >> 30), low & np.int64((1 << 30) - 1))
