"""Labels of least energy for faces that touch: data term and Potts smoothness, by alpha expansion on exact minimum cuts.

    E(l) = sum_f D[f, l_f] + sum_{f,g} w[f, g] (l_f != l_g)

Costs are integers, so a cut has no rounding. Of all minimum cuts the one with the fewest faces on the source side is taken
(those that the residual graph reaches), which is unique: labels do not depend on how the flow was found. Expansions run through
the labels in order and are kept only where they lower the energy.

Alpha expansion: Boykov, Veksler & Zabih 2001, doi:10.1109/34.969114. Graph of a binary energy: Kolmogorov & Zabih 2004,
doi:10.1109/TPAMI.2004.1262177. Maximum flow: Dinic 1970.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows

Integers = NDArray[np.int64]

SWEEPS = 4  # over all labels; two are the rule


def label_faces(cost: Integers, pairs: Integers, weight: Integers, sweeps: int = SWEEPS) -> Integers:
    """Return labels of low energy.

    Parameters
    ----------
    cost : (n_face, n_label) int64
        D, non-negative; sums over all faces below 2^62.
    pairs : (n_pair, 2) int64
        Faces that touch, each pair once.
    weight : (n_pair,) int64
        w, non-negative, in the units of `cost`.
    sweeps : int
        Most passes through the labels; it ends sooner when nothing changes.

    Returns
    -------
    (n_face,) int64
        Within twice the least energy (Boykov et al., theorem 6.1), and the least one for two labels.
    """
    label = np.empty(len(cost), np.int64)
    _expand(cost, pairs, weight, sweeps, label)
    return label


@rows
def minimum_cut(n, source, sink, head, following, target, capacity, level):
    """Push the maximum flow from source to sink; level >= 0 then marks the source side of the least minimum cut.

    Arcs are linked lists, arc e ^ 1 is the reverse of e; `capacity` becomes the residual capacity.
    """
    current, queue = np.empty(n, np.int64), np.empty(n, np.int64)
    node, arc = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
    while True:
        level[:n] = -1
        level[source], queue[0] = 0, source
        first, last = 0, 1
        while first < last:
            u = queue[first]
            first += 1
            e = head[u]
            while e >= 0:
                if capacity[e] > 0 and level[target[e]] < 0:
                    level[target[e]] = level[u] + 1
                    queue[last] = target[e]
                    last += 1
                e = following[e]
        if level[sink] < 0:
            return
        current[:n] = head[:n]
        depth, node[0] = 0, source
        while True:
            u = node[depth]
            if u == sink:
                flow = capacity[arc[0]]
                for k in range(1, depth):
                    flow = min(flow, capacity[arc[k]])
                back = depth
                for k in range(depth - 1, -1, -1):
                    capacity[arc[k]] -= flow
                    capacity[arc[k] ^ 1] += flow
                    if capacity[arc[k]] == 0:
                        back = k
                depth = back
                continue
            e = current[u]
            while e >= 0 and not (capacity[e] > 0 and level[target[e]] == level[u] + 1):
                e = following[e]
            current[u] = e
            if e >= 0:
                arc[depth] = e
                depth += 1
                node[depth] = target[e]
            elif depth == 0:
                break
            else:
                depth -= 1
                current[node[depth]] = following[current[node[depth]]]


@rows
def _connect(m, a, b, forth, head, following, target, capacity):
    target[m], capacity[m], following[m] = b, forth, head[a]
    head[a] = m
    target[m + 1], capacity[m + 1], following[m + 1] = a, 0, head[b]
    head[b] = m + 1
    return m + 2


@rows
def _expand(cost, pairs, weight, sweeps, label):
    n_face, n_label = cost.shape
    for f in range(n_face):
        best = 0
        for c in range(1, n_label):
            if cost[f, c] < cost[f, best]:
                best = c
        label[f] = best
    n_pair, n = len(pairs), n_face + 2
    source, sink = n_face, n_face + 1
    size = 2 * (n_pair + n_face) + 2
    head, following, target = np.empty(n, np.int64), np.empty(size, np.int64), np.empty(size, np.int64)
    capacity, level, gain = np.empty(size, np.int64), np.empty(n, np.int64), np.empty(n_face, np.int64)
    for _ in range(sweeps):
        is_changed = False
        for alpha in range(n_label):
            # x = 1 on the sink side means that a face takes alpha; `gain` is what that costs more than its label.
            for f in range(n_face):
                gain[f] = cost[f, alpha] - cost[f, label[f]]
            head[:] = -1
            m = 0
            for p in range(n_pair):
                a, b, w = pairs[p, 0], pairs[p, 1], weight[p]
                both = w if label[a] != label[b] else 0
                only_b = w if label[a] != alpha else 0
                only_a = w if label[b] != alpha else 0
                gain[a] += only_a - both
                gain[b] -= only_a
                if only_b + only_a - both > 0:
                    m = _connect(m, a, b, only_b + only_a - both, head, following, target, capacity)
            for f in range(n_face):
                if label[f] == alpha:
                    continue
                if gain[f] > 0:
                    m = _connect(m, source, f, gain[f], head, following, target, capacity)
                elif gain[f] < 0:
                    m = _connect(m, f, sink, -gain[f], head, following, target, capacity)
            minimum_cut(n, source, sink, head, following, target, capacity, level)
            change = np.int64(0)
            for f in range(n_face):
                if level[f] < 0:
                    change += cost[f, alpha] - cost[f, label[f]]
            for p in range(n_pair):
                a, b = pairs[p, 0], pairs[p, 1]
                if level[a] >= 0 and level[b] >= 0:
                    continue
                la, lb = label[a] if level[a] >= 0 else alpha, label[b] if level[b] >= 0 else alpha
                change += weight[p] * ((1 if la != lb else 0) - (1 if label[a] != label[b] else 0))
            if change < 0:
                is_changed = True
                for f in range(n_face):
                    if level[f] < 0:
                        label[f] = alpha
        if not is_changed:
            return
