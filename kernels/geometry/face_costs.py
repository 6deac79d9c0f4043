"""What each plane costs on each face of an arrangement, and what it costs to part two faces: the terms of `labelling`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.arrangement import Arrangement, turn
from felsina.kernels.geometry.roof_partition import plane_height

Integers = NDArray[np.int64]

CAP_MM = 2000  # a point farther from a plane is no evidence how far
SMOOTHNESS_MM2 = 60_000  # cost of a millimetre of edge [mm3/mm]
IMPOSSIBLE = 10**15  # mm3; of a plane that dips below ground or rises far above the points


def locate_points_in_faces(points: Integers, arrangement: Arrangement) -> NDArray[np.int32]:
    """Return (n,) the face of each point (left and lower edges belong to it), -1 outside.

    Parameters
    ----------
    points : (n, 3) int64
        Positions [mm], ascending by x.
    """
    found = np.full(len(points), -1, np.int32)
    if len(points):
        _locate(points, arrangement.xy, arrangement.origin, arrangement.face, len(arrangement.area2), found)
    return found


def data_costs(
    points: Integers,
    face: NDArray[np.int32],
    arrangement: Arrangement,
    coefficients: NDArray[np.float64],
    lowest_mm: int,
    highest_mm: int,
    cap_mm: int = CAP_MM,
) -> Integers:
    """Return what each plane costs on each face: area times the mean of min(|z - plane|, cap) over the points.

    Parameters
    ----------
    points : (n, 3) int64
        Positions [mm].
    face : (n,) int32
        Face of each point.
    arrangement : Arrangement
    coefficients : (n_plane, 3) float64
        a [1], b [1], c [mm] of z = a x + b y + c, x and y in mm.
    lowest_mm, highest_mm : int
        A plane that leaves this range at a corner of a face costs IMPOSSIBLE more there.
    cap_mm : int
        Largest distance that counts [mm].

    Returns
    -------
    (n_face, n_plane) int64
        Costs [mm3]; 0 on faces without points.
    """
    cost = np.zeros((len(arrangement.area2), len(coefficients)), np.int64)
    _data(points, face, *arrangement, coefficients, lowest_mm, highest_mm, cap_mm, cost)
    return cost


def smoothness_costs(arrangement: Arrangement, weight_mm2: int = SMOOTHNESS_MM2) -> tuple[Integers, Integers]:
    """Return the pairs of faces that share edges, (n, 2) ascending, and what parting them costs [mm3]: weight times length."""
    return _smoothness(arrangement.xy, arrangement.origin, arrangement.face, weight_mm2)


@rows
def _locate(points, xy, origin, face, n_face, found):
    n = len(origin)
    start = np.zeros(n_face + 1, np.int64)
    for h in range(n):
        if face[h] >= 0:
            start[face[h] + 1] += 1
    for f in range(n_face):
        start[f + 1] += start[f]
    fill, member = start[:-1].copy(), np.empty(start[n_face], np.int64)
    for h in range(n):
        if face[h] >= 0:
            member[fill[face[h]]] = h
            fill[face[h]] += 1
    for f in range(n_face):
        west = south = np.int64(2**62)
        east = north = np.int64(-(2**62))
        for k in range(start[f], start[f + 1]):
            v = origin[member[k]]
            west, east = min(west, xy[v, 0]), max(east, xy[v, 0])
            south, north = min(south, xy[v, 1]), max(north, xy[v, 1])
        for i in range(np.searchsorted(points[:, 0], west), len(points)):
            x, y = points[i, 0], points[i, 1]
            if x > east:
                break
            if y < south or y > north or found[i] >= 0:
                continue
            inside = False
            for k in range(start[f], start[f + 1]):
                v, w = origin[member[k]], origin[member[k] ^ 1]
                if (xy[v, 1] <= y) != (xy[w, 1] <= y):
                    t = turn(xy[v, 0], xy[v, 1], xy[w, 0], xy[w, 1], x, y)
                    if t != 0 and (t > 0) == (xy[w, 1] > xy[v, 1]):
                        inside = not inside
            if inside:
                found[i] = f


@rows
def _data(points, face, xy, origin, half_face, source, area2, coefficients, lowest, highest, cap, cost):
    n_face, n_plane = cost.shape
    count = np.zeros(n_face, np.int64)
    for i in range(len(points)):
        f = face[i]
        if f < 0:
            continue
        count[f] += 1
        for k in range(n_plane):
            d = abs(float(points[i, 2]) - plane_height(coefficients, k, points[i, 0], points[i, 1]))
            cost[f, k] += np.int64(min(d, float(cap)) * 1e3)
    for f in range(n_face):
        if count[f] > 0:
            for k in range(n_plane):
                # Micrometres, so that the mean keeps three digits below the millimetre.
                cost[f, k] = (area2[f] // 2) * (cost[f, k] // count[f]) // 1000
    is_bad = np.zeros((n_face, n_plane), np.bool_)
    for h in range(len(origin)):
        f = half_face[h]
        if f < 0:
            continue
        x, y = xy[origin[h], 0], xy[origin[h], 1]
        for k in range(n_plane):
            z = plane_height(coefficients, k, x, y)
            if z < float(lowest) or z > float(highest):
                is_bad[f, k] = True
    for f in range(n_face):
        for k in range(n_plane):
            if is_bad[f, k]:
                cost[f, k] += IMPOSSIBLE


@rows
def _smoothness(xy, origin, face, weight):
    n = len(origin) // 2
    key, length, m = np.empty(n, np.int64), np.empty(n, np.int64), 0
    for e in range(n):
        f, g = face[2 * e], face[2 * e + 1]
        if f < 0 or g < 0 or f == g:
            continue
        a, b = origin[2 * e], origin[2 * e + 1]
        dx, dy = float(xy[b, 0] - xy[a, 0]), float(xy[b, 1] - xy[a, 1])
        key[m] = min(f, g) * n * 2 + max(f, g)
        length[m] = np.int64(math.sqrt(dx * dx + dy * dy) + 0.5)
        m += 1
    order = np.argsort(key[:m], kind="mergesort")
    pairs, cost, c = np.empty((m, 2), np.int64), np.empty(m, np.int64), 0
    for t in range(m):
        e = order[t]
        if t > 0 and key[e] == key[order[t - 1]]:
            cost[c - 1] += weight * length[e]
            continue
        pairs[c, 0], pairs[c, 1] = key[e] // (2 * n), key[e] % (2 * n)
        cost[c] = weight * length[e]
        c += 1
    return pairs[:c], cost[:c]


def label_residuals(
    points: Integers, face: NDArray[np.int32], label: Integers, coefficients: NDArray[np.float64], cap_mm: int = CAP_MM
) -> tuple[Integers, NDArray[np.float64]]:
    """Return the number of points of each label and their mean square distance in z from its plane, capped.

    Parameters
    ----------
    points : (n, 3) int64
        Positions [mm].
    face : (n,) int32
        Face of each point.
    label : (n_face,) int64
        Plane of each face.
    coefficients : (n_plane, 3) float64
        a [1], b [1], c [mm].
    cap_mm : int
        Largest distance that counts [mm].

    Returns
    -------
    n_point : (n_plane,) int64
    mean_square : (n_plane,) float64
        [m2]; 0 without points.
    """
    n_point, mean_square = np.zeros(len(coefficients), np.int64), np.zeros(len(coefficients))
    _residuals(points, face, label, coefficients, cap_mm, n_point, mean_square)
    return n_point, mean_square


@rows
def _residuals(points, face, label, coefficients, cap, n_point, mean_square):
    for i in range(len(points)):
        f = face[i]
        if f < 0:
            continue
        d = float(points[i, 2]) - plane_height(coefficients, label[f], points[i, 0], points[i, 1])
        d = min(abs(d), float(cap)) * 1e-3
        n_point[label[f]] += 1
        mean_square[label[f]] += d * d
    for k in range(len(n_point)):
        if n_point[k] > 0:
            mean_square[k] /= float(n_point[k])


def face_centroids(arrangement: Arrangement) -> NDArray[np.float64]:
    """Return (n_face, 2) the centroid of each face [mm], its islands left out."""
    out = np.zeros((len(arrangement.area2), 2))
    _centroids(arrangement.xy, arrangement.origin, arrangement.face, arrangement.area2, out)
    return out


@rows
def _centroids(xy, origin, face, area2, out):
    for h in range(len(origin)):
        f = face[h]
        if f < 0:
            continue
        v, w = origin[h], origin[h ^ 1]
        ax, ay, bx, by = float(xy[v, 0]), float(xy[v, 1]), float(xy[w, 0]), float(xy[w, 1])
        cross = ax * by - bx * ay
        out[f, 0] += (ax + bx) * cross
        out[f, 1] += (ay + by) * cross
    for f in range(len(area2)):
        out[f, 0] /= 3.0 * float(area2[f])
        out[f, 1] /= 3.0 * float(area2[f])
