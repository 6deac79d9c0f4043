from __future__ import annotations

import numpy as np
import pytest

from felsina.kernels.geometry.polygons import canonical_order
from felsina.kernels.pointcloud.planes import detect_planes, find_neighbours


def _sorted(points):
    points = np.rint(points).astype(np.int64)
    return np.ascontiguousarray(points[canonical_order(points[:, 0], points[:, 1], points[:, 2])])


def _gable(random, n=1500, noise=20.0):
    """Points [mm] on a roof 12 m x 8 m, ridge along x at y = 4 m, slopes of 0.8, height 3 m at the eaves."""
    x, y = random.uniform(0, 12_000, n), random.uniform(0, 8000, n)
    z = 3000 + 0.8 * (4000 - np.abs(y - 4000)) + random.normal(0, noise, n)
    return _sorted(np.stack((x, y, z), axis=1))


@pytest.mark.parametrize("n", [1, 5, 15, 400])
def test_neighbours_are_the_nearest_with_ties_to_the_lower_index(n):
    random = np.random.default_rng(n)
    points = _sorted(random.integers(0, (30, 30, 3), (n, 3)) * 200)  # a lattice: many ties
    found = find_neighbours(points, 12, 6).nearest
    distance = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    expected = np.lexsort((np.broadcast_to(np.arange(len(points)), distance.shape), distance), axis=1)
    np.testing.assert_array_equal(found, expected[:, : min(12, len(points))])


def test_normals_of_a_slope_are_those_of_its_plane():
    random = np.random.default_rng(1)
    xy = random.integers(0, 10_000, (500, 2))
    points = _sorted(np.column_stack((xy, 0.5 * xy[:, 0] - 0.25 * xy[:, 1])))
    normal = find_neighbours(points).normal
    expected = np.array([-0.5, 0.25, 1.0]) / np.sqrt(1.3125)
    # Heights are rounded to 1 mm and eight neighbours lie within about 0.5 m: 2e-3.
    assert np.abs(normal - expected).max() < 5e-3


def test_a_gable_has_two_planes_within_their_stated_uncertainty():
    points = _gable(np.random.default_rng(2))
    planes = detect_planes(points, find_neighbours(points))
    assert len(planes.coefficients) == 2
    order = np.argsort(planes.coefficients[:, 1])
    for row, slope, eaves in zip(order, (-0.8, 0.8), (9.4, 3.0), strict=True):
        a, b, c = planes.coefficients[row]
        x, y = planes.centroid[row]
        truth = np.array([eaves + slope * y, 0.0, slope])
        error = np.array([a * x + b * y + c, a, b]) - truth
        # Within 4 standard deviations, plus the points next to the ridge that belong to either plane (0.25 m of 4 m).
        assert (np.abs(error) < 4 * np.sqrt(np.diag(planes.covariance[row])) + (0.01, 0.002, 0.01)).all()
    assert (planes.label >= 0).mean() > 0.97


def test_the_covariance_is_that_of_many_repetitions():
    errors, stated = [], []
    for seed in range(60):
        random = np.random.default_rng(seed)
        xy = random.uniform(0, 5000, (120, 2))
        z = 0.3 * xy[:, 0] + 0.1 * xy[:, 1] + 2000 + random.normal(0, 30, 120)
        points = _sorted(np.column_stack((xy, z)))
        planes = detect_planes(points, find_neighbours(points))
        assert len(planes.coefficients) == 1
        (a, b, c), (x, y) = planes.coefficients[0], planes.centroid[0]
        errors.append((a * x + b * y + c - (0.3 * x + 0.1 * y + 2.0), a - 0.3, b - 0.1))
        stated.append(np.diag(planes.covariance[0]))
    # Sixty repetitions know a variance to 18 %; points cut off by the region's distance make it smaller by a few per cent.
    ratio = np.var(errors, axis=0) / np.mean(stated, axis=0)
    assert (ratio > 0.5).all() and (ratio < 1.8).all()


def test_walls_are_no_roof_planes_and_halves_of_one_roof_are_one_plane():
    random = np.random.default_rng(3)
    xy = random.uniform(0, 10_000, (1200, 2))
    xy = xy[(xy[:, 0] < 4000) | (xy[:, 0] > 6000)]
    roof = np.column_stack((xy, 5000 + 0.2 * xy[:, 1] + random.normal(0, 10, len(xy))))
    n = 400
    wall = np.column_stack(
        (np.full(n, 5000.0) + random.normal(0, 10, n), random.uniform(0, 10_000, n), random.uniform(0, 4000, n))
    )
    points = _sorted(np.concatenate((roof, wall)))
    planes = detect_planes(points, find_neighbours(points))
    assert len(planes.coefficients) == 1
    on_wall = np.abs(points[:, 0] - 5000) < 500
    assert (planes.label[on_wall] == -1).all()
    assert (planes.label[~on_wall] == 0).all()


def test_planes_do_not_depend_on_where_the_building_stands():
    points = _gable(np.random.default_rng(4))
    here = detect_planes(points, find_neighbours(points))
    moved = points + np.array([7000, -3000, 1000])
    there = detect_planes(moved, find_neighbours(moved))
    np.testing.assert_array_equal(here.label, there.label)
    np.testing.assert_allclose(here.coefficients[:, :2], there.coefficients[:, :2], atol=1e-9)


def test_no_points_give_no_planes():
    nothing = np.empty((0, 3), np.int64)
    planes = detect_planes(nothing, find_neighbours(nothing))
    assert len(planes.label) == 0 and planes.coefficients.shape == (0, 3)
