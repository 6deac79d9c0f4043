"""Planes in the points of one building: exact nearest neighbours, normals, region growing, fits with their covariance.

Points are integer millimetres in canonical order (`geometry.polygons.canonical_order`). Distances and moments are sums of
integers, exact in any order; ties between neighbours and between seeds go to the lower index. So the planes depend on the set
of points alone.

Region growing with a refitted plane: Rabbani, van den Heuvel & Vosselman 2006 (ISPRS Archives 36-5). Normals are eigenvectors
of the least eigenvalue of the neighbours' covariance (Hoppe et al. 1992, doi:10.1145/142920.134011), in closed form (Smith
1961, doi:10.1145/355578.366316).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows

Integers = NDArray[np.int64]

NEIGHBOURS = 15
NORMAL_NEIGHBOURS = 8  # a normal needs fewer than a region: it stays sharp at a ridge
DISTANCE_M = 0.20  # of a point from the plane that it joins: twice the noise of airborne points, plus roof tiles
COSINE = 0.85  # between the normals of point and plane; normals of 8 points are rough
MIN_POINTS = 6
MERGE_COSINE = math.cos(math.radians(5.0))
MERGE_DISTANCE_M = 0.12
STEEPEST_NZ = 0.2  # vertical component of a roof's normal; steeper planes (78 degrees) are walls
_GRID_SHARE = 0.45  # cell size over the side of a square that holds k points: one or two rings of cells then are enough
_FARTHEST_RING = 4


class Neighbours(NamedTuple):
    """Neighbours and normal of each point.

    Attributes
    ----------
    nearest : (n, k) int32
        Nearest points by distance in space, the point itself first, ties by index; -1 where there are fewer. Exact as long as
        they lie within four cells in plan (1.8 times the side of a square that holds k points): an outlier high above the
        roof keeps those.
    normal : (n, 3) float64
        Unit normal, upwards.
    roughness : (n,) float64
        Variance of the neighbours along the normal [m2].
    """

    nearest: NDArray[np.int32]
    normal: NDArray[np.float64]
    roughness: NDArray[np.float64]


class Planes(NamedTuple):
    """Roof planes z = a x + b y + c of n points, the largest first.

    Attributes
    ----------
    label : (n,) int32
        Plane of each point; -1 for points of walls and of no plane.
    coefficients : (n_plane, 3) float64
        a [1], b [1], c [m], in the frame of the points.
    centroid : (n_plane, 2) float64
        Mean x, y of the plane's points [m].
    covariance : (n_plane, 3, 3) float64
        Covariance of (z at the centroid [m], a, b): s^2 (X'X)^-1 with the residual variance s^2 of the fit.
    n_point : (n_plane,) int64
        Points of each plane.
    """

    label: NDArray[np.int32]
    coefficients: NDArray[np.float64]
    centroid: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n_point: Integers


def find_neighbours(points: Integers, k: int = NEIGHBOURS, k_normal: int = NORMAL_NEIGHBOURS) -> Neighbours:
    """Find the nearest neighbours of each point and the normal of the cloud there.

    Parameters
    ----------
    points : (n, 3) int64
        Positions [mm] in canonical order.
    k, k_normal : int
        Neighbours listed, and those that the normal is taken from (k_normal <= k), the point itself included.
    """
    n = len(points)
    k = min(k, n)
    index, normal, roughness = np.full((n, k), -1, np.int32), np.empty((n, 3)), np.empty(n)
    if n:
        area = max(float(np.ptp(points[:, 0])) * float(np.ptp(points[:, 1])), 1e6)
        size = int(min(max(_GRID_SHARE * math.sqrt(k * area / n), 400.0), 3000.0))
        _find_neighbours(points, k, min(k_normal, k), size, index, normal, roughness)
    return Neighbours(index, normal, roughness)


def detect_planes(
    points: Integers,
    neighbours: Neighbours,
    distance_m: float = DISTANCE_M,
    cosine: float = COSINE,
    min_points: int = MIN_POINTS,
) -> Planes:
    """Grow planes from the smoothest points outwards, drop walls, fit roofs in z and join those that continue each other.

    Parameters
    ----------
    points : (n, 3) int64
        Positions [mm] in canonical order.
    neighbours : Neighbours
        Of these points.
    distance_m : float
        Largest distance of a point from the plane that it joins [m].
    cosine : float
        Least cosine between the normals of point and plane.
    min_points : int
        Points that make a plane.
    """
    region = np.full(len(points), -1, np.int32)
    n_region = _grow(points / 1e3, *neighbours, distance_m, cosine, min_points, region) if len(points) else 0
    label = np.full(len(points), -1, np.int32)
    fits = np.empty((n_region, 17))
    n = _fit_and_join(points, region, n_region, MERGE_COSINE, MERGE_DISTANCE_M, STEEPEST_NZ, label, fits) if n_region else 0
    fits = fits[:n]
    covariance = np.ascontiguousarray(fits[:, 5:14]).reshape(n, 3, 3)
    return Planes(
        label, np.ascontiguousarray(fits[:, :3]), np.ascontiguousarray(fits[:, 3:5]), covariance, fits[:, 14].astype(np.int64)
    )


@cell
def least_eigenvector(a00, a01, a02, a11, a12, a22):
    """Return the least eigenvalue of a symmetric 3 x 3 matrix and its unit eigenvector, z upwards; else (0, 0, 1)."""
    q = (a00 + a11 + a22) / 3.0
    b00, b11, b22 = a00 - q, a11 - q, a22 - q
    p = math.sqrt((b00 * b00 + b11 * b11 + b22 * b22 + 2.0 * (a01 * a01 + a02 * a02 + a12 * a12)) / 6.0)
    if p < 1e-12:
        return max(q, 0.0), 0.0, 0.0, 1.0
    det = b00 * (b11 * b22 - a12 * a12) - a01 * (a01 * b22 - a12 * a02) + a02 * (a01 * a12 - b11 * a02)
    r = min(max(det / (2.0 * p * p * p), -1.0), 1.0)
    least = q + 2.0 * p * math.cos(math.acos(r) / 3.0 + 2.0943951023931953)
    r00, r11, r22 = a00 - least, a11 - least, a22 - least
    # Rows of A - lambda I are normal to the eigenvector; the longest of their cross products is the best determined.
    x, y, z = a01 * a12 - a02 * r11, a02 * a01 - r00 * a12, r00 * r11 - a01 * a01
    best = x * x + y * y + z * z
    x2, y2, z2 = a01 * r22 - a02 * a12, a02 * a02 - r00 * r22, r00 * a12 - a01 * a02
    size = x2 * x2 + y2 * y2 + z2 * z2
    if size > best:
        x, y, z, best = x2, y2, z2, size
    x2, y2, z2 = r11 * r22 - a12 * a12, a12 * a02 - a01 * r22, a01 * a12 - r11 * a02
    size = x2 * x2 + y2 * y2 + z2 * z2
    if size > best:
        x, y, z, best = x2, y2, z2, size
    if best < 1e-30:
        return max(least, 0.0), 0.0, 0.0, 1.0
    scale = 1.0 / math.sqrt(best)
    if z < 0.0:
        scale = -scale
    return max(least, 0.0), x * scale, y * scale, z * scale


@rows
def sort_into_cells(points, size):
    """Return where the points of each square cell of `size` [mm] start, their order, the cell counts and the lower corner."""
    n = len(points)
    west, east, south, north = points[0, 0], points[0, 0], points[0, 1], points[0, 1]
    for i in range(n):
        west, east = min(west, points[i, 0]), max(east, points[i, 0])
        south, north = min(south, points[i, 1]), max(north, points[i, 1])
    nx, ny = (east - west) // size + 1, (north - south) // size + 1
    start, place = np.zeros(nx * ny + 1, np.int64), np.empty(n, np.int64)
    for i in range(n):
        place[i] = (points[i, 1] - south) // size * nx + (points[i, 0] - west) // size
        start[place[i] + 1] += 1
    for c in range(nx * ny):
        start[c + 1] += start[c]
    free, order = start[:-1].copy(), np.empty(n, np.int64)
    for i in range(n):
        order[free[place[i]]] = i
        free[place[i]] += 1
    return start, order, nx, ny, west, south


@cell
def _insert(nearest, m, k, key):
    """Insert a key into the k least so far, ascending; return how many there are."""
    if m < k:
        e = m
        m += 1
    elif key < nearest[k - 1]:
        e = k - 1
    else:
        return m
    while e > 0 and nearest[e - 1] > key:
        nearest[e] = nearest[e - 1]
        e -= 1
    nearest[e] = key
    return m


@rows
def _find_neighbours(points, k, k_normal, size, index, normal, roughness):
    start, order, nx, ny, west, south = sort_into_cells(points, size)
    n = len(points)
    sorted_points = points[order]
    # Squared distance and number of a point in one key: ties go to the lower number. 2**63 holds a million points in 2.9 km.
    shift = np.int64(1)
    while (np.int64(1) << shift) < n:
        shift += 1
    mask = (np.int64(1) << shift) - 1
    nearest = np.empty(k, np.int64)
    for i in range(n):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        cx, cy = (px - west) // size, (py - south) // size
        # Nothing outside the square of rings is nearer than its nearest side.
        margin = min(min(px - west - cx * size, (cx + 1) * size - (px - west)), py - south - cy * size)
        margin = min(margin, (cy + 1) * size - (py - south))
        ring, m = 1, 0
        while True:
            for row in range(max(cy - ring, 0), min(cy + ring, ny - 1) + 1):
                # The whole row at the first ring and at the rim of a later one, else its two ends: the rest has been seen.
                is_whole = ring == 1 or row == cy - ring or row == cy + ring
                for part in range(1 if is_whole else 2):
                    west_cell, east_cell = max(cx - ring, 0), min(cx + ring, nx - 1)
                    if not is_whole and part == 0:
                        east_cell = cx - ring
                    elif not is_whole:
                        west_cell = cx + ring
                    if west_cell > east_cell or east_cell < 0 or west_cell >= nx:
                        continue
                    for t in range(start[row * nx + west_cell], start[row * nx + east_cell + 1]):
                        dx, dy, dz = sorted_points[t, 0] - px, sorted_points[t, 1] - py, sorted_points[t, 2] - pz
                        m = _insert(nearest, m, k, ((dx * dx + dy * dy + dz * dz) << shift) | order[t])
            reach = margin + ring * size
            if m == k and ((nearest[k - 1] >> shift) <= reach * reach or ring >= _FARTHEST_RING):
                break
            if ring > nx and ring > ny:
                break
            ring += 1
        sx = sy = sz = sxx = sxy = sxz = syy = syz = szz = np.int64(0)
        for e in range(m):
            j = nearest[e] & mask
            index[i, e] = j
            if e < k_normal:
                dx, dy, dz = points[j, 0] - px, points[j, 1] - py, points[j, 2] - pz
                sx, sy, sz = sx + dx, sy + dy, sz + dz
                sxx, sxy, sxz = sxx + dx * dx, sxy + dx * dy, sxz + dx * dz
                syy, syz, szz = syy + dy * dy, syz + dy * dz, szz + dz * dz
        c = float(min(m, k_normal))
        x, y, z = float(sx), float(sy), float(sz)
        value, normal[i, 0], normal[i, 1], normal[i, 2] = least_eigenvector(
            (float(sxx) - x * x / c) * 1e-6,
            (float(sxy) - x * y / c) * 1e-6,
            (float(sxz) - x * z / c) * 1e-6,
            (float(syy) - y * y / c) * 1e-6,
            (float(syz) - y * z / c) * 1e-6,
            (float(szz) - z * z / c) * 1e-6,
        )
        roughness[i] = value / c


@rows
def _grow(p, index, normal, roughness, distance, cosine, min_points, region):
    """Grow regions from the smoothest free point; refit the plane whenever the region has grown by a fifth."""
    n, k = index.shape
    seeds = np.argsort(roughness, kind="mergesort")
    visit, queue = np.full(n, -1, np.int64), np.empty(n, np.int64)
    count = 0
    for turn in range(n):
        seed = seeds[turn]
        if region[seed] >= 0:
            continue
        visit[seed] = turn
        queue[0] = seed
        head, tail, refit = 0, 1, 6
        ox, oy, oz = p[seed, 0], p[seed, 1], p[seed, 2]
        cx, cy, cz = ox, oy, oz
        nx, ny, nz = normal[seed, 0], normal[seed, 1], normal[seed, 2]
        sx = sy = sz = sxx = sxy = sxz = syy = syz = szz = 0.0
        while head < tail:
            i = queue[head]
            head += 1
            for e in range(k):
                j = index[i, e]
                if j < 0 or region[j] >= 0 or visit[j] == turn:
                    continue
                if abs((p[j, 0] - cx) * nx + (p[j, 1] - cy) * ny + (p[j, 2] - cz) * nz) > distance:
                    continue
                if abs(normal[j, 0] * nx + normal[j, 1] * ny + normal[j, 2] * nz) < cosine:
                    continue
                visit[j] = turn
                queue[tail] = j
                tail += 1
                x, y, z = p[j, 0] - ox, p[j, 1] - oy, p[j, 2] - oz
                sx, sy, sz = sx + x, sy + y, sz + z
                sxx, sxy, sxz = sxx + x * x, sxy + x * y, sxz + x * z
                syy, syz, szz = syy + y * y, syz + y * z, szz + z * z
                if tail >= refit:
                    refit = int(tail * 1.2) + 1
                    m = float(tail)
                    mx, my, mz = sx / m, sy / m, sz / m
                    _, nx, ny, nz = least_eigenvector(
                        sxx - m * mx * mx,
                        sxy - m * mx * my,
                        sxz - m * mx * mz,
                        syy - m * my * my,
                        syz - m * my * mz,
                        szz - m * mz * mz,
                    )
                    cx, cy, cz = ox + mx, oy + my, oz + mz
        if tail >= min_points:
            for t in range(tail):
                region[queue[t]] = count
            count += 1
    return count


@rows
def _fit(moments, fit):
    """Fit z = a x + b y + c to moments [mm] (n, sums of x, y, z, xx, xy, xz, yy, yz, zz): a, b, c, centroid, covariance, n."""
    n = float(moments[0])
    x, y, z = float(moments[1]) / n * 1e-3, float(moments[2]) / n * 1e-3, float(moments[3]) / n * 1e-3
    xx, xy = float(moments[4]) * 1e-6 - n * x * x, float(moments[5]) * 1e-6 - n * x * y
    xz, yy = float(moments[6]) * 1e-6 - n * x * z, float(moments[7]) * 1e-6 - n * y * y
    yz, zz = float(moments[8]) * 1e-6 - n * y * z, float(moments[9]) * 1e-6 - n * z * z
    det = xx * yy - xy * xy
    a, b = 0.0, 0.0
    is_line = det < 1e-6 * (xx + yy + 1e-9) ** 2
    if not is_line:
        a, b = (xz * yy - yz * xy) / det, (yz * xx - xz * xy) / det
    variance = max(zz - a * xz - b * yz, 0.0) / max(n - 3.0, 1.0)
    fit[:] = 0.0
    fit[0], fit[1], fit[2], fit[3], fit[4] = a, b, z - a * x - b * y, x, y
    fit[5] = variance / n
    if not is_line:
        fit[9], fit[10], fit[12], fit[13] = variance * yy / det, -variance * xy / det, -variance * xy / det, variance * xx / det
    fit[14] = n


@rows
def _fit_and_join(points, region, n_region, merge_cosine, merge_distance, steepest, label, fits):
    """Fit regions, the largest first; a region that lies in an earlier plane joins it. Return the number of planes."""
    n = len(points)
    moments = np.zeros((n_region, 10), np.int64)
    first = np.full(n_region, n, np.int64)
    for i in range(n):
        g = region[i]
        if g < 0:
            continue
        first[g] = min(first[g], i)
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        m = moments[g]
        m[0], m[1], m[2], m[3] = m[0] + 1, m[1] + x, m[2] + y, m[3] + z
        m[4], m[5], m[6] = m[4] + x * x, m[5] + x * y, m[6] + x * z
        m[7], m[8], m[9] = m[7] + y * y, m[8] + y * z, m[9] + z * z
    members = np.argsort(region, kind="mergesort")
    begin = np.zeros(n_region + 2, np.int64)
    for i in range(n):
        begin[region[i] + 2] += 1
    for g in range(1, n_region + 2):
        begin[g] += begin[g - 1]
    # Largest first, equal ones by their first point.
    order = np.argsort(-moments[:, 0] * np.int64(n + 1) + first, kind="mergesort")
    plane_moments = np.empty((n_region, 10), np.int64)
    plane_of = np.full(n_region, -1, np.int64)
    count = 0
    for g in order:
        m = moments[g].astype(np.float64)
        c = m[0]
        _, _, _, nz = least_eigenvector(
            (m[4] - m[1] * m[1] / c) * 1e-6,
            (m[5] - m[1] * m[2] / c) * 1e-6,
            (m[6] - m[1] * m[3] / c) * 1e-6,
            (m[7] - m[2] * m[2] / c) * 1e-6,
            (m[8] - m[2] * m[3] / c) * 1e-6,
            (m[9] - m[3] * m[3] / c) * 1e-6,
        )
        if abs(nz) < steepest:
            continue
        _fit(moments[g], fits[count])
        a, b = fits[count, 0], fits[count, 1]
        joined = -1
        for q in range(count):
            dot = a * fits[q, 0] + b * fits[q, 1] + 1.0
            norm = math.sqrt((a * a + b * b + 1.0) * (fits[q, 0] ** 2 + fits[q, 1] ** 2 + 1.0))
            if dot <= merge_cosine * norm:
                continue
            total = 0.0
            for t in range(begin[g + 1], begin[g + 2]):
                i = members[t]
                plane = fits[q, 0] * points[i, 0] + fits[q, 1] * points[i, 1]
                total += abs(points[i, 2] * 1e-3 - (plane * 1e-3 + fits[q, 2]))
            if total < merge_distance * c:
                joined = q
                break
        if joined >= 0:
            plane_moments[joined] += moments[g]
            _fit(plane_moments[joined], fits[joined])
            plane_of[g] = joined
        else:
            plane_moments[count] = moments[g]
            plane_of[g] = count
            count += 1
    for i in range(n):
        if region[i] >= 0:
            label[i] = plane_of[region[i]]
    return count
