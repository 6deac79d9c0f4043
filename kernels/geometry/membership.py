"""Which polygon holds which point: membership, and points near a boundary, through a grid of index cells.

The rule is that of `polygons`: even-odd, left and lower edges inside, right and upper edges outside, exact in integers.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads
from felsina.kernels.geometry.polygons import scan_row, shape_bounds

Integers = NDArray[np.int64]

INDEX_CELL_MM = 1000  # about two roof edges a cell in a dense town; finer costs memory, coarser more edge tests
INDEX_CELLS = 4_000_000  # largest number of index cells: 32 MB


def locate_points(points: Integers, xy: Integers, ring_offsets: Integers, shape_offsets: Integers) -> NDArray[np.int32]:
    """Find for each point the lowest-numbered shape that contains it.

    A grid over the shapes knows for each of its cells which shapes fill it and which have an edge in it; only points in cells
    with edges need the crossing test, only against the shapes listed there.

    Parameters
    ----------
    points : (n_point, 2) int64
        Positions [mm].
    xy, ring_offsets, shape_offsets
        The shapes; see the module.

    Returns
    -------
    (n_point,) int32
        Index of the shape, -1 where there is none.
    """
    index = _build_index(xy, ring_offsets, shape_offsets)
    found = np.empty(len(points), np.int32)
    _locate(np.ascontiguousarray(points), xy, ring_offsets, shape_offsets, *index, found)
    return found


def locate_points_in_all(
    points: Integers, xy: Integers, ring_offsets: Integers, shape_offsets: Integers
) -> tuple[Integers, NDArray[np.int32]]:
    """Find all shapes that contain each point, for shapes that may overlap.

    Returns
    -------
    offsets : (n_point + 1,) int64
        Where the list of each point starts.
    shapes : (n_member,) int32
        Shapes of each point, ascending.
    """
    index = _build_index(xy, ring_offsets, shape_offsets)
    points = np.ascontiguousarray(points)
    offsets = np.zeros(len(points) + 1, np.int64)
    _count_members(points, xy, ring_offsets, shape_offsets, *index, offsets)
    offsets = np.cumsum(offsets)
    shapes = np.empty(int(offsets[-1]), np.int32)
    _fill_members(points, xy, ring_offsets, shape_offsets, *index, offsets, shapes)
    return offsets, shapes


def locate_points_nearby(
    points: Integers, distance_mm: int, xy: Integers, ring_offsets: Integers, shape_offsets: Integers
) -> tuple[Integers, NDArray[np.int32]]:
    """Find for each shape the points outside it that are no farther than `distance_mm` from its boundary.

    Parameters
    ----------
    points : (n_point, 2) int64
        Positions [mm].
    distance_mm : int
        Largest distance to the boundary [mm], reached included.

    Returns
    -------
    offsets : (n_shape + 1,) int64
        Where the list of each shape starts.
    members : (n_member,) int32
        Points of each shape, ascending.
    """
    bounds = shape_bounds(xy, ring_offsets, shape_offsets)
    bounds[:, :2] -= distance_mm
    bounds[:, 2:] += distance_mm
    order = np.argsort(points[:, 0], kind="stable")
    x = np.ascontiguousarray(points[order, 0])
    y = np.ascontiguousarray(points[order, 1])
    first = np.searchsorted(x, bounds[:, 0], "left")
    last = np.searchsorted(x, bounds[:, 2], "right")
    offsets = np.zeros(len(bounds) + 1, np.int64)
    empty = np.empty(0, np.int32)
    _nearby(x, y, order, first, last, bounds, distance_mm, xy, ring_offsets, shape_offsets, offsets, empty, True)
    offsets = np.cumsum(offsets)
    members = np.empty(int(offsets[-1]), np.int32)
    _nearby(x, y, order, first, last, bounds, distance_mm, xy, ring_offsets, shape_offsets, offsets, members, False)
    return offsets, members


@cell
def _contains(x, y, xy, ring_offsets, first_ring, last_ring):
    inside = False
    for r in range(first_ring, last_ring):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        if b - a < 3:
            continue
        xi, yi = xy[b - 1, 0], xy[b - 1, 1]
        for j in range(a, b):
            xj, yj = xy[j, 0], xy[j, 1]
            if (yi <= y) != (yj <= y):
                # Crosses the level of the point: is the crossing to the right of it?
                cross = (xj - xi) * (y - yi) - (x - xi) * (yj - yi)
                if (cross > 0) == (yj > yi) and cross != 0:
                    inside = not inside
            xi, yi = xj, yj
    return inside


@rows
def _mark_cells(west, south, size, nx, ny, xy, ring_offsets, first, last, kind, west_cell, south_cell):
    """Mark the index cells of one shape in its own window: 0 outside, 1 has an edge, 2 inside."""
    ky, kx = kind.shape
    kind[:] = 0
    crossings = np.empty(ring_offsets[last] - ring_offsets[first], np.int64)
    for row in range(ky):
        y2 = 2 * (south + (south_cell + row) * size) + size
        n = scan_row(y2, 2 * (west + west_cell * size), 2 * size, kx, xy, ring_offsets, first, last, crossings)
        for k in range(0, n - 1, 2):
            for column in range(crossings[k], crossings[k + 1]):
                kind[row, column] = 2
    for r in range(first, last):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        i = b - 1
        for j in range(a, b):
            xi, yi, xj, yj = xy[i, 0], xy[i, 1], xy[j, 0], xy[j, 1]
            i = j
            if yj < yi:
                xi, yi, xj, yj = xj, yj, xi, yi
            for row in range((yi - south) // size - south_cell, (yj - south) // size - south_cell + 1):
                low = max(yi, south + (south_cell + row) * size)
                high = min(yj, south + (south_cell + row + 1) * size)
                xa, xb = xi, xj
                if yj > yi:
                    # Rounded down and up: a cell too many costs a test, a cell too few an error.
                    if xj >= xi:
                        xa = xi + (low - yi) * (xj - xi) // (yj - yi)
                        xb = xi - (-(high - yi) * (xj - xi)) // (yj - yi)
                    else:
                        xa = xi - (-(low - yi) * (xj - xi)) // (yj - yi)
                        xb = xi + (high - yi) * (xj - xi) // (yj - yi)
                for column in range((min(xa, xb) - west) // size - west_cell, (max(xa, xb) - west) // size - west_cell + 1):
                    if 0 <= row < ky and 0 <= column < kx:
                        kind[row, column] = 1


@rows
def _fill_index(west, south, size, nx, ny, bounds, xy, ring_offsets, shape_offsets, starts, entries, counting):
    largest = np.int64(1)
    for s in range(len(bounds)):
        if bounds[s, 0] <= bounds[s, 2]:
            kx = (bounds[s, 2] - west) // size - (bounds[s, 0] - west) // size + 1
            ky = (bounds[s, 3] - south) // size - (bounds[s, 1] - south) // size + 1
            largest = max(largest, kx * ky)
    scratch = np.empty(largest, np.uint8)
    filled = np.zeros(1 if counting else nx * ny, np.int32)
    for s in range(len(bounds)):
        if bounds[s, 0] > bounds[s, 2]:
            continue
        c0, r0 = (bounds[s, 0] - west) // size, (bounds[s, 1] - south) // size
        kx, ky = (bounds[s, 2] - west) // size - c0 + 1, (bounds[s, 3] - south) // size - r0 + 1
        kind = scratch[: kx * ky].reshape(ky, kx)
        _mark_cells(west, south, size, nx, ny, xy, ring_offsets, shape_offsets[s], shape_offsets[s + 1], kind, c0, r0)
        for row in range(ky):
            for column in range(kx):
                if kind[row, column] == 0:
                    continue
                c = (r0 + row) * nx + c0 + column
                if counting:
                    starts[c + 1] += 1
                else:
                    entries[starts[c] + filled[c]] = 2 * s + (kind[row, column] == 2)
                    filled[c] += 1


def _build_index(xy, ring_offsets, shape_offsets):
    bounds = shape_bounds(xy, ring_offsets, shape_offsets)
    used = bounds[bounds[:, 0] <= bounds[:, 2]]
    if len(used) == 0:
        return 0, 0, 1, 0, 0, np.zeros(1, np.int64), np.empty(0, np.int64)
    west, south = int(used[:, 0].min()), int(used[:, 1].min())
    width, height = int(used[:, 2].max()) - west, int(used[:, 3].max()) - south
    size = INDEX_CELL_MM
    while (width // size + 1) * (height // size + 1) > INDEX_CELLS:
        size *= 2
    nx, ny = width // size + 1, height // size + 1
    starts = np.zeros(nx * ny + 1, np.int64)
    entries = np.empty(0, np.int64)
    _fill_index(west, south, size, nx, ny, bounds, xy, ring_offsets, shape_offsets, starts, entries, True)
    starts = np.cumsum(starts)
    entries = np.empty(int(starts[-1]), np.int64)
    _fill_index(west, south, size, nx, ny, bounds, xy, ring_offsets, shape_offsets, starts, entries, False)
    return west, south, size, nx, ny, starts, entries


@cell
def _index_cell(x, y, west, south, size, nx, ny):
    dx, dy = x - west, y - south
    if dx < 0 or dy < 0:
        return -1
    column, row = np.uint64(dx) // np.uint64(size), np.uint64(dy) // np.uint64(size)
    if column >= np.uint64(nx) or row >= np.uint64(ny):
        return -1
    return np.int64(row * np.uint64(nx) + column)


@rows
def _locate_block(points, xy, ring_offsets, shape_offsets, west, south, size, nx, ny, starts, entries, found):
    for p in range(len(points)):
        x, y = points[p, 0], points[p, 1]
        found[p] = -1
        c = _index_cell(x, y, west, south, size, nx, ny)
        if c < 0:
            continue
        for e in range(starts[c], starts[c + 1]):
            s = entries[e] >> 1
            if entries[e] & 1 or _contains(x, y, xy, ring_offsets, shape_offsets[s], shape_offsets[s + 1]):
                found[p] = s
                break


@threads
def _locate(points, xy, ring_offsets, shape_offsets, west, south, size, nx, ny, starts, entries, found):
    block = 8192
    for k in prange((len(points) + block - 1) // block):
        a, b = k * block, min((k + 1) * block, len(points))
        _locate_block(points[a:b], xy, ring_offsets, shape_offsets, west, south, size, nx, ny, starts, entries, found[a:b])


@rows
def _count_members(points, xy, ring_offsets, shape_offsets, west, south, size, nx, ny, starts, entries, counts):
    for p in range(len(points)):
        x, y = points[p, 0], points[p, 1]
        c = _index_cell(x, y, west, south, size, nx, ny)
        if c < 0:
            continue
        for e in range(starts[c], starts[c + 1]):
            s = entries[e] >> 1
            if entries[e] & 1 or _contains(x, y, xy, ring_offsets, shape_offsets[s], shape_offsets[s + 1]):
                counts[p + 1] += 1


@rows
def _fill_members(points, xy, ring_offsets, shape_offsets, west, south, size, nx, ny, starts, entries, offsets, shapes):
    for p in range(len(points)):
        x, y = points[p, 0], points[p, 1]
        c = _index_cell(x, y, west, south, size, nx, ny)
        if c < 0:
            continue
        k = offsets[p]
        for e in range(starts[c], starts[c + 1]):
            s = entries[e] >> 1
            if entries[e] & 1 or _contains(x, y, xy, ring_offsets, shape_offsets[s], shape_offsets[s + 1]):
                shapes[k] = s
                k += 1


@cell
def _is_within(x, y, xi, yi, xj, yj, distance):
    """Tell whether a point is within `distance` of a segment; products may pass 2**63, hence float64, order of terms fixed."""
    dx, dy, px, py = float(xj - xi), float(yj - yi), float(x - xi), float(y - yi)
    along, length2 = px * dx + py * dy, dx * dx + dy * dy
    if along <= 0.0 or length2 == 0.0:
        return px * px + py * py <= distance * distance
    if along >= length2:
        qx, qy = float(x - xj), float(y - yj)
        return qx * qx + qy * qy <= distance * distance
    cross = px * dy - py * dx
    return cross * cross <= distance * distance * length2


@rows
def _nearby(x, y, order, first, last, bounds, distance, xy, ring_offsets, shape_offsets, offsets, members, counting):
    reach = float(distance)
    for s in range(len(shape_offsets) - 1):
        if bounds[s, 0] > bounds[s, 2]:
            continue
        n = offsets[s]
        start = n
        for p in range(first[s], last[s]):
            if y[p] < bounds[s, 1] or y[p] > bounds[s, 3]:
                continue
            near = False
            for r in range(shape_offsets[s], shape_offsets[s + 1]):
                a, b = ring_offsets[r], ring_offsets[r + 1]
                i = b - 1
                for j in range(a, b):
                    if _is_within(x[p], y[p], xy[i, 0], xy[i, 1], xy[j, 0], xy[j, 1], reach):
                        near = True
                        break
                    i = j
                if near:
                    break
            if near and not _contains(x[p], y[p], xy, ring_offsets, shape_offsets[s], shape_offsets[s + 1]):
                if counting:
                    offsets[s + 1] += 1
                else:
                    members[n] = order[p]
                n += 1
        if not counting:
            members[start:n].sort()
