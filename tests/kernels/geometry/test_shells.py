"""Shells against VTK, which counts edges and pieces and turns faces by other means."""

from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.extrusion import extrude_prisms, triangulate_prisms
from felsina.kernels.geometry.shells import number_places, pair_half_edges, signed_volume, split_vertices, spread_orientation
from felsina.kernels.geometry.solids import list_errors

vtk = pytest.importorskip("vtk")
from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy  # noqa: E402


def _mesh(vertices, triangles):
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(vertices.astype(float), deep=True))
    cells = vtk.vtkCellArray()
    cells.SetData(
        numpy_to_vtkIdTypeArray(np.arange(0, 3 * len(triangles) + 1, 3), deep=True),
        numpy_to_vtkIdTypeArray(triangles.ravel().astype(np.int64), deep=True),
    )
    mesh = vtk.vtkPolyData()
    mesh.SetPoints(points)
    mesh.SetPolys(cells)
    return mesh


def _edges(mesh, boundary):
    edges = vtk.vtkFeatureEdges()
    edges.SetInputData(mesh)
    edges.SetBoundaryEdges(boundary)
    edges.SetNonManifoldEdges(not boundary)
    edges.FeatureEdgesOff()
    edges.ManifoldEdgesOff()
    edges.Update()
    return edges.GetOutput().GetNumberOfLines()


def _pieces(mesh):
    pieces = vtk.vtkPolyDataConnectivityFilter()
    pieces.SetInputData(mesh)
    pieces.SetExtractionModeToAllRegions()
    pieces.Update()
    return pieces.GetNumberOfExtractedRegions()


def _turned(mesh):
    """Return which triangles VTK turns over to make all of them look outwards."""
    before = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(mesh)
    normals.ConsistencyOn()
    normals.AutoOrientNormalsOn()
    normals.SplittingOff()
    normals.Update()
    after = vtk_to_numpy(normals.GetOutput().GetPolys().GetConnectivityArray()).reshape(-1, 3)
    assert (np.sort(before) == np.sort(after)).all()
    where = (after == before[:, :1]).argmax(axis=1)
    return after[np.arange(len(after)), (where + 1) % 3] != before[:, 1]


def _prism(random):
    n = int(random.integers(4, 12))
    angle = 2 * np.pi * (np.arange(n) + random.uniform(-0.3, 0.3, n)) / n
    ring = np.rint(np.stack((np.cos(angle), np.sin(angle)), 1) * random.uniform(3000, 9000, (n, 1))).astype(np.int64)
    one = np.array([0, n]), np.array([0, 1])
    made = extrude_prisms(ring, *one, np.array([0]), np.array([4000]))
    triangles, _, _ = triangulate_prisms(made, ring, *one)
    return made.vertices, triangles


def _errors(vertices, triangles):
    n = len(triangles)
    offsets = np.arange(n + 1)
    return list_errors(vertices, triangles.ravel().astype(np.int64), 3 * offsets, offsets, np.array([0, n]))


def test_open_edges_edges_of_many_faces_and_pieces_are_those_of_vtk():
    random = np.random.default_rng(4)
    seen = np.zeros(3, int)
    for k in range(150):
        vertices, triangles = _prism(random)
        if k % 3 == 0:  # a second body that shares a vertical edge with the first, or none
            other, more = _prism(random)
            shift = vertices[0] - other[1] if k % 2 == 0 else np.array([30_000, 0, 0])
            triangles = np.concatenate((triangles, more + len(vertices)))
            vertices, place = np.unique(np.concatenate((vertices, other + shift)), axis=0, return_inverse=True)
            triangles = place.ravel()[triangles]
        if k % 4 == 0:  # holes
            triangles = np.delete(triangles, random.integers(0, len(triangles), int(random.integers(1, 6))), axis=0)
        mesh, found = _mesh(vertices, triangles), _errors(vertices, triangles)
        assert (302 in found.code) == (_edges(mesh, True) > 0)
        open_faces = set(found.face[found.code == 302].tolist())
        assert len(open_faces) <= _edges(mesh, True) <= 3 * len(open_faces)
        many = _edges(mesh, False) > 0
        if 302 not in found.code or many:  # in a closed shell a vertex of two fans is 303 as well
            assert (303 in found.code) == many
        if k % 4 != 0:  # faces that a hole leaves hanging by a vertex are one piece to VTK
            assert (305 in found.code) == (_pieces(mesh) > 1)
        seen += [302 in found.code, 303 in found.code, 305 in found.code]
    assert (seen > 10).all()


def test_faces_to_turn_are_those_that_vtk_turns():
    random = np.random.default_rng(5)
    for k in range(60):
        vertices, triangles = _prism(random)
        wrong = random.random(len(triangles)) < (0.2, 0.5, 0.9)[k % 3]
        triangles[wrong] = triangles[wrong][:, ::-1]
        found = _errors(vertices, triangles)
        turned = np.full(len(triangles), 405 in found.code)  # all of them
        turned[found.face[found.code == 307]] = True
        assert (turned == _turned(_mesh(vertices, triangles))).all() and (turned == wrong).all()


def _half_edges(rings):
    corners = np.concatenate(rings)
    offsets = np.cumsum([0, *map(len, rings)])
    after = np.arange(1, len(corners) + 1)
    after[offsets[1:] - 1] = offsets[:-1]
    return corners.astype(np.int64), after, np.repeat(np.arange(len(rings)), np.diff(offsets))


def test_places_count_positions_in_the_order_of_x_y_z():
    random = np.random.default_rng(6)
    vertices = random.integers(0, 4, (200, 3))
    for n in (1, 2, 3, 64, 199):
        ids = random.integers(0, 200, n)
        number, count = number_places(vertices, ids)
        unique, inverse = np.unique(vertices[ids], axis=0, return_inverse=True)
        assert count == len(unique) and (number == inverse.ravel()).all()


def test_twins_of_a_tetrahedron_run_against_each_other():
    rings = [[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]
    place, after, face = _half_edges(rings)
    twin, uses, is_same_way = pair_half_edges(place, 4, after)
    assert (uses == 2).all() and not is_same_way.any()
    assert (place[twin] == place[after]).all() and (twin[twin] == np.arange(12)).all() and (face[twin] != face).all()
    assert (split_vertices(place, 4, after, twin, uses, is_same_way) == -1).all()
    rings[2] = rings[2][::-1]
    place, after, face = _half_edges(rings)
    component, is_turned, is_orientable = spread_orientation(face, *pair_half_edges(place, 4, after), 4)
    assert is_orientable and not component.any() and is_turned.tolist() == [False, False, True, False]


def test_the_volume_of_a_sliver_a_thousand_kilometres_wide_has_its_sign():
    # One cubic millimetre beside products of 2^87.
    d = (1 << 29) - 1
    p = np.array([[-d, -d, -d], [d, d - 1, d - 1], [d - 1, d, d - 2], [1, 0, 0]])
    u, v, w = (p[k].astype(object) - p[0].astype(object) for k in (1, 2, 3))
    six = u[0] * (v[1] * w[2] - v[2] * w[1]) - u[1] * (v[0] * w[2] - v[2] * w[0]) + u[2] * (v[0] * w[1] - v[1] * w[0])
    rings = np.array([0, 2, 1, 0, 1, 3, 1, 2, 3, 2, 0, 3])
    offsets, faces = 3 * np.arange(5), np.arange(4)
    for flip, sign in ((False, 1), (True, -1)):
        told = signed_volume(p, rings, offsets, np.arange(5), faces, np.full(4, flip))
        assert told == sign * ((six > 0) - (six < 0)) != 0
