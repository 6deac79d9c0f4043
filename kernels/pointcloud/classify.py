"""Classes for clouds that come without: ground, three heights of vegetation, building, noise (ASPRS codes).

    2 ground      within the tolerance of the ground filter
    6 building    high (>= 2 m), and in or beside a roof: connected cells of whose high points enough lie on locally thin, wide
                  patches of last or only returns, together at least as large as a small house, and what borders on them
                  (edges, ridges, dormers) and sends back single returns
    5, 4, 3       the rest by height above ground: >= 2 m, >= 0.5 m, lower
    7 noise       far below ground, far above everything, or alone

A cell is a roof by counts of points, and a roof is a whole connected component of the grid, so the labels depend on the cloud
and the grid alone: on no order of points and no tile. Where near infrared is at hand, green points (NDVI) are no roof unless
they lie on a mat as thin as a green roof. The features are those in common use (height, planarity, echo ratio, NDVI):
Rutzinger, Höfle, Hollaus & Pfeifer 2008, doi:10.3390/s8084505. The thresholds were chosen on Delft AHN3 and three LiDAR HD
tiles of IGN.
"""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import rows, threads
from felsina.kernels.pointcloud.ground import SmrfSurface, height_above, is_ground
from felsina.kernels.pointcloud.neighbourhood import LocalShape, local_shape
from felsina.kernels.pointcloud.raster import flat_cell

GROUND, LOW_VEGETATION, MEDIUM_VEGETATION, HIGH_VEGETATION, BUILDING, NOISE = 2, 3, 4, 5, 6, 7

MEDIUM_HEIGHT = 0.5  # m above ground
HIGH_HEIGHT = 2.0  # m above ground; buildings are not lower
BELOW_GROUND = 1.0  # m; what lies deeper is a multipath echo
ABOVE_GROUND = 400.0  # m; higher than any building of Europe: birds and clouds
RADIUS = 1.0  # m; from 4 points per square metre on it holds a dozen of a plane's points
ISOLATION = 3.0  # m
PLANE_POINTS = 6
PLANE_THICKNESS = 0.12  # m; roof tiles and ranging noise stay below; quartiles of crowns: 0.12 to 0.32
PLANE_WIDTH = 0.20  # m; a wire or gutter is narrower
ROOF_AREA = 10.0  # m2; smaller patches of planar points are cars, garden sheds or dense crowns
GREEN_NDVI = 0.25
GREEN_THICKNESS = 0.05  # m; green roofs are mats, 0.02 in the built-in district; 2 % of the points of real crowns lie below
_ROOF_SHARE = (2, 5)  # of the high points of 3 x 3 cells that are like a roof
_SINGLE_SHARE = (3, 5)  # of the high points of a cell beside a roof that are the only return of their pulse
_GROWTH = 2  # cells from a roof to its edge and dormers


def classify(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    return_number: NDArray[np.uint8],
    number_of_returns: NDArray[np.uint8],
    surface: SmrfSurface,
    cell_mm: int,
    ndvi: NDArray[np.float32] | None = None,
    radius_m: float = RADIUS,
    roof_area_m2: float = ROOF_AREA,
) -> NDArray[np.uint8]:
    """Label the points of a scene.

    Parameters
    ----------
    x, y : (n,) int32 or int64
        Position east of the west edge and south of the north edge of the grid [mm].
    z : (n,) int32
        Height [mm].
    return_number, number_of_returns : (n,) uint8
        Echoes of the pulse; zeros where the sensor did not record them.
    surface : SmrfSurface
        The ground filter's surface over the whole grid.
    cell_mm : int
        Cell size of the grid [mm].
    ndvi : (n,) float32, optional
        (NIR - red) / (NIR + red) [1], NaN where unknown.
    radius_m : float
        Radius of the neighbourhood that planarity is judged in [m]: choose it to hold a dozen points of a roof.
    roof_area_m2 : float
        Smallest connected roof [m2].

    Returns
    -------
    (n,) uint8
        ASPRS class.
    """
    height = height_above(x, y, z, surface.ground, cell_mm)
    on_ground = is_ground(x, y, z, surface, cell_mm)
    shape = local_shape(x, y, z, round(radius_m * 1000), round(ISOLATION * 1000), ~on_ground)
    leafy = None if ndvi is None else is_leafy(shape, ndvi)
    planar = is_roof_like(shape, return_number, number_of_returns, leafy)
    single = is_single(number_of_returns, leafy)
    evidence = roof_evidence(x, y, height, on_ground, planar, single, cell_mm, *surface.ground.shape)
    roof = roof_cells(*evidence, roof_area_m2 / (cell_mm * 1e-3) ** 2)
    return label_points(x, y, height, on_ground, shape.is_isolated, single, roof, cell_mm)


def is_leafy(shape: LocalShape, ndvi: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark green points among others not as thin as a green roof, as (n,) bool; an unknown NDVI (NaN) is not green."""
    return (ndvi >= GREEN_NDVI) & (shape.thickness > GREEN_THICKNESS)


def is_roof_like(
    shape: LocalShape,
    return_number: NDArray[np.uint8],
    number_of_returns: NDArray[np.uint8],
    leafy: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Mark points on a thin, wide patch that end their pulse and are not leafy, as (n,) bool."""
    planar = (shape.n_neighbour >= PLANE_POINTS) & (shape.thickness <= PLANE_THICKNESS) & (shape.width >= PLANE_WIDTH)
    planar &= return_number == number_of_returns
    if leafy is not None:
        planar &= ~leafy
    return planar


def is_single(number_of_returns: NDArray[np.uint8], leafy: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
    """Mark points that are the only return of their pulse (or of unknown number) and not leafy, as (n,) bool."""
    single = number_of_returns <= 1
    if leafy is not None:
        single &= ~leafy
    return single


def roof_evidence(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    height: NDArray[np.float32],
    on_ground: NDArray[np.bool_],
    roof_like: NDArray[np.bool_],
    single: NDArray[np.bool_],
    cell_mm: int,
    ny: int,
    nx: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Count the high points of each cell, those of them like a roof, and the single returns: (ny, nx) int32 that merge by +."""
    high, flat, alone = (np.zeros((ny, nx), np.int32) for _ in range(3))
    _count_evidence(x, y, height, on_ground, roof_like, single, np.int64(cell_mm), high, flat, alone)
    return high, flat, alone


def roof_cells(
    high: NDArray[np.int32], flat: NDArray[np.int32], alone: NDArray[np.int32], n_cell_min: float
) -> NDArray[np.bool_]:
    """Return the cells of roofs, as (ny, nx) bool, from the counts of `roof_evidence`.

    A cell is a likely roof when it holds a high point and 2/5 of the high points in its 3 x 3 cells are like a roof; a roof is
    a 4-connected component of at least `n_cell_min` such cells. Twice it grows by the cells beside it (of 8) 3/5 of whose high
    points are single returns. A tie is a roof. All in integers, over the whole grid.
    """
    likely = np.zeros(high.shape, np.bool_)
    _likely_roof(high, flat, likely)
    roof = np.zeros(high.shape, np.bool_)
    _large_components(likely, n_cell_min, roof)
    for _ in range(_GROWTH):
        grown = np.empty_like(roof)
        _grow(roof, high, alone, grown)
        roof = grown
    return roof


def label_points(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    height: NDArray[np.float32],
    on_ground: NDArray[np.bool_],
    is_isolated: NDArray[np.bool_],
    single: NDArray[np.bool_],
    roof: NDArray[np.bool_],
    cell_mm: int,
) -> NDArray[np.uint8]:
    """Return the (n,) uint8 class of each point from its height, neighbourhood and the (ny, nx) roof cells."""
    out = np.empty(x.size, np.uint8)
    _label(x, y, height, on_ground, is_isolated, single, roof, np.int64(cell_mm), out)
    return out


@rows
def _count_evidence(x, y, height, on_ground, roof_like, single, cell_mm, high, flat, alone):
    ny, nx = high.shape
    n_high, n_roof, n_alone = high.ravel(), flat.ravel(), alone.ravel()
    reciprocal = 1.0 / cell_mm
    for i in range(x.size):
        if on_ground[i] or not height[i] >= HIGH_HEIGHT:
            continue
        k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
        if k >= 0:
            n_high[k] += np.int32(1)
            n_roof[k] += np.int32(roof_like[i])
            n_alone[k] += np.int32(single[i])


@threads
def _likely_roof(high, flat, out):
    ny, nx = high.shape
    for j in prange(ny):
        for i in range(nx):
            n_high = n_flat = 0
            for jj in range(max(j - 1, 0), min(j + 2, ny)):
                for ii in range(max(i - 1, 0), min(i + 2, nx)):
                    n_high += high[jj, ii]
                    n_flat += flat[jj, ii]
            out[j, i] = high[j, i] > 0 and _ROOF_SHARE[1] * n_flat >= _ROOF_SHARE[0] * n_high


@threads
def _grow(roof, high, alone, out):
    ny, nx = roof.shape
    for j in prange(ny):
        for i in range(nx):
            fits = high[j, i] > 0 and _SINGLE_SHARE[1] * alone[j, i] >= _SINGLE_SHARE[0] * high[j, i]
            out[j, i] = roof[j, i] or (fits and _beside(roof, j, i))


@rows
def _beside(roof, j, i):
    """Tell whether one of the 3 x 3 cells around (j, i) is a roof."""
    ny, nx = roof.shape
    for jj in range(max(j - 1, 0), min(j + 2, ny)):
        for ii in range(max(i - 1, 0), min(i + 2, nx)):
            if roof[jj, ii]:
                return True
    return False


@rows
def _root(parent, k):
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@rows
def _large_components(likely, n_cell_min, out):
    ny, nx = likely.shape
    parent = np.arange(ny * nx)
    size = np.zeros(ny * nx, np.int64)
    for j in range(ny):
        for i in range(nx):
            if not likely[j, i]:
                continue
            k = j * nx + i
            if i > 0 and likely[j, i - 1]:
                parent[_root(parent, k)] = _root(parent, k - 1)
            if j > 0 and likely[j - 1, i]:
                parent[_root(parent, k)] = _root(parent, k - nx)
    for j in range(ny):
        for i in range(nx):
            if likely[j, i]:
                size[_root(parent, j * nx + i)] += 1
    for j in range(ny):
        for i in range(nx):
            out[j, i] = likely[j, i] and size[_root(parent, j * nx + i)] >= n_cell_min


@threads
def _label(x, y, height, on_ground, is_isolated, single, roof, cell_mm, out):
    ny, nx = roof.shape
    reciprocal = 1.0 / cell_mm
    for i in prange(x.size):
        h = height[i]
        if on_ground[i]:
            out[i] = GROUND
        elif h < -BELOW_GROUND or h > ABOVE_GROUND or is_isolated[i]:
            out[i] = NOISE
        elif h >= HIGH_HEIGHT:
            k = flat_cell(np.int64(x[i]), np.int64(y[i]), cell_mm, reciprocal, ny, nx)
            at_roof = k >= 0 and (roof[k // nx, k % nx] or (single[i] and _beside(roof, k // nx, k % nx)))
            out[i] = BUILDING if at_roof else HIGH_VEGETATION
        elif h >= MEDIUM_HEIGHT:
            out[i] = MEDIUM_VEGETATION
        else:
            out[i] = LOW_VEGETATION
