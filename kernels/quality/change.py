"""What stands over a roof model: points far above it, by area, and whether they look like leaves."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import rows
from felsina.kernels.geometry.extrusion import ROOF
from felsina.kernels.geometry.membership import locate_points
from felsina.kernels.geometry.roof_solid import RoofSolid

Integers = NDArray[np.int64]

CELL_MM = 1000  # of the raster that counts areas
NO_ROOF = -(2**62)  # height where no roof lies


class Above(NamedTuple):
    """Points far above a roof: cells of 1 m2 that hold one, points, those of pulses with several returns, largest height [m].

    The area tells a crane (a few cells in a row) from a storey; the returns tell leaves, which let a pulse through, from walls
    and roofs, which do not. The largest height is 0 without points.
    """

    n_cell: int
    n_point: int
    n_multiple: int
    largest: float


def roof_heights(points: Integers, solid: RoofSolid) -> Integers:
    """Return the height of the roof model at each point.

    Parameters
    ----------
    points : (n, 2) int64
        Positions [mm] in the frame of the solid.
    solid : RoofSolid
        Its roofs are planes over disjoint polygons.

    Returns
    -------
    (n,) int64
        Height of the roof [mm], `NO_ROOF` beside all roofs.
    """
    out = np.full(len(points), NO_ROOF, np.int64)
    faces = np.flatnonzero(solid.face_type == ROOF)
    if len(points) == 0 or len(faces) == 0:
        return out
    corners, ring_offsets, face_offsets = _roof_rings(faces, solid.face_rings, solid.ring_offsets, solid.face_offsets)
    vertices = np.ascontiguousarray(solid.vertices[corners])
    member = locate_points(points, np.ascontiguousarray(vertices[:, :2]), ring_offsets, face_offsets)
    _heights(np.ascontiguousarray(points), member, vertices, ring_offsets[face_offsets], ring_offsets, face_offsets, out)
    return out


def measure_above(
    points: Integers, roof: Integers, n_return: NDArray[np.integer] | None, height_mm: int, cell_mm: int = CELL_MM
) -> Above:
    """Measure the points that lie more than `height_mm` above the roof under them.

    Parameters
    ----------
    points : (n, 3) int64
        All returns over the footprint but noise [mm], each once, in any order.
    roof : (n,) int64
        Height of the roof at each [mm]; see `roof_heights`.
    n_return : (n,) integer, optional
        Returns of the pulse of each point; None where the files do not tell.
    height_mm : int
        Least height above the roof [mm].
    """
    counts = np.ones(len(points), np.int64) if n_return is None else n_return.astype(np.int64)
    n_cell, n_point, n_multiple, largest = _above(points, roof, counts, height_mm, cell_mm)
    return Above(int(n_cell), int(n_point), int(n_multiple), int(largest) * 1e-3)


@rows
def _roof_rings(faces, rings, ring_offsets, face_offsets):
    """Return the corners of some faces, the offsets of their rings, and the rings of each face."""
    n_ring, n_corner = 0, 0
    for f in faces:
        n_ring += face_offsets[f + 1] - face_offsets[f]
        n_corner += ring_offsets[face_offsets[f + 1]] - ring_offsets[face_offsets[f]]
    corners = np.empty(n_corner, np.int64)
    out_rings, out_faces = np.zeros(n_ring + 1, np.int64), np.zeros(len(faces) + 1, np.int64)
    r, c = 0, 0
    for k in range(len(faces)):
        for ring in range(face_offsets[faces[k]], face_offsets[faces[k] + 1]):
            for i in range(ring_offsets[ring], ring_offsets[ring + 1]):
                corners[c] = rings[i]
                c += 1
            r += 1
            out_rings[r] = c
        out_faces[k + 1] = r
    return corners, out_rings, out_faces


@rows
def _heights(points, member, vertices, first, ring_offsets, face_offsets, out):
    """Fill the height of the plane of each point's face (normal after Newell)."""
    for p in range(len(points)):
        f = member[p]
        if f < 0:
            continue
        a, b = first[f], ring_offsets[face_offsets[f] + 1]
        nx, ny, nz = 0.0, 0.0, 0.0
        x0, y0, z0 = vertices[a, 0], vertices[a, 1], vertices[a, 2]
        for i in range(a, b):
            j = i + 1 if i + 1 < b else a
            ux, uy, uz = float(vertices[i, 0] - x0), float(vertices[i, 1] - y0), float(vertices[i, 2] - z0)
            vx, vy, vz = float(vertices[j, 0] - x0), float(vertices[j, 1] - y0), float(vertices[j, 2] - z0)
            nx += uy * vz - uz * vy
            ny += uz * vx - ux * vz
            nz += ux * vy - uy * vx
        if nz == 0.0:
            continue
        fall = (nx * float(points[p, 0] - x0) + ny * float(points[p, 1] - y0)) / nz
        out[p] = z0 - np.int64(math.floor(fall + 0.5))


@rows
def _above(points, roof, n_return, height, size):
    n_point, n_multiple, largest = 0, 0, np.int64(0)
    cells = np.empty((len(points), 2), np.int64)
    for p in range(len(points)):
        if roof[p] == NO_ROOF or points[p, 2] - roof[p] <= height:
            continue
        cells[n_point, 0], cells[n_point, 1] = points[p, 0] // size, points[p, 1] // size
        n_point += 1
        n_multiple += n_return[p] > 1
        largest = max(largest, points[p, 2] - roof[p])
    if n_point == 0:
        return 0, 0, 0, largest
    west, south = cells[:n_point, 0].min(), cells[:n_point, 1].min()
    width = cells[:n_point, 0].max() - west + 1
    keys = np.sort((cells[:n_point, 1] - south) * width + cells[:n_point, 0] - west)
    n_cell = 1
    for k in range(1, n_point):
        n_cell += keys[k] != keys[k - 1]
    return n_cell, n_point, n_multiple, largest
