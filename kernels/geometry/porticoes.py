"""Open space under a roof, from returns of the ground that no pulse straight from above could have reached.

An aerial pulse that passes below the edge of the first floor lights a strip of ground as deep as clear height x tan(angle), on
the side that faces the flight line. The strip's place along the outline tells where an arcade or a passage is open; how deep it
is inside stays dark, unless pulses reach the wall behind.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def outline_positions(points: Integers, xy: Integers, ring_offsets: Integers) -> tuple[Integers, Floats, Floats]:
    """Find where on the rings of a footprint each point is nearest to.

    Parameters
    ----------
    points : (n_point, 2) int64
        Positions [mm].
    xy : (n_vertex, 2) int64
        Vertices of the rings [mm].
    ring_offsets : (n_ring + 1,) int64
        Vertices of each ring.

    Returns
    -------
    edge : (n_point,) int64
        The nearest edge, by its first vertex; the lower of two; -1 without rings.
    along : (n_point,) float64
        Way along the ring from its first vertex to the nearest position [mm].
    distance : (n_point,) float64
        Distance to it [mm].
    """
    n = len(points)
    edge, along, distance = np.full(n, -1, np.int64), np.zeros(n), np.full(n, np.inf)
    _positions(np.ascontiguousarray(points, np.int64), xy, ring_offsets, edge, along, distance)
    return edge, along, distance


@rows
def _positions(points, xy, ring_offsets, edge, along, distance):
    for ring in range(len(ring_offsets) - 1):
        first, last = ring_offsets[ring], ring_offsets[ring + 1]
        way = 0.0
        for i in range(first, last):
            j = i + 1 if i + 1 < last else first
            ux, uy = float(xy[j, 0] - xy[i, 0]), float(xy[j, 1] - xy[i, 1])
            length = math.sqrt(ux * ux + uy * uy)
            if length == 0.0:
                continue
            for k in range(len(points)):
                px, py = float(points[k, 0] - xy[i, 0]), float(points[k, 1] - xy[i, 1])
                t = min(max((px * ux + py * uy) / (length * length), 0.0), 1.0)
                ex, ey = px - t * ux, py - t * uy
                d = math.sqrt(ex * ex + ey * ey)
                if d < distance[k]:
                    edge[k], along[k], distance[k] = i, way + t * length, d
            way += length


def ring_lengths(xy: Integers, ring_offsets: Integers) -> Floats:
    """Return the (n_ring,) lengths of rings [mm]."""
    out = np.zeros(len(ring_offsets) - 1)
    _ring_lengths(xy, ring_offsets, out)
    return out


@rows
def _ring_lengths(xy, ring_offsets, out):
    for ring in range(len(out)):
        first, last = ring_offsets[ring], ring_offsets[ring + 1]
        for i in range(first, last):
            j = i + 1 if i + 1 < last else first
            ux, uy = float(xy[j, 0] - xy[i, 0]), float(xy[j, 1] - xy[i, 1])
            out[ring] += math.sqrt(ux * ux + uy * uy)


def lies_under_roof(points: Integers, roof: Integers, clearance_mm: int, cell_mm: int) -> NDArray[np.bool_]:
    """Tell which points have a roof above them: a return of it, `clearance_mm` higher or more, in the same cell of a grid.

    Parameters
    ----------
    points, roof : (n_point, 3), (n_roof, 3) int64
        Positions [mm].
    clearance_mm, cell_mm : int
        Least height of the roof above the point; cell size, a few times the spacing of the returns [mm].

    Returns
    -------
    (n_point,) bool
    """
    covered = np.zeros(len(points), np.bool_)
    if len(points) and len(roof):
        west, south = roof[:, 0].min(), roof[:, 1].min()
        nx, ny = (int((roof[:, k].max() - o) // cell_mm) + 1 for k, o in ((0, west), (1, south)))
        _mark_covered(points, roof, clearance_mm, cell_mm, west, south, nx, ny, covered)
    return covered


@rows
def _mark_covered(points, roof, clearance, cell, west, south, nx, ny, covered):
    top = np.full(nx * ny, np.iinfo(np.int64).min)
    for k in range(len(roof)):
        c = ((roof[k, 1] - south) // cell) * nx + (roof[k, 0] - west) // cell
        top[c] = max(top[c], roof[k, 2])
    for k in range(len(points)):
        i, j = (points[k, 0] - west) // cell, (points[k, 1] - south) // cell
        if 0 <= i < nx and 0 <= j < ny:
            covered[k] = top[j * nx + i] >= points[k, 2] + clearance


def lit_runs(
    ring: Integers, along: Floats, depth: Floats, lengths: Floats, step_mm: float, gap_mm: float
) -> tuple[Integers, Floats, Floats, Integers, Floats, Floats]:
    """Join points along rings to runs: pieces of an outline with points in each step, but for gaps.

    Parameters
    ----------
    ring : (n_point,) int64
        Ring of each point.
    along, depth : (n_point,) float64
        Way along the ring and distance from it [mm].
    lengths : (n_ring,) float64
        Lengths of the rings [mm].
    step_mm, gap_mm : float
        Length of a step, about; longest way without points that a run goes on over [mm].

    Returns
    -------
    ring : (n_run,) int64
    start, end : (n_run,) float64
        First and last point along the ring [mm]; the end is beyond the length of the ring where a run passes its first vertex.
    count : (n_run,) int64
        Points.
    depth : (n_run,) float64
        Median, over the steps that hold points, of the largest depth in the step [mm].
    area : (n_run,) float64
        Sum over the steps of largest depth times length [mm2].
    """
    parts = [_runs_of(r, ring, along, depth, float(lengths[r]), step_mm, gap_mm) for r in range(len(lengths))]
    parts = [p for p in parts if len(p[0])] or [_runs_of(0, ring[:0], along[:0], depth[:0], 1.0, step_mm, gap_mm)]
    start, end, count, deep, area = (np.concatenate([p[i] for p in parts]) for i in range(5))
    return np.concatenate([p[5] for p in parts]), start, end, count, deep, area


@rows
def _runs_of(which, ring, along, depth, length, step_mm, gap_mm):
    n = max(1, int(length / step_mm))
    step = length / n
    count, deepest = np.zeros(n, np.int64), np.zeros(n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    for k in range(len(ring)):
        if ring[k] == which:
            b = min(n - 1, int(along[k] / step))
            count[b] += 1
            deepest[b] = max(deepest[b], depth[k])
            low[b], high[b] = min(low[b], along[k]), max(high[b], along[k])
    used = np.flatnonzero(count)
    m = len(used)
    start, end, area = np.empty(m), np.empty(m), np.zeros(m)
    total, deep, owner = np.zeros(m, np.int64), np.empty(m), np.full(m, which, np.int64)
    # Begin after the widest gap: a run may pass the ring's first vertex, and all round there is none to break at.
    first, widest = 0, -1.0
    for k in range(m):
        gap = low[used[k]] - high[used[k - 1]] + (length if k == 0 else 0.0)
        if gap > widest:
            first, widest = k, gap
    n_run, k = 0, 0
    while k < m:
        i = used[(first + k) % m]
        turn = length if first + k >= m else 0.0
        start[n_run] = low[i] + turn
        last = high[i] + turn
        depths = np.empty(m)
        size = 0
        while True:
            depths[size] = deepest[i]
            size += 1
            total[n_run] += count[i]
            area[n_run] += deepest[i] * step
            last = high[i] + turn
            k += 1
            if k == m:
                break
            i = used[(first + k) % m]
            turn = length if first + k >= m else 0.0
            if low[i] + turn - last > gap_mm:
                break
        end[n_run] = last
        deep[n_run] = np.sort(depths[:size])[size // 2]
        if start[n_run] >= length:
            start[n_run] -= length
            end[n_run] -= length
        n_run += 1
    return start[:n_run], end[:n_run], total[:n_run], deep[:n_run], area[:n_run], owner[:n_run]


def strip_area(xy: Integers, start: float, end: float, depth: float) -> float:
    """Return the area of the strip of a depth inside a ring, between two ways along it [mm2].

    A = (end - start) d - d^2 sum cot(theta / 2) over the corners between, theta their interior angles: strips of two sides
    overlap at a convex corner, and leave a mitre at a concave one.

    Parameters
    ----------
    xy : (n_vertex, 2) int64
        Ring with its interior to the left [mm].
    start, end, depth : float
        Ways from the first vertex, `end` beyond the length where the strip passes it; depth [mm].
    """
    return float(_strip_area(np.ascontiguousarray(xy, np.int64), start, end, depth))


@rows
def _strip_area(xy, start, end, depth):
    n = len(xy)
    corner, way = 0.0, 0.0
    for i in range(2 * n):
        a, b, c = (i - 1) % n, i % n, (i + 1) % n
        ux, uy = float(xy[b, 0] - xy[a, 0]), float(xy[b, 1] - xy[a, 1])
        vx, vy = float(xy[c, 0] - xy[b, 0]), float(xy[c, 1] - xy[b, 1])
        cross, dot = ux * vy - uy * vx, ux * vx + uy * vy
        length = math.sqrt(vx * vx + vy * vy)
        if start < way < end:
            # The turn of the path is pi - theta, so cot(theta / 2) is the tangent of half the turn.
            size = math.sqrt(ux * ux + uy * uy) * length
            if size + dot > 1e-9 * size:
                corner += cross / (size + dot)
        way += length
    return max(0.0, (end - start) * depth - depth * depth * corner)


def change_height(heights: Floats, low: float, high: float, least: int = 12) -> float:
    """Find the height above which returns of a facade are denser than below: the upper edge of what is open below it.

    Returns come as a Poisson process of two rates. With n1 of them in the length l1 below a height and n2 in l2 above,
    the likeliest height has the largest n1 ln(n1 / l1) + n2 ln(n2 / l2), among those with more above: n1 / l1 < n2 / l2.

    Parameters
    ----------
    heights : (n,) float64
        Heights of the returns [m].
    low, high : float
        Where the process is looked at [m].
    least : int
        Fewest returns above.

    Returns
    -------
    float
        Height [m]; NaN with too few returns, or where twice the gain over one rate is below 10.8 (chi-square, p = 0.001).

    References
    ----------
    Akman & Raftery (1986), doi:10.1214/aos/1176349951: change point of a Poisson process.
    """
    chosen = np.sort(heights[(heights > low) & (heights < high)])
    return float(_change_height(chosen, float(low), float(high), least))


@rows
def _change_height(heights, low, high, least):
    n = len(heights)
    best, found = 0.5 * 10.8, math.nan
    if n < least:
        return found
    whole = n * math.log(n / (high - low))
    for k in range(n - least + 1):
        cut = heights[k]  # the change is at a return: between two, the likelihood is largest at the upper one
        below, above = cut - low, high - cut
        if below <= 0.0 or above <= 0.0 or k * above >= (n - k) * below:
            continue
        gain = (n - k) * math.log((n - k) / above) - whole
        if k:
            gain += k * math.log(k / below)
        if gain > best:
            best, found = gain, cut
    return found


def overhang_width(ring: Integers, along: Floats, distance: Floats, lengths: Floats, step_mm: float, least_steps: int) -> float:
    """Return how far points reach outside an outline [mm]: the median over the steps of the outline that have any.

    The width in a step is that of a uniform spread, max (n + 1) / n, the unbiased estimate from n points.

    Parameters
    ----------
    ring, along, distance : (n_point,)
        Ring, way along it and distance from it [mm] of each point.
    lengths : (n_ring,) float64
        Lengths of the rings [mm].
    step_mm : float
        Length of a step, about [mm].
    least_steps : int
        With fewer steps that hold points the width is 0.
    """
    return float(_overhang_width(ring, along, distance, lengths, step_mm, least_steps))


@rows
def _overhang_width(ring, along, distance, lengths, step_mm, least_steps):
    n_ring = len(lengths)
    first = np.zeros(n_ring + 1, np.int64)
    for r in range(n_ring):
        first[r + 1] = first[r] + max(1, int(lengths[r] / step_mm))
    count, widest = np.zeros(first[n_ring], np.int64), np.zeros(first[n_ring])
    for k in range(len(ring)):
        r = ring[k]
        n = first[r + 1] - first[r]
        b = first[r] + min(n - 1, int(along[k] * n / lengths[r]))
        count[b] += 1
        widest[b] = max(widest[b], distance[k])
    width = np.empty(first[n_ring])
    m = 0
    for b in range(first[n_ring]):
        if count[b]:
            width[m] = widest[b] * (count[b] + 1) / count[b]
            m += 1
    return np.sort(width[:m])[m // 2] if m >= max(1, least_steps) else 0.0
