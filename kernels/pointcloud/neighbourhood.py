"""Shape of the cloud around each point: exact neighbours in a sphere, and the eigenvalues of their covariance.

Neighbours come from a grid of cells as wide as the sphere's radius. Their moments are sums of integers [mm], exact in any
order, so no order of points, no tile (with a halo of the search radius) and no thread count changes a bit.

Shape from eigenvalues: Demantké, Mallet, David & Vallet 2011, doi:10.5194/isprsarchives-XXXVIII-5-W12-97-2011.
Closed form of the eigenvalues of a symmetric 3 x 3 matrix: Smith 1961, doi:10.1145/355578.366316.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows, threads

_LARGEST_RADIUS = 10_000  # mm; squares of offsets, times the square of a million neighbours, stay below 2**63


class LocalShape(NamedTuple):
    """The neighbourhood of each point; 0 and False where it was not asked for.

    Attributes
    ----------
    n_neighbour : (n,) int32
        Points in the sphere, the point itself and its duplicates included.
    thickness, width : (n,) float32
        Standard deviation along the shortest and the middle principal axis [m]: a plane is thin and wide, a line is narrow.
        The closed form is good to 0.1 mm where two of the three are equal.
    is_isolated : (n,) bool
        No point at another place within the isolation radius.
    """

    n_neighbour: NDArray[np.int32]
    thickness: NDArray[np.float32]
    width: NDArray[np.float32]
    is_isolated: NDArray[np.bool_]


def local_shape(
    x: NDArray[np.integer],
    y: NDArray[np.integer],
    z: NDArray[np.int32],
    radius_mm: int,
    isolation_mm: int,
    is_wanted: NDArray[np.bool_],
) -> LocalShape:
    """Return the shape of the cloud within `radius_mm` of the wanted points.

    Parameters
    ----------
    x, y, z : (n,) int32 or int64
        Coordinates [mm].
    radius_mm : int
        Radius of the sphere [mm], 1 to 10,000. Work grows with the points in 9 squares of this size.
    isolation_mm : int
        A point with no other this near is isolated [mm].
    is_wanted : (n,) bool
        Points to look around; all points are neighbours.

    Returns
    -------
    LocalShape
    """
    if not 1 <= radius_mm <= _LARGEST_RADIUS:
        raise ValueError(f"The radius is {radius_mm} mm; expected 1 to {_LARGEST_RADIUS} mm.")
    n = x.size
    shape = LocalShape(np.zeros(n, np.int32), np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.bool_))
    if n == 0:
        return shape
    west, north = int(x.min()), int(y.min())
    nx, ny = (int(x.max()) - west) // radius_mm + 1, (int(y.max()) - north) // radius_mm + 1
    start, order = _sorted_by_cell(x, y, west, north, radius_mm, ny, nx)
    xs, ys, zs = x[order].astype(np.int64), y[order].astype(np.int64), z[order].astype(np.int64)
    reach = max(1, math.ceil(isolation_mm / radius_mm))
    _look_around(xs, ys, zs, order, start, ny, nx, radius_mm**2, isolation_mm**2, reach, is_wanted, *shape)
    return shape


@rows
def _sorted_by_cell(x, y, west, north, radius, ny, nx):
    """Return where each cell's points begin, and the points in the order of their cells."""
    start = np.zeros(ny * nx + 1, np.int64)
    place = np.empty(x.size, np.int64)
    for i in range(x.size):
        place[i] = (np.int64(y[i]) - north) // radius * nx + (np.int64(x[i]) - west) // radius
        start[place[i] + 1] += 1
    for k in range(ny * nx):
        start[k + 1] += start[k]
    free = start[:-1].copy()
    order = np.empty(x.size, np.int64)
    for i in range(x.size):
        order[free[place[i]]] = i
        free[place[i]] += 1
    return start, order


@threads
def _look_around(xs, ys, zs, order, start, ny, nx, radius2, isolation2, reach, is_wanted, n_neighbour, thickness, width, alone):
    for j in prange(ny):
        for i in range(nx):
            for k in range(start[j * nx + i], start[j * nx + i + 1]):
                p = order[k]
                if not is_wanted[p]:
                    continue
                n, n_other, spread, thin = _moments(xs, ys, zs, k, start, j, i, ny, nx, radius2)
                n_neighbour[p], width[p], thickness[p] = n, spread, thin
                if n_other == 0:
                    alone[p] = _is_alone(xs, ys, zs, k, start, j, i, ny, nx, isolation2, reach)


@rows
def _is_alone(xs, ys, zs, k, start, j, i, ny, nx, isolation2, reach):
    for jj in range(max(j - reach, 0), min(j + reach + 1, ny)):
        for q in range(start[jj * nx + max(i - reach, 0)], start[jj * nx + min(i + reach, nx - 1) + 1]):
            d2 = (xs[q] - xs[k]) ** 2 + (ys[q] - ys[k]) ** 2 + (zs[q] - zs[k]) ** 2
            if 0 < d2 <= isolation2:
                return False
    return True


@rows
def _moments(xs, ys, zs, k, start, j, i, ny, nx, radius2):
    """Return the number of neighbours, of those elsewhere, and the middle and least standard deviation [m]."""
    n = n_same = np.int64(0)
    sx = sy = sz = sxx = sxy = sxz = syy = syz = szz = np.int64(0)
    for jj in range(max(j - 1, 0), min(j + 2, ny)):
        # The three cells of a row follow each other in memory.
        for q in range(start[jj * nx + max(i - 1, 0)], start[jj * nx + min(i + 1, nx - 1) + 1]):
            dx, dy, dz = xs[q] - xs[k], ys[q] - ys[k], zs[q] - zs[k]
            d2 = dx * dx + dy * dy + dz * dz
            if d2 <= radius2:
                n += 1
                n_same += d2 == 0
                sx += dx
                sy += dy
                sz += dz
                sxx += dx * dx
                sxy += dx * dy
                sxz += dx * dz
                syy += dy * dy
                syz += dy * dz
                szz += dz * dz
    scale = 1e-6 / (np.float64(n) * np.float64(n))
    middle, least = eigenvalues(
        (n * sxx - sx * sx) * scale,
        (n * sxy - sx * sy) * scale,
        (n * sxz - sx * sz) * scale,
        (n * syy - sy * sy) * scale,
        (n * syz - sy * sz) * scale,
        (n * szz - sz * sz) * scale,
    )
    return n, n - n_same, np.float32(math.sqrt(middle)), np.float32(math.sqrt(least))


@cell
def eigenvalues(xx, xy, xz, yy, yz, zz):
    """Return the middle and the least eigenvalue of a symmetric, positive semi-definite 3 x 3 matrix."""
    mean = (xx + yy + zz) / 3.0
    p = xx - mean
    q = yy - mean
    r = zz - mean
    off = xy * xy + xz * xz + yz * yz
    size = math.sqrt((p * p + q * q + r * r + 2.0 * off) / 6.0)
    if size <= 0.0:
        return max(mean, 0.0), max(mean, 0.0)
    half = (p * (q * r - yz * yz) - xy * (xy * r - yz * xz) + xz * (xy * yz - q * xz)) / (2.0 * size * size * size)
    angle = math.acos(min(max(half, -1.0), 1.0)) / 3.0
    largest = mean + 2.0 * size * math.cos(angle)
    least = mean + 2.0 * size * math.cos(angle + 2.0943951023931953)
    middle = 3.0 * mean - largest - least
    return max(middle, 0.0), max(least, 0.0)
