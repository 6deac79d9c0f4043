"""Lines that may part a roof: intersections of planes, and steps where the points of a plane end.

A point is an edge point when its neighbours on the same plane leave a wide angle free; that angle says which way the plane
ends. Edge points are gathered, plane by plane, in the densest window of offsets along the directions of the footprint and of
the planes' slopes (a Hough transform in one dimension per direction); windows break into runs, runs of different planes side by
side become one line. Two planes meet in a line where points of both lie on either side of it. Lines are extended, since the
labels that follow decide which part of a line is an edge.

The steps are those of Zhou & Neumann 2008 (doi:10.1145/1463434.1463444) and of the 3DBAG (Peters et al. 2022,
doi:10.14358/PERS.21-00032R2), with windows of offsets in place of alpha shapes. Work is bounded: at most `MOST_LINES` lines.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.pointcloud.planes import sort_into_cells

Integers = NDArray[np.int64]

MOST_LINES = 120
_MOST_WINDOWS = 60  # of one plane
_OTHER_PLANES = 16  # that one point is paired with


class LineOptions(NamedTuple):
    """How lines are found; lengths in m, angles in rad."""

    free_angle: float = 1.7  # of an edge point: a straight edge leaves pi, a corner more, the inside of a plane less than 1.6
    window: float = 0.45  # width of a window of offsets
    run_gap: float = 1.6  # between edge points of one run
    least_length: float = 0.3
    least_points: int = 3
    shift: float = 0.0  # outwards; the outermost point lies inside its plane, but footprints of laser beams reach beyond
    direction_tolerance: float = math.radians(8.6)
    merge_offset: float = 0.25  # parallel lines this near are one
    extension: float = 6.0
    plenty: float = 60.0  # lines; with more than these the extension shrinks
    meeting_distance: float = 0.7  # from the intersection of two planes to points of both
    least_slope: float = 0.10  # difference of gradients that gives an intersection


def find_roof_lines(
    points: Integers,
    index: NDArray[np.int32],
    label: NDArray[np.int32],
    coefficients: NDArray[np.float64],
    outline: Integers,
    options: LineOptions = LineOptions(),
) -> Integers:
    """Find lines along which a roof may be cut into faces.

    Parameters
    ----------
    points : (n, 3) int64
        Positions [mm].
    index, label
        Neighbours and plane of each point; see `pointcloud.planes`.
    coefficients : (n_plane, 3) float64
        a, b, c of z = a x + b y + c [m].
    outline : (n_edge, 4) int64
        Edges x0, y0, x1, y1 of the footprint [mm], interior on the left.
    options : LineOptions

    Returns
    -------
    (n_line, 4) int64
        x0, y0, x1, y1 [mm], n_line <= MOST_LINES.
    """
    if len(coefficients) == 0:
        return np.empty((0, 4), np.int64)
    lines, support = _find_lines(points, index, label, coefficients, outline, options)
    if len(lines) > MOST_LINES:
        # The best supported, equal ones by position.
        keep = np.lexsort((*lines.T[::-1], -np.rint(support * 1e3)))[:MOST_LINES]
        lines = lines[np.sort(keep)]
    return lines


@rows
def edge_directions(points, index, label, free_angle):
    """Return for each point the direction in which its plane ends [rad], NaN inside a plane."""
    n, k = index.shape
    direction, angles = np.full(n, np.nan), np.empty(k)
    for i in range(n):
        if label[i] < 0:
            continue
        m = 0
        for e in range(k):
            j = index[i, e]
            if j < 0 or j == i or label[j] != label[i]:
                continue
            dx, dy = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
            if dx == 0 and dy == 0:
                continue
            angle = math.atan2(float(dy), float(dx))
            f = m
            while f > 0 and angles[f - 1] > angle:
                angles[f] = angles[f - 1]
                f -= 1
            angles[f] = angle
            m += 1
        if m < 2:
            continue
        widest = angles[0] + 2.0 * math.pi - angles[m - 1]
        middle = angles[m - 1] + 0.5 * widest
        for e in range(1, m):
            gap = angles[e] - angles[e - 1]
            if gap > widest:
                widest, middle = gap, angles[e - 1] + 0.5 * gap
        if widest >= free_angle:
            direction[i] = middle
    return direction


@rows
def _choose_directions(outline, coefficients, tolerance):
    """Return directions in [0, pi): of the longest footprint edges, then of the planes' contours; each with its normal."""
    chosen, n = np.empty(12), 0
    length2 = (outline[:, 2] - outline[:, 0]) ** 2 + (outline[:, 3] - outline[:, 1]) ** 2
    order = np.argsort(-length2, kind="mergesort")
    for t in range(len(outline) + len(coefficients)):
        if t < len(outline):
            e = order[t]
            if length2[e] < 1_000_000 or n >= 6:
                continue
            angle = math.atan2(float(outline[e, 3] - outline[e, 1]), float(outline[e, 2] - outline[e, 0]))
        else:
            a, b = coefficients[t - len(outline), 0], coefficients[t - len(outline), 1]
            if a * a + b * b <= 0.04 or n >= 10:
                continue
            angle = math.atan2(b, a)
        for turn in range(2):
            d = (angle + turn * 0.5 * math.pi) % math.pi
            is_new = True
            for c in range(n):
                gap = abs(chosen[c] - d)
                if min(gap, math.pi - gap) <= tolerance:
                    is_new = False
            if is_new:
                chosen[n] = d
                n += 1
    return chosen[:n]


@rows
def _pair_planes(points, label, radius):
    """Return keys (lower plane, higher plane) and midpoints [m] of points of two planes that are near each other in plan."""
    n = len(points)
    start, order, nx, ny, west, south = sort_into_cells(points, radius)
    key, middle = np.empty(_OTHER_PLANES * n, np.int64), np.empty((_OTHER_PLANES * n, 2))
    plane, nearest, partner = (
        np.empty(_OTHER_PLANES, np.int64),
        np.empty(_OTHER_PLANES, np.int64),
        np.empty(_OTHER_PLANES, np.int64),
    )
    m = 0
    for i in range(n):
        if label[i] < 0:
            continue
        cx, cy, c = (points[i, 0] - west) // radius, (points[i, 1] - south) // radius, 0
        for row in range(max(cy - 1, 0), min(cy + 1, ny - 1) + 1):
            for t in range(start[row * nx + max(cx - 1, 0)], start[row * nx + min(cx + 1, nx - 1) + 1]):
                j = order[t]
                if label[j] <= label[i]:
                    continue
                d = (points[j, 0] - points[i, 0]) ** 2 + (points[j, 1] - points[i, 1]) ** 2
                if d > radius * radius:
                    continue
                f = 0
                while f < c and plane[f] != label[j]:
                    f += 1
                if f == c:
                    if c == _OTHER_PLANES:
                        continue
                    plane[f], nearest[f], partner[f] = label[j], d, j
                    c += 1
                elif d < nearest[f] or (d == nearest[f] and j < partner[f]):
                    nearest[f], partner[f] = d, j
        for f in range(c):
            key[m] = np.int64(label[i]) * (1 << 32) + plane[f]
            middle[m, 0] = (points[i, 0] + points[partner[f], 0]) * 5e-4
            middle[m, 1] = (points[i, 1] + points[partner[f], 1]) * 5e-4
            m += 1
    return key[:m], middle[:m]


@rows
def _meeting_lines(points, label, coefficients, spacing, options):
    """Return rows (direction, offset, t0, t1) of plane intersections that points of both planes accompany."""
    radius = min(max(0.8, 2.2 * spacing), 2.5)
    key, middle = _pair_planes(points, label, np.int64(radius * 1e3))
    order = np.argsort(key, kind="mergesort")
    tolerance, gap = max(options.meeting_distance, 1.2 * spacing), max(options.run_gap, 4.0 * spacing)
    out, n = np.empty((len(key) // options.least_points + 1, 4)), 0
    along = np.empty(len(key))
    first = 0
    while first < len(key):
        last = first
        while last < len(key) and key[order[last]] == key[order[first]]:
            last += 1
        a, b = key[order[first]] >> 32, key[order[first]] & 0xFFFFFFFF
        gx, gy = coefficients[a, 0] - coefficients[b, 0], coefficients[a, 1] - coefficients[b, 1]
        slope = math.sqrt(gx * gx + gy * gy)
        if slope >= options.least_slope:
            nx, ny = gx / slope, gy / slope
            offset = -(coefficients[a, 2] - coefficients[b, 2]) / slope
            m = 0
            for t in range(first, last):
                x, y = middle[order[t], 0], middle[order[t], 1]
                if abs(nx * x + ny * y - offset) < tolerance:
                    along[m] = ny * x - nx * y
                    m += 1
            t0 = 0
            run = np.sort(along[:m])
            for t in range(1, m + 1):
                if t == m or run[t] - run[t - 1] > gap:
                    if t - t0 >= options.least_points and run[t - 1] - run[t0] > 0.4:
                        out[n, 0], out[n, 1] = math.atan2(-nx, ny), offset
                        out[n, 2], out[n, 3] = run[t0], run[t - 1]
                        n += 1
                    t0 = t
        first = last
    return out[:n]


@rows
def _step_lines(points, label, end, n_plane, directions, spacing, options):
    """Return rows (direction number, offset, t0, t1, points) of runs of edge points, and their number."""
    width, gap = max(options.window, 0.9 * spacing), max(options.run_gap, 4.0 * spacing)
    shift = options.shift + 0.2 * max(spacing - 0.3, 0.0)
    n = 0
    for i in range(len(points)):
        if not math.isnan(end[i]):
            n += 1
    edge = np.empty(n, np.int64)
    n = 0
    for i in range(len(points)):
        if not math.isnan(end[i]):
            edge[n] = i
            n += 1
    edge = edge[np.argsort(label[edge], kind="mergesort")]
    used = np.zeros(n, np.bool_)
    n_list = 2 * len(directions)
    members, offsets, counts = np.empty((n_list, n), np.int64), np.empty((n_list, n)), np.empty(n_list, np.int64)
    chosen, along = np.empty(n, np.int64), np.empty(n)
    out, n_out = np.empty((n // options.least_points + 1, 5)), 0
    first = 0
    while first < n:
        last = first
        while last < n and label[edge[last]] == label[edge[first]]:
            last += 1
        for q in range(n_list):
            d, sign = directions[q // 2], 1.0 if q % 2 == 0 else -1.0
            ux, uy = math.cos(d), math.sin(d)
            m = 0
            for t in range(first, last):
                a = end[edge[t]]
                if sign * (uy * -math.cos(a) + ux * math.sin(a)) > 0.6:
                    members[q, m] = t
                    along[m] = (ux * points[edge[t], 1] - uy * points[edge[t], 0]) * 1e-3
                    m += 1
            by_offset = np.argsort(along[:m], kind="mergesort")
            for t in range(m):
                offsets[q, t] = along[by_offset[t]]
            members[q, :m] = members[q, :m][by_offset]
            counts[q] = m
        for _ in range(_MOST_WINDOWS):
            best, best_list, middle = 0, -1, 0.0
            for q in range(n_list):
                m = counts[q]
                if m < max(options.least_points, best + 1):
                    continue
                # Used points leave the lists for good.
                kept = 0
                for t in range(m):
                    if not used[members[q, t]]:
                        members[q, kept], offsets[q, kept] = members[q, t], offsets[q, t]
                        kept += 1
                counts[q] = kept
                tail = 0
                for t in range(kept):
                    while offsets[q, t] - offsets[q, tail] > width:
                        tail += 1
                    if t - tail + 1 > best:
                        best, best_list, middle = t - tail + 1, q, 0.5 * (offsets[q, t] + offsets[q, tail])
            if best < options.least_points:
                break
            d, sign = directions[best_list // 2], 1.0 if best_list % 2 == 0 else -1.0
            ux, uy = math.cos(d), math.sin(d)
            m = 0
            for t in range(counts[best_list]):
                if abs(offsets[best_list, t] - middle) <= 0.5 * width + 1e-9:
                    i = members[best_list, t]
                    used[i] = True
                    chosen[m] = t
                    along[m] = (ux * points[edge[i], 0] + uy * points[edge[i], 1]) * 1e-3
                    m += 1
            order = np.argsort(along[:m], kind="mergesort")
            t0 = 0
            for t in range(1, m + 1):
                if t == m or along[order[t]] - along[order[t - 1]] > gap:
                    c = t - t0
                    low, high = along[order[t0]], along[order[t - 1]]
                    if c >= options.least_points and high - low >= options.least_length:
                        outward = np.empty(c)
                        for e in range(c):
                            outward[e] = sign * offsets[best_list, chosen[order[t0 + e]]]
                        outward = np.sort(outward)
                        out[n_out, 0], out[n_out, 1] = best_list // 2, sign * (outward[int(0.6 * (c - 1))] + shift)
                        out[n_out, 2], out[n_out, 3], out[n_out, 4] = low, high, c
                        n_out += 1
                    t0 = t
        first = last
    return out[:n_out]


@rows
def _is_covered(line, d, fixed, tolerance, reach):
    """Tell whether lines that stay cover more than 0.6 of a step line."""
    ux, uy = math.cos(d), math.sin(d)
    covered = 0.0
    for f in range(len(fixed)):
        gap = abs(fixed[f, 0] - d)
        if min(gap, math.pi - gap) >= tolerance:
            continue
        ta, tb = ux * fixed[f, 1] + uy * fixed[f, 2], ux * fixed[f, 3] + uy * fixed[f, 4]
        offset = 0.5 * (ux * (fixed[f, 2] + fixed[f, 4]) - uy * (fixed[f, 1] + fixed[f, 3]))
        if abs(offset - line[1]) < reach:
            covered += max(min(max(ta, tb), line[3]) - max(min(ta, tb), line[2]), 0.0)
    return covered > 0.6 * (line[3] - line[2])


@rows
def _put(out, support, n, d, offset, t0, t1, weight):
    ux, uy = math.cos(d), math.sin(d)
    out[n, 0], out[n, 1] = round((ux * t0 - uy * offset) * 1e3), round((uy * t0 + ux * offset) * 1e3)
    out[n, 2], out[n, 3] = round((ux * t1 - uy * offset) * 1e3), round((uy * t1 + ux * offset) * 1e3)
    support[n] = weight


@rows
def _find_lines(points, index, label, coefficients, outline, options):
    n = len(points)
    west, east, south, north = points[0, 0], points[0, 0], points[0, 1], points[0, 1]
    for i in range(n):
        west, east = min(west, points[i, 0]), max(east, points[i, 0])
        south, north = min(south, points[i, 1]), max(north, points[i, 1])
    spacing = math.sqrt(max(float(east - west) * float(north - south) * 1e-6, 1.0) / n)
    directions = _choose_directions(outline, coefficients, options.direction_tolerance)
    meeting = _meeting_lines(points, label, coefficients, spacing, options)
    end = edge_directions(points, index, label, options.free_angle)
    steps = _step_lines(points, label, end, len(coefficients), directions, spacing, options)
    reach = options.extension * min(1.0, max(0.3, options.plenty / (len(meeting) + len(steps) + 1)))
    out, support, count = np.empty((len(meeting) + len(steps), 4), np.int64), np.empty(len(meeting) + len(steps)), 0
    # Footprint edges and intersections are where they are; a step line along one of them is the same edge seen worse.
    fixed, n_fixed = np.empty((len(outline) + len(meeting), 5)), 0
    for e in range(len(outline)):
        x0, y0, x1, y1 = outline[e, 0] * 1e-3, outline[e, 1] * 1e-3, outline[e, 2] * 1e-3, outline[e, 3] * 1e-3
        if (x1 - x0) ** 2 + (y1 - y0) ** 2 > 0.09:
            fixed[n_fixed, 0] = math.atan2(y1 - y0, x1 - x0) % math.pi
            fixed[n_fixed, 1], fixed[n_fixed, 2], fixed[n_fixed, 3], fixed[n_fixed, 4] = x0, y0, x1, y1
            n_fixed += 1
    for k in range(len(meeting)):
        d, offset, t0, t1 = meeting[k, 0], meeting[k, 1], meeting[k, 2], meeting[k, 3]
        ux, uy = math.cos(d), math.sin(d)
        x, y = -uy * offset, ux * offset
        fixed[n_fixed, 0] = d % math.pi
        fixed[n_fixed, 1], fixed[n_fixed, 2] = x + ux * t0, y + uy * t0
        fixed[n_fixed, 3], fixed[n_fixed, 4] = x + ux * t1, y + uy * t1
        n_fixed += 1
        _put(out, support, count, d, offset, t0 - reach, t1 + reach, 2.0 * (t1 - t0))
        count += 1
    is_kept = np.zeros(len(steps), np.bool_)
    for k in range(len(steps)):
        d = directions[int(steps[k, 0])]
        is_kept[k] = not _is_covered(steps[k], d, fixed[:n_fixed], 1.2 * options.direction_tolerance, options.merge_offset)
    for q in range(len(directions)):
        mine = np.flatnonzero(is_kept & (steps[:, 0] == q))
        mine = mine[np.argsort(steps[mine, 2], kind="mergesort")]
        mine = mine[np.argsort(steps[mine, 1], kind="mergesort")]
        i = 0
        while i < len(mine):
            j, weight, total = i, 0.0, 0.0
            while j < len(mine) and steps[mine[j], 1] - steps[mine[i], 1] < options.merge_offset:
                weight += steps[mine[j], 4]
                total += steps[mine[j], 1] * steps[mine[j], 4]
                j += 1
            group = mine[i:j]
            group = group[np.argsort(steps[group, 2], kind="mergesort")]
            low, high = steps[group[0], 2], steps[group[0], 3]
            for t in range(1, len(group) + 1):
                if t == len(group) or steps[group[t], 2] > high + 2.0 * reach:
                    _put(out, support, count, directions[q], total / weight, low - reach, high + reach, high - low)
                    count += 1
                    if t < len(group):
                        low, high = steps[group[t], 2], steps[group[t], 3]
                else:
                    high = max(high, steps[group[t], 3])
            i = j
    return out[:count], support[:count]
