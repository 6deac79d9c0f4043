from __future__ import annotations

import numpy as np
import pytest
import shapely

from felsina.kernels.geometry.arrangement import arrange
from felsina.kernels.geometry.face_costs import (
    IMPOSSIBLE,
    data_costs,
    face_centroids,
    label_residuals,
    locate_points_in_faces,
    smoothness_costs,
)

OUTLINE = np.array([[0, 0, 9000, 0], [9000, 0, 9000, 6000], [9000, 6000, 0, 6000], [0, 6000, 0, 0]], np.int64)
LINES = np.array([[3000, -100, 4000, 7000], [-100, 2500, 9100, 3500]], np.int64)


@pytest.fixture
def cut():
    return arrange(OUTLINE, LINES)


def _polygons(made):
    edges = np.stack((made.xy[made.origin], made.xy[made.origin.reshape(-1, 2)[:, ::-1].ravel()]), axis=1)
    return [shapely.polygonize([shapely.MultiLineString(list(edges[made.face == f]))]).geoms[0] for f in range(len(made.area2))]


def test_points_are_in_the_faces_that_hold_them(cut):
    random = np.random.default_rng(0)
    points = np.column_stack((random.integers(-500, 9500, 400), random.integers(-500, 6500, 400), np.zeros(400, np.int64)))
    points = points[np.argsort(points[:, 0], kind="stable")]
    face = locate_points_in_faces(points, cut)
    for f, polygon in enumerate(_polygons(cut)):
        inside = shapely.contains_xy(polygon, *points[:, :2].T)
        on_boundary = shapely.intersects_xy(polygon.boundary, *points[:, :2].T)
        np.testing.assert_array_equal((face == f)[~on_boundary], inside[~on_boundary])


def test_centroids_are_those_of_the_polygons(cut):
    expected = [(p.centroid.x, p.centroid.y) for p in _polygons(cut)]
    np.testing.assert_allclose(face_centroids(cut), expected, atol=1e-6)


def test_a_plane_costs_area_times_mean_distance_capped(cut):
    points = np.array([[100, 100, 1000], [200, 200, 1500], [300, 100, 9000]], np.int64)
    face = locate_points_in_faces(points, cut)
    planes = np.array([[0.0, 0.0, 1000.0], [1.0, 0.0, 900.0]])
    cost = data_costs(points, face, cut, planes, -(10**6), 10**6)
    f = face[0]
    assert (face == f).all()
    area = cut.area2[f] // 2
    # Distances 0, 500, 2000 (capped) and 0, 400, 2000; one micrometre of the mean may be lost.
    assert cost[f, 0] == pytest.approx(area * 2500 / 3, abs=area * 1e-3)
    assert cost[f, 1] == pytest.approx(area * 2400 / 3, abs=area * 1e-3)
    assert (np.delete(cost, f, axis=0) == 0).all()


def test_residuals_are_mean_squares_of_distances_capped(cut):
    points = np.array([[100, 100, 1000], [200, 200, 1500], [300, 100, 9000]], np.int64)
    face = locate_points_in_faces(points, cut)
    planes = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1000.0]])
    n_point, mean_square = label_residuals(points, face, np.ones(4, np.int64), planes)
    assert n_point.tolist() == [0, 3]
    assert mean_square.tolist() == [0.0, pytest.approx((0.0 + 0.25 + 4.0) / 3)]


def test_planes_that_leave_the_range_on_a_face_are_impossible_there(cut):
    nothing = np.empty((0, 3), np.int64)
    planes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 5000.0]])
    cost = data_costs(nothing, np.empty(0, np.int32), cut, planes, 0, 6000)
    reaches = np.array([p.bounds[2] > 6000 for p in _polygons(cut)])
    np.testing.assert_array_equal(cost[:, 0] >= IMPOSSIBLE, reaches)
    assert (cost[:, 1] == 0).all()


def test_parting_faces_costs_the_length_of_their_common_edges(cut):
    pairs, weight = smoothness_costs(cut, 10)
    polygons = _polygons(cut)
    for (f, g), w in zip(pairs, weight, strict=True):
        assert w == pytest.approx(10 * shapely.intersection(polygons[f].boundary, polygons[g].boundary).length, abs=10)
    assert len(pairs) == 4
