"""How far footprints lie beside the roofs that the points show: an edge, a building, a city.

Along a footprint edge with nothing built beside it, the building returns end where the roof ends. With x the distance outwards
from the edge and lambda the density of returns well inside, the end of the roof is the x that makes

    S(x) = n(returns up to x) - lambda / 2 * (x + INSIDE)

largest: the change-point of a Poisson process that falls from lambda to less than half of it, as exact as the spacing of the
returns (Carlstein 1988, Nonparametric change-point estimation; here the
level is known). A roof that stands out on all sides moves all edges outwards alike, a
shifted footprint moves opposite ones in opposite ways:

    e_k = n_k . t + o

with e_k the end of the roof beyond edge k, n_k its outward normal, t the shift that brings the outline onto the roof, o the
overhang of the building. Robust least squares give t per building with its information matrix; o is eliminated. The matrices of
buildings add up, so that terraced houses, which only tell how far they lie off across the street, help the city too.

Nothing here sums in an order that a caller could change: a building is one loop, a city one loop over its rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.membership import locate_points
from felsina.kernels.geometry.polygons import shape_area

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

SEARCH_MM = 2000  # largest misfit that is looked for, either way
INSIDE_MM = 2500  # depth of the band from which the profile starts
LEVEL_MM = 1000  # the density is that of the part of the band that is deeper than this
FREE_MM = 3000  # nothing else may be built this near outside an edge
MARGIN_MM = 500  # at either end of an edge: around a corner the other edge decides
SHORTEST_MM = 2500  # of an edge
WIDEST_SPACING_MM = 150.0  # between returns along the profile; wider ones do not place the end of a roof
EDGE_DEVIATION_M = 0.20  # of a single edge about its outline: bays, gutters, generalisation
BUILDING_DEVIATION_M = 0.15  # of a building about the shift of its city: drawn from images, one by one
HUBER_EDGE, HUBER_BUILDING = 1.5, 2.0  # standard deviations beyond which weight falls
_ROUNDS = 30


class OffsetFit(NamedTuple):
    """What the edges of one building say about its shift t.

    information : (3,) float64
        Elements xx, xy, yy of the information matrix A [m-2]; 0 where nothing is known.
    vector : (2,) float64
        A t [m-1].
    overhang : float
        Mean distance of the roof's end beyond the shifted outline [m]; NaN without edges.
    n_edge : int
        Edges used.
    """

    information: Floats
    vector: Floats
    overhang: float
    n_edge: int


class CommonOffset(NamedTuple):
    """The shift of a city: x, y east and north [m], their standard errors [m], buildings that count, and their median overhang.

    NaN where the buildings do not tell both directions.
    """

    x: float
    y: float
    error_x: float
    error_y: float
    n_building: int
    overhang: float


def free_edges(
    xy: Integers, ring_offsets: Integers, shape_offsets: Integers, edges: Integers | None = None, reach_mm: int = FREE_MM
) -> NDArray[np.bool_]:
    """Tell which edges have no footprint beside them, their own shape included, looked up at nine places outside.

    Parameters
    ----------
    xy, ring_offsets, shape_offsets : (n_vertex, 2), (n_ring + 1,), (n_shape + 1,) int64
        All footprints of the city [mm]; see `geometry.polygons`.
    edges : (n_edge,) int64, optional
        Edges to look at, by the vertex where they start; all by default.
    reach_mm : int
        Width of the strip outside that must be empty [mm].

    Returns
    -------
    (n_edge,) bool
        False for edges shorter than `SHORTEST_MM` as well.
    """
    edges = np.arange(len(xy)) if edges is None else edges
    following = np.arange(1, len(xy) + 1)
    following[ring_offsets[1:] - 1] = ring_offsets[:-1]
    start, end = xy[edges], xy[following[edges]]
    samples, is_long = _samples_outside(start, end, SHORTEST_MM, reach_mm)
    member = locate_points(samples, xy, ring_offsets, shape_offsets).reshape(-1, 9)
    return is_long & (member < 0).all(axis=1)


def fit_offset(points: Integers, xy: Integers, ring_offsets: Integers, is_free: NDArray[np.bool_]) -> OffsetFit:
    """Estimate how far a footprint lies beside its roof.

    Parameters
    ----------
    points : (n_point, 2) int64
        Building returns [mm] in the footprint and outside it within `SEARCH_MM`, in any order, each once; x and y near the
        origin.
    xy, ring_offsets : (n_vertex, 2), (n_ring + 1,) int64
        Rings of the footprint in the same frame [mm], interior on the left.
    is_free : (n_vertex,) bool
        Edges to use, by the vertex where they start; see `free_edges`.
    """
    whole = np.array([0, len(ring_offsets) - 1], np.int64)
    inside = int(np.count_nonzero(locate_points(points, xy, ring_offsets, whole) == 0)) if len(points) else 0
    area = float(shape_area(xy, ring_offsets, whole)[0])
    information, vector, edge = np.zeros(3), np.zeros(2), np.zeros((len(xy), 4))
    if area <= 0.0 or inside == 0:
        return OffsetFit(information, vector, math.nan, 0)
    n, overhang = _fit(points, xy, ring_offsets, is_free, inside / area * 1e-6, edge, information, vector)
    return OffsetFit(information, vector, float(overhang) if n else math.nan, int(n))


def solve_offsets(information: Floats, vector: Floats, largest_deviation: float = 0.5) -> Floats:
    """Solve A t = b for each building.

    Parameters
    ----------
    information, vector : (n, 3), (n, 2) float64
        Of `OffsetFit`.
    largest_deviation : float
        Largest standard deviation, in the direction that is known least, of a shift that is given [m].

    Returns
    -------
    (n, 3) float64
        Shift east and north [m] that brings the outline onto the roof, and the standard deviation in the direction that is
        known least [m]; NaN where it is larger than asked for.
    """
    out = np.full((len(information), 3), np.nan)
    _solve(information, vector, largest_deviation, out)
    return out


def common_offset(information: Floats, vector: Floats, overhang: Floats) -> CommonOffset:
    """Estimate the shift that the buildings of a city have in common, robustly against those that were moved or changed.

    Each building lies `BUILDING_DEVIATION_M` about the common shift beside its own uncertainty; one that lies farther off than
    twice what is expected counts less (Huber 1964, doi:10.1214/aoms/1177703732). The standard errors are those of White 1980
    (doi:10.2307/1912934): from the scatter of the buildings and not from what was assumed.

    Parameters
    ----------
    information, vector, overhang : (n, 3), (n, 2), (n,) float64
        Of `OffsetFit`, in the order of the rows of the table.
    """
    known = np.ascontiguousarray(information[:, 0] + information[:, 2] > 0.0)
    x, y, error_x, error_y = _common(information[known], vector[known])
    middle = np.sort(overhang[np.isfinite(overhang)])
    median = float(middle[len(middle) // 2]) if len(middle) else math.nan
    return CommonOffset(float(x), float(y), float(error_x), float(error_y), int(np.count_nonzero(known)), median)


@rows
def _samples_outside(start, end, shortest, reach):
    """Return nine places outside each edge, at three distances on three lines, and whether the edge is long enough."""
    samples = np.empty((9 * len(start), 2), np.int64)
    is_long = np.zeros(len(start), np.bool_)
    for k in range(len(start)):
        dx, dy = float(end[k, 0] - start[k, 0]), float(end[k, 1] - start[k, 1])
        length = math.sqrt(dx * dx + dy * dy)
        is_long[k] = length >= shortest
        scale = 1.0 / length if length > 0.0 else 0.0
        for i in range(3):
            along = (2 * i + 1) / 6.0
            for j in range(3):
                # 0.1 m, the middle and the end of the strip; rounded to whole millimetres.
                out = (100.0, 0.5 * reach, float(reach))[j]
                at = 9 * k + 3 * i + j
                samples[at, 0] = start[k, 0] + np.int64(math.floor(along * dx + out * dy * scale + 0.5))
                samples[at, 1] = start[k, 1] + np.int64(math.floor(along * dy - out * dx * scale + 0.5))
    return samples, is_long


@rows
def _roof_end(points, x0, y0, x1, y1, expected, profile):
    """Return where the roof ends outwards of an edge and the spacing of returns there [mm]; the spacing is 0 where unknown."""
    dx, dy = float(x1 - x0), float(y1 - y0)
    length = math.sqrt(dx * dx + dy * dy)
    n = 0
    for p in range(len(points)):
        px, py = float(points[p, 0] - x0), float(points[p, 1] - y0)
        along = (px * dx + py * dy) / length
        out = (px * dy - py * dx) / length
        if MARGIN_MM <= along <= length - MARGIN_MM and -INSIDE_MM <= out <= SEARCH_MM:
            profile[n] = out
            n += 1
    if n == 0:
        return 0.0, 0.0
    x = np.sort(profile[:n])
    deep = np.searchsorted(x, -float(LEVEL_MM))
    density = deep / float(INSIDE_MM - LEVEL_MM)
    # A band with half the returns that the footprint has elsewhere is a light well, or another roof's edge.
    if density < 0.5 * expected * (length - 2.0 * MARGIN_MM) or density * WIDEST_SPACING_MM < 1.0:
        return 0.0, 0.0
    best, end = -1.0, 0.0
    for k in range(n):
        score = (k + 1) - 0.5 * density * (x[k] + INSIDE_MM)
        if score > best and x[k] >= -SEARCH_MM:
            best, end = score, x[k]
    if end > SEARCH_MM - 100.0 or end < -SEARCH_MM + 100.0:
        return 0.0, 0.0  # goes on beyond what is looked for: something without a footprint stands there
    return end, 1.0 / density


@rows
def _fit(points, xy, ring_offsets, is_free, density, edge, information, vector):
    """Fill information and vector of a building; return the number of edges and the overhang [m]."""
    profile = np.empty(len(points))
    m = 0
    for r in range(len(ring_offsets) - 1):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        for i in range(a, b):
            j = i + 1 if i + 1 < b else a
            if not is_free[i]:
                continue
            end, spacing = _roof_end(points, xy[i, 0], xy[i, 1], xy[j, 0], xy[j, 1], density, profile)
            if spacing <= 0.0:
                continue
            dx, dy = float(xy[j, 0] - xy[i, 0]), float(xy[j, 1] - xy[i, 1])
            length = math.sqrt(dx * dx + dy * dy)
            edge[m, 0], edge[m, 1], edge[m, 2] = dy / length, -dx / length, end * 1e-3
            edge[m, 3] = 1.0 / (EDGE_DEVIATION_M * EDGE_DEVIATION_M + spacing * spacing * 1e-6)
            m += 1
    if m == 0:
        return 0, 0.0
    tx, ty, o = 0.0, 0.0, 0.0
    xx, xz, zz, bx, by = 0.0, 0.0, 0.0, 0.0, 0.0
    square, weights = 0.0, 0.0
    for turn in range(_ROUNDS):
        w, wx, wy, we, xx, xz, zz, bx, by = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        square, weights = 0.0, 0.0
        for k in range(m):
            nx, ny, e, p = edge[k, 0], edge[k, 1], edge[k, 2], edge[k, 3]
            off = (e - nx * tx - ny * ty - o) * math.sqrt(p)
            share = 1.0 if turn == 0 or abs(off) <= HUBER_EDGE else HUBER_EDGE / abs(off)
            square += share * off * off
            weights += share
            p *= share
            w += p
            wx += p * nx
            wy += p * ny
            we += p * e
            xx += p * nx * nx
            xz += p * nx * ny
            zz += p * ny * ny
            bx += p * nx * e
            by += p * ny * e
        xx, xz, zz = xx - wx * wx / w, xz - wx * wy / w, zz - wy * wy / w
        bx, by = bx - wx * we / w, by - wy * we / w
        # One metre of doubt keeps the direction that no edge tells at rest.
        px, pz = xx + 1.0, zz + 1.0
        determinant = px * pz - xz * xz
        tx, ty = (pz * bx - xz * by) / determinant, (px * by - xz * bx) / determinant
        o = (we - wx * tx - wy * ty) / w
    # Edges that scatter more than assumed know less.
    inflated = max(1.0, square / (weights - 3.0)) if weights > 4.0 else 1.0
    information[0], information[1], information[2] = xx / inflated, xz / inflated, zz / inflated
    vector[0], vector[1] = bx / inflated, by / inflated
    return m, o


@rows
def _solve(information, vector, largest, out):
    for k in range(len(information)):
        xx, xy, yy = information[k, 0], information[k, 1], information[k, 2]
        half, apart = 0.5 * (xx + yy), 0.5 * (xx - yy)
        least = half - math.sqrt(apart * apart + xy * xy)
        if least * largest * largest < 1.0:
            continue
        determinant = xx * yy - xy * xy
        out[k, 0] = (yy * vector[k, 0] - xy * vector[k, 1]) / determinant
        out[k, 1] = (xx * vector[k, 1] - xy * vector[k, 0]) / determinant
        out[k, 2] = 1.0 / math.sqrt(least)


@rows
def _common(information, vector):
    """Return the common shift x, y and its standard errors."""
    n = len(information)
    x, y = 0.0, 0.0
    spread = BUILDING_DEVIATION_M * BUILDING_DEVIATION_M
    a = np.empty((n, 5))
    for k in range(n):
        # (A^-1 + s2 I)^-1 = (I + s2 A)^-1 A, which a direction that is not known does not hinder.
        xx, xz, zz = information[k, 0], information[k, 1], information[k, 2]
        px, pxz, pz = 1.0 + spread * xx, spread * xz, 1.0 + spread * zz
        d = px * pz - pxz * pxz
        a[k, 0], a[k, 1], a[k, 2] = (pz * xx - pxz * xz) / d, (pz * xz - pxz * zz) / d, (px * zz - pxz * xz) / d
        a[k, 3], a[k, 4] = (pz * vector[k, 0] - pxz * vector[k, 1]) / d, (px * vector[k, 1] - pxz * vector[k, 0]) / d
    xx, xz, zz = 0.0, 0.0, 0.0
    vxx, vxz, vzz = 0.0, 0.0, 0.0
    for turn in range(_ROUNDS):
        xx, xz, zz, bx, by = 0.0, 0.0, 0.0, 0.0, 0.0
        vxx, vxz, vzz = 0.0, 0.0, 0.0
        for k in range(n):
            rx = a[k, 3] - a[k, 0] * x - a[k, 1] * y
            ry = a[k, 4] - a[k, 1] * x - a[k, 2] * y
            # Squared distance in standard deviations; a little is added where a direction is unknown.
            px, pz = a[k, 0] + 1e-9, a[k, 2] + 1e-9
            chi = math.sqrt(max((pz * rx * rx - 2.0 * a[k, 1] * rx * ry + px * ry * ry) / (px * pz - a[k, 1] * a[k, 1]), 0.0))
            w = 1.0 if turn == 0 or chi <= HUBER_BUILDING else HUBER_BUILDING / chi
            xx += w * a[k, 0]
            xz += w * a[k, 1]
            zz += w * a[k, 2]
            bx += w * a[k, 3]
            by += w * a[k, 4]
            vxx += w * w * rx * rx
            vxz += w * w * rx * ry
            vzz += w * w * ry * ry
        d = xx * zz - xz * xz
        if not d > 1e-6 * (xx + zz) * (xx + zz):
            return np.nan, np.nan, np.nan, np.nan
        x, y = (zz * bx - xz * by) / d, (xx * by - xz * bx) / d
    d = xx * zz - xz * xz
    ix, ixz, iz = zz / d, -xz / d, xx / d
    ex = ix * (ix * vxx + ixz * vxz) + ixz * (ix * vxz + ixz * vzz)
    ey = ixz * (ixz * vxx + iz * vxz) + iz * (ixz * vxz + iz * vzz)
    return x, y, math.sqrt(ex), math.sqrt(ey)
