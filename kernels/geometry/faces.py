"""Faces of general solids: areas, tilts, azimuths, triangles and enclosed volumes, for many solids in one set of arrays.

Solids are lists of faces, faces lists of rings, rings lists of vertex numbers, as in `roof_solid.RoofSolid`; those of all
solids follow each other. Everything follows from differences of integer coordinates, so that a solid has the same bits wherever
it lies on the millimetre grid: normals and volumes are exact, and so is each decision about triangles.

References
----------
Sutherland, Sproull and Schumacker (1974), A characterization of ten hidden-surface algorithms (Newell's normal).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.exact import fan_volume
from felsina.kernels.geometry.facets import triangulate_face
from felsina.kernels.geometry.planarity import flatten
from felsina.kernels.geometry.rings import join_touching, ring_contacts

Integers = NDArray[np.int64]

VERTICAL_MM = 2.0  # corners of a wall lie within 1 mm of its line in plan, on either side (`roof_solid`)
_DEGREES = 180.0 / math.pi


def tabulate_faces(
    vertices: Integers, face_rings: Integers, ring_offsets: Integers, face_offsets: Integers
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return area, tilt and azimuth of each face, from its normal N by Newell's method.

    area = |N| / 2, tilt = atan2(sqrt(Nx^2 + Ny^2), Nz), azimuth = atan2(Nx, Ny)

    Parameters
    ----------
    vertices : (n_vertex, 3) int64
        Positions [mm]; a face is smaller than 1,000 km.
    face_rings : (n_corner,) int64
        Vertex numbers of all rings, outward orientation.
    ring_offsets : (n_ring + 1,) int64
        Corners of each ring.
    face_offsets : (n_face + 1,) int64
        Rings of each face: the exterior, then holes.

    Returns
    -------
    area : (n_face,) float64
        Area [m2], holes taken out.
    tilt : (n_face,) float64
        Angle of the outward normal from vertical [degree]: 0 faces up, 90 is a wall, 180 faces down. Exactly 90 where all
        corners lie within 1 mm of a vertical plane.
    azimuth : (n_face,) float64
        Direction of the outward normal [degree], clockwise from north, 0 <= a < 360; 0 for level faces.
    """
    n = len(face_offsets) - 1
    area, tilt, azimuth = np.empty(n), np.empty(n), np.empty(n)
    _tabulate(vertices, face_rings, ring_offsets, face_offsets, area, tilt, azimuth)
    return area, tilt, azimuth


def triangulate_faces(
    vertices: Integers, face_rings: Integers, ring_offsets: Integers, face_offsets: Integers
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Cut each face into Delaunay triangles of its own vertices.

    Parameters
    ----------
    vertices, face_rings, ring_offsets, face_offsets
        See `tabulate_faces`. Rings of a face may touch in single points.

    Returns
    -------
    triangles : (n_triangle, 3) int64
        Rows of `vertices`, anticlockwise seen from outside; face by face.
    triangle_face : (n_triangle,) int64
        Face of each triangle, ascending.
    is_complete : (n_face,) bool
        False where a face has no triangles: rings that cross, or no area.
    """
    n_face = len(face_offsets) - 1
    n_ring = np.diff(face_offsets)
    most = np.where(n_ring > 0, np.diff(ring_offsets[face_offsets]) + 2 * (n_ring - 1) - 2, 0)
    room = int(np.maximum(most, 0).sum())
    triangles, triangle_face = np.empty((room, 3), np.int64), np.empty(room, np.int64)
    is_complete = np.zeros(n_face, np.bool_)
    n = _triangulate(vertices, face_rings, ring_offsets, face_offsets, triangles, triangle_face, is_complete)
    return triangles[:n], triangle_face[:n], is_complete


def solid_volumes(
    vertices: Integers, face_rings: Integers, ring_offsets: Integers, face_offsets: Integers, solid_offsets: Integers
) -> NDArray[np.float64]:
    """Return the volume that each solid encloses [m3].

    6 V = sum of det(a, b, c) over the triangles of the fan of each ring, a sum of whole numbers, from the solid's first corner.

    Parameters
    ----------
    vertices, face_rings, ring_offsets, face_offsets
        See `tabulate_faces`.
    solid_offsets : (n_solid + 1,) int64
        Faces of each solid.

    Returns
    -------
    (n_solid,) float64
        Volume [m3]; negative where the faces look inwards, 0 where there are none.
    """
    volume = np.empty(len(solid_offsets) - 1)
    _volumes(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, volume)
    return volume


@rows
def face_normal(vertices, face_rings, ring_offsets, first, last):
    """Return the exact normal of a face with the rings `first` to `last` [mm2], as long as twice its area; holes taken out."""
    nx, ny, nz = np.int64(0), np.int64(0), np.int64(0)
    for r in range(first, last):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        if b - a < 3:
            continue
        o, v = face_rings[a], face_rings[a + 1]
        ax, ay, az = vertices[v, 0] - vertices[o, 0], vertices[v, 1] - vertices[o, 1], vertices[v, 2] - vertices[o, 2]
        for i in range(a + 2, b):
            w = face_rings[i]
            bx, by, bz = vertices[w, 0] - vertices[o, 0], vertices[w, 1] - vertices[o, 1], vertices[w, 2] - vertices[o, 2]
            nx += ay * bz - az * by
            ny += az * bx - ax * bz
            nz += ax * by - ay * bx
            ax, ay, az = bx, by, bz
    return nx, ny, nz


@cell
def compass(nx, ny):
    """Return the direction of a vector to the east nx and the north ny [degree], clockwise from north, 0 <= a < 360."""
    angle = math.atan2(float(nx), float(ny)) * _DEGREES
    if angle < 0.0:
        angle += 360.0
    return angle if angle < 360.0 else 0.0


@rows
def _is_vertical(vertices, face_rings, a, b, nx, ny):
    """Tell whether the corners lie, in plan, in a strip of `VERTICAL_MM` across the level part of the normal."""
    fx, fy = float(nx), float(ny)
    size = math.sqrt(fx * fx + fy * fy)
    o = face_rings[a]
    least, most = 0.0, 0.0
    for i in range(a + 1, b):
        v = face_rings[i]
        d = float(vertices[v, 0] - vertices[o, 0]) * fx + float(vertices[v, 1] - vertices[o, 1]) * fy
        least, most = min(least, d), max(most, d)
    return most - least <= VERTICAL_MM * size


@rows
def _tabulate(vertices, face_rings, ring_offsets, face_offsets, area, tilt, azimuth):
    for f in range(len(area)):
        first, last = face_offsets[f], face_offsets[f + 1]
        nx, ny, nz = face_normal(vertices, face_rings, ring_offsets, first, last)
        x, y, z = float(nx), float(ny), float(nz)
        area[f] = math.sqrt(x * x + y * y + z * z) / 2e6
        if nx == 0 and ny == 0:
            tilt[f], azimuth[f] = (180.0 if nz < 0 else 0.0), 0.0
            continue
        azimuth[f] = compass(nx, ny)
        if nz == 0 or _is_vertical(vertices, face_rings, ring_offsets[first], ring_offsets[last], nx, ny):
            tilt[f] = 90.0
        else:
            tilt[f] = math.atan2(math.sqrt(x * x + y * y), z) * _DEGREES


@rows
def _triangulate_one(vertices, face_rings, ring_offsets, first, last, out):
    """Cut one face into triangles of its corners; return their number, 0 where that is impossible."""
    a, n = ring_offsets[first], ring_offsets[last] - ring_offsets[first]
    p = np.empty((n, 3), np.int64)
    before, after, ring = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    for r in range(first, last):
        ra, rb = ring_offsets[r] - a, ring_offsets[r + 1] - a
        if rb - ra < 3:
            return 0
        for i in range(ra, rb):
            for k in range(3):
                p[i, k] = vertices[face_rings[a + i], k] - vertices[face_rings[a], k]
            after[i] = i + 1 if i + 1 < rb else ra
            before[i] = i - 1 if i > ra else rb - 1
            ring[i] = r - first
    nx, ny, nz = face_normal(vertices, face_rings, ring_offsets, first, first + 1)
    if nx == 0 and ny == 0 and nz == 0:
        return 0
    flat = flatten(p, nx, ny, nz)
    if last - first > 1:
        is_simple, crossing, touches = ring_contacts(flat, before, after, ring)
        if not is_simple or crossing[0] >= 0 or not join_touching(flat, before, after, ring, touches):
            return 0
    return triangulate_face(p, flat, after, 0, out)


@rows
def _triangulate(vertices, face_rings, ring_offsets, face_offsets, triangles, triangle_face, is_complete):
    t = 0
    for f in range(len(is_complete)):
        first, last = face_offsets[f], face_offsets[f + 1]
        if last == first:
            continue
        made = _triangulate_one(vertices, face_rings, ring_offsets, first, last, triangles[t:])
        is_complete[f] = made > 0
        for i in range(t, t + made):
            triangle_face[i] = f
            for k in range(3):
                triangles[i, k] = face_rings[ring_offsets[first] + triangles[i, k]]
        t += made
    return t


@rows
def _volumes(vertices, face_rings, ring_offsets, face_offsets, solid_offsets, volume):
    for s in range(len(volume)):
        first, last = face_offsets[solid_offsets[s]], face_offsets[solid_offsets[s + 1]]
        high, low = np.int64(0), np.int64(0)
        for r in range(first, last):
            ring = face_rings[ring_offsets[r] : ring_offsets[r + 1]]
            high, low = fan_volume(vertices, ring, face_rings[ring_offsets[first]], high, low)
        if -(1 << 33) <= high < (1 << 33):  # up to 1.5 km3: one whole number, rounded once
            volume[s] = float((high << 30) + low) / 6e9
        else:
            volume[s] = (float(high) * 1073741824.0 + float(low)) / 6e9
