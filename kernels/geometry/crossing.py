"""Which triangles of a shell cross, touch or overlap each other: a tree of boxes, then exact predicates.

Triangles are put in the order of a space-filling curve (Morton 1966) through the middles of their boxes; a balanced binary tree
over that order holds the box of every range. Each triangle descends the tree and meets the later triangles whose boxes overlap
its own: n log n for surfaces. The result does not depend on the order in which pairs are met.

References
----------
Karras (2012), Maximizing parallelism in the construction of BVHs, octrees and k-d trees (Morton order for box trees).
"""

from __future__ import annotations

import numpy as np

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.exact import cross, triangles_meet


@cell
def _spread(v):
    """Put two zero bits between the ten bits of v."""
    v = (v | (v << 16)) & 0x030000FF
    v = (v | (v << 8)) & 0x0300F00F
    v = (v | (v << 4)) & 0x030C30C3
    return (v | (v << 2)) & 0x09249249


@rows
def _box_tree(p, triangles):
    """Return the order of the triangles and the boxes (2 m, 6) of a binary tree with m leaves, the root at 1."""
    n = len(triangles)
    boxes = np.empty((n, 6), np.int64)
    low, span = np.full(3, np.iinfo(np.int64).max), np.full(3, np.iinfo(np.int64).min)
    for t in range(n):
        for k in range(3):
            a, b, c = p[triangles[t, 0], k], p[triangles[t, 1], k], p[triangles[t, 2], k]
            boxes[t, k], boxes[t, 3 + k] = min(a, b, c), max(a, b, c)
            middle = boxes[t, k] + boxes[t, 3 + k]
            low[k], span[k] = min(low[k], middle), max(span[k], middle)
    code = np.empty(n, np.int64)
    for k in range(3):
        span[k] = max(span[k] - low[k], 1)
    for t in range(n):
        code[t] = 0
        for k in range(3):
            code[t] |= _spread(((boxes[t, k] + boxes[t, 3 + k] - low[k]) * 1023) // span[k]) << k
        code[t] = code[t] * n + t  # ties in the order given: the tree is the same on every machine
    order = np.argsort(code)
    m = 1
    while m < n:
        m *= 2
    tree = np.empty((2 * m, 6), np.int64)
    for i in range(m):
        for k in range(3):
            tree[m + i, k] = boxes[order[i], k] if i < n else np.iinfo(np.int64).max
            tree[m + i, 3 + k] = boxes[order[i], 3 + k] if i < n else np.iinfo(np.int64).min
    for i in range(m - 1, 0, -1):
        for k in range(3):
            tree[i, k] = min(tree[2 * i, k], tree[2 * i + 1, k])
            tree[i, 3 + k] = max(tree[2 * i, 3 + k], tree[2 * i + 1, 3 + k])
    return order, tree, m


@cell
def _overlap(tree, i, j):
    return (
        tree[i, 0] <= tree[j, 3]
        and tree[j, 0] <= tree[i, 3]
        and tree[i, 1] <= tree[j, 4]
        and tree[j, 1] <= tree[i, 4]
        and tree[i, 2] <= tree[j, 5]
        and tree[j, 2] <= tree[i, 5]
    )


@rows
def crossing_pairs(p, triangles, face, first_only):
    """Find the pairs of faces whose triangles have points in common besides shared vertices and edges.

    Parameters
    ----------
    p : (n_point, 3) int64
        Positions [mm], within `exact.LARGEST_EXTENT_MM` of each other; no two are equal.
    triangles : (n_triangle, 3) int64
        Points of each triangle; not on one line.
    face : (n_triangle,) int64
        Face of each triangle; triangles of one face are not compared.
    first_only : bool
        Stop at the first pair.

    Returns
    -------
    (n_pair, 2) int64
        Faces, the smaller number first; a pair may occur more than once.
    """
    pairs, n_pair = np.empty((1 if first_only else 16, 2), np.int64), 0
    n = len(triangles)
    if n < 2:
        return pairs[:0]
    normals = np.empty((n, 3), np.int64)
    for t in range(n):
        normals[t, 0], normals[t, 1], normals[t, 2] = cross(p, triangles[t, 0], triangles[t, 1], triangles[t, 2])
    order, tree, m = _box_tree(p, triangles)
    stack, start = np.empty(128, np.int64), np.empty(128, np.int64)
    for i in range(n):
        t = order[i]
        n_open = 1
        stack[0], start[0] = 1, m
        while n_open > 0:
            n_open -= 1
            node, width = stack[n_open], start[n_open]
            # The node covers leaves node * width - m to (node + 1) * width - m - 1; earlier ones have met this triangle.
            if (node + 1) * width - m - 1 <= i or not _overlap(tree, node, m + i):
                continue
            if width > 1:
                stack[n_open], start[n_open] = 2 * node, width // 2
                stack[n_open + 1], start[n_open + 1] = 2 * node + 1, width // 2
                n_open += 2
                continue
            u = order[node - m]
            if face[t] == face[u] or not triangles_meet(p, triangles, normals, t, u):
                continue
            if n_pair == len(pairs):
                grown = np.empty((2 * n_pair, 2), np.int64)
                for k in range(n_pair):  # a copy of a slice would cost seconds to compile
                    grown[k, 0], grown[k, 1] = pairs[k, 0], pairs[k, 1]
                pairs = grown
            pairs[n_pair, 0], pairs[n_pair, 1] = min(face[t], face[u]), max(face[t], face[u])
            n_pair += 1
            if first_only:
                return pairs[:n_pair]
    return pairs[:n_pair]
