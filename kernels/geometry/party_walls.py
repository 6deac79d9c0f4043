"""Walls that buildings share: pairs of opposite wall edges that lie on each other in plan and overlap in height.

Two walls are a pair when they face opposite ways within `ANGLE_DEG`, and over the stretch on which their projections overlap
they are nowhere farther apart than `DISTANCE_MM`. Surveyed neighbours are drawn up to a decimetre apart or over each other, and
a street or an alley is far wider. The shared area is the length of the stretch times the common height. Each pair is computed
once, seen from its longer wall (a total order on coordinates decides between equals), and holds for both walls, so that both
sides agree to the bit and no numbering of buildings changes it. No wall shares more than it has: pairs are served from the
closest to the farthest, and a later one gets at most what is left of both walls.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows

Integers = NDArray[np.int64]

DISTANCE_MM = 100
ANGLE_DEG = 2.0
SHORTEST_MM = 100  # overlaps shorter than the distance tolerance are corners that touch
_CELL_MM = 8000  # about the length of a house wall: fewer cells a wall against fewer walls a cell


def find_party_walls(
    edges: Integers,
    heights: Integers,
    owner: Integers,
    distance_mm: int = DISTANCE_MM,
    angle_deg: float = ANGLE_DEG,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the pairs of walls of different owners that share an area.

    Parameters
    ----------
    edges : (n_wall, 4) int64
        x, y of the start and x, y of the end of each wall [mm]; the outside is on the right.
    heights : (n_wall, 2) int64
        Lower and upper height of each wall [mm].
    owner : (n_wall,) int64
        Building of each wall; walls of one owner are never paired.
    distance_mm : int
        Largest distance between the two walls along their overlap [mm].
    angle_deg : float
        Largest deviation from facing exactly opposite ways [degree].

    Returns
    -------
    pairs : (n_pair, 2) int64
        Wall numbers, the lower one first, ascending.
    area : (n_pair,) float64
        Area that both walls share [m2]; a whole number of mm2.
    """
    candidates = _candidates(edges, distance_mm)
    area2 = np.zeros(len(candidates), np.int64)
    gap = np.zeros(len(candidates), np.int64)
    _match(edges, heights, owner, candidates, float(distance_mm), math.sin(math.radians(angle_deg)) ** 2, area2, gap)
    hit = area2 > 0
    pairs, area2, gap = candidates[hit], area2[hit], gap[hit]
    # Served by distance, then by area and by place: an order that no numbering of walls can change.
    low, high = _ordered(edges, heights, pairs)
    order = np.lexsort((*high.T[::-1], *low.T[::-1], -area2, gap))
    _limit(edges, heights, pairs, order, area2)
    hit = area2 > 0
    pairs, area2 = pairs[hit], area2[hit]
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], area2[order] / 1e6


def sum_party_walls(pairs: NDArray[np.int64], area: NDArray[np.float64], n_wall: int) -> NDArray[np.float64]:
    """Return (n_wall,) the area of each wall that is shared with neighbours [m2], added in whole mm2."""
    total = np.zeros(n_wall, np.int64)
    square_mm = np.rint(area * 1e6).astype(np.int64)
    np.add.at(total, pairs[:, 0], square_mm)
    np.add.at(total, pairs[:, 1], square_mm)
    return total / 1e6


def _candidates(edges: Integers, distance_mm: int) -> NDArray[np.int64]:
    """List (n, 2) the pairs of walls that have an index cell in common, each once."""
    n = len(edges)
    if n == 0:
        return np.empty((0, 2), np.int64)
    west, south = int(edges[:, 0::2].min()) - distance_mm, int(edges[:, 1::2].min()) - distance_mm
    columns = (int(edges[:, 0::2].max()) + distance_mm - west) // _CELL_MM + 1
    count = np.zeros(n + 1, np.int64)
    _list_cells(edges, west, south, columns, distance_mm, count, np.empty((0, 2), np.int64), True)
    starts = np.cumsum(count)
    listed = np.empty((int(starts[-1]), 2), np.int64)
    _list_cells(edges, west, south, columns, distance_mm, starts, listed, False)
    listed = listed[np.lexsort((listed[:, 1], listed[:, 0]))]
    found = np.empty((_list_pairs(listed, np.empty((0, 2), np.int64), True), 2), np.int64)
    _list_pairs(listed, found, False)
    if len(found) == 0:
        return found
    key = np.unique(found[:, 0] * n + found[:, 1])
    return np.stack((key // n, key % n), axis=1)


def _ordered(edges: Integers, heights: Integers, pairs: NDArray[np.int64]) -> tuple[Integers, Integers]:
    """Return the coordinates of both walls of each pair, the lexicographically lower wall first."""
    walls = np.concatenate((edges, heights), axis=1)
    a, b = walls[pairs[:, 0]], walls[pairs[:, 1]]
    differs = a != b
    first = np.argmax(differs, axis=1)
    row = np.arange(len(a))
    swap = (a[row, first] > b[row, first])[:, None]
    return np.where(swap, b, a), np.where(swap, a, b)


@rows
def _list_cells(edges, west, south, columns, reach, starts, listed, counting):
    for e in range(len(edges)):
        xi, yi, xj, yj = edges[e, 0], edges[e, 1], edges[e, 2], edges[e, 3]
        if yj < yi:
            xi, yi, xj, yj = xj, yj, xi, yi
        k = starts[e]
        first_row = (yi - reach - south) // _CELL_MM
        last_row = (yj + reach - south) // _CELL_MM
        for row in range(first_row, last_row + 1):
            # The stretch of the edge in this row of cells, widened by the reach on all sides.
            low = max(yi, south + row * _CELL_MM - reach)
            high = min(yj, south + (row + 1) * _CELL_MM + reach)
            xa, xb = xi, xj
            if yj > yi:
                slope = float(xj - xi) / float(yj - yi)
                xa, xb = xi + np.int64(float(low - yi) * slope), xi + np.int64(float(high - yi) * slope)
            left = (min(xa, xb) - reach - 1 - west) // _CELL_MM
            right = (max(xa, xb) + reach + 1 - west) // _CELL_MM
            for column in range(max(left, 0), min(right, columns - 1) + 1):
                if counting:
                    starts[e + 1] += 1
                else:
                    listed[k, 0], listed[k, 1] = row * columns + column, e
                k += 1


@rows
def _list_pairs(listed, found, counting):
    n, a = 0, 0
    while a < len(listed):
        b = a + 1
        while b < len(listed) and listed[b, 0] == listed[a, 0]:
            b += 1
        for i in range(a, b):
            for j in range(i + 1, b):
                if not counting:
                    found[n, 0], found[n, 1] = listed[i, 1], listed[j, 1]
                n += 1
        a = b
    return n


@rows
def _is_reference(edges, heights, a, b):
    """Tell whether wall a rather than b is the one to look from: the longer, then the one with lower coordinates."""
    la = (edges[a, 2] - edges[a, 0]) ** 2 + (edges[a, 3] - edges[a, 1]) ** 2
    lb = (edges[b, 2] - edges[b, 0]) ** 2 + (edges[b, 3] - edges[b, 1]) ** 2
    if la != lb:
        return la > lb
    for k in range(4):
        if edges[a, k] != edges[b, k]:
            return edges[a, k] < edges[b, k]
    for k in range(2):
        if heights[a, k] != heights[b, k]:
            return heights[a, k] < heights[b, k]
    return True


@rows
def _match(edges, heights, owner, candidates, reach, sine2, area2, gap):
    for c in range(len(candidates)):
        a, b = candidates[c, 0], candidates[c, 1]
        if owner[a] == owner[b]:
            continue
        height = min(heights[a, 1], heights[b, 1]) - max(heights[a, 0], heights[b, 0])
        if height <= 0:
            continue
        if not _is_reference(edges, heights, a, b):
            a, b = b, a
        ux, uy = float(edges[a, 2] - edges[a, 0]), float(edges[a, 3] - edges[a, 1])
        vx, vy = float(edges[b, 2] - edges[b, 0]), float(edges[b, 3] - edges[b, 1])
        uu, vv, uv, cross = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy, ux * vy - uy * vx
        if uv >= 0.0 or cross * cross > sine2 * uu * vv:
            continue
        # Ends of b along and across a: along in mm from the start of a, across positive to the left.
        length = math.sqrt(uu)
        px, py = float(edges[b, 0] - edges[a, 0]), float(edges[b, 1] - edges[a, 1])
        qx, qy = float(edges[b, 2] - edges[a, 0]), float(edges[b, 3] - edges[a, 1])
        s0, d0 = (px * ux + py * uy) / length, (ux * py - uy * px) / length
        s1, d1 = (qx * ux + qy * uy) / length, (ux * qy - uy * qx) / length
        low, high = max(s1, 0.0), min(s0, length)  # b runs the other way: s1 < s0
        if high - low < SHORTEST_MM:
            continue
        slope = (d1 - d0) / (s1 - s0)
        farthest = max(abs(d0 + (low - s0) * slope), abs(d0 + (high - s0) * slope))
        if farthest > reach:
            continue
        area2[c] = np.int64((high - low) * float(height) + 0.5)
        gap[c] = np.int64(farthest + 0.5)


@rows
def _limit(edges, heights, pairs, order, area2):
    left = np.empty(len(edges), np.int64)
    for e in range(len(edges)):
        dx, dy = float(edges[e, 2] - edges[e, 0]), float(edges[e, 3] - edges[e, 1])
        left[e] = np.int64(math.sqrt(dx * dx + dy * dy) * float(heights[e, 1] - heights[e, 0]))
    for k in order:
        a, b = pairs[k, 0], pairs[k, 1]
        area2[k] = min(area2[k], left[a], left[b])
        left[a] -= area2[k]
        left[b] -= area2[k]
