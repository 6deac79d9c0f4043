"""Neighbours are exact, eigenvalues equal LAPACK's, and neither order nor duplicates nor threads change a bit."""

import math

import numba
import numpy as np
import pytest
from scipy.spatial import cKDTree

from felsina.kernels.pointcloud.neighbourhood import local_shape


def cloud(n=1500, seed=1):
    random = np.random.default_rng(seed)
    x, y = random.integers(-3_000, 12_000, (2, n), dtype=np.int32)
    return x, y, (0.3 * x + random.normal(0, 400, n)).astype(np.int32)


def everywhere(x):
    return np.ones(x.size, bool)


def test_counts_and_spreads_equal_a_tree_search_and_lapack():
    x, y, z = cloud()
    shape = local_shape(x, y, z, 1000, 3000, everywhere(x))
    points = np.column_stack([x, y, z]).astype(float)
    found = cKDTree(points).query_ball_point(points, 1000.0000001)
    np.testing.assert_array_equal(shape.n_neighbour, [len(f) for f in found])
    for i, neighbours in enumerate(found):
        eigenvalues = np.linalg.eigvalsh(np.cov(points[neighbours].T / 1000, bias=True)) if len(neighbours) > 1 else np.zeros(3)
        spread = np.sqrt(np.maximum(eigenvalues, 0))
        # Where two eigenvalues meet, the arc cosine loses half of the digits: 1e-8 of 0.3 m2, whose root is 6e-5 m.
        np.testing.assert_allclose([shape.thickness[i], shape.width[i]], spread[:2], rtol=2e-6, atol=1e-4)


def test_a_tilted_plane_has_no_thickness_and_a_wire_no_width():
    grid = np.arange(-10, 11) * 100
    x, y = (g.ravel().astype(np.int32) for g in np.meshgrid(grid, grid))
    roof = local_shape(x, y, 2 * x, 1000, 3000, everywhere(x))
    assert roof.thickness.max() < 1e-6
    assert roof.width.min() > 0.1
    wire = local_shape(grid.astype(np.int32), np.zeros(21, np.int32), grid.astype(np.int32), 1000, 3000, np.ones(21, bool))
    assert wire.width.max() < 1e-4  # as above: 0.1 mm, less than the coordinates resolve


def test_spread_of_a_disc_is_half_its_radius():
    # A uniform disc of radius R has the variance R^2 / 4 along each axis; 10 mm points: a relative error of about 1e-2 squared.
    grid = np.arange(-110, 111) * 10
    x, y = (g.ravel().astype(np.int32) for g in np.meshgrid(grid, grid))
    centre = (x == 0) & (y == 0)
    shape = local_shape(x, y, np.zeros_like(x), 1000, 3000, centre)
    assert shape.width[centre][0] == pytest.approx(0.5, rel=1e-3)
    assert shape.n_neighbour[centre][0] == pytest.approx(math.pi * 1e4, rel=1e-3)
    assert shape.n_neighbour[~centre].max() == 0


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_points_have_the_same_bits(seed):
    points = np.array(cloud())
    order = np.random.default_rng(seed).permutation(points.shape[1])
    straight = local_shape(*points, 900, 2500, everywhere(points[0]))
    shuffled = local_shape(*np.ascontiguousarray(points[:, order]), 900, 2500, everywhere(points[0]))
    for a, b in zip(straight, shuffled):
        np.testing.assert_array_equal(a[order], b)


def test_a_tile_with_a_halo_has_the_bits_of_the_whole():
    x, y, z = cloud()
    whole = local_shape(x, y, z, 1000, 3000, everywhere(x))
    for west, east in ((-3000, 1234), (1234, 5001), (5001, 12_000)):
        near = (x >= west - 3000) & (x < east + 3000)
        own = (x[near] >= west) & (x[near] < east)
        part = local_shape(x[near], y[near], z[near], 1000, 3000, own)
        for a, b in zip(whole, part):
            np.testing.assert_array_equal(a[near][own], b[own])


def test_thread_count_changes_no_bit():
    x, y, z = cloud()
    keep = numba.get_num_threads()
    many = local_shape(x, y, z, 1000, 3000, everywhere(x))
    try:
        numba.set_num_threads(1)
        one = local_shape(x, y, z, 1000, 3000, everywhere(x))
    finally:
        numba.set_num_threads(keep)
    for a, b in zip(many, one):
        np.testing.assert_array_equal(a, b)


def test_isolation_looks_beyond_the_radius_and_past_duplicates():
    x = np.array([0, 0, 0, 50_000, 53_000, 90_000, 93_001], np.int32)
    zero = np.zeros_like(x)
    isolated = local_shape(x, zero, zero, 1000, 3000, everywhere(x)).is_isolated
    # Three echoes at one place are alone together; 3 m away is near, a millimetre further is not.
    assert isolated.tolist() == [True, True, True, False, False, True, True]


def test_no_points_and_one_point_have_a_shape():
    none = np.empty(0, np.int32)
    assert local_shape(none, none, none, 1000, 3000, np.empty(0, bool)).n_neighbour.size == 0
    one = local_shape(*(np.array([v], np.int32) for v in (5, 6, 7)), 1000, 3000, np.ones(1, bool))
    assert [v.tolist() for v in one] == [[1], [0.0], [0.0], [True]]


def test_a_radius_whose_moments_could_overflow_is_refused():
    x = np.zeros(1, np.int32)
    with pytest.raises(ValueError, match="20000 mm"):
        local_shape(x, x, x, 20_000, 3000, np.ones(1, bool))
