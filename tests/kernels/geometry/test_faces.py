from __future__ import annotations

import itertools

import numpy as np
import pytest

from felsina.kernels.geometry.extrusion import extrude_prisms
from felsina.kernels.geometry.faces import solid_volumes, tabulate_faces, triangulate_faces
from felsina.kernels.geometry.polygons import shape_area

FAR = np.array([123_456_789, -98_765_432, 1_234_567])  # 100 km away


@pytest.fixture
def prisms(random_polygons, make_flat):
    """Prisms of random polygons with holes, and the volume of each [m3]."""
    xy, rings, shapes = make_flat(random_polygons)
    ground = np.arange(len(shapes) - 1, dtype=np.int64) * 10 - 500
    height = 3000 + np.arange(len(ground)) * 17
    made = extrude_prisms(xy, rings, shapes, ground, ground + height)
    return made, shape_area(xy, rings, shapes) * height / 1e3


@pytest.fixture
def tilted(random_polygons, make_flat):
    """Random polygons with holes on planes of all directions: faces (x, y) -> M (x, y), M whole numbers; and their normals."""
    random = np.random.default_rng(3)
    xy, rings, shapes = make_flat(random_polygons)
    area2 = np.rint(shape_area(xy, rings, shapes) * 2e6).astype(np.int64)
    vertices, normals = np.empty((len(xy), 3), np.int64), np.empty((len(area2), 3), np.int64)
    for f in range(len(area2)):
        m = random.integers(-9, 10, (3, 2))
        while not np.cross(m[:, 0], m[:, 1]).any():
            m = random.integers(-9, 10, (3, 2))
        a, b = rings[shapes[f]], rings[shapes[f + 1]]
        vertices[a:b] = xy[a:b] @ m.T
        normals[f] = np.cross(m[:, 0], m[:, 1]) * area2[f]
    return (vertices, np.arange(len(xy)), rings, shapes), normals


def _triangle_normals(vertices, triangles):
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def _arrays(solid):
    return solid.vertices, solid.face_rings, solid.ring_offsets, solid.face_offsets


def test_faces_of_a_box_have_their_closed_forms(make_flat):
    box = extrude_prisms(
        *make_flat([[[(0, 0), (4000, 0), (4000, 3000), (0, 3000)]]]), np.array([1000], np.int64), np.array([6000], np.int64)
    )
    area, tilt, azimuth = tabulate_faces(*_arrays(box))
    assert area.tolist() == [12, 20, 15, 20, 15, 12]
    assert tilt.tolist() == [180, 90, 90, 90, 90, 0]
    assert azimuth.tolist() == [0, 180, 90, 0, 270, 0]  # south, east, north, west
    assert solid_volumes(*_arrays(box), box.solid_offsets).tolist() == [60]


def test_faces_of_a_gable_have_their_closed_forms(make_solid, roofs):
    # 12 m x 8 m, eaves 3 m, ridge 3 m higher along x: slopes of 3 in 4 are 5 m long.
    solid = make_solid(roofs["gabled"])
    area, tilt, azimuth = tabulate_faces(*_arrays(solid))
    roof = solid.face_type == 2
    np.testing.assert_allclose(area[roof], [60, 60], rtol=1e-15)
    np.testing.assert_allclose(tilt[roof], np.degrees(np.arctan2(3, 4)), rtol=1e-15)
    assert azimuth[roof].tolist() == [180, 0]
    assert solid_volumes(*_arrays(solid), np.array([0, len(area)])).tolist() == [12 * 8 * (3 + 1.5)]


def test_azimuths_go_clockwise_from_north():
    # Triangles that look to the north-east, south-east, south-west and north-west and rise by 1 in sqrt(2).
    for (x, y), expected in {(1, 1): 45.0, (1, -1): 135.0, (-1, -1): 225.0, (-1, 1): 315.0}.items():
        along = np.array([-y, x, 0]) * 1000
        up = np.array([-x, -y, 1]) * 1000
        face = np.array([[0, 0, 0], along, up])
        _, tilt, azimuth = tabulate_faces(face, np.arange(3), np.array([0, 3]), np.array([0, 1]))
        assert azimuth[0] == pytest.approx(expected, abs=1e-12)
        assert tilt[0] == pytest.approx(np.degrees(np.arctan(np.sqrt(0.5))))


def test_a_wall_with_a_corner_a_millimetre_off_its_line_is_vertical():
    wall = np.array([[0, 0, 0], [8000, 0, 0], [8000, 0, 3000], [4000, 1, 6000], [0, 0, 3000]])
    rings = np.arange(5), np.array([0, 5]), np.array([0, 1])
    assert tabulate_faces(wall, *rings)[1].tolist() == [90]
    wall[3, 1] = 200
    assert tabulate_faces(wall, *rings)[1][0] != 90


def test_areas_and_azimuths_are_those_of_the_exact_normals(tilted):
    faces, normals = tilted
    area, tilt, azimuth = tabulate_faces(*faces)
    n = normals.astype(float)
    # Four roundings of a double each.
    np.testing.assert_allclose(area, np.linalg.norm(n, axis=1) / 2e6, rtol=1e-15)
    np.testing.assert_allclose(tilt, np.degrees(np.arctan2(np.hypot(n[:, 0], n[:, 1]), n[:, 2])), rtol=1e-14)
    level = (normals[:, :2] == 0).all(axis=1)
    np.testing.assert_allclose(azimuth[~level], np.degrees(np.arctan2(n[:, 0], n[:, 1]))[~level] % 360, atol=1e-12)
    assert (azimuth >= 0).all() and (azimuth < 360).all()


def test_triangles_fill_faces_of_all_directions_exactly(tilted):
    faces, normals = tilted
    triangles, face, is_complete = triangulate_faces(*faces)
    assert is_complete.all()
    parts = _triangle_normals(faces[0], triangles)
    # All look to the same side as the face, and they add up to it without rounding.
    assert (np.sign(parts) == np.sign(normals)[face]).all()
    np.testing.assert_array_equal(np.add.reduceat(parts, np.searchsorted(face, np.arange(len(normals)))), normals)
    corners = np.diff(faces[2][faces[3]])
    assert np.bincount(face).tolist() == (corners + 2 * (np.diff(faces[3]) - 1) - 2).tolist()


def test_a_mesh_of_prisms_is_closed_and_has_no_new_vertices(prisms):
    made, _ = prisms
    triangles, _, is_complete = triangulate_faces(*_arrays(made))
    assert is_complete.all()
    there = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(there, axis=0)) == len(there)
    assert {tuple(e) for e in there.tolist()} == {tuple(e) for e in there[:, ::-1].tolist()}


def test_a_hole_that_touches_its_exterior_in_a_corner_is_cut_out():
    outer = [(0, 0, 0), (6000, 0, 0), (6000, 6000, 0), (0, 6000, 0)]
    hole = [(0, 0, 0), (1000, 3000, 0), (3000, 1000, 0)]
    vertices = np.array(outer + hole[1:])
    faces = (vertices, np.array([0, 1, 2, 3, 0, 4, 5]), np.array([0, 4, 7]), np.array([0, 2]))
    triangles, _, is_complete = triangulate_faces(*faces)
    assert is_complete.all()
    assert _triangle_normals(vertices, triangles)[:, 2].sum() == 2 * (36_000_000 - 4_000_000)
    assert tabulate_faces(*faces)[0].tolist() == [32]


def test_faces_that_cannot_be_cut_are_told_and_have_no_triangles():
    bow_tie = [(0, 0, 0), (2000, 2000, 0), (2000, 0, 0), (0, 1000, 0)]
    needle = [(0, 0, 0), (1000, 0, 0), (2000, 0, 0)]
    good = [(0, 0, 0), (0, 2000, 0), (0, 0, 2000)]
    vertices = np.array(bow_tie + needle + good)
    faces = np.arange(10), np.array([0, 4, 7, 10]), np.array([0, 1, 2, 2, 3])
    triangles, face, is_complete = triangulate_faces(vertices, *faces)
    assert is_complete.tolist() == [False, False, False, True]
    assert face.tolist() == [3] and triangles.tolist() == [[7, 8, 9]]


def test_volumes_are_areas_times_heights(prisms):
    made, volume = prisms
    np.testing.assert_allclose(solid_volumes(*_arrays(made), made.solid_offsets), volume, rtol=1e-15)


def test_volume_of_triangles_is_that_of_the_faces(prisms):
    made, _ = prisms
    triangles, face, _ = triangulate_faces(*_arrays(made))
    of_solid = np.searchsorted(made.solid_offsets, face, "right") - 1
    single = np.arange(len(triangles) + 1)
    again = solid_volumes(made.vertices, triangles.ravel(), 3 * single, single, np.searchsorted(of_solid, np.arange(201)))
    np.testing.assert_array_equal(again, solid_volumes(*_arrays(made), made.solid_offsets))


def test_a_solid_turned_inside_out_has_a_negative_volume(prisms):
    made, _ = prisms
    backwards = np.concatenate([made.face_rings[a:b][::-1] for a, b in itertools.pairwise(made.ring_offsets)])
    there = solid_volumes(*_arrays(made), made.solid_offsets)
    np.testing.assert_array_equal(solid_volumes(made.vertices, backwards, *_arrays(made)[2:], made.solid_offsets), -there)


def test_volumes_of_a_thousand_kilometres_are_right(make_flat):
    box = extrude_prisms(
        *make_flat([[[(0, 0), (10**9, 0), (10**9, 10**9), (0, 10**9)]]]), np.array([0], np.int64), np.array([10**6], np.int64)
    )
    assert solid_volumes(*_arrays(box), box.solid_offsets)[0] == pytest.approx(1e15, rel=1e-15)  # beyond 64 bits of mm3


def test_100_km_change_no_bit(prisms, tilted):
    made, _ = prisms
    for vertices, *faces in (_arrays(made), tilted[0]):
        for here, there in zip(tabulate_faces(vertices, *faces), tabulate_faces(vertices + FAR, *faces)):
            assert np.array_equal(here, there)
        for here, there in zip(triangulate_faces(vertices, *faces), triangulate_faces(vertices + FAR, *faces)):
            assert np.array_equal(here, there)
    here, there = (solid_volumes(v, *_arrays(made)[1:], made.solid_offsets) for v in (made.vertices, made.vertices + FAR))
    assert np.array_equal(here, there)


def test_nothing_in_nothing_out():
    nothing, none = np.empty((0, 3), np.int64), np.empty(0, np.int64)
    assert all(len(x) == 0 for x in tabulate_faces(nothing, none, np.zeros(1, np.int64), np.zeros(1, np.int64)))
    assert all(len(x) == 0 for x in triangulate_faces(nothing, none, np.zeros(1, np.int64), np.zeros(1, np.int64)))
    assert solid_volumes(nothing, none, np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(2, np.int64)).tolist() == [0]
