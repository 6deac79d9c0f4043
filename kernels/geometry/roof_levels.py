"""Parts of a labelled roof: faces of one label that hang together, steps that are levelled, area and volume with variances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.roof_partition import plane_height

Integers = NDArray[np.int64]


def connected_parts(face: Integers, label: Integers) -> Integers:
    """Return (n_face,) the connected part of one label that each face belongs to, numbered in the order of their first faces.

    Parameters
    ----------
    face : (2 n_edge,) int64
        Face to the left of each half-edge, -1 outside; see `arrangement.Arrangement`.
    label : (n_face,) int64
        Label of each face.
    """
    part = np.empty(len(label), np.int64)
    _connect(face, label, part)
    return part


def level_steps(
    face: Integers,
    area2: Integers,
    part: Integers,
    label: Integers,
    centroid: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    step_mm: float,
) -> tuple[Integers, NDArray[np.float64]]:
    """Join parts that touch and differ by less than a step, the least difference first; each takes its mean height.

    Means are over area, so that the volume under the roof stays what it is.

    Parameters
    ----------
    face, area2 : see `arrangement.Arrangement`
    part, label : (n_face,) int64
        Part and label of each face.
    centroid : (n_face, 2) float64
        [mm]
    coefficients : (n_label, 3) float64
        a [1], b [1], c [mm] of z = a x + b y + c.
    step_mm : float
        Parts that differ by this or more stay apart [mm].

    Returns
    -------
    group : (n_face,) int64
        Group of each face, the number of its first part.
    height : (n_part,) float64
        Height of each group [mm]; 0 for parts that have joined another.
    """
    n = int(part.max()) + 1
    group, height = np.empty(n, np.int64), np.empty(n)
    _level(face, area2, part, label, centroid, coefficients, step_mm, group, height)
    return group[part], height


@rows
def _find(parent, i):
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@rows
def _connect(face, label, part):
    n = len(label)
    parent = np.arange(n)
    for e in range(len(face) // 2):
        f, g = face[2 * e], face[2 * e + 1]
        if f >= 0 and g >= 0 and label[f] == label[g]:
            f, g = _find(parent, f), _find(parent, g)
            parent[max(f, g)] = min(f, g)
    count = 0
    for f in range(n):
        root = _find(parent, f)
        if root == f:
            part[f] = count
            count += 1
        else:
            part[f] = part[root]


@rows
def _level(face, area2, part, label, centroid, coefficients, step, group, height):
    n = len(group)
    area, volume = np.zeros(n), np.zeros(n)
    for f in range(len(label)):
        a = float(area2[f])
        area[part[f]] += a
        volume[part[f]] += a * plane_height(coefficients, label[f], centroid[f, 0], centroid[f, 1])
    for k in range(n):
        group[k] = k
        height[k] = volume[k] / area[k]
    while True:
        best, one, two = step, -1, -1
        for e in range(len(face) // 2):
            f, g = face[2 * e], face[2 * e + 1]
            if f < 0 or g < 0:
                continue
            a, b = group[part[f]], group[part[g]]
            a, b = min(a, b), max(a, b)
            if a == b:
                continue
            gap = abs(height[a] - height[b])
            if gap < best or (gap == best and one >= 0 and (a < one or (a == one and b < two))):
                best, one, two = gap, a, b
        if one < 0:
            return
        area[one] += area[two]
        volume[one] += volume[two]
        height[one], height[two] = volume[one] / area[one], 0.0
        for k in range(n):
            if group[k] == two:
                group[k] = one


def measure_roof(
    area2: Integers,
    label: Integers,
    centroid: NDArray[np.float64],
    variance: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    plane_centroid: NDArray[np.float64],
    covariance: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum up a labelled roof, with variances.

    For label l over its faces, of area A_l and centroid x_l: z_l = (1, x_l - m_l) with the plane's centroid m_l, so that the
    volume has the variance sum_l A_l^2 (z_l C_l z_l' + s_l^2), C_l the covariance of the plane and s_l^2 what its faces may be
    off it. The sloping area has sum_l A_l^2 (g_l C_l g_l' + |g_l|^2 q_l + q_l^2), g_l = (a, b) / sqrt(1 + a^2 + b^2): what is
    off the plane may be a tilt, of variance q_l = 6 s_l^2 / A_l along each axis of a square of area A_l, and tilting a level
    roof makes it q_l longer.

    Parameters
    ----------
    area2, label, centroid : of the faces [mm2], [1], [mm]
    variance : (n_label,) float64
        s_l^2 [m2].
    coefficients : (n_label, 3) float64
        a [1], b [1], c [mm].
    plane_centroid, covariance : (n_plane, 2), (n_plane, 3, 3) float64
        Of the first n_plane <= n_label labels; see `pointcloud.planes`. Later labels are taken to be exact.

    Returns
    -------
    (5,) float64
        Area in plan [m2]; area times height above z = 0 [m3]; sloping area [m2]; variance of the second [m6] and third [m4].
    """
    out = np.zeros(5)
    _measure(area2, label, centroid, variance, coefficients, plane_centroid, covariance, out)
    return out


@rows
def _measure(area2, label, centroid, variance, coefficients, plane_centroid, covariance, out):
    n = len(coefficients)
    area, east, north = np.zeros(n), np.zeros(n), np.zeros(n)
    for f in range(len(label)):
        k, a = label[f], 0.5e-6 * float(area2[f])
        area[k] += a
        east[k] += a * centroid[f, 0] * 1e-3
        north[k] += a * centroid[f, 1] * 1e-3
        out[1] += a * plane_height(coefficients, k, centroid[f, 0], centroid[f, 1]) * 1e-3
    for k in range(n):
        if area[k] == 0.0:
            continue
        gx, gy = coefficients[k, 0], coefficients[k, 1]
        slant = math.sqrt(1.0 + gx * gx + gy * gy)
        out[0] += area[k]
        out[3] += area[k] * area[k] * variance[k]
        out[2] += area[k] * slant
        q = 6.0 * variance[k] / area[k]
        out[4] += area[k] * area[k] * q * ((gx * gx + gy * gy) / (slant * slant) + q)
        if k >= len(covariance):
            continue
        row = (area[k], east[k] - area[k] * plane_centroid[k, 0], north[k] - area[k] * plane_centroid[k, 1])
        for i in range(3):
            for j in range(3):
                out[3] += row[i] * row[j] * covariance[k, i, j]
        slope = (gx / slant * area[k], gy / slant * area[k])
        for i in range(2):
            for j in range(2):
                out[4] += slope[i] * slope[j] * covariance[k, i + 1, j + 1]
