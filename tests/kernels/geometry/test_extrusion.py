from __future__ import annotations

import itertools

import numpy as np
import pytest

from felsina.kernels.geometry import extrusion as ex
from felsina.kernels.geometry.polygons import shape_area
from felsina.kernels.geometry.triangulation import triangulate


def _area2(xy, triangles):
    a, b, c = (xy[triangles[:, k]] for k in range(3))
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])


def test_triangles_fill_random_polygons_with_holes_exactly(random_polygons, make_flat):
    xy, rings, shapes = make_flat(random_polygons)
    triangles, offsets, is_complete = triangulate(xy, rings, shapes)
    assert is_complete.all()
    area2 = _area2(xy, triangles)
    assert (area2 > 0).all()
    sums = np.add.reduceat(area2, offsets[:-1])
    np.testing.assert_array_equal(sums / 2e6, shape_area(xy, rings, shapes))


def test_triangles_do_not_change_by_100_km(random_polygons, make_flat):
    xy, rings, shapes = make_flat(random_polygons)
    assert np.array_equal(triangulate(xy + 100_000_000, rings, shapes)[0], triangulate(xy, rings, shapes)[0])


def test_a_side_with_collinear_vertices_gives_no_flat_triangle(make_flat):
    ring = [(0, 0), (1000, 0), (2000, 0), (3000, 0), (3000, 3000), (0, 3000), (0, 1500)]
    xy, rings, shapes = make_flat([[ring]])
    triangles, _, is_complete = triangulate(xy, rings, shapes)
    assert is_complete.all() and (_area2(xy, triangles) > 0).all()


def test_a_bow_tie_is_reported_and_gets_no_triangles(make_flat):
    xy, rings, shapes = make_flat([[[(0, 0), (2000, 2000), (2000, 0), (0, 1000)]]])
    triangles, _, is_complete = triangulate(xy, rings, shapes)
    assert not is_complete.any() and not triangles.any()


@pytest.fixture
def prisms(random_polygons, make_flat):
    arrays = make_flat(random_polygons)
    ground = np.arange(len(random_polygons), dtype=np.int64) * 10 - 500
    roof = ground + 3000 + np.arange(len(ground)) * 17
    return arrays, ground, roof, ex.extrude_prisms(*arrays, ground, roof)


def test_the_triangles_of_a_prism_enclose_its_volume(prisms):
    # Divergence theorem: 6 V = sum of det(a, b, c) over outward triangles, exact in Python integers.
    arrays, ground, roof, made = prisms
    triangles, face, is_complete = ex.triangulate_prisms(made, *arrays)
    assert is_complete.all()
    solid = np.searchsorted(made.solid_offsets, face, "right") - 1
    a, b, c = (made.vertices[triangles[:, k]] - made.vertices[made.vertex_offsets[solid]] for k in range(3))
    six = np.einsum("ij,ij->i", np.cross(b, c), a)
    total = np.bincount(solid, weights=six) / 6e9
    np.testing.assert_allclose(total, ex.prism_volumes(*arrays, ground, roof), rtol=1e-9)


def test_each_edge_of_a_prism_mesh_is_used_once_each_way(prisms):
    arrays, _, _, made = prisms
    triangles, _, _ = ex.triangulate_prisms(made, *arrays)
    there = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(there, axis=0)) == len(there)
    assert {tuple(e) for e in there.tolist()} == {tuple(e) for e in there[:, ::-1].tolist()}


def test_surfaces_of_a_box_have_their_closed_forms(make_flat):
    arrays = make_flat([[[(0, 0), (4000, 0), (4000, 3000), (0, 3000)]]])
    made = ex.extrude_prisms(*arrays, np.array([1000]), np.array([6000]))
    area, tilt, azimuth = ex.tabulate_surfaces(made, *arrays)
    assert made.face_type.tolist() == [ex.GROUND, ex.WALL, ex.WALL, ex.WALL, ex.WALL, ex.ROOF]
    assert area.tolist() == [12, 20, 15, 20, 15, 12]
    assert tilt.tolist() == [180, 90, 90, 90, 90, 0]
    assert azimuth.tolist() == [0, 180, 90, 0, 270, 0]  # south, east, north, west


def test_a_mirror_keeps_areas_and_mirrors_azimuths(prisms):
    (xy, rings, shapes), ground, roof, made = prisms
    area, _, azimuth = ex.tabulate_surfaces(made, xy, rings, shapes)
    # Mirrored rings run the other way: turn each around its first vertex.
    turned = np.concatenate([np.roll(np.arange(a, b)[::-1], 1) for a, b in itertools.pairwise(rings)])
    flipped = (xy * [-1, 1])[turned]
    again = ex.extrude_prisms(flipped, rings, shapes, ground, roof)
    area2, _, azimuth2 = ex.tabulate_surfaces(again, flipped, rings, shapes)
    # Face by face: the wall of edge i -> i + 1 becomes that which ends where i was.
    for s in range(len(shapes) - 1):
        a, b = made.solid_offsets[s], made.solid_offsets[s + 1]
        walls = slice(a + 1, b - 1)
        mine = sorted(zip(area[walls].tolist(), np.round(-azimuth[walls] % 360, 9).tolist()))
        theirs = sorted(zip(area2[walls].tolist(), np.round(azimuth2[walls] % 360, 9).tolist()))
        assert [m[0] for m in mine] == [t[0] for t in theirs]
        np.testing.assert_allclose(np.sort([m[1] for m in mine]), np.sort([t[1] for t in theirs]), atol=1e-8)
