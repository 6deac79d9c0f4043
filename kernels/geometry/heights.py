"""Heights of buildings from their points, and how well a level roof describes them.

Roof height of LoD1.2: a percentile of the roof points after the robust cut below. What is not roof lies below it (wall hits,
balconies, ground seen at the edge) or above it (antennas, cranes, birds), so percentiles are used throughout, never extremes.
The cut keeps points higher than `ROOF_ABOVE_GROUND_MM` above the ground and not farther than three scaled median absolute
deviations above the median. Percentiles are picked from sorted integers (the value at rank floor(q (n - 1) + 1/2)): the order
of the points cannot matter, and no interpolation rounds.

References
----------
Dukai et al. (2019), A multi-height LoD1 model of all buildings in the Netherlands: roof heights as percentiles of the points
in a footprint, ground as a low percentile around it. 3DBAG attributes `b3_h_dak_50p`, `b3_h_dak_70p` and `b3_h_maaiveld`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.membership import scan_row
from felsina.kernels.geometry.polygons import shape_bounds

Integers = NDArray[np.int64]

ROOF_PERCENTILE = 0.50  # see `level_roofs`
GROUND_PERCENTILE = 0.05  # of ground points near the footprint: the lowest terrain that meets the walls, less outliers
ROOF_ABOVE_GROUND_MM = 1500  # lower points in a footprint are ground, cars or plinths
COVERAGE_CELL_MM = 500


class LevelRoofs(NamedTuple):
    """Roofs of LoD1.2 and their fit; one row per building.

    Attributes
    ----------
    height : (n,) int64
        Height of the level roof [mm]; NO_HEIGHT where no roof point is left.
    n_point : (n,) int64
        Roof points left by the cut.
    rmse : (n,) float64
        Root mean square vertical distance of those points to the roof [m]; NaN without points.
    p95 : (n,) float64
        95th percentile of the absolute distance [m]; NaN without points.
    bias : (n,) float64
        Mean signed distance, points above the roof positive [m]; NaN without points.
    """

    height: Integers
    n_point: Integers
    rmse: NDArray[np.float64]
    p95: NDArray[np.float64]
    bias: NDArray[np.float64]


NO_HEIGHT = -(2**62)


def pick_percentiles(z: Integers, offsets: Integers, q: float) -> Integers:
    """Pick a percentile of each group without interpolation.

    Parameters
    ----------
    z : (n_point,) int64
        Heights [mm], group after group, in any order within a group.
    offsets : (n_group + 1,) int64
        Where each group starts.
    q : float
        Rank, 0 to 1.

    Returns
    -------
    (n_group,) int64
        The value at sorted rank floor(q (n - 1) + 1/2); NO_HEIGHT for an empty group.
    """
    out = np.empty(len(offsets) - 1, np.int64)
    _pick(z, offsets, q, out)
    return out


def level_roofs(z: Integers, offsets: Integers, ground: Integers, percentile: float = ROOF_PERCENTILE) -> LevelRoofs:
    """Fit a level roof to the points of each building.

    The median is the default: of all level roofs it keeps the sum of absolute distances smallest, and the volume of the prism
    close to that of the building, which is what energy and wind need. The 70th percentile, the reference height of 3DBAG, looks
    better in a skyline and makes volumes of gabled houses too large.

    Parameters
    ----------
    z : (n_point,) int64
        Heights of the building points in each footprint [mm], in any order within a building.
    offsets : (n_building + 1,) int64
        Points of each building.
    ground : (n_building,) int64
        Ground height [mm]; NO_HEIGHT switches the lower cut off.
    percentile : float
        Rank of the roof height among the points kept.
    """
    n = len(offsets) - 1
    out = LevelRoofs(np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty(n), np.empty(n))
    _level_roofs(z, offsets, ground, percentile, out)
    return out


def measure_coverage(
    points: Integers,
    offsets: Integers,
    xy: Integers,
    ring_offsets: Integers,
    shape_offsets: Integers,
    cell_mm: int = COVERAGE_CELL_MM,
) -> tuple[NDArray[np.float64], NDArray[np.float64], Integers]:
    """Return how much of each footprint the points cover and how dense they are where they cover it.

    Cells are those of a raster anchored at the origin of the CRS; a cell belongs to a footprint when its centre does.

    Parameters
    ----------
    points : (n_point, 2) int64
        Positions [mm], building after building.
    offsets : (n_shape + 1,) int64
        Points of each building.
    xy, ring_offsets, shape_offsets
        The footprints; see `polygons`.
    cell_mm : int
        Size of the cells [mm].

    Returns
    -------
    coverage : (n_shape,) float64
        Share of the footprint's cells that hold a point; NaN for a footprint without a cell.
    density : (n_shape,) float64
        Points in those cells per covered area [m-2]; NaN where no cell is covered.
    n_cell : (n_shape,) int64
        Cells of the footprint.
    """
    n = len(shape_offsets) - 1
    coverage, density, n_cell = np.empty(n), np.empty(n), np.zeros(n, np.int64)
    bounds = shape_bounds(xy, ring_offsets, shape_offsets)
    _coverage(points, offsets, xy, ring_offsets, shape_offsets, bounds, cell_mm, coverage, density, n_cell)
    return coverage, density, n_cell


@cell
def _rank(n, q):
    return np.int64(math.floor(q * float(n - 1) + 0.5))


@rows
def _pick(z, offsets, q, out):
    for g in range(len(out)):
        a, b = offsets[g], offsets[g + 1]
        out[g] = NO_HEIGHT if a == b else np.sort(z[a:b])[_rank(b - a, q)]


@rows
def _level_roofs(z, offsets, ground, percentile, out):
    for g in range(len(out.height)):
        s = np.sort(z[offsets[g] : offsets[g + 1]])
        low, high = 0, len(s)
        while low < high and ground[g] != NO_HEIGHT and s[low] < ground[g] + ROOF_ABOVE_GROUND_MM:
            low += 1
        if high - low >= 8:
            median = s[low + _rank(high - low, 0.5)]
            deviation = np.sort(np.abs(s[low:high] - median))
            # 1.4826 makes the median absolute deviation a standard deviation of normal errors; at least 1 m, so that
            # chimneys and dormers of a level roof stay.
            reach = max(np.int64(3.0 * 1.4826 * float(deviation[_rank(high - low, 0.5)])), 1000)
            while s[high - 1] > median + reach:
                high -= 1
        n = high - low
        out.n_point[g] = n
        if n == 0:
            out.height[g] = NO_HEIGHT
            out.rmse[g], out.p95[g], out.bias[g] = np.nan, np.nan, np.nan
            continue
        roof = s[low + _rank(n, percentile)]
        out.height[g] = roof
        square, total = np.int64(0), np.int64(0)
        for i in range(low, high):
            d = s[i] - roof
            square += d * d
            total += d
        out.rmse[g] = math.sqrt(float(square) / float(n)) / 1e3
        out.bias[g] = float(total) / float(n) / 1e3
        distance = np.sort(np.abs(s[low:high] - roof))
        out.p95[g] = float(distance[_rank(n, 0.95)]) / 1e3


@rows
def _coverage(points, offsets, xy, ring_offsets, shape_offsets, bounds, size, coverage, density, n_cell):
    for s in range(len(coverage)):
        coverage[s], density[s] = np.nan, np.nan
        if bounds[s, 0] > bounds[s, 2]:
            continue
        c0, r0 = bounds[s, 0] // size, bounds[s, 1] // size
        nx, ny = bounds[s, 2] // size - c0 + 1, bounds[s, 3] // size - r0 + 1
        hits = np.full((ny, nx), -1, np.int32)
        first, last = shape_offsets[s], shape_offsets[s + 1]
        crossings = np.empty(ring_offsets[last] - ring_offsets[first], np.int64)
        for row in range(ny):
            n = scan_row(2 * (r0 + row) * size + size, 2 * c0 * size, 2 * size, nx, xy, ring_offsets, first, last, crossings)
            for k in range(0, n - 1, 2):
                for column in range(crossings[k], crossings[k + 1]):
                    hits[row, column] = 0
                    n_cell[s] += 1
        for p in range(offsets[s], offsets[s + 1]):
            column, row = points[p, 0] // size - c0, points[p, 1] // size - r0
            if 0 <= column < nx and 0 <= row < ny and hits[row, column] >= 0:
                hits[row, column] += 1
        n_hit, n_point = 0, 0
        for row in range(ny):
            for column in range(nx):
                if hits[row, column] > 0:
                    n_hit += 1
                    n_point += hits[row, column]
        if n_cell[s] > 0:
            coverage[s] = float(n_hit) / float(n_cell[s])
        if n_hit > 0:
            density[s] = float(n_point) / (float(n_hit) * float(size) * float(size) / 1e6)
