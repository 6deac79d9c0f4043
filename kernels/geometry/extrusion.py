"""Prisms of polygons between a ground and a roof height (LoD1.2): faces, triangles, and a table of their surfaces.

One polygon gives one solid: a ground surface, one wall per edge, a roof surface. Neighbouring faces share their vertices, each
edge is used once in each direction and every face looks outwards: a closed 2-manifold by construction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from felsina.kernels._backend import cell, rows
from felsina.kernels.geometry.triangulation import triangulate

Integers = NDArray[np.int64]

GROUND, WALL, ROOF = 0, 1, 2  # surface types, as in CityGML


class Prisms(NamedTuple):
    """Prisms of n_polygon polygons with n_vertex vertices in n_ring rings; faces of one polygon are ground, walls, roof.

    Attributes
    ----------
    vertices : (2 n_vertex, 3) int64
        Positions [mm]; polygon by polygon, first its lower vertices, then its upper ones in the same order.
    vertex_offsets : (n_polygon + 1,) int64
        Vertices of each solid.
    face_rings : (n_corner,) int64
        Vertex numbers of all face rings, one after the other, outward orientation.
    ring_offsets : (n_face_ring + 1,) int64
        Corners of each face ring.
    face_offsets : (n_face + 1,) int64
        Rings of each face: exterior, then holes.
    solid_offsets : (n_polygon + 1,) int64
        Faces of each solid.
    face_type : (n_face,) int8
        GROUND, WALL or ROOF.
    face_edge : (n_face,) int64
        For walls the vertex of `xy` at which their edge starts, else -1.
    """

    vertices: Integers
    vertex_offsets: Integers
    face_rings: Integers
    ring_offsets: Integers
    face_offsets: Integers
    solid_offsets: Integers
    face_type: NDArray[np.int8]
    face_edge: Integers


def extrude_prisms(xy: Integers, ring_offsets: Integers, polygon_offsets: Integers, ground: Integers, roof: Integers) -> Prisms:
    """Extrude each polygon from its ground to its roof height.

    Parameters
    ----------
    xy, ring_offsets, polygon_offsets
        Polygons with holes; see `polygons`. Exterior rings run anticlockwise, holes clockwise.
    ground, roof : (n_polygon,) int64
        Heights [mm], ground < roof.

    Returns
    -------
    Prisms
        Faces that look outwards and close a 2-manifold if the rings of each polygon do not touch.
    """
    n_vertex, n_ring, n_polygon = len(xy), len(ring_offsets) - 1, len(polygon_offsets) - 1
    n_face = n_vertex + 2 * n_polygon
    vertices = np.empty((2 * n_vertex, 3), np.int64)
    face_rings = np.empty(6 * n_vertex, np.int64)
    rings = np.zeros(n_vertex + 2 * n_ring + 1, np.int64)
    faces = np.zeros(n_face + 1, np.int64)
    solids = np.zeros(n_polygon + 1, np.int64)
    face_type = np.empty(n_face, np.int8)
    face_edge = np.full(n_face, -1, np.int64)
    _extrude(xy, ring_offsets, polygon_offsets, ground, roof, vertices, face_rings, rings, faces, solids, face_type, face_edge)
    return Prisms(vertices, 2 * ring_offsets[polygon_offsets], face_rings, rings, faces, solids, face_type, face_edge)


def triangulate_prisms(
    prisms: Prisms, xy: Integers, ring_offsets: Integers, polygon_offsets: Integers
) -> tuple[Integers, Integers, NDArray[np.bool_]]:
    """Cut the faces of prisms into outward triangles for a mesh.

    Returns
    -------
    triangles : (n_triangle, 3) int64
        Vertex numbers in `prisms.vertices`; solid by solid, face by face.
    triangle_face : (n_triangle,) int64
        Face of each triangle.
    is_complete : (n_polygon,) bool
        False where the polygon cannot be triangulated; its ground and roof then have no triangles.
    """
    flat, flat_offsets, is_complete = triangulate(xy, ring_offsets, polygon_offsets)
    n = 2 * int(np.where(is_complete, np.diff(flat_offsets), 0).sum()) + 2 * len(xy)
    triangles, triangle_face = np.empty((n, 3), np.int64), np.empty(n, np.int64)
    _triangulate_faces(ring_offsets[polygon_offsets], flat, flat_offsets, is_complete, prisms, triangles, triangle_face)
    return triangles, triangle_face, is_complete


def tabulate_surfaces(
    prisms: Prisms, xy: Integers, ring_offsets: Integers, polygon_offsets: Integers
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return area, tilt and azimuth of the faces of prisms.

    Returns
    -------
    area : (n_face,) float64
        Area [m2], holes taken out.
    tilt : (n_face,) float64
        Angle of the outward normal from vertical [degree]: 0 faces up, 90 is a wall, 180 faces down.
    azimuth : (n_face,) float64
        Direction of the outward normal [degree], clockwise from north, 0 <= a < 360; 0 for level faces.
    """
    n = len(prisms.face_type)
    area, tilt, azimuth = np.empty(n), np.empty(n), np.empty(n)
    _tabulate(prisms, xy, ring_offsets, polygon_offsets, area, tilt, azimuth)
    return area, tilt, azimuth


def prism_volumes(
    xy: Integers, ring_offsets: Integers, polygon_offsets: Integers, ground: Integers, roof: Integers
) -> NDArray[np.float64]:
    """Return the volume of each prism [m3]: exact area times height."""
    volume = np.empty(len(polygon_offsets) - 1)
    _volumes(xy, ring_offsets, polygon_offsets, ground, roof, volume)
    return volume


@cell
def _polygon_area2(xy, ring_offsets, first, last):
    total = np.int64(0)
    for r in range(first, last):
        a, b = ring_offsets[r], ring_offsets[r + 1]
        for i in range(a + 1, b - 1):
            total += (xy[i, 0] - xy[a, 0]) * (xy[i + 1, 1] - xy[a, 1]) - (xy[i + 1, 0] - xy[a, 0]) * (xy[i, 1] - xy[a, 1])
    return total


@rows
def _volumes(xy, ring_offsets, polygon_offsets, ground, roof, volume):
    for p in range(len(volume)):
        area2 = _polygon_area2(xy, ring_offsets, polygon_offsets[p], polygon_offsets[p + 1])
        volume[p] = float(area2) / 2e6 * (float(roof[p] - ground[p]) / 1e3)


@rows
def _extrude(xy, ring_offsets, polygon_offsets, ground, roof, vertices, corners, rings, faces, solids, face_type, face_edge):
    n_corner, n_ring, n_face = 0, 0, 0
    for p in range(len(polygon_offsets) - 1):
        first, last = polygon_offsets[p], polygon_offsets[p + 1]
        start, end = ring_offsets[first], ring_offsets[last]
        n = end - start
        low, high = start, start + n  # vertex i of xy is low + i and high + i in the solid
        for i in range(start, end):
            for k, z in ((low + i, ground[p]), (high + i, roof[p])):
                vertices[k, 0], vertices[k, 1], vertices[k, 2] = xy[i, 0], xy[i, 1], z
        for r in range(first, last):  # the ground looks down: its rings run backwards
            for i in range(ring_offsets[r + 1] - 1, ring_offsets[r] - 1, -1):
                corners[n_corner] = low + i
                n_corner += 1
            n_ring += 1
            rings[n_ring] = n_corner
        face_type[n_face] = GROUND
        n_face += 1
        faces[n_face] = n_ring
        for r in range(first, last):
            for i in range(ring_offsets[r], ring_offsets[r + 1]):
                j = i + 1 if i + 1 < ring_offsets[r + 1] else ring_offsets[r]
                corners[n_corner], corners[n_corner + 1] = low + i, low + j
                corners[n_corner + 2], corners[n_corner + 3] = high + j, high + i
                n_corner += 4
                n_ring += 1
                rings[n_ring] = n_corner
                face_type[n_face], face_edge[n_face] = WALL, i
                n_face += 1
                faces[n_face] = n_ring
        for r in range(first, last):
            for i in range(ring_offsets[r], ring_offsets[r + 1]):
                corners[n_corner] = high + i
                n_corner += 1
            n_ring += 1
            rings[n_ring] = n_corner
        face_type[n_face] = ROOF
        n_face += 1
        faces[n_face] = n_ring
        solids[p + 1] = n_face


@rows
def _triangulate_faces(starts, flat, flat_offsets, is_complete, prisms, triangles, triangle_face):
    t = 0
    for p in range(len(starts) - 1):
        low, high = starts[p], starts[p] + starts[p + 1] - starts[p]
        for f in range(prisms.solid_offsets[p], prisms.solid_offsets[p + 1]):
            if prisms.face_type[f] == WALL:
                c = prisms.ring_offsets[prisms.face_offsets[f]]
                q = prisms.face_rings[c : c + 4]
                triangles[t, 0], triangles[t, 1], triangles[t, 2] = q[0], q[1], q[2]
                triangles[t + 1, 0], triangles[t + 1, 1], triangles[t + 1, 2] = q[0], q[2], q[3]
                triangle_face[t], triangle_face[t + 1] = f, f
                t += 2
            elif is_complete[p]:
                for k in range(flat_offsets[p], flat_offsets[p + 1]):
                    a, b, c = flat[k, 0], flat[k, 1], flat[k, 2]
                    if prisms.face_type[f] == GROUND:
                        triangles[t, 0], triangles[t, 1], triangles[t, 2] = low + a, low + c, low + b
                    else:
                        triangles[t, 0], triangles[t, 1], triangles[t, 2] = high + a, high + b, high + c
                    triangle_face[t] = f
                    t += 1


@rows
def _tabulate(prisms, xy, ring_offsets, polygon_offsets, area, tilt, azimuth):
    for p in range(len(polygon_offsets) - 1):
        level = float(_polygon_area2(xy, ring_offsets, polygon_offsets[p], polygon_offsets[p + 1])) / 2e6
        for f in range(prisms.solid_offsets[p], prisms.solid_offsets[p + 1]):
            if prisms.face_type[f] != WALL:
                area[f], tilt[f], azimuth[f] = level, 180.0 if prisms.face_type[f] == GROUND else 0.0, 0.0
                continue
            c = prisms.ring_offsets[prisms.face_offsets[f]]
            a, b, top = prisms.face_rings[c], prisms.face_rings[c + 1], prisms.face_rings[c + 2]
            dx = float(prisms.vertices[b, 0] - prisms.vertices[a, 0])
            dy = float(prisms.vertices[b, 1] - prisms.vertices[a, 1])
            height = float(prisms.vertices[top, 2] - prisms.vertices[a, 2])
            area[f], tilt[f] = math.sqrt(dx * dx + dy * dy) * height / 1e6, 90.0
            # The outside is on the right of the edge: normal (dy, -dx); azimuth from north = atan2(east, north).
            angle = math.atan2(dy, -dx) * (180.0 / math.pi)
            azimuth[f] = angle + 360.0 if angle < 0.0 else angle + 0.0
