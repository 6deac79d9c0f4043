"""Planes of polygons in space: the normal by Newell's method, projections, the plane of least squares, distances from it.

Newell's normal is exact (twice the area seen along each axis, in whole mm2). Distances are in float64: a plane through rounded
corners is itself uncertain by 0.5 mm, so that nothing exact is lost.

References
----------
Sutherland, Sproull and Schumacker (1974), A characterization of ten hidden-surface algorithms (Newell's normal).
Golub and Van Loan (2013), Matrix Computations, 4th edition, section 8.5 (Jacobi's method for the symmetric eigenproblem).
"""

from __future__ import annotations

import math

import numpy as np

from felsina.kernels._backend import rows
from felsina.kernels.geometry.exact import plane_axes

_SWEEPS = 8  # Jacobi's method converges quadratically; four sweeps are usual for three rows


@rows
def newell_normal(p, first, last):
    """Return the normal of a ring, as long as twice its area [mm2]: the cross products of its corners, summed."""
    nx, ny, nz = np.int64(0), np.int64(0), np.int64(0)
    for i in range(first + 1, last - 1):
        ax, ay, az = p[i, 0] - p[first, 0], p[i, 1] - p[first, 1], p[i, 2] - p[first, 2]
        bx, by, bz = p[i + 1, 0] - p[first, 0], p[i + 1, 1] - p[first, 1], p[i + 1, 2] - p[first, 2]
        nx += ay * bz - az * by
        ny += az * bx - ax * bz
        nz += ax * by - ay * bx
    return nx, ny, nz


@rows
def flatten(p, nx, ny, nz):
    """Return (n, 2) the corners of a polygon seen along the axis that its normal is longest in, from outside: no rounding.

    Parameters
    ----------
    p : (n, 3) int64
        Corners of all rings [mm].
    nx, ny, nz : int64
        Normal of the exterior ring, not zero; the exterior then runs anticlockwise.
    """
    u, v = plane_axes(nx, ny, nz)
    is_mirrored = (nx, ny, nz)[3 - u - v] < 0
    flat = np.empty((len(p), 2), np.int64)
    for i in range(len(p)):
        flat[i, 0], flat[i, 1] = -p[i, u] if is_mirrored else p[i, u], p[i, v]
    return flat


@rows
def _least_axis(m):
    """Return the unit eigenvector of the smallest eigenvalue of a symmetric (3, 3) matrix, which is overwritten."""
    v = np.zeros((3, 3))
    for k in range(3):
        v[k, k] = 1.0
    for _ in range(_SWEEPS):
        off = abs(m[0, 1]) + abs(m[0, 2]) + abs(m[1, 2])
        if off <= 1e-15 * (m[0, 0] + m[1, 1] + m[2, 2]):
            break
        for a in range(2):
            for b in range(a + 1, 3):
                if m[a, b] == 0.0:
                    continue
                theta = (m[b, b] - m[a, a]) / (2.0 * m[a, b])
                t = 1.0 / (abs(theta) + math.sqrt(theta * theta + 1.0))
                t = -t if theta < 0.0 else t
                c = 1.0 / math.sqrt(t * t + 1.0)
                s = t * c
                for k in range(3):
                    x, y = m[k, a], m[k, b]
                    m[k, a], m[k, b] = c * x - s * y, s * x + c * y
                for k in range(3):
                    x, y = m[a, k], m[b, k]
                    m[a, k], m[b, k] = c * x - s * y, s * x + c * y
                for k in range(3):
                    x, y = v[k, a], v[k, b]
                    v[k, a], v[k, b] = c * x - s * y, s * x + c * y
    least = 0
    for k in (1, 2):
        if m[k, k] < m[least, least]:
            least = k
    return v[0, least], v[1, least], v[2, least]


@rows
def is_flat(p, nx, ny, nz, tolerance):
    """Tell whether all points lie within a distance of their plane of least squares (203).

    Parameters
    ----------
    p : (n, 3) int64
        Corners of all rings of a polygon [mm].
    nx, ny, nz : int64
        Normal of the exterior ring, not zero.
    tolerance : float
        Largest distance [mm].
    """
    n = len(p)
    size = math.sqrt(float(nx) ** 2 + float(ny) ** 2 + float(nz) ** 2)
    ux, uy, uz = float(nx) / size, float(ny) / size, float(nz) / size
    least, most = 0.0, 0.0
    mean = np.zeros(3)
    for i in range(n):
        x, y, z = float(p[i, 0] - p[0, 0]), float(p[i, 1] - p[0, 1]), float(p[i, 2] - p[0, 2])
        mean[0] += x
        mean[1] += y
        mean[2] += z
        d = x * ux + y * uy + z * uz
        least, most = min(least, d), max(most, d)
    # The plane of least squares is at most sqrt(n) half ranges away from any point: plane faces end here.
    if (most - least) * math.sqrt(float(n)) <= 2.0 * tolerance:
        return True
    mean /= float(n)
    m = np.zeros((3, 3))
    for i in range(n):
        for a in range(3):
            for b in range(3):
                m[a, b] += (float(p[i, a] - p[0, a]) - mean[a]) * (float(p[i, b] - p[0, b]) - mean[b])
    ux, uy, uz = _least_axis(m)
    for i in range(n):
        x, y, z = float(p[i, 0] - p[0, 0]) - mean[0], float(p[i, 1] - p[0, 1]) - mean[1], float(p[i, 2] - p[0, 2]) - mean[2]
        if abs(x * ux + y * uy + z * uz) > tolerance:
            return False
    return True


@rows
def are_normals_close(p, triangles, cosine):
    """Tell whether no two triangles of a polygon are turned against each other by more than an angle (204).

    Parameters
    ----------
    p : (n, 3) int64
        Corners [mm].
    triangles : (n_triangle, 3) int64
        Corners of each triangle, not on one line.
    cosine : float
        Cosine of the largest angle.
    """
    n = len(triangles)
    if n < 2:
        return True
    unit = np.empty((n, 3))
    for t in range(n):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ux, uy, uz = float(p[b, 0] - p[a, 0]), float(p[b, 1] - p[a, 1]), float(p[b, 2] - p[a, 2])
        vx, vy, vz = float(p[c, 0] - p[a, 0]), float(p[c, 1] - p[a, 1]), float(p[c, 2] - p[a, 2])
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        size = math.sqrt(x * x + y * y + z * z)
        unit[t, 0], unit[t, 1], unit[t, 2] = x / size, y / size, z / size
    # All within half the angle of one of them are within the whole angle of each other.
    half = math.sqrt(max(0.0, 0.5 + 0.5 * cosine))
    is_close = True
    for t in range(1, n):
        is_close = is_close and unit[0, 0] * unit[t, 0] + unit[0, 1] * unit[t, 1] + unit[0, 2] * unit[t, 2] >= half
    if is_close:
        return True
    for t in range(n):
        for u in range(t):
            if unit[u, 0] * unit[t, 0] + unit[u, 1] * unit[t, 1] + unit[u, 2] * unit[t, 2] < cosine:
                return False
    return True
