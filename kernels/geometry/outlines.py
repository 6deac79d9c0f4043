"""Outlines of buildings from building-classified points, for cities without footprints.

1. Counts in a raster anchored at the origin of the CRS. A cell is built where the density of its 3 x 3 square reaches half of
   that of the built cells in its 11 x 11 square: half the density is where the middle of the square meets a straight edge, and
   stray points beside a roof do not widen it. The raster is closed (gaps of two cells) and opened (single cells) with a 3 x 3
   square; cells that meet only in a corner are joined, so that every traced ring is simple.
2. Components of cells that share a side; small ones are dropped, small holes filled, boundaries traced along cell sides.
3. Each ring is simplified (Douglas and Peucker), turned to its two dominant perpendicular directions, and its sides are
   replaced by least-squares lines through the traced boundary of that side. Sides that deviate by more than `FREE_DEG` keep
   their own direction. A ring that would cross itself or change its area by more than a quarter keeps its simplified shape.

Raster and rings do not depend on the order of the points; only a component cut by the edge of the data changes with a tile.
Two rings of one polygon may meet after step 3: repair them like footprints from a file.

References
----------
Sampath and Shan (2007), Building boundary tracing and regularization from airborne lidar point clouds, Photogrammetric
Engineering and Remote Sensing 73(7): least-squares sides in two perpendicular directions. Douglas and Peucker (1973).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

Integers = NDArray[np.int64]

CELL_MM = 500
FREE_DEG = 20.0
SHORTEST_CELLS = 3.0


def derive_outlines(
    points: Integers,
    cell_mm: int = CELL_MM,
    min_area_m2: float = 12.0,
    min_hole_m2: float = 12.0,
    tolerance_cells: float = 1.5,
) -> tuple[Integers, Integers, Integers]:
    """Derive polygons with holes that enclose the points.

    Parameters
    ----------
    points : (n_point, 2) int64
        Positions of building points [mm], in any order.
    cell_mm : int
        Cell size [mm]; about twice the point spacing or more.
    min_area_m2, min_hole_m2 : float
        Smaller components are dropped, smaller holes filled [m2].
    tolerance_cells : float
        Largest distance of the simplified ring from the traced one [cells].

    Returns
    -------
    xy : (n_vertex, 2) int64
        Vertices [mm].
    ring_offsets : (n_ring + 1,) int64
        Exterior rings anticlockwise, holes clockwise.
    polygon_offsets : (n_polygon + 1,) int64
        Rings of each polygon, exterior first; polygons from north to south, then west to east, by their first cell.
    """
    none = np.empty((0, 2), np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64)
    if len(points) == 0:
        return none
    margin = 3
    column0, row0 = int(points[:, 0].min()) // cell_mm - margin, int(points[:, 1].max()) // cell_mm + margin
    nx = int(points[:, 0].max()) // cell_mm - column0 + margin + 1
    ny = row0 - int(points[:, 1].min()) // cell_mm + margin + 1
    count = np.zeros((ny, nx), np.int32)
    _count(points, cell_mm, column0, row0, count)
    full = _eroded(_dilated((count > 0).astype(np.uint8)))
    full = _dense(count, full)
    full = _eroded(_dilated(full))
    full = _dilated(_eroded(full))
    _join_corners(full)
    area = cell_mm * cell_mm / 1e6
    _fill_small(full, 0, min_hole_m2 / area, True)
    _fill_small(full, 1, min_area_m2 / area, False)
    label, n = _label(full, 1, False)
    if n == 0:
        return none
    corners, ring_offsets, ring_label = _trace(label, n)
    # Exterior rings enclose cells on their left: positive area. One exterior per component, holes after it.
    is_hole = _ring_sign(corners, ring_offsets) < 0
    order = np.lexsort((np.arange(len(ring_label)), is_hole, ring_label))
    flat, offsets = _regularise(corners, ring_offsets, order, tolerance_cells, math.cos(math.radians(FREE_DEG)), cell_mm)
    # Corner (column, row) of the window lies at the upper left of its cell.
    flat[:, 0] += column0 * cell_mm
    flat[:, 1] += (row0 + 1) * cell_mm
    polygon_offsets = np.concatenate((np.flatnonzero(~is_hole[order]), [len(order)])).astype(np.int64)
    return flat, offsets, polygon_offsets


@rows
def _count(points, size, column0, row0, count):
    for p in range(len(points)):
        count[row0 - points[p, 1] // size, points[p, 0] // size - column0] += 1


@rows
def _dense(count, full):
    """Keep cells of `full` with at least half the density of their surroundings, compared in integers."""
    ny, nx = full.shape
    points, cells = np.zeros((ny + 1, nx + 1), np.int64), np.zeros((ny + 1, nx + 1), np.int64)
    for r in range(ny):
        for c in range(nx):
            points[r + 1, c + 1] = count[r, c] + points[r, c + 1] + points[r + 1, c] - points[r, c]
            cells[r + 1, c + 1] = full[r, c] + cells[r, c + 1] + cells[r + 1, c] - cells[r, c]
    out = np.zeros((ny, nx), np.uint8)
    for r in range(1, ny - 1):
        for c in range(1, nx - 1):
            if full[r, c] == 0:
                continue
            near = points[r + 2, c + 2] - points[r - 1, c + 2] - points[r + 2, c - 1] + points[r - 1, c - 1]
            a, b, d, e = max(r - 5, 0), min(r + 6, ny), max(c - 5, 0), min(c + 6, nx)
            wide = points[b, e] - points[a, e] - points[b, d] + points[a, d]
            built = cells[b, e] - cells[a, e] - cells[b, d] + cells[a, d]
            out[r, c] = 2 * near * built >= 9 * wide
    return out


@rows
def _spread(full, value):
    """Give `value` to each cell that has it among itself and its eight neighbours; the rim counts as empty."""
    ny, nx = full.shape
    out = full.copy()
    for r in range(1, ny - 1):
        for c in range(1, nx - 1):
            for k in range(-1, 2):
                if full[r + k, c - 1] == value or full[r + k, c] == value or full[r + k, c + 1] == value:
                    out[r, c] = value
    return out


@rows
def _dilated(full):
    return _spread(full, 1)


@rows
def _eroded(full):
    return _spread(full, 0)


@rows
def _join_corners(full):
    """Fill cells until no two cells meet only in a corner; the result does not depend on the order of filling."""
    ny, nx = full.shape
    changed = True
    while changed:
        changed = False
        for r in range(ny - 1):
            for c in range(nx - 1):
                a, b, d, e = full[r, c], full[r, c + 1], full[r + 1, c], full[r + 1, c + 1]
                if a == e and b == d and a != b:
                    full[r, c], full[r, c + 1], full[r + 1, c], full[r + 1, c + 1] = 1, 1, 1, 1
                    changed = True


@rows
def _label(full, value, with_corners):
    """Number the components of cells of `value`, by their first cell row by row; neighbours share a side (or a corner)."""
    ny, nx = full.shape
    label = np.full((ny, nx), -1, np.int32)
    stack = np.empty(ny * nx, np.int64)
    n = 0
    for start in range(ny * nx):
        if full[start // nx, start % nx] != value or label[start // nx, start % nx] >= 0:
            continue
        top = 1
        stack[0] = start
        label[start // nx, start % nx] = n
        while top > 0:
            top -= 1
            r, c = stack[top] // nx, stack[top] % nx
            for i in range(max(r - 1, 0), min(r + 2, ny)):
                for j in range(max(c - 1, 0), min(c + 2, nx)):
                    if not with_corners and i != r and j != c:
                        continue
                    if full[i, j] == value and label[i, j] < 0:
                        label[i, j] = n
                        stack[top] = i * nx + j
                        top += 1
        n += 1
    return label, n


@rows
def _fill_small(full, value, smallest, with_corners):
    """Invert the components of `value` with fewer cells than `smallest`."""
    label, n = _label(full, value, with_corners)
    count = np.zeros(n, np.int64)
    ny, nx = full.shape
    for r in range(ny):
        for c in range(nx):
            if label[r, c] >= 0:
                count[label[r, c]] += 1
    for r in range(ny):
        for c in range(nx):
            if label[r, c] >= 0 and count[label[r, c]] < smallest:
                full[r, c] = 1 - value


@rows
def _trace(label, n):
    """Trace the boundaries of components along cell sides, the component on the left; corners are (column, -row)."""
    ny, nx = label.shape
    # side of cell: 0 bottom (going east), 1 right (north), 2 top (west), 3 left (south)
    seen = np.zeros((ny, nx, 4), np.bool_)
    total = 0
    for r in range(1, ny - 1):
        for c in range(1, nx - 1):
            v = label[r, c]
            if v >= 0:
                total += (label[r + 1, c] != v) + (label[r, c + 1] != v) + (label[r - 1, c] != v) + (label[r, c - 1] != v)
    corners = np.empty((total, 2), np.int64)
    offsets = np.zeros(total // 4 + 2, np.int64)
    owner = np.empty(total // 4 + 1, np.int64)
    n_corner, n_ring = 0, 0
    out_r, out_c = np.array((1, 0, -1, 0)), np.array((0, 1, 0, -1))  # the cell across each side
    go_r, go_c = np.array((0, -1, 0, 1)), np.array((1, 0, -1, 0))  # the direction along each side
    from_r, from_c = np.array((1, 1, 0, 0)), np.array((0, 1, 1, 0))  # where each side starts
    for r0 in range(1, ny - 1):
        for c0 in range(1, nx - 1):
            v = label[r0, c0]
            if v < 0:
                continue
            for s0 in range(4):
                if seen[r0, c0, s0] or label[r0 + out_r[s0], c0 + out_c[s0]] == v:
                    continue
                r, c, s = r0, c0, s0
                while not seen[r, c, s]:
                    seen[r, c, s] = True
                    corners[n_corner, 0], corners[n_corner, 1] = c + from_c[s], -(r + from_r[s])
                    n_corner += 1
                    ar, ac = r + go_r[s], c + go_c[s]  # ahead
                    if label[ar, ac] != v:
                        s = (s + 1) % 4  # around the corner of the same cell: cells that meet in a corner stay apart
                    elif label[ar + out_r[s], ac + out_c[s]] != v:
                        r, c = ar, ac
                    else:
                        r, c, s = ar + out_r[s], ac + out_c[s], (s + 3) % 4
                owner[n_ring] = v
                n_ring += 1
                offsets[n_ring] = n_corner
    return corners[:n_corner], offsets[: n_ring + 1], owner[:n_ring]


@rows
def _ring_area2(x, y):
    total = 0.0
    for i in range(len(x)):
        j = (i + 1) % len(x)
        total += x[i] * y[j] - x[j] * y[i]
    return total


@rows
def _ring_sign(corners, offsets):
    out = np.empty(len(offsets) - 1, np.int64)
    for r in range(len(out)):
        ring = corners[offsets[r] : offsets[r + 1]]
        area = np.int64(0)
        for i in range(len(ring)):
            j = (i + 1) % len(ring)
            area += ring[i, 0] * ring[j, 1] - ring[j, 0] * ring[i, 1]
        out[r] = 1 if area > 0 else -1
    return out


@rows
def _simplify(x, y, tolerance):
    """Return the ascending positions that Douglas and Peucker keep of a ring."""
    n = len(x)
    first, second = 0, 0
    for i in range(n):
        if x[i] < x[first] or (x[i] == x[first] and y[i] < y[first]):
            first = i
    best = -1.0
    for i in range(n):
        d = (x[i] - x[first]) ** 2 + (y[i] - y[first]) ** 2
        if d > best:
            best, second = d, i
    keep = np.zeros(n, np.bool_)
    keep[first], keep[second] = True, True
    stack = np.empty((n + 2, 2), np.int64)
    stack[0, 0], stack[0, 1] = first, second if second > first else second + n
    stack[1, 0], stack[1, 1] = second, first if first > second else first + n
    top = 2
    while top > 0:
        top -= 1
        a, b = stack[top, 0], stack[top, 1]
        ux, uy = x[b % n] - x[a % n], y[b % n] - y[a % n]
        length = math.sqrt(ux * ux + uy * uy)
        far, where = tolerance, -1
        for i in range(a + 1, b):
            d = abs(ux * (y[i % n] - y[a % n]) - uy * (x[i % n] - x[a % n])) / length
            if d > far:
                far, where = d, i
        if where >= 0:
            keep[where % n] = True
            stack[top, 0], stack[top, 1] = a, where
            stack[top + 1, 0], stack[top + 1, 1] = where, b
            top += 2
    return np.flatnonzero(keep)


@cell
def _across(ax, ay, bx, by, cx, cy):
    return (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)


@rows
def _crosses_itself(x, y):
    n = len(x)
    for i in range(n):
        a, b = i, (i + 1) % n
        for j in range(i + 2, n):
            c, d = j, (j + 1) % n
            if d == a:
                continue
            t1, t2 = _across(x[a], y[a], x[b], y[b], x[c], y[c]), _across(x[a], y[a], x[b], y[b], x[d], y[d])
            t3, t4 = _across(x[c], y[c], x[d], y[d], x[a], y[a]), _across(x[c], y[c], x[d], y[d], x[b], y[b])
            if t1 == 0.0 and t2 == 0.0:  # on one line: they meet if their extents do
                apart = max(x[a], x[b]) < min(x[c], x[d]) or max(x[c], x[d]) < min(x[a], x[b])
                if not (apart or max(y[a], y[b]) < min(y[c], y[d]) or max(y[c], y[d]) < min(y[a], y[b])):
                    return True
            elif t1 * t2 <= 0.0 and t3 * t4 <= 0.0:
                return True
    return False


@rows
def _dominant_direction(x, y, keep):
    """Return the angle [rad] of the perpendicular directions of a ring: the circular mean of four times its sides' angles."""
    c4, s4 = 0.0, 0.0
    for k in range(len(keep)):
        i, j = keep[k], keep[(k + 1) % len(keep)]
        ux, uy = x[j] - x[i], y[j] - y[i]
        length = math.sqrt(ux * ux + uy * uy)
        c2, s2 = (ux * ux - uy * uy) / (length * length), 2.0 * ux * uy / (length * length)
        # Squared lengths as weights: long sides know the direction of a wall, short ones are steps of the raster.
        c4 += length * length * (c2 * c2 - s2 * s2)
        s4 += length * length * 2.0 * c2 * s2
    return 0.25 * math.atan2(s4, c4)


@rows
def _fit_sides(x, y, keep, direction, cosine):
    """Fit a line to each side: a point and a unit vector, turned to the dominant directions where they are near."""
    n, m = len(x), len(keep)
    lines = np.empty((m, 5))
    for k in range(m):
        i, j = keep[k], keep[(k + 1) % m]
        last = j if j > i else j + n
        sx, sy, weight = 0.0, 0.0, 0.0
        for t in range(i, last):
            # Midpoints of cell sides lie on both sides of a slanting wall alike; corners would not.
            sx += 0.5 * (x[t % n] + x[(t + 1) % n])
            sy += 0.5 * (y[t % n] + y[(t + 1) % n])
            weight += 1.0
        ux, uy = x[j] - x[i], y[j] - y[i]
        length = math.sqrt(ux * ux + uy * uy)
        ux, uy = ux / length, uy / length
        for q in range(4):
            vx, vy = math.cos(direction + 0.5 * math.pi * q), math.sin(direction + 0.5 * math.pi * q)
            if ux * vx + uy * vy >= cosine:
                ux, uy = vx, vy
                break
        lines[k, 0], lines[k, 1], lines[k, 2], lines[k, 3], lines[k, 4] = sx / weight, sy / weight, ux, uy, weight
    return lines


@rows
def _merge_parallel(lines, tolerance):
    """Join neighbouring sides of one direction whose lines are closer than the tolerance."""
    m = len(lines)
    out = np.empty_like(lines)
    count = 0
    for k in range(m):
        if count > 0:
            a = out[count - 1]
            same = a[2] * lines[k, 2] + a[3] * lines[k, 3] > 0.9998
            gap = abs(a[2] * (lines[k, 1] - a[1]) - a[3] * (lines[k, 0] - a[0]))
            if same and gap < tolerance:
                w = a[4] + lines[k, 4]
                for c in range(2):
                    a[c] = (a[c] * a[4] + lines[k, c] * lines[k, 4]) / w
                a[4] = w
                continue
        out[count] = lines[k]
        count += 1
    return out[:count]


@rows
def _intersect_sides(lines):
    """Return the corners at which neighbouring lines meet; parallel neighbours are joined by a step across."""
    m = len(lines)
    px, py = np.empty(2 * m), np.empty(2 * m)
    n = 0
    for k in range(m):
        a, b = lines[k], lines[(k + 1) % m]
        cross = a[2] * b[3] - a[3] * b[2]
        if abs(cross) > 0.2:  # more than 12 degrees: the corner is well defined
            t = ((b[0] - a[0]) * b[3] - (b[1] - a[1]) * b[2]) / cross
            px[n], py[n] = a[0] + t * a[2], a[1] + t * a[3]
            n += 1
            continue
        # Half-way between the ends of the two sides, weighted by their lengths.
        w = b[4] / (a[4] + b[4])
        mx, my = a[0] + (b[0] - a[0]) * (1.0 - w), a[1] + (b[1] - a[1]) * (1.0 - w)
        for line in (a, b):
            t = (mx - line[0]) * line[2] + (my - line[1]) * line[3]
            px[n], py[n] = line[0] + t * line[2], line[1] + t * line[3]
            n += 1
    return px[:n], py[:n]


@rows
def _regular_ring(x, y, tolerance, cosine):
    keep = _simplify(x, y, tolerance)
    finer = tolerance
    while len(keep) < 3 or _crosses_itself(x[keep], y[keep]):
        if finer < 0.1:
            return x, y
        finer *= 0.5  # towards the traced ring, which is simple
        keep = _simplify(x, y, finer)
    simple_x, simple_y = x[keep], y[keep]
    raw = _ring_area2(x, y)
    direction = _dominant_direction(x, y, keep)
    lines = _fit_sides(x, y, keep, direction, cosine)
    # Sides of few cells are steps of the raster along a slanting wall: their neighbours meet without them.
    long = lines[lines[:, 4] >= SHORTEST_CELLS]
    lines = _merge_parallel(long if len(long) >= 4 else lines, tolerance)
    if len(lines) >= 3:
        px, py = _intersect_sides(lines)
        if abs(_ring_area2(px, py) - raw) <= 0.25 * abs(raw) and not _crosses_itself(px, py):
            return px, py
    return simple_x, simple_y


@rows
def _regularise(corners, ring_offsets, order, tolerance, cosine, size):
    flat = np.empty((2 * len(corners), 2), np.int64)
    offsets = np.zeros(len(order) + 1, np.int64)
    n = 0
    for k in range(len(order)):
        a, b = ring_offsets[order[k]], ring_offsets[order[k] + 1]
        x, y = corners[a:b, 0].astype(np.float64), corners[a:b, 1].astype(np.float64)
        x, y = _regular_ring(x, y, tolerance, cosine)
        for i in range(len(x)):
            flat[n, 0] = np.int64(math.floor(x[i] * size + 0.5))
            flat[n, 1] = np.int64(math.floor(y[i] * size + 0.5))
            n += 1
        offsets[k + 1] = n
    return flat[:n], offsets
