"""Walls that buildings share: pairs of opposite vertical walls that lie on each other in plan and overlap in height.

A wall stands on a level base over a straight line in plan; its top is a profile of straight pieces, which may rise, fall and
jump. Two walls are a pair when they face opposite ways within `ANGLE_DEG`, and over the stretch on which their projections
overlap they are nowhere farther apart than `DISTANCE_MM`. Surveyed neighbours are drawn up to a decimetre apart or over each
other, and a street or an alley is far wider. The shared area is that which both walls cover along the stretch:

    A = integral of max(0, min(top_a, top_b) - max(base_a, base_b)) ds

Each pair is computed once, seen from its longer wall (a total order on coordinates decides between equals), and holds for both
walls, so that both sides agree to the bit and no numbering of buildings changes it. No wall shares more than it has: pairs are
served from the closest to the farthest, and a later one gets at most what is left of both walls.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.faces import face_normal

Integers = NDArray[np.int64]

DISTANCE_MM = 100
ANGLE_DEG = 2.0
SHORTEST_MM = 100  # overlaps shorter than the distance tolerance are corners that touch
_CELL_MM = 8000  # about the length of a house wall: fewer cells a wall against fewer walls a cell


class Walls(NamedTuple):
    """Vertical walls with a level base and a top of straight pieces.

    Attributes
    ----------
    edges : (n_wall, 4) int64
        x, y of the start and x, y of the end of each wall [mm]; the outside is on the right.
    base : (n_wall,) int64
        Lower height [mm].
    piece_offsets : (n_wall + 1,) int64
        Pieces of the top of each wall.
    pieces : (n_piece, 4) int64
        Place of both ends of each piece and the height of the top there [mm]. A place is the scalar product of edge and vector
        from its start [mm2], 0 at the start and the squared length of the edge at its end: whole numbers, so that a profile is
        exact. Ascending along the edge; pieces that go straight on are one.
    """

    edges: Integers
    base: Integers
    piece_offsets: Integers
    pieces: Integers


def wall_profiles(
    vertices: Integers, face_rings: Integers, ring_offsets: Integers, face_offsets: Integers, faces: Integers
) -> Walls:
    """Return the profiles of vertical faces that stand on a level base.

    Parameters
    ----------
    vertices, face_rings, ring_offsets, face_offsets
        Solids; see `faces.tabulate_faces`.
    faces : (n_wall,) int64
        Their walls, one ring each: those on the footprint of a roof solid, all walls of a prism. Where the corners do not lie
        on one line in plan, it is that between the outermost ones along the wall.

    Raises
    ------
    ValueError
        Where a chosen face has a hole.
    """
    faces = np.ascontiguousarray(faces, np.int64)
    ring = face_offsets[faces]
    if (face_offsets[faces + 1] - ring != 1).any():
        bad = int(faces[np.flatnonzero(face_offsets[faces + 1] - ring != 1)[0]])
        raise ValueError(f"Face {bad} has {face_offsets[bad + 1] - face_offsets[bad]} rings; a wall with a profile has one.")
    n = len(faces)
    edges, base, offsets = np.empty((n, 4), np.int64), np.empty(n, np.int64), np.zeros(n + 1, np.int64)
    pieces = np.empty((int((ring_offsets[ring + 1] - ring_offsets[ring]).sum()), 4), np.int64)
    m = _profiles(vertices, face_rings, ring_offsets, ring, edges, base, offsets, pieces)
    return Walls(edges, base, offsets, pieces[:m].copy())


def find_party_walls(
    walls: Walls, owner: Integers, distance_mm: int = DISTANCE_MM, angle_deg: float = ANGLE_DEG
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the pairs of walls of different owners that share an area.

    Parameters
    ----------
    walls : Walls
        n_wall walls.
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
    owner = np.ascontiguousarray(owner, np.int64)
    candidates = _candidates(walls.edges, owner, distance_mm)
    area2, gap = np.zeros(len(candidates), np.int64), np.zeros(len(candidates), np.int64)
    _match(*walls, candidates, float(distance_mm), math.sin(math.radians(angle_deg)) ** 2, area2, gap)
    hit = area2 > 0
    pairs, area2, gap = np.ascontiguousarray(candidates[hit]), area2[hit], gap[hit]
    _limit(*walls, pairs, gap, area2)
    hit = area2 > 0
    return pairs[hit], area2[hit] / 1e6


def sum_party_walls(pairs: NDArray[np.int64], area: NDArray[np.float64], n_wall: int) -> NDArray[np.float64]:
    """Return (n_wall,) the area of each wall that is shared with neighbours [m2], added in whole mm2."""
    total = np.zeros(n_wall, np.int64)
    square_mm = np.rint(area * 1e6).astype(np.int64)
    np.add.at(total, pairs[:, 0], square_mm)
    np.add.at(total, pairs[:, 1], square_mm)
    return total / 1e6


@rows
def _profiles(vertices, face_rings, ring_offsets, rings, edges, base, offsets, pieces):
    m = 0
    for w in range(len(rings)):
        a, b = ring_offsets[rings[w]], ring_offsets[rings[w] + 1]
        nx, ny, _ = face_normal(vertices, face_rings, ring_offsets, rings[w], rings[w] + 1)
        # Seen from outside a wall goes to the right: a quarter turn from its normal.
        ux, uy = -float(ny), float(nx)
        o = face_rings[a]
        start, end, least, most = o, o, 0.0, 0.0
        base[w] = vertices[o, 2]
        for i in range(a + 1, b):
            v = face_rings[i]
            s = float(vertices[v, 0] - vertices[o, 0]) * ux + float(vertices[v, 1] - vertices[o, 1]) * uy
            if s < least:
                start, least = v, s
            if s > most:
                end, most = v, s
            base[w] = min(base[w], vertices[v, 2])
        x, y = vertices[start, 0], vertices[start, 1]
        ex, ey = vertices[end, 0] - x, vertices[end, 1] - y
        edges[w, 0], edges[w, 1], edges[w, 2], edges[w, 3] = x, y, vertices[end, 0], vertices[end, 1]
        first = m
        # The ring runs back along the top.
        for i in range(a, b):
            v, t = face_rings[i], face_rings[i + 1 if i + 1 < b else a]
            s1 = (vertices[v, 0] - x) * ex + (vertices[v, 1] - y) * ey
            s0 = (vertices[t, 0] - x) * ex + (vertices[t, 1] - y) * ey
            if s0 >= s1:
                continue
            k = m
            while k > first and pieces[k - 1, 0] > s0:
                pieces[k] = pieces[k - 1]
                k -= 1
            pieces[k, 0], pieces[k, 1], pieces[k, 2], pieces[k, 3] = s0, s1, vertices[t, 2], vertices[v, 2]
            m += 1
        m = _join(pieces, first, m)
        offsets[w + 1] = m
    return m


@rows
def _join(pieces, first, last):
    """Make pieces one that go straight on from one another; return the end of those that are left."""
    m = first
    for k in range(first, last):
        if (
            m > first
            and pieces[m - 1, 1] == pieces[k, 0]
            and pieces[m - 1, 3] == pieces[k, 2]
            and (pieces[m - 1, 3] - pieces[m - 1, 2]) * (pieces[k, 1] - pieces[k, 0])
            == (pieces[k, 3] - pieces[k, 2]) * (pieces[m - 1, 1] - pieces[m - 1, 0])
        ):
            pieces[m - 1, 1], pieces[m - 1, 3] = pieces[k, 1], pieces[k, 3]
            continue
        pieces[m] = pieces[k]
        m += 1
    return m


def _candidates(edges: Integers, owner: Integers, distance_mm: int) -> NDArray[np.int64]:
    """List (n, 2) the pairs of walls of two owners that face each other and whose boxes are near, each once, ascending."""
    n = len(edges)
    if n == 0:
        return np.empty((0, 2), np.int64)
    west, south = int(edges[:, 0::2].min()) - distance_mm, int(edges[:, 1::2].min()) - distance_mm
    columns = (int(edges[:, 0::2].max()) + distance_mm - west) // _CELL_MM + 1
    starts = np.zeros(n + 1, np.int64)
    _list_cells(edges, west, south, columns, distance_mm, starts, np.empty((0, 2), np.int64), True)
    starts = np.cumsum(starts)
    listed = np.empty((int(starts[-1]), 2), np.int64)
    _list_cells(edges, west, south, columns, distance_mm, starts, listed, False)
    listed = _by_bucket(listed, len(listed) | 1)
    found = np.empty((_list_pairs(edges, owner, distance_mm, *listed, np.empty((0, 2), np.int64), True), 2), np.int64)
    _list_pairs(edges, owner, distance_mm, *listed, found, False)
    key = np.unique(found[:, 0] * n + found[:, 1])
    return np.stack((key // n, key % n), axis=1)


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
def _by_bucket(listed, n_bucket):
    """Sort (cell, wall) by the remainder of the cell, walls ascending; return starts of buckets, cells and walls."""
    starts = np.zeros(n_bucket + 1, np.int64)
    for i in range(len(listed)):
        starts[listed[i, 0] % n_bucket + 1] += 1
    for k in range(n_bucket):
        starts[k + 1] += starts[k]
    place = starts[:-1].copy()
    cells, walls = np.empty(len(listed), np.int64), np.empty(len(listed), np.int64)
    for i in range(len(listed)):
        k = listed[i, 0] % n_bucket
        cells[place[k]], walls[place[k]] = listed[i, 0], listed[i, 1]
        place[k] += 1
    return starts, cells, walls


@rows
def _list_pairs(edges, owner, reach, starts, cells, walls, found, counting):
    n = 0
    for k in range(len(starts) - 1):
        for i in range(starts[k], starts[k + 1]):
            a = walls[i]
            ux, uy = float(edges[a, 2] - edges[a, 0]), float(edges[a, 3] - edges[a, 1])
            left, right = min(edges[a, 0], edges[a, 2]) - reach, max(edges[a, 0], edges[a, 2]) + reach
            low, high = min(edges[a, 1], edges[a, 3]) - reach, max(edges[a, 1], edges[a, 3]) + reach
            for j in range(i + 1, starts[k + 1]):
                b = walls[j]
                if cells[i] != cells[j] or owner[a] == owner[b]:
                    continue
                if ux * float(edges[b, 2] - edges[b, 0]) + uy * float(edges[b, 3] - edges[b, 1]) >= 0.0:
                    continue
                if max(edges[b, 0], edges[b, 2]) < left or min(edges[b, 0], edges[b, 2]) > right:
                    continue
                if max(edges[b, 1], edges[b, 3]) < low or min(edges[b, 1], edges[b, 3]) > high:
                    continue
                if not counting:
                    found[n, 0], found[n, 1] = a, b
                n += 1
    return n


@rows
def _compare(edges, base, piece_offsets, pieces, a, b):
    """Order walls by their coordinates, base and profile: -1, 0 or 1; 0 only where they are the same."""
    for k in range(4):
        if edges[a, k] != edges[b, k]:
            return -1 if edges[a, k] < edges[b, k] else 1
    if base[a] != base[b]:
        return -1 if base[a] < base[b] else 1
    first_a, first_b = piece_offsets[a], piece_offsets[b]
    n_a, n_b = piece_offsets[a + 1] - first_a, piece_offsets[b + 1] - first_b
    for i in range(min(n_a, n_b)):
        for k in range(4):
            if pieces[first_a + i, k] != pieces[first_b + i, k]:
                return -1 if pieces[first_a + i, k] < pieces[first_b + i, k] else 1
    return -1 if n_a < n_b else 1 if n_a > n_b else 0


@cell
def _squared_length(edges, e):
    return (edges[e, 2] - edges[e, 0]) ** 2 + (edges[e, 3] - edges[e, 1]) ** 2


@cell
def _share(place, whole):
    """Return how far along an edge a place is: exactly 0 and 1 at its ends."""
    return float(place) / float(whole)


@rows
def _positive(width, h0, h1):
    """Return the area under the positive part of a straight line over a width."""
    if h0 >= 0.0 and h1 >= 0.0:
        return width * (0.5 * (h0 + h1))
    if h0 <= 0.0 and h1 <= 0.0:
        return 0.0
    top, bottom = max(h0, h1), min(h0, h1)
    return width * (0.5 * top * (top / (top - bottom)))


@rows
def _under_both(width, f0, f1, g0, g1):
    """Return the area under the lower of two straight lines, where it is positive."""
    d0, d1 = f0 - g0, f1 - g1
    if (d0 < 0.0 and d1 > 0.0) or (d0 > 0.0 and d1 < 0.0):
        t = d0 / (d0 - d1)
        m = f0 + t * (f1 - f0)
        return _positive(width * t, min(f0, g0), m) + _positive(width * (1.0 - t), m, min(f1, g1))
    return _positive(width, min(f0, g0), min(f1, g1))


@cell
def _at(s, s0, s1, h0, h1):
    return h0 + (h1 - h0) * ((s - s0) / (s1 - s0))


@rows
def _common_area(edges, base, piece_offsets, pieces, a, b, length, s0, s1, low, high):
    """Integrate what both walls cover between two places along wall a [mm]; wall b runs from s0 back to s1."""
    aa, bb = _squared_length(edges, a), _squared_length(edges, b)
    floor = max(base[a], base[b])
    i, j, total = piece_offsets[a], piece_offsets[b + 1] - 1, 0.0
    while i < piece_offsets[a + 1] and j >= piece_offsets[b]:
        p0 = length * _share(pieces[i, 0], aa)
        p1 = length * _share(pieces[i, 1], aa)
        q0 = s0 + (s1 - s0) * _share(pieces[j, 1], bb)
        q1 = s0 + (s1 - s0) * _share(pieces[j, 0], bb)
        # Ends are those that the stretch was measured with.
        q0 = s1 if pieces[j, 1] == bb else q0
        left, right = max(p0, q0, low), min(p1, q1, high)
        if right > left:
            fa0, fa1 = float(pieces[i, 2] - floor), float(pieces[i, 3] - floor)
            fb0, fb1 = float(pieces[j, 3] - floor), float(pieces[j, 2] - floor)
            total += _under_both(
                right - left,
                _at(left, p0, p1, fa0, fa1),
                _at(right, p0, p1, fa0, fa1),
                _at(left, q0, q1, fb0, fb1),
                _at(right, q0, q1, fb0, fb1),
            )
        if p1 < q1:
            i += 1
        else:
            j -= 1
    return total


@rows
def _match(edges, base, piece_offsets, pieces, candidates, reach, sine2, area2, gap):
    for c in range(len(candidates)):
        a, b = candidates[c, 0], candidates[c, 1]
        # Seen from the longer wall, or from that with the lower coordinates.
        aa, bb = _squared_length(edges, a), _squared_length(edges, b)
        if aa < bb or (aa == bb and _compare(edges, base, piece_offsets, pieces, a, b) > 0):
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
        common = _common_area(edges, base, piece_offsets, pieces, a, b, length, s0, s1, low, high)
        area2[c] = np.int64(common + 0.5)
        gap[c] = np.int64(farthest + 0.5)


@rows
def _wall_area2(edges, base, piece_offsets, pieces, e):
    """Return the area of a wall in whole mm2, rounded down."""
    whole = _squared_length(edges, e)
    length, total = math.sqrt(float(whole)), 0.0
    for i in range(piece_offsets[e], piece_offsets[e + 1]):
        width = length * _share(pieces[i, 1] - pieces[i, 0], whole)
        total += width * (0.5 * float(pieces[i, 2] + pieces[i, 3] - 2 * base[e]))
    return np.int64(total)


@rows
def _is_served_first(edges, base, piece_offsets, pieces, pairs, gap, area2, k, m):
    """Order pairs by distance, then by area and by place: an order that no numbering of walls can change."""
    if gap[k] != gap[m]:
        return gap[k] < gap[m]
    if area2[k] != area2[m]:
        return area2[k] > area2[m]
    ka, kb, ma, mb = pairs[k, 0], pairs[k, 1], pairs[m, 0], pairs[m, 1]
    if _compare(edges, base, piece_offsets, pieces, ka, kb) > 0:
        ka, kb = kb, ka
    if _compare(edges, base, piece_offsets, pieces, ma, mb) > 0:
        ma, mb = mb, ma
    order = _compare(edges, base, piece_offsets, pieces, ka, ma)
    if order == 0:
        order = _compare(edges, base, piece_offsets, pieces, kb, mb)
    return order <= 0


@rows
def _serving_order(edges, base, piece_offsets, pieces, pairs, gap, area2, chosen):
    """Sort pair numbers by merging runs of doubled length."""
    source, target, width = chosen.copy(), np.empty_like(chosen), 1
    while width < len(chosen):
        for first in range(0, len(chosen), 2 * width):
            middle, last = min(first + width, len(chosen)), min(first + 2 * width, len(chosen))
            i, j = first, middle
            for k in range(first, last):
                if j == last or (
                    i < middle and _is_served_first(edges, base, piece_offsets, pieces, pairs, gap, area2, source[i], source[j])
                ):
                    target[k] = source[i]
                    i += 1
                else:
                    target[k] = source[j]
                    j += 1
        source, target, width = target, source, 2 * width
    return source


@rows
def _limit(edges, base, piece_offsets, pieces, pairs, gap, area2):
    """Let no wall share more than it has."""
    n_wall = len(base)
    left, asked, uses = np.zeros(n_wall, np.int64), np.zeros(n_wall, np.int64), np.zeros(n_wall, np.int64)
    for k in range(len(pairs)):
        for s in range(2):
            e = pairs[k, s]
            if uses[e] == 0:
                left[e] = _wall_area2(edges, base, piece_offsets, pieces, e)
            uses[e] += 1
            asked[e] += area2[k]
    # The order matters only among the pairs of a wall that are more than one and ask for more than it has.
    chosen, n = np.empty(len(pairs), np.int64), 0
    for k in range(len(pairs)):
        a, b = pairs[k, 0], pairs[k, 1]
        if (uses[a] > 1 and asked[a] > left[a]) or (uses[b] > 1 and asked[b] > left[b]):
            chosen[n] = k
            n += 1
        else:
            area2[k] = min(area2[k], left[a], left[b])
    for k in _serving_order(edges, base, piece_offsets, pieces, pairs, gap, area2, chosen[:n]):
        a, b = pairs[k, 0], pairs[k, 1]
        area2[k] = min(area2[k], left[a], left[b])
        left[a] -= area2[k]
        left[b] -= area2[k]
